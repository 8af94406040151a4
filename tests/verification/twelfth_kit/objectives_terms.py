"""Wrong objectives whose mistake lies in the residual, the weight or the value of a term."""

from __future__ import annotations

import torch

from ambientkit.batch import Term
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.interfaces import Objective
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight

from .bases import AMBIENT, Ambient, CleanOnly, Covered, Scaled, made


def _levels(view, batch):
    return per_row(view.sigma, batch.x_n), per_row(batch.sigma_n, batch.x_n)


class RatioOfLevels(Ambient):
    """Mixes by b = sigma_n / sigma, the square forgotten."""

    name = "kit12-ratio-of-levels"

    def residual(self, x_0_hat, view, batch, tools):
        s, n = _levels(view, batch)
        return (1 - n / s) * x_0_hat + n / s * view.x - batch.x_n


class NoMix(Ambient):
    """Compares the estimate of x_0 with x_n itself."""

    name = "kit12-no-mix"

    def residual(self, x_0_hat, view, batch, tools):
        return x_0_hat - batch.x_n


class HalfMix(Ambient):
    """Takes the factors 1/2 and 1/2 of Noisier2Noise with equal noises at every level."""

    name = "kit12-half-mix"

    def residual(self, x_0_hat, view, batch, tools):
        return (x_0_hat + view.x) / 2 - batch.x_n


class ScoreOfWhole(Ambient):
    """Matches the score -(x_t - x_n) / sigma^2, which has the whole of the noise below the line."""

    name = "kit12-score-of-whole"

    def residual(self, x_0_hat, view, batch, tools):
        s, _ = _levels(view, batch)
        return s * ((x_0_hat - view.x) / s**2 + (view.x - batch.x_n) / s**2)


class Recorrupted(Ambient):
    """Recorrupted-to-recorrupted with the target x_n - c z in place of x_n - (sigma_n^2 / c) z."""

    name = "kit12-recorrupted"

    def residual(self, x_0_hat, view, batch, tools):
        return x_0_hat - (batch.x_n - (view.x - batch.x_n))


class ChannelMean(Ambient):
    """Squares the mean of the residual over channels (or over the first axis of a row)."""

    name = "kit12-channel-mean"

    def square(self, x_0_hat, view, batch, tools):
        return self.residual(x_0_hat, view, batch, tools).mean(1, keepdim=True).square()


class ClippedEstimate(Ambient):
    """Clips the estimate to [-1, 1] before it is compared."""

    name = "kit12-clipped-estimate"

    def asked(self, denoiser, view, batch, tools):
        return super().asked(denoiser, view, batch, tools).clamp(-1, 1)


class PseudoHuber(Ambient):
    """The pseudo-Huber distance of consistency models in place of the square."""

    name = "kit12-pseudo-huber"

    def square(self, x_0_hat, view, batch, tools):
        rho = self.residual(x_0_hat, view, batch, tools)
        return (rho.square() + 0.03**2).sqrt() - 0.03


class TotalVariation(Ambient):
    """Adds the total variation of the estimate along the last axis, as a prior."""

    name = "kit12-total-variation"

    def square(self, x_0_hat, view, batch, tools):
        rho = self.residual(x_0_hat, view, batch, tools)
        return rho.square() + 0.05 * x_0_hat.diff(dim=-1).abs().flatten(1).mean(1).reshape(-1, *[1] * (rho.ndim - 1))


class SpreadPrior(Ambient):
    """Adds a term that draws the mean square of the estimates towards sigma_data^2."""

    name = "kit12-spread-prior"

    def square(self, x_0_hat, view, batch, tools):
        rho = self.residual(x_0_hat, view, batch, tools)
        power = x_0_hat.square().flatten(1).mean(1) - tools.signal.sigma_data**2
        return rho.square() + 0.1 * per_row(power.square(), rho)


class AdaptiveWeight(Ambient):
    """Divides the loss of a row by its own detached value (adaptive weighting of mean flows)."""

    name = "kit12-adaptive-weight"

    def square(self, x_0_hat, view, batch, tools):
        square = self.residual(x_0_hat, view, batch, tools).square()
        return square / per_row(square.flatten(1).mean(1).detach() + 1e-3, square)


class HardRows(Ambient):
    """Counts the half of the rows with the larger residual, as hard-example mining does."""

    name = "kit12-hard-rows"

    def square(self, x_0_hat, view, batch, tools):
        square = self.residual(x_0_hat, view, batch, tools).square()
        each = square.flatten(1).mean(1).detach()
        return square * per_row((each >= each.median()).to(square), square)


class ClippedGradient(Ambient):
    """Clips the gradient of each value of the estimate by a hook."""

    name = "kit12-clipped-gradient"

    def asked(self, denoiser, view, batch, tools):
        x_0_hat = super().asked(denoiser, view, batch, tools)
        if x_0_hat.requires_grad:
            x_0_hat.register_hook(lambda g: g.clamp(-1e-3, 1e-3))
        return x_0_hat


class OfTeacher(Ambient):
    """Takes the estimate of the EMA teacher, which no gradient reaches."""

    name = "kit12-of-teacher"

    def asked(self, denoiser, view, batch, tools):
        return tools.teacher(view.x, view.sigma, **view.cond)


class VainWithGradient(Ambient):
    """Subtracts (b (x_t - D))^2, with its gradient, in place of (b (x_t - x_n))^2."""

    name = "kit12-vain-with-gradient"

    def square(self, x_0_hat, view, batch, tools):
        s, n = _levels(view, batch)
        b = (n / s) ** 2
        return self.residual(x_0_hat, view, batch, tools).square() - (b * (view.x - x_0_hat)).square()


class GraphInMemory(Scaled):
    """Keeps a running mean of its loss in the memory with its graph, and divides by it."""

    name = "kit12-graph-in-memory"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["term"]
        mean = term.value.mean()
        tools.memory["mean"] = 0.9 * tools.memory["mean"] + 0.1 * mean if "mean" in tools.memory else mean
        return {"term": Term(term.value / (1 + tools.memory["mean"].abs()), term.sigma)}


class HalfSigmaData(Scaled):
    """Has sigma_data = 0.5 built into the weight."""

    name = "kit12-half-sigma-data"

    def factor(self, sigma, tools):
        return edm_weight(sigma, 0.5)


class UnsquaredWeight(Scaled):
    """Weighs by 1 / sigma + 1 / sigma_data, the squares forgotten."""

    name = "kit12-unsquared-weight"

    def factor(self, sigma, tools):
        return 1 / sigma + 1 / tools.signal.sigma_data


class SumOfPixels(Scaled):
    """Sums over the values of a row in place of averaging them."""

    name = "kit12-sum-of-pixels"

    def square(self, x_0_hat, view, batch, tools):
        return super().square(x_0_hat, view, batch, tools).flatten(1).sum(1).reshape(-1, *[1] * (view.x.ndim - 1))


class NoUpscaling(Scaled):
    """Leaves the factor 1 / a^2 out."""

    name = "kit12-no-upscaling"

    def square(self, x_0_hat, view, batch, tools):
        return self.residual(x_0_hat, view, batch, tools).square()


class TwiceUpscaled(Scaled):
    """Counts 1 / a^4: the inverse square of a^2."""

    name = "kit12-twice-upscaled"

    def square(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        return capped_inverse_square(a**2, 25.0) * self.residual(x_0_hat, view, batch, tools).square()


class SelfNormalised(Scaled):
    """Divides the weights by their mean over the batch."""

    name = "kit12-self-normalised"

    def factor(self, sigma, tools):
        weight = edm_weight(sigma, tools.signal.sigma_data)
        return weight / weight.mean()


class MeanForAll(Ambient):
    """Returns the mean of the batch for every row."""

    name = "kit12-mean-for-all"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["term"]
        return {"term": Term(term.value.mean().expand(len(term.sigma)), term.sigma)}


class LevelOfRows(Ambient):
    """Says of each value that it was taken at sigma_n of the row."""

    name = "kit12-level-of-rows"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["term"]
        return {"term": Term(term.value, tools.corruption.floor(batch))}


class Squeezed(Ambient):
    """Squeezes the value, so that one row alone has no axis left."""

    name = "kit12-squeezed"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["term"]
        return {"term": Term(term.value.squeeze(), term.sigma)}


class NoisyForClean(CleanOnly):
    """Says that it needs clean rows, and takes noisy ones without a word."""

    name = "kit12-noisy-for-clean"

    def refuse(self, batch, tools):
        return None

    def drawn(self, batch, tools):
        u = uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator)
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(u, floor, tools.levels.sigma_max, -1.0, 1.2)

    def residual(self, x_0_hat, view, batch, tools):
        return x_0_hat - batch.x_n


class MeasuredMean(Covered):
    """Averages over the measured values of a row, in place of all, with the weight for all."""

    name = "kit12-measured-mean"
    claims = AMBIENT | {"serves-masks", "scale-under-masks", "x_0-scale"}

    def square(self, x_0_hat, view, batch, tools):
        found = super().square(x_0_hat, view, batch, tools)
        if "mask" not in batch.cond:
            return found
        seen = batch.cond["mask"].to(found).expand_as(found).flatten(1).mean(1).clamp(min=1e-3)
        return found / per_row(seen, found)


class NeverHides(Covered):
    """Shows the denoiser all that was measured, so that hidden values are never held against anything."""

    name = "kit12-never-hides"

    def seen(self, batch, sigma, tools):
        return tools.corruption.show(batch, sigma, tools.generator)


class MaskWithheld(Covered):
    """Fills missing values with 0 and hands no mask on."""

    name = "kit12-mask-withheld"

    def asked(self, denoiser, view, batch, tools):
        cond = {
            name: torch.ones_like(value) if name in tools.corruption.carries else value
            for name, value in view.cond.items()
        }
        return denoiser(view.x, view.sigma, **cond)


class CopiesLow(SplitLevels):
    """Bounds the levels of the noisy copies by `clean_below`, and lets clean rows teach all levels."""

    name = "kit12-copies-low"

    def _levels(self, batch, tools):
        floor, low, high = tools.corruption.floor(batch), tools.levels.sigma_min, tools.levels.sigma_max
        near = torch.maximum(torch.full_like(floor, self.clean_below), floor * 1.01)
        top = torch.where(floor <= low, torch.full_like(floor, high), near)
        u = uniform(torch.empty_like(floor), tools.generator)
        return truncated_lognormal(u, floor.clamp(min=low), top, self.p_mean, self.p_std).to(floor.dtype)


class CleanClamped(SplitLevels):
    """Draws the levels of clean rows over the whole range and lowers those above `clean_below` onto it."""

    name = "kit12-clean-clamped"

    def _levels(self, batch, tools):
        floor, low, high = tools.corruption.floor(batch), tools.levels.sigma_min, tools.levels.sigma_max
        u = uniform(torch.empty_like(floor), tools.generator)
        free = truncated_lognormal(u, floor.clamp(min=low), high, self.p_mean, self.p_std).to(floor.dtype)
        return torch.where(floor <= low, free.clamp(max=self.clean_below), free)


class BestOfTwo(Ambient):
    """Asks about two views of a row and counts the smaller of the two losses."""

    name = "kit12-best-of-two"

    def loss(self, denoiser, batch, tools):
        sigma = self.drawn(batch, tools)
        values = []
        for _ in range(2):
            view = self.seen(batch, sigma, tools)
            values.append(self.square(self.asked(denoiser, view, batch, tools), view, batch, tools).flatten(1).mean(1))
        return {"term": Term(self.factor(sigma, tools) * torch.minimum(*values), sigma)}


class AskedAgain(Objective):
    """Feeds the estimate back with fresh noise, D(D(x_t) + sigma z, sigma), and holds this against x_n as well."""

    name = "kit12-asked-again"
    claims = AMBIENT

    def loss(self, denoiser, batch, tools):
        base = Ambient()
        sigma = base.drawn(batch, tools)
        view = base.seen(batch, sigma, tools)
        first = base.asked(denoiser, view, batch, tools)
        noise = per_row(sigma, first) * standard_normal(first, tools.generator)
        second_view = view._replace(x=first.detach() + noise)
        second = base.asked(denoiser, second_view, batch, tools)
        rho = base.residual(first, view, batch, tools), base.residual(second, second_view, batch, tools)
        value = (rho[0].square() + 0.5 * rho[1].square()).flatten(1).mean(1)
        return {"term": Term(base.factor(sigma, tools) * value, sigma)}


WRONG = made(globals())
