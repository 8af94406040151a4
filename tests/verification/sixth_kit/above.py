"""Objectives above the noise of the data: ambient Tweedie as people write it."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, View
from ambientkit.interfaces import Objective
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []
CLAIMS = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor"})


@marked(RIGHT, "log-uniform levels, nothing else: the plain form")
class Plain(Objective):
    """Ambient Tweedie in steps that the others change."""

    name = "six-plain"
    source = "arXiv 2404.10177, eq. 3.4"
    claims = CLAIMS

    def floor(self, batch, tools):
        return tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)

    def levels(self, batch, tools):
        floor = self.floor(batch, tools)
        return log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)

    def view(self, batch, sigma, tools):
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)

    def residual(self, x_0_hat, view, batch, tools):
        return tools.corruption.expect(x_0_hat, view, batch) - batch.x_n

    def weight(self, view, batch, tools):
        return edm_weight(view.sigma, tools.signal.sigma_data)

    def value(self, rho, view, batch, tools):
        return self.weight(view, batch, tools) * rho.square().flatten(1).mean(1)

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        rho = self.residual(self.ask(denoiser, view, batch, tools), view, batch, tools)
        return {"loss": Term(self.value(rho, view, batch, tools), sigma)}


@marked(WRONG, "the residual is taken against x_t instead of x_n")
class AgainstView(Plain):
    name = "six-against-view"

    def residual(self, x_0_hat, view, batch, tools):
        return tools.corruption.expect(x_0_hat, view, batch) - view.x


@marked(WRONG, "b is the ratio of the stds, not of the variances")
class RatioOfStds(Plain):
    name = "six-ratio-of-stds"

    def residual(self, x_0_hat, view, batch, tools):
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x - batch.x_n


@marked(WRONG, "a and b are exchanged")
class Exchanged(Plain):
    name = "six-exchanged"

    def residual(self, x_0_hat, view, batch, tools):
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        return b * x_0_hat + (1 - b) * view.x - batch.x_n


@marked(WRONG, "x_0_hat itself is compared with x_n, as Noisier2Noise trains before its correction")
class Uncorrected(Plain):
    name = "six-uncorrected"

    def residual(self, x_0_hat, view, batch, tools):
        return x_0_hat - batch.x_n


@marked(WRONG, "stds are subtracted: the view has less noise than the level says")
class StdsSubtracted(Plain):
    name = "six-stds-subtracted"

    def view(self, batch, sigma, tools):
        missing = per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)
        return View(batch.x_n + missing * standard_normal(batch.x_n, tools.generator), sigma, batch.cond)


@marked(WRONG, "the network is told how much noise was added, not how much there is")
class ToldTheAdded(Plain):
    name = "six-told-the-added"

    def ask(self, denoiser, view, batch, tools):
        added = (view.sigma**2 - tools.corruption.floor(batch) ** 2).clamp(min=1e-6).sqrt()
        return denoiser(view.x, added, **view.cond)


@marked(WRONG, "the network is told the variance")
class ToldTheVariance(Plain):
    name = "six-told-the-variance"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma**2, **view.cond)


@marked(WRONG, "the level told is rounded to one of 30, as a table of steps would")
class ToldTheStep(Plain):
    name = "six-told-the-step"

    def ask(self, denoiser, view, batch, tools):
        table = torch.logspace(-2.7, 1.91, 30).to(view.sigma)
        step = (view.sigma.unsqueeze(1) - table).abs().argmin(1)
        return denoiser(view.x, table[step], **view.cond)


@marked(WRONG, "levels below the noise are clamped onto it, where nothing is learnt")
class Clamped(Plain):
    name = "six-clamped"

    def levels(self, batch, tools):
        floor = self.floor(batch, tools)
        drawn = torch.exp(1.2 * standard_normal(floor, tools.generator) - 1.2)
        return torch.minimum(torch.maximum(drawn, floor), torch.full_like(floor, tools.levels.sigma_max))


@marked(WRONG, "all rows begin at the noise of the noisiest of the batch")
class NoisiestOfBatch(Plain):
    name = "six-noisiest-of-batch"

    def floor(self, batch, tools):
        floor = super().floor(batch, tools)
        return floor.max().expand_as(floor)


@marked(WRONG, "levels stop at a fixed 10, whatever the run's range")
class StopsAtTen(Plain):
    name = "six-stops-at-ten"

    def levels(self, batch, tools):
        floor = self.floor(batch, tools)
        return log_uniform(uniform(floor, tools.generator), floor, torch.maximum(floor * 1.01, floor.new_tensor(10.0)))


@marked(WRONG, "levels are sorted, so that they no longer belong to their rows' floors")
class Sorted(Plain):
    name = "six-sorted"

    def levels(self, batch, tools):
        sigma = super().levels(batch, tools)
        return torch.maximum(sigma.sort().values, self.floor(batch, tools))


@marked(WRONG, "the estimate is clamped to the range of the data before the loss")
class ClampedEstimate(Plain):
    name = "six-clamped-estimate"

    def ask(self, denoiser, view, batch, tools):
        return super().ask(denoiser, view, batch, tools).clamp(-1, 1)


@marked(WRONG, "the view is clamped to three stds, for stability")
class ClampedView(Plain):
    name = "six-clamped-view"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        edge = 1 + 3 * per_row(sigma, view.x)
        return view._replace(x=torch.minimum(torch.maximum(view.x, -edge), edge))


@marked(WRONG, "one draw of noise for the whole batch")
class OneNoise(Plain):
    name = "six-one-noise"

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).sqrt()
        return View(batch.x_n + missing * standard_normal(batch.x_n[:1], tools.generator), sigma, batch.cond)


@marked(WRONG, "all channels of a pixel share the noise")
class GreyNoise(Plain):
    name = "six-grey-noise"

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).sqrt()
        z = standard_normal(batch.x_n[:, :1] if batch.x_n.ndim > 2 else batch.x_n, tools.generator)
        return View(batch.x_n + missing * z, sigma, batch.cond)


@marked(WRONG, "a generator seeded with 0 in each call: every step has the same noise")
class SameSeed(Plain):
    name = "six-same-seed"

    def view(self, batch, sigma, tools):
        return tools.corruption.degrade(batch, sigma, torch.Generator(batch.x_n.device).manual_seed(0))


@marked(WRONG, "the noise is seeded by the row, so that a row has the same noise in all epochs")
class SeedOfRow(Plain):
    name = "six-seed-of-row"

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).sqrt()
        keyed = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        return View(batch.x_n + missing * standard_normal(batch.x_n, keyed), sigma, batch.cond)


@marked(WRONG, "levels are drawn by torch's global generator")
class GlobalLevels(Plain):
    name = "six-global-levels"

    def levels(self, batch, tools):
        floor = self.floor(batch, tools)
        return log_uniform(torch.rand_like(floor), floor, tools.levels.sigma_max)


@marked(WRONG, "the conditions of the row are not handed on")
class NoConditions(Plain):
    name = "six-no-conditions"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma)


@marked(WRONG, "claims the scale of x_0, but sums over the values of a row")
class Summed(Plain):
    name = "six-summed"
    claims = CLAIMS | {"x_0-scale"}

    def value(self, rho, view, batch, tools):
        factor = capped_inverse_square(tools.corruption.slope(view, batch), 25.0)
        return self.weight(view, batch, tools) * (factor * rho.square()).flatten(1).sum(1)


@marked(WRONG, "claims the scale of x_0, but leaves the factor a in the residual")
class NotUndone(Plain):
    name = "six-not-undone"
    claims = CLAIMS | {"x_0-scale"}


@marked(WRONG, "claims the scale of x_0, but divides by a instead of its square")
class HalfUndone(Plain):
    name = "six-half-undone"
    claims = CLAIMS | {"x_0-scale"}

    def value(self, rho, view, batch, tools):
        factor = 1 / tools.corruption.slope(view, batch).clamp(min=0.04)
        return self.weight(view, batch, tools) * (factor * rho.square()).flatten(1).mean(1)


@marked(WRONG, "sigma_data is squared once too often in the weight, and the scale of x_0 claimed")
class SquaredData(Plain):
    name = "six-squared-data"
    claims = CLAIMS | {"x_0-scale"}

    def value(self, rho, view, batch, tools):
        factor = capped_inverse_square(tools.corruption.slope(view, batch), 25.0)
        weight = edm_weight(view.sigma, tools.signal.sigma_data**2)
        return weight * (factor * rho.square()).flatten(1).mean(1)


@marked(WRONG, "every row gets the mean of the batch as its value: losses by level mean nothing")
class MeanOfBatch(Plain):
    name = "six-mean-of-batch"

    def value(self, rho, view, batch, tools):
        value = super().value(rho, view, batch, tools)
        return value.mean().expand_as(value)


@marked(WRONG, "weight (B, 1) times value (B,): each row has its own weight and everyone's error")
class Outer(Plain):
    name = "six-outer"

    def value(self, rho, view, batch, tools):
        weight = self.weight(view, batch, tools).unsqueeze(1)
        return (weight * rho.square().flatten(1).mean(1)).mean(1)


@marked(WRONG, "weights are divided by their mean in the batch: a row counts less beside low levels")
class NormalisedWeights(Plain):
    name = "six-normalised-weights"

    def weight(self, view, batch, tools):
        weight = super().weight(view, batch, tools)
        return weight / weight.mean()


@marked(WRONG, "pseudo-Huber in place of the square: its minimum is no mean")
class Huber(Plain):
    name = "six-huber"

    def value(self, rho, view, batch, tools):
        c = 0.03 * rho[0].numel() ** 0.5
        return self.weight(view, batch, tools) * ((rho.square().flatten(1).sum(1) + c**2).sqrt() - c)


@marked(WRONG, "absolute errors: the minimum is the median")
class Absolute(Plain):
    name = "six-absolute"

    def value(self, rho, view, batch, tools):
        return self.weight(view, batch, tools) * rho.abs().flatten(1).mean(1)


@marked(WRONG, "each row is divided by its own error, detached: rows of large errors count less, which biases")
class OwnError(Plain):
    name = "six-own-error"

    def value(self, rho, view, batch, tools):
        error = rho.square().flatten(1).mean(1)
        return error / (error.detach() + 1e-3)


@marked(WRONG, "errors are clipped at three stds of the noise, against outliers")
class Clipped(Plain):
    name = "six-clipped"

    def residual(self, x_0_hat, view, batch, tools):
        edge = 1.5 * per_row(batch.sigma_n, view.x) + 0.05
        rho = super().residual(x_0_hat, view, batch, tools)
        return torch.minimum(torch.maximum(rho, -edge), edge)


@marked(WRONG, "noise per pixel is replaced by its mean over the row in a and b")
class MeanLevel(Plain):
    name = "six-mean-level"

    def residual(self, x_0_hat, view, batch, tools):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)
        b = (per_row(level, view.x) / per_row(view.sigma, view.x)) ** 2
        return (1 - b) * x_0_hat + b * view.x - batch.x_n


@marked(WRONG, "the view is made in bfloat16, as under autocast")
class CoarseView(Plain):
    name = "six-coarse-view"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        return view._replace(x=view.x.bfloat16().to(view.x.dtype))


@marked(WRONG, "the level is told in bfloat16")
class CoarseLevel(Plain):
    name = "six-coarse-level"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma.bfloat16().to(view.sigma.dtype), **view.cond)


@marked(WRONG, "the EMA teacher is asked in place of the network: nothing is trained")
class AsksTeacher(Plain):
    name = "six-asks-teacher"

    def ask(self, denoiser, view, batch, tools):
        return tools.teacher(view.x, view.sigma, **view.cond)


@marked(WRONG, "the target is the teacher's own estimate: right at the start and everywhere else")
class TeacherTarget(Plain):
    name = "six-teacher-target"

    def residual(self, x_0_hat, view, batch, tools):
        with torch.no_grad():
            return x_0_hat - tools.teacher(view.x, view.sigma, **view.cond)


@marked(WRONG, "half of the estimate is the teacher's, so that a step moves half as far and errors average")
class HalfTeacher(Plain):
    name = "six-half-teacher"
    claims = CLAIMS | {"x_0-scale"}

    def ask(self, denoiser, view, batch, tools):
        own = denoiser(view.x, view.sigma, **view.cond)
        return (own + tools.teacher(view.x, view.sigma, **view.cond).detach()) / 2

    def value(self, rho, view, batch, tools):
        factor = capped_inverse_square(tools.corruption.slope(view, batch), 25.0)
        return self.weight(view, batch, tools) * (factor * rho.square()).flatten(1).mean(1)


@marked(WRONG, "the rows are centred by the mean of the batch, in place")
class CentredInPlace(Plain):
    name = "six-centred-in-place"

    def loss(self, denoiser, batch, tools):
        batch.x_n.sub_(batch.x_n.mean(0, keepdim=True))
        return super().loss(denoiser, batch, tools)
