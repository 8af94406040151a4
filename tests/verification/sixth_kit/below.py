"""Objectives below the noise of the data: hops of the reverse process, and draws of the posterior."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.batch import Term, View, take
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import log_uniform, power_grid
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []


class Hop(Objective):
    """Two independent hops from the observation, in steps that the others change."""

    source = "arXiv 2302.09057, eq. 8"
    claims = frozenset(
        {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "value-unbiased", "detached-anchor", "half-backward"}
    )

    def suited(self, tools):
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs draws from the reverse kernel, not {tools.sampler.name!r}: ancestral")

    def anchor(self, batch, tools):
        return tools.corruption.degrade(batch, tools.corruption.floor(batch), tools.generator)

    def target(self, denoiser, view, sigma_s, tools):
        with torch.no_grad():
            return denoiser(view.x, view.sigma, **view.cond)

    def end(self, denoiser, view, sigma_s, tools):
        with torch.no_grad():
            grid = torch.stack([view.sigma, sigma_s])
            return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)

    def ends(self, denoiser, view, sigma_s, tools):
        return self.end(denoiser, view, sigma_s, tools), self.end(denoiser, view, sigma_s, tools)

    def value(self, first, second, sigma_s, tools):
        return edm_weight(sigma_s, tools.signal.sigma_data) * (first * second).flatten(1).mean(1)

    def loss(self, denoiser, batch, tools):
        self.suited(tools)
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        if len(batch.x_n) == 0:
            return {"loss": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        view = self.anchor(batch, tools)
        u = uniform(view.sigma, tools.generator)
        sigma_s = torch.maximum(view.sigma * torch.exp(-0.3 * u), view.sigma.new_tensor(tools.levels.sigma_min))
        target = self.target(denoiser, view, sigma_s, tools)
        defects = [denoiser(x_s, sigma_s, **view.cond) - target for x_s in self.ends(denoiser, view, sigma_s, tools)]
        return {"loss": Term(self.value(*defects, sigma_s, tools), sigma_s)}


@marked(RIGHT, "two single hops from the observation alone, no chains and no pairs")
class TwoHops(Hop):
    name = "six-two-hops"


@marked(RIGHT, "a subclass of consistency with other fields: all rows, longer chains, shorter hops")
class MoreConsistency(Consistency):
    name = "six-more-consistency"
    fraction: float = Field(0.5, gt=0, le=1)
    max_hop: float = Field(0.3, gt=0)
    chain_steps: int = Field(4, ge=1)


@marked(WRONG, "the square of one hop: its variance is added, and minimised by blur")
class SquareOfOne(Hop):
    name = "six-square-of-one"

    def ends(self, denoiser, view, sigma_s, tools):
        end = self.end(denoiser, view, sigma_s, tools)
        return end, end


@marked(WRONG, "the square of the mean of both hops: half of the variance is still in it")
class SquareOfMean(Hop):
    name = "six-square-of-mean"

    def value(self, first, second, sigma_s, tools):
        mean = (first + second) / 2
        return super().value(mean, mean, sigma_s, tools)


@marked(WRONG, "both hops begin from one state of the generator: the same noise twice")
class SameNoise(Hop):
    name = "six-same-noise"

    def ends(self, denoiser, view, sigma_s, tools):
        state = tools.generator.get_state()
        first = self.end(denoiser, view, sigma_s, tools)
        tools.generator.set_state(state)
        return first, self.end(denoiser, view, sigma_s, tools)


@marked(WRONG, "negative values are clamped to 0, as a loss should not be negative")
class NeverNegative(Hop):
    name = "six-never-negative"

    def value(self, first, second, sigma_s, tools):
        return super().value(first, second, sigma_s, tools).clamp(min=0)


@marked(WRONG, "the absolute value of the product")
class AbsoluteProduct(Hop):
    name = "six-absolute-product"

    def value(self, first, second, sigma_s, tools):
        return super().value(first, second, sigma_s, tools).abs()


@marked(WRONG, "the anchor is not detached")
class AnchorWithGradient(Hop):
    name = "six-anchor-with-gradient"

    def target(self, denoiser, view, sigma_s, tools):
        return denoiser(view.x, view.sigma, **view.cond)


@marked(WRONG, "the anchor is asked at the level of the ends")
class AnchorAtEnd(Hop):
    name = "six-anchor-at-end"

    def target(self, denoiser, view, sigma_s, tools):
        with torch.no_grad():
            return denoiser(view.x, sigma_s, **view.cond)


@marked(WRONG, "the target is the observation x_n instead of the estimate there")
class TargetIsRow(Hop):
    name = "six-target-is-row"

    def target(self, denoiser, view, sigma_s, tools):
        return view.x


@marked(WRONG, "the hop is a step of the flow, as in consistency models, not a draw")
class FlowStep(Hop):
    name = "six-flow-step"

    def end(self, denoiser, view, sigma_s, tools):
        with torch.no_grad():
            x_0_hat = denoiser(view.x, view.sigma, **view.cond)
            ratio = per_row(sigma_s / view.sigma, view.x)
            return ratio * view.x + (1 - ratio) * x_0_hat


@marked(WRONG, "the ends are x_0_hat with fresh noise of their level: renoised, not the reverse kernel")
class Renoised(Hop):
    name = "six-renoised"

    def end(self, denoiser, view, sigma_s, tools):
        with torch.no_grad():
            x_0_hat = denoiser(view.x, view.sigma, **view.cond)
            return x_0_hat + per_row(sigma_s, view.x) * standard_normal(view.x, tools.generator)


@marked(WRONG, "the second defect is detached: half of the gradient, which is claimed in full")
class HalfGradient(Hop):
    name = "six-half-gradient"

    def value(self, first, second, sigma_s, tools):
        return super().value(first, second.detach(), sigma_s, tools)


@marked(WRONG, "noise per pixel: the observation is taken to have the largest level as it is")
class NotToppedUp(Hop):
    name = "six-not-topped-up"

    def anchor(self, batch, tools):
        return View(batch.x_n, tools.corruption.floor(batch), batch.cond)


@marked(WRONG, "the anchor is the observation, told half of its level")
class AnchorBelow(Hop):
    name = "six-anchor-below"

    def anchor(self, batch, tools):
        view = super().anchor(batch, tools)
        return view._replace(sigma=view.sigma / 2)


@marked(WRONG, "any sampler is taken, a deterministic one too")
class AnySampler(Hop):
    name = "six-any-sampler"

    def suited(self, tools):
        pass


@marked(WRONG, "the noise of a row's hop is that of the row before: rolled by one")
class RolledConditions(Hop):
    name = "six-rolled"

    def ends(self, denoiser, view, sigma_s, tools):
        first, second = super().ends(denoiser, view, sigma_s, tools)
        return first, second.roll(1, 0)


class OnDraws(Objective):
    """Denoises draws of x_0 that the network makes of the rows."""

    source = "arXiv 2405.13712, algorithm 1"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})

    def drawn(self, denoiser, batch, tools):
        view = tools.corruption.degrade(batch, tools.corruption.floor(batch), tools.generator)
        low = torch.minimum((0.03 * view.sigma).clamp(min=tools.levels.sigma_min), view.sigma)
        grid = torch.cat([power_grid(view.sigma, low, 24, 3.0), torch.zeros_like(low).unsqueeze(0)])
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)

    def loss(self, denoiser, batch, tools):
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs draws from the reverse kernel: take ancestral")
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        if len(batch.x_n) == 0:
            return {"loss": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        x_0 = self.kept(denoiser, batch, tools)
        top = tools.corruption.floor(batch)
        sigma = log_uniform(uniform(top, tools.generator), tools.levels.sigma_min, top * 1.5)
        x_t = x_0 + per_row(sigma, x_0) * standard_normal(x_0, tools.generator)
        error = denoiser(x_t, sigma, **batch.cond) - x_0
        return {"loss": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)}

    def kept(self, denoiser, batch, tools):
        with torch.no_grad():
            return self.drawn(denoiser, batch, tools)


@marked(RIGHT, "fresh draws for all rows in each call, by the teacher")
class FreshDraws(OnDraws):
    name = "six-fresh-draws"

    def kept(self, denoiser, batch, tools):
        with torch.no_grad():
            return self.drawn(tools.teacher, batch, tools)


@marked(WRONG, "the rows are denoised by their posterior mean, not by draws: detail is lost for good")
class PosteriorMean(OnDraws):
    name = "six-posterior-mean"

    def drawn(self, denoiser, batch, tools):
        view = tools.corruption.degrade(batch, tools.corruption.floor(batch), tools.generator)
        return denoiser(view.x, view.sigma, **view.cond)


@marked(WRONG, "the chain of a draw is in the graph: gradients flow through all of its levels")
class ChainInGraph(OnDraws):
    name = "six-chain-in-graph"

    def kept(self, denoiser, batch, tools):
        return self.drawn(denoiser, batch, tools)


@marked(WRONG, "a draw is added to the memory under a new name in each call")
class GrowingMemory(OnDraws):
    name = "six-growing-memory"

    def kept(self, denoiser, batch, tools):
        x_0 = super().kept(denoiser, batch, tools)
        tools.memory[f"draw{len(tools.memory)}"] = x_0
        return x_0


@marked(WRONG, "the draw of the first call is kept for good, whatever rows come later: a stale buffer")
class StaleBuffer(OnDraws):
    name = "six-stale-buffer"

    def kept(self, denoiser, batch, tools):
        if "x_0" not in tools.memory or tools.memory["x_0"].shape != batch.x_n.shape:
            tools.memory["x_0"] = super().kept(denoiser, batch, tools)
        return tools.memory["x_0"]


@marked(WRONG, "the chain stops at a tenth of the noise, and its end is taken for clean")
class StopsEarly(OnDraws):
    name = "six-stops-early"

    def drawn(self, denoiser, batch, tools):
        view = tools.corruption.degrade(batch, tools.corruption.floor(batch), tools.generator)
        ramp = torch.linspace(1, 0.3, 20, device=view.x.device).unsqueeze(1)
        return tools.sampler.sample(denoiser, view.x, ramp * view.sigma, tools.generator, view.cond)
