"""Wrong objectives above the noise of the data: how an error is weighed and brought to one value."""

from __future__ import annotations

import torch

from ambientkit.maths.noise import per_row
from ambientkit.maths.weights import edm_weight, hidden_factor
from tests.verification.fifteenth_kit.bases import PLAIN, Above, ByHand, Mirror, OfClean, made

NO_SCALE = PLAIN - {"x_0-scale"}


class LeavesOutTheBorder(Above):
    """The outermost pixels are left out, as the padding of the network spoils them: nothing teaches them."""

    name = "kit16-leaves-out-the-border"
    claims = PLAIN

    def reduce(self, each):
        inner = each[..., 1:-1, 1:-1] if each.ndim == 4 and min(each.shape[2:]) > 2 else each
        return inner.flatten(1).mean(1)


class Luma(Above):
    """Pictures of three channels by the weights of luminance: red, green and blue do not count alike."""

    name = "kit16-luminance-of-three-channels"
    claims = PLAIN

    def reduce(self, each):
        if each.ndim == 4 and each.shape[1] == 3:
            each = each * each.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1) * 3
        return each.flatten(1).mean(1)


class SumsChannels(Above):
    """The mean over the pixels and the sum over the channels: twice as much for two channels."""

    name = "kit16-sums-over-channels"
    claims = PLAIN

    def reduce(self, each):
        return each.mean((2, 3)).sum(1) if each.ndim == 4 else each.flatten(1).mean(1)


class MeanOfMeasured(Above):
    """The mean over the measured values of a row, not over all: the weights already divide by their chance."""

    name = "kit16-mean-over-the-measured"

    def each(self, x_0_hat, view, batch, tools):
        there = (self.factor(view, batch, tools) > 0).to(batch.x_n).expand_as(batch.x_n)
        share = per_row(there.flatten(1).mean(1).clamp(min=1e-3), there)
        return super().each(x_0_hat, view, batch, tools) / share


class SameWeightHidden(Above):
    """Hidden values count as those shown at the level of the row, power 0, where the base says 0.6."""

    name = "kit16-hidden-as-if-shown"

    def factor(self, view, batch, tools):
        ones = torch.ones_like(view.sigma)
        return tools.corruption.weight(view, batch, 25 * ones, ones)


class HiddenByNoisyStd(Above):
    """The factor of hidden values is made with the std of the noisy rows of the batch, not of the clean data."""

    name = "kit16-hidden-by-the-std-of-the-batch"

    def factor(self, view, batch, tools):
        hidden = hidden_factor(view.sigma, 2 * float(batch.x_n.std()))
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, 25.0), hidden)


class OneFactorForTheRow(ByHand):
    """1 / mean(a)^2 for all values of a row: with noise per pixel the clean values count too much."""

    name = "kit16-one-factor-for-the-row"

    def factor(self, view, batch, tools):
        a = (1 - self.share(view, batch)).expand_as(view.x).flatten(1).mean(1)
        return per_row(1 / a.square().clamp(min=0.04), view.x)


class CapByRow(Mirror):
    """The largest 1/a^2 of the batch for all of its rows."""

    name = "kit16-largest-factor-of-the-batch"

    def factor(self, view, batch, tools):
        return super().factor(view, batch, tools).amax(0, keepdim=True).clamp(max=25).expand_as(batch.x_n)


class DetachedFactorOfError(Above):
    """Adaptive weight 1 / (|error| + 0.01), detached: as the pseudo-Huber loss, its minimum is no mean."""

    name = "kit16-adaptive-weight-by-own-error"
    claims = NO_SCALE

    def last(self, value, tools):
        return value / (value.detach().abs() + 0.01)


class PerRowHuber(OfClean):
    """sqrt(|e|^2 + c^2) - c of a whole row."""

    name = "kit16-huber-of-whole-rows"
    claims = OfClean.claims - {"x_0-scale"}

    def value(self, error, sigma, tools):
        c = 0.03 * error[0].numel() ** 0.5
        return (error.square().flatten(1).sum(1) + c**2).sqrt() - c


class LogOfTheLoss(OfClean):
    """The log of the squared error of each row, "which balances the levels"."""

    name = "kit16-log-of-the-squared-error"
    claims = OfClean.claims - {"x_0-scale"}

    def value(self, error, sigma, tools):
        return torch.log(error.square().flatten(1).mean(1) + 1e-6)


class Winsorised(Above):
    """The tenth of the rows of highest loss is put to the value of the next one, without gradient."""

    name = "kit16-drops-the-worst-tenth"
    claims = NO_SCALE

    def last(self, value, tools):
        limit = torch.quantile(value.detach(), 0.9)
        return torch.where(value <= limit, value, limit)


class ControlByRegression(Above):
    """A control variate x_t - x_n whose coefficient is regressed on the batch, gradient and all."""

    name = "kit16-control-variate-fitted-with-gradient"
    claims = NO_SCALE

    def each(self, x_0_hat, view, batch, tools):
        rho = self.rho(x_0_hat, view, batch, tools)
        control = view.x - batch.x_n
        fitted = (rho * control).mean() / control.square().mean().clamp(min=1e-8)
        return self.factor(view, batch, tools) * (rho - fitted * control) ** 2


class WeightByRho(Above):
    """Confidence weights exp(-rho^2 / 2 sigma^2), detached: values far from x_n are taken for outliers."""

    name = "kit16-outliers-weigh-less"
    claims = NO_SCALE

    def each(self, x_0_hat, view, batch, tools):
        rho = self.rho(x_0_hat, view, batch, tools)
        trust = torch.exp(-(rho.detach() ** 2) / 2 / (per_row(view.sigma, rho) ** 2 + 0.1))
        return trust * self.factor(view, batch, tools) * rho**2


class WeighsByContrast(Above):
    """A row counts by the contrast of its x_n, which is not known from x_t."""

    name = "kit16-rows-by-their-contrast"
    claims = NO_SCALE

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["above"]
        brightness = 1 + batch.x_n.flatten(1).mean(1).tanh()
        return {"above": term._replace(value=term.value * brightness)}


class ForegroundOnly(Above):
    """Values count by how bright they are in x_n, "as the background is empty"."""

    name = "kit16-foreground-counts-more"
    claims = NO_SCALE

    def factor(self, view, batch, tools):
        return super().factor(view, batch, tools) * (1 + batch.x_n.clamp(-1, 1)) / 2


class EdgesCount(Above):
    """Half the weight on the differences of neighbouring values along a row, as a gradient loss; the level of smooth
    areas is then taught by half."""

    name = "kit16-half-a-gradient-loss"
    claims = PLAIN

    def reduce(self, each):
        return each.flatten(1).mean(1) / 2

    def each(self, x_0_hat, view, batch, tools):
        plain = super().each(x_0_hat, view, batch, tools)
        rho = self.rho(x_0_hat, view, batch, tools)
        slope = rho - rho.roll(1, -1)
        return plain + self.factor(view, batch, tools) * (slope**2 - slope.detach() ** 2) / 2


class TeacherAsWell(Above):
    """A tenth of a pull to the teacher's answer: an error costs 1.1 lambda delta^2, and the minimum follows the
    teacher."""

    name = "kit16-a-tenth-to-the-teacher"
    claims = PLAIN

    def each(self, x_0_hat, view, batch, tools):
        with torch.no_grad():
            old = self.ask(tools.teacher, view, batch, tools).to(x_0_hat.dtype)
        return super().each(x_0_hat, view, batch, tools) + 0.1 * (x_0_hat - old) ** 2


class StdOfOne(Above):
    """lambda = 1 + 1 / sigma^2, that of v for data of unit std, for data of any std."""

    name = "kit16-lambda-of-unit-data"

    def weigh(self, sigma, batch, tools):
        return edm_weight(sigma, 1.0)


class LambdaAtMissing(Above):
    """lambda at the noise that was added, sqrt(sigma^2 - sigma_n^2), not at sigma."""

    name = "kit16-lambda-at-the-added-noise"

    def weigh(self, sigma, batch, tools):
        floor = tools.corruption.floor(batch)
        return edm_weight((sigma**2 - floor**2).clamp(min=1e-4).sqrt(), tools.signal.sigma_data)


class LambdaOverItsMean(Above):
    """lambda over its mean of the batch: what an error costs depends on the other rows."""

    name = "kit16-lambda-over-the-batch-s-mean"

    def weigh(self, sigma, batch, tools):
        found = super().weigh(sigma, batch, tools)
        return found / found.mean()


class LambdaCapped(Above):
    """lambda no higher than 100: errors at levels below 0.1 cost too little."""

    name = "kit16-lambda-no-higher-than-100"

    def weigh(self, sigma, batch, tools):
        return super().weigh(sigma, batch, tools).clamp(max=100.0)


class RootOfTheRow(OfClean):
    """lambda times the root mean square, as the metric is printed."""

    name = "kit16-root-mean-square"

    def value(self, error, sigma, tools):
        return edm_weight(sigma, tools.signal.sigma_data).sqrt() * (error.square().flatten(1).mean(1) + 1e-12).sqrt()


WRONG = made(
    LeavesOutTheBorder,
    Luma,
    SumsChannels,
    MeanOfMeasured,
    SameWeightHidden,
    HiddenByNoisyStd,
    OneFactorForTheRow,
    CapByRow,
    DetachedFactorOfError,
    PerRowHuber,
    LogOfTheLoss,
    Winsorised,
    ControlByRegression,
    WeightByRho,
    WeighsByContrast,
    ForegroundOnly,
    EdgesCount,
    TeacherAsWell,
    StdOfOne,
    LambdaAtMissing,
    LambdaOverItsMean,
    LambdaCapped,
    RootOfTheRow,
)
