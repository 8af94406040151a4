"""Wrong objectives: the residual, its weight, the mean over values, and what is kept between calls."""

from __future__ import annotations

import torch

from ambientkit.maths.noise import per_row
from ambientkit.maths.weights import edm_weight, hidden_factor

from .bases import Above, ByHand, OfClean, made


class ComparedWithRows(ByHand):
    """D(x_t) itself is compared with x_n: the mix is forgotten."""

    name = "kit15-compared-with-rows"

    def rho(self, x_0_hat, view, batch, tools):
        return x_0_hat - batch.x_n


class ShareOfStds(ByHand):
    """b = sigma_n / sigma in place of its square."""

    name = "kit15-share-of-stds"

    def share(self, view, batch):
        return per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)


class SquareRootMix(ByHand):
    """a = sqrt(1 - b), as of a variance-preserving mix, in place of 1 - b."""

    name = "kit15-square-root-mix"

    def rho(self, x_0_hat, view, batch, tools):
        b = self.share(view, batch)
        return (1 - b).clamp(min=0).sqrt() * x_0_hat + b * view.x - batch.x_n


class MeanNoiseOfTheBatch(Above):
    """The mix takes the mean noise of the batch: right where all rows have one level."""

    name = "kit15-mean-noise-of-the-batch"

    def rho(self, x_0_hat, view, batch, tools):
        same = batch._replace(sigma_n=batch.sigma_n.mean(0, keepdim=True).expand_as(batch.sigma_n))
        return super().rho(x_0_hat, view, same, tools)


class LargestNoiseOfTheRow(Above):
    """The mix takes the largest noise of a row for all of its pixels."""

    name = "kit15-largest-noise-of-the-row"

    def rho(self, x_0_hat, view, batch, tools):
        return super().rho(x_0_hat, view, batch._replace(sigma_n=tools.corruption.floor(batch)), tools)


class NoRowIsClean(Above):
    """sigma_n is at least 0.05 in the mix, "for stability": clean rows are taken for noisy ones."""

    name = "kit15-no-row-is-clean"

    def rho(self, x_0_hat, view, batch, tools):
        return super().rho(x_0_hat, view, batch._replace(sigma_n=batch.sigma_n.clamp(min=0.05)), tools)


class InverseNotSquared(Above):
    """The error is weighted by 1/a in place of 1/a^2."""

    name = "kit15-inverse-not-squared"

    def factor(self, view, batch, tools):
        return super().factor(view, batch, tools) * tools.corruption.slope(view, batch).abs()


class SigmaDataOfEDM(Above):
    """lambda with sigma_data = 0.5, as in EDM's code, in place of the std of these data."""

    name = "kit15-sigma-data-of-edm"

    def weigh(self, sigma, batch, tools):
        return edm_weight(sigma, 0.5)


class ShareOfTheBatchWeight(Above):
    """The weights of a batch are divided by their mean, so that a row's scale depends on the other rows."""

    name = "kit15-weights-over-their-mean"

    def weigh(self, sigma, batch, tools):
        weight = edm_weight(sigma, tools.signal.sigma_data)
        return weight / weight.mean()


class SumOverChannels(Above):
    """Mean over pixels, sum over channels."""

    name = "kit15-sum-over-channels"

    def reduce(self, each):
        return each.flatten(2).mean(2).sum(1) if each.ndim > 2 else each.mean(1)


class MeanOverMeasured(Above):
    """The mean runs over the values that count, not over all values of x_0."""

    name = "kit15-mean-over-measured"

    def reduce(self, each):
        flat = each.flatten(1)
        return flat.sum(1) / (flat != 0).sum(1).clamp(min=1)


class HiddenAtFullWeight(Above):
    """Hidden values are not divided by the chance that they were measured."""

    name = "kit15-hidden-at-full-weight"

    def factor(self, view, batch, tools):
        found = super().factor(view, batch, tools)
        told = next((n for n in ("mask", "sampled") if n in tools.corruption.carries and n in view.cond), None)
        if told is None:
            return found
        plain = per_row(hidden_factor(view.sigma, tools.signal.sigma_data).to(found), found).expand_as(found)
        return torch.where(view.cond[told].bool() | (found == 0), found, plain)


class PseudoHuber(Above):
    """sqrt(rho^2 + c^2) - c in place of rho^2, as of consistency models: a median of sorts, not a mean."""

    name = "kit15-pseudo-huber"

    def each(self, x_0_hat, view, batch, tools):
        rho, in_vain = self.rho(x_0_hat, view, batch, tools), self.in_vain(x_0_hat, view, batch, tools)
        c = 0.5 * tools.signal.sigma_data
        return self.factor(view, batch, tools) * (2 * c * ((rho**2 + c**2).sqrt() - c) - in_vain)


class OutliersCut(Above):
    """Rows whose value is above 3 are cut to 3, and teach nothing."""

    name = "kit15-outliers-cut"

    def last(self, value, tools):
        return value.clamp(max=3.0)


class RunningScale(Above):
    """Values are divided by a running mean of earlier ones."""

    name = "kit15-running-scale"

    def last(self, value, tools):
        if not tools.memory:
            tools.memory["scale"] = torch.ones((), dtype=value.dtype)
        scale = tools.memory["scale"].clone()
        tools.memory["scale"] = 0.9 * scale + 0.1 * value.detach().abs().mean().cpu()
        return value / scale.to(value)


class MemoryGrows(Above):
    """Levels of all calls are kept for a histogram, one longer tensor after another."""

    name = "kit15-memory-grows"

    def last(self, value, tools):
        known = tools.memory.get("levels", value.new_zeros(0).detach())
        tools.memory["levels"] = torch.cat([known, value.detach()])
        return value


class FloorInPlace(Above):
    """sigma_n is raised to sigma_min in place: clean rows of the batch are noisy afterwards."""

    name = "kit15-floor-in-place"

    def rows(self, batch, tools):
        if batch.sigma_n.is_contiguous():
            batch.sigma_n.clamp_(min=tools.levels.sigma_min)
        return batch


class WritesInConds(Above):
    """The level is written in the conditions of the batch, where the next objective finds it."""

    name = "kit15-writes-in-conditions"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        batch.cond["last_level"] = sigma
        return view


class SomeNoisyRows(OfClean):
    """Refuses only a batch whose rows are all noisy, and takes noisy rows among clean ones for clean."""

    name = "kit15-some-noisy-rows"

    def noisy(self, floor):
        return bool((floor > 0).all())


class WeightOfEps(OfClean):
    """The weight of the epsilon loss, 1 / sigma^2, for a loss in x_0."""

    name = "kit15-weight-of-eps"

    def value(self, error, sigma, tools):
        return error.square().flatten(1).mean(1) / sigma**2


class SumOverWidth(OfClean):
    """Mean over the square of the height, as all pictures of the paper are square."""

    name = "kit15-square-pictures"

    def value(self, error, sigma, tools):
        if error.ndim != 4:
            return super().value(error, sigma, tools)
        channels, height = error.shape[1:3]
        return edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).sum(1) / (channels * height**2)


WRONG = made(
    ComparedWithRows,
    ShareOfStds,
    SquareRootMix,
    MeanNoiseOfTheBatch,
    LargestNoiseOfTheRow,
    NoRowIsClean,
    InverseNotSquared,
    SigmaDataOfEDM,
    ShareOfTheBatchWeight,
    SumOverChannels,
    MeanOverMeasured,
    HiddenAtFullWeight,
    PseudoHuber,
    OutliersCut,
    RunningScale,
    MemoryGrows,
    FloorInPlace,
    WritesInConds,
    SomeNoisyRows,
    WeightOfEps,
    SumOverWidth,
)
