"""Wrong objectives above the noise of the data: residuals, weights, and how one value is made of a row."""

from __future__ import annotations

import torch

from ambientkit.batch import Term
from ambientkit.maths.noise import per_row
from ambientkit.maths.weights import edm_weight, hidden_factor

from .bases import PLAIN, WHOLE, Above


class SnrWeight(Above):
    """lambda = 1 / sigma^2, the weight of a loss on the noise, where that of EDM is claimed."""

    name = "kit17-lambda-of-the-noise"

    def weigh(self, sigma, batch, tools):
        return 1 / sigma**2


class NotSquared(Above):
    """lambda = 1 / sigma^2 + 1 / sigma_data: the std of the data is not squared."""

    name = "kit17-lambda-std-not-squared"

    def weigh(self, sigma, batch, tools):
        return 1 / sigma**2 + 1 / tools.signal.sigma_data


class NoisyStd(Above):
    """lambda is made with the std of the noisy rows of the batch, not of clean data."""

    name = "kit17-lambda-by-the-noisy-std"

    def weigh(self, sigma, batch, tools):
        return edm_weight(sigma, max(float(batch.x_n.double().square().mean().sqrt()), 1e-3))


class HalfTheData(Above):
    """lambda is made with sigma_data = 0.5, the value of the paper, for any data."""

    name = "kit17-lambda-with-one-half"

    def weigh(self, sigma, batch, tools):
        return edm_weight(sigma, 0.5)


class OfMeanOne(Above):
    """lambda is divided by its mean over the batch, so that a row counts by what else is in it."""

    name = "kit17-lambda-of-mean-one"

    def weigh(self, sigma, batch, tools):
        found = super().weigh(sigma, batch, tools)
        return found / found.mean() if len(found) else found


class LevelsPerBatch(Above):
    """lambda of the mean level of the batch weighs all rows."""

    name = "kit17-lambda-of-the-mean-level"

    def weigh(self, sigma, batch, tools):
        return super().weigh(sigma, batch, tools).mean().expand_as(sigma)


class OverA(Above):
    """The residual is put back to the scale of x_0 by 1 / a, not 1 / a^2: sigma^2 / (sigma^2 - sigma_n^2)."""

    name = "kit17-one-over-a"

    def factor(self, view, batch, tools):
        return super().factor(view, batch, tools).sqrt()


class NoFactor(Above):
    """The residual is not put back to the scale of x_0 at all: levels next to sigma_n are hardly learned."""

    name = "kit17-residual-in-the-scale-of-x-n"
    claims = PLAIN

    def factor(self, view, batch, tools):
        return torch.ones_like(batch.x_n)


class CapFive(Above):
    """The bound of 1 / a^2 is 5, where 25 is claimed."""

    name = "kit17-cap-of-five"

    cap: float = 5.0
    """Bound of 1 / a^2."""


class Guarded(Above):
    """1 / (a^2 + 0.02) guards against a division by 0, and takes a third where a is 0.2."""

    name = "kit17-guarded-one-over-a"
    claims = PLAIN

    def factor(self, view, batch, tools):
        return 1 / (tools.corruption.slope(view, batch) ** 2 + 0.02)


class FactorOfTheRow(Above):
    """1 / a^2 of the mean of a over the row: values with little noise count too much, the others too little."""

    name = "kit17-one-factor-for-a-row"
    claims = PLAIN

    def factor(self, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        return per_row(1 / a.flatten(1).mean(1).square().clamp(min=1 / self.cap), a).expand_as(a)


class BySlopeAlone(Above):
    """The weight of hidden values is left out, as 1 / a^2 is made from `slope` by hand."""

    name = "kit17-weight-by-slope-alone"

    def factor(self, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        return 1 / (a**2).clamp(min=1 / self.cap)


class HiddenTwice(Above):
    """The factor of hidden values is applied once more, as it seemed to be missing in `weight`."""

    name = "kit17-hidden-factor-twice"

    def factor(self, view, batch, tools):
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data, 2 * self.hidden_power)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, self.cap), hidden)


class Huber(Above):
    """A Huber loss bounds what outliers count: its minimum is no mean."""

    name = "kit17-huber"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        return self.factor(view, batch, tools) * 0.1 * ((rho**2 + 0.01).sqrt() - 0.1)


class RootOfTheMean(Above):
    """The root mean square of the residual, a norm, in the place of the mean square."""

    name = "kit17-norm-of-the-residual"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        return self.factor(view, batch, tools) * rho**2

    def reduce(self, each):
        return super().reduce(each).clamp(min=1e-12).sqrt()


class ClipsTheEstimate(Above):
    """The estimate is clipped to [-1, 1] before it is compared."""

    name = "kit17-clips-the-estimate"

    def expect(self, x_0_hat, view, batch, tools):
        return super().expect(x_0_hat.clamp(-1, 1), view, batch, tools)


class ClipsTheTarget(Above):
    """The residual is taken to the observation clipped to [-1, 1], the range of pictures."""

    name = "kit17-clips-the-observation"

    def expect(self, x_0_hat, view, batch, tools):
        return super().expect(x_0_hat, view, batch, tools) + batch.x_n - batch.x_n.clamp(-1, 1)


class MixesTheObservation(Above):
    """x_n is mixed in where x_t belongs: a h + b x_n - x_n = a (h - x_n), which teaches E[x_n | x_t]."""

    name = "kit17-mixes-in-the-observation"

    def expect(self, x_0_hat, view, batch, tools):
        return super().expect(x_0_hat, view._replace(x=batch.x_n), batch, tools)


class MixesByStd(Above):
    """b = sigma_n / sigma, without the squares."""

    name = "kit17-mixes-by-stds"
    claims = PLAIN

    def expect(self, x_0_hat, view, batch, tools):
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x


class MixesByMean(Above):
    """b is made with the mean sigma_n of the batch."""

    name = "kit17-mixes-by-the-mean-level"
    claims = PLAIN

    def expect(self, x_0_hat, view, batch, tools):
        mean = batch.sigma_n.square().mean().sqrt() if batch.sigma_n.numel() else batch.sigma_n
        b = (per_row(mean.expand(len(view.x)), view.x) / per_row(view.sigma, view.x)).clamp(max=1) ** 2
        return (1 - b) * x_0_hat + b * view.x


class NoCleanRows(Above):
    """No row is taken for clean: sigma_n is 0.1 at least in the mixture, though not in the view."""

    name = "kit17-no-row-is-clean"
    claims = PLAIN

    def expect(self, x_0_hat, view, batch, tools):
        b = (per_row(batch.sigma_n, view.x).clamp(min=0.1) / per_row(view.sigma, view.x)).clamp(max=1) ** 2
        return (1 - b) * x_0_hat + b * view.x


class ExpectsOnGrid(Above):
    """The mixture is made with a level from a table of four steps to each factor e, below sigma_n for some rows."""

    name = "kit17-mixes-by-a-table"

    def expect(self, x_0_hat, view, batch, tools):
        sigma = torch.exp((view.sigma.log() * 4).round() / 4)
        return super().expect(x_0_hat, view._replace(sigma=sigma), batch, tools)


class NoiseTwoNoise(Above):
    """The residual is that of E[x_0 | x_t] to x_n itself: the mixture is left out, which teaches E[x_n | x_t]."""

    name = "kit17-compares-with-the-noisy-row"
    claims = PLAIN

    def expect(self, x_0_hat, view, batch, tools):
        return x_0_hat


class CentresInPlace(Above):
    """Rows are centred in place before they are looked at, which changes the batch for later objectives."""

    name = "kit17-centres-rows-in-place"

    def view(self, batch, sigma, tools):
        batch.x_n.sub_(1e-2 * batch.x_n.flatten(1).mean(1).reshape(-1, *[1] * (batch.x_n.ndim - 1)))
        return super().view(batch, sigma, tools)


class NoConditions(Above):
    """The conditions of the rows are not handed on to the denoiser."""

    name = "kit17-hands-on-no-conditions"

    def ask(self, denoiser, view, batch):
        return denoiser(view.x, view.sigma)


class RowsConditions(Above):
    """The denoiser is given the conditions of the batch: the mask of the row, not that of the view."""

    name = "kit17-hands-on-the-batch-s-conditions"

    def ask(self, denoiser, view, batch):
        return denoiser(view.x, view.sigma, **batch.cond)


class Distils(Above):
    """The averaged network is the target in the place of the rows: whatever it says is the minimum."""

    name = "kit17-distils-the-average"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools).to(tools.corruption.floor(batch).dtype)
        view = self.view(batch, sigma, tools)
        with torch.no_grad():
            wanted = self.ask(tools.teacher, view, batch).to(batch.x_n.dtype)
        error = self.ask(denoiser, view, batch).to(batch.x_n.dtype) - wanted
        return {"above": Term(self.weigh(sigma, batch, tools) * self.reduce(error**2), sigma)}


class HardRows(Above):
    """Rows count by their own loss, so that hard ones are learned: the minimum is no mean."""

    name = "kit17-hard-rows-count-more"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}

    def reduce(self, each):
        value = super().reduce(each)
        return value * (1 + value.detach().abs() / value.detach().abs().mean().clamp(min=1e-6))


class KeepsTheHalf(Above):
    """The half of the rows with the larger loss is kept."""

    name = "kit17-keeps-the-worse-half"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}

    def loss(self, denoiser, batch, tools):
        found = super().loss(denoiser, batch, tools)["above"]
        kept = found.value.detach().argsort(descending=True)[: (len(found.value) + 1) // 2]
        return {"above": Term(found.value[kept], found.sigma[kept])}


class BestOfTwo(Above):
    """Of two views of a row the one with the smaller loss counts."""

    name = "kit17-the-better-of-two-views"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        return self.factor(view, batch, tools) * rho**2

    def loss(self, denoiser, batch, tools):
        one, two = (super(BestOfTwo, self).loss(denoiser, batch, tools)["above"] for _ in range(2))
        better = one.value < two.value
        return {"above": Term(torch.where(better, one.value, two.value), torch.where(better, one.sigma, two.sigma))}


WRONG = [value() for value in list(globals().values()) if isinstance(value, type) and value.__module__ == __name__]
