"""Objectives of Stein's estimate, of clean rows at low levels, and of rows seen in part."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, take
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.interfaces import Objective
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.sixth_kit.above import CLAIMS, Plain
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []


class Stein(Objective):
    """Stein's unbiased risk estimate, in steps."""

    source = "Stein (1981), theorem 1"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "detached-anchor"})

    def probe(self, x, tools):
        return standard_normal(x, tools.generator)

    def divergence(self, denoiser, x, sigma, cond, probe):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            x_0_hat = denoiser(x, sigma, **cond)
            (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        return x_0_hat, probe * slope

    def risk(self, x_0_hat, x, level, divergence):
        return (x_0_hat - x) ** 2 + level**2 * (2 * divergence - 1)

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        if len(batch.x_n) == 0:
            return {"loss": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        found = self.divergence(denoiser, view.x, view.sigma, view.cond, self.probe(view.x, tools))
        value = self.risk(found[0], view.x, per_row(floor, view.x), found[1]).flatten(1).mean(1)
        return {"loss": Term(edm_weight(floor, tools.signal.sigma_data) * value, floor)}


@marked(RIGHT, "Gaussian probes in Stein's estimate")
class GaussianProbe(Stein):
    name = "six-gaussian-probe"


@marked(WRONG, "the divergence lacks its factor 2")
class NoFactorTwo(Stein):
    name = "six-no-factor-2"

    def risk(self, x_0_hat, x, level, divergence):
        return (x_0_hat - x) ** 2 + level**2 * (divergence - 1)


@marked(WRONG, "the divergence is weighted by the std, not the variance")
class StdInStein(Stein):
    name = "six-std-in-stein"

    def risk(self, x_0_hat, x, level, divergence):
        return (x_0_hat - x) ** 2 + level * (2 * divergence - 1)


@marked(WRONG, "uniform probes on [-1, 1], of variance 1/3")
class UniformProbe(Stein):
    name = "six-uniform-probe"

    def probe(self, x, tools):
        return 2 * uniform(x, tools.generator) - 1


@marked(WRONG, "the divergence by a difference as long as the noise itself")
class LongDifference(Stein):
    name = "six-long-difference"

    def divergence(self, denoiser, x, sigma, cond, probe):
        step = per_row(sigma, x)
        x_0_hat = denoiser(x, sigma, **cond)
        return x_0_hat, probe * (denoiser(x + step * probe, sigma, **cond) - x_0_hat) / step


@marked(WRONG, "the slope is detached: create_graph was forgotten, the divergence is not trained")
class NoSecondDerivative(Stein):
    name = "six-no-second-derivative"

    def divergence(self, denoiser, x, sigma, cond, probe):
        x_0_hat, divergence = super().divergence(denoiser, x, sigma, cond, probe)
        return x_0_hat, divergence.detach()


@marked(WRONG, "the residual is scaled by 1/a, unbounded next to the noise")
class Unbounded(Plain):
    name = "six-unbounded"

    def value(self, rho, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        return self.weight(view, batch, tools) * (rho / a.clamp(min=1e-12)).square().flatten(1).mean(1)

    def levels(self, batch, tools):
        sigma = super().levels(batch, tools)
        return torch.where(sigma < 1.5 * self.floor(batch, tools), self.floor(batch, tools), sigma)


@marked(WRONG, "weights are in units of the noise, 1 / sigma_n^2: infinite for a clean row")
class UnitsOfNoise(Plain):
    name = "six-units-of-noise"

    def weight(self, view, batch, tools):
        return tools.corruption.floor(batch) ** -2


@marked(WRONG, "clean rows are seen at all levels, though split at clean_below")
class CleanEverywhere(SplitLevels):
    name = "six-clean-everywhere"

    def _levels(self, batch, tools):
        floor = tools.corruption.floor(batch)
        u = uniform(floor, tools.generator)
        low = floor.clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(u, low, tools.levels.sigma_max, self.p_mean, self.p_std).to(floor.dtype)


SEEN_IN_PART = CLAIMS - {"levels-above-floor"} | {"serves-masks", "serves-operators"}


class InPart(Plain):
    """Tweedie for rows seen in part: each error counts what the corruption says."""

    claims = SEEN_IN_PART | {"x_0-scale", "scale-under-masks"}

    def value(self, rho, view, batch, tools):
        hidden = view.sigma**2 / (view.sigma**2 + tools.signal.sigma_data**2)
        factor = self.factor(view, batch, torch.full_like(view.sigma, 25.0), hidden, tools)
        return self.weight(view, batch, tools) * (factor * rho.square()).flatten(1).mean(1)

    def factor(self, view, batch, cap, hidden, tools):
        return tools.corruption.weight(view, batch, cap, hidden)


@marked(RIGHT, "rows seen in part, with the corruption's own weights, and no control variate")
class ServesAll(InPart):
    name = "six-serves-all"


@marked(WRONG, "only what the view shows is compared: what it hides is never learnt")
class ShownOnly(InPart):
    name = "six-shown-only"

    def factor(self, view, batch, cap, hidden, tools):
        factor = super().factor(view, batch, cap, hidden, tools)
        shown = view.cond.get("mask", view.cond.get("sampled"))
        return factor if shown is None else factor * shown


@marked(WRONG, "all values are compared with x_n, those too that were never measured")
class AllCompared(InPart):
    name = "six-all-compared"

    def residual(self, x_0_hat, view, batch, tools):
        mask = view.cond.get("mask")
        if mask is None:
            return super().residual(x_0_hat, view, batch, tools)
        level = tools.corruption.floor(batch)
        b = (per_row(level, view.x) / per_row(view.sigma, view.x)) ** 2
        return torch.where(mask, (1 - b) * x_0_hat + b * view.x, x_0_hat) - batch.x_n

    def factor(self, view, batch, cap, hidden, tools):
        return super().factor(view, batch, cap, hidden, tools).clamp(min=1)


@marked(WRONG, "the denoiser is told the row's mask, not the view's")
class RowsMask(InPart):
    name = "six-rows-mask"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **{**view.cond, **batch.cond}).to(batch.x_n.dtype)


@marked(WRONG, "hidden values count as much as shown ones, with no chance in it, and the scale is claimed")
class NoChance(InPart):
    name = "six-no-chance"

    def factor(self, view, batch, cap, hidden, tools):
        return capped_inverse_square(tools.corruption.slope(view, batch), per_row(cap, batch.x_n))


@marked(WRONG, "the estimate is mirrored into pairs, though the mask of the pair's second view is another")
class PairsUnderMasks(InPart):
    name = "six-pairs-under-masks"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        turned = per_row(uniform(sigma, tools.generator), batch.x_n) < 0.5
        return (
            view._replace(x=torch.where(turned, 2 * batch.x_n - view.x, view.x))
            if (view.x.shape == batch.x_n.shape)
            else view
        )


@marked(WRONG, "the errors of a row are averaged over the values that count, by a count of the batch's first row")
class CountOfFirst(InPart):
    name = "six-count-of-first"

    def value(self, rho, view, batch, tools):
        hidden = view.sigma**2 / (view.sigma**2 + tools.signal.sigma_data**2)
        factor = self.factor(view, batch, torch.full_like(view.sigma, 25.0), hidden, tools)
        count = (factor[0] > 0).sum().clamp(min=1)
        return self.weight(view, batch, tools) * (factor * rho.square()).flatten(1).sum(1) / count


@marked(WRONG, "the view's own back-projection is the target: A^T y against x_0_hat")
class BackProjected(InPart):
    name = "six-back-projected"

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view, shown = self.view(batch, sigma, tools), tools.corruption.show(batch, sigma, tools.generator)
        rho = self.ask(denoiser, view, batch, tools) - shown.x
        return {"loss": Term(self.weight(view, batch, tools) * rho.square().flatten(1).mean(1), sigma)}
