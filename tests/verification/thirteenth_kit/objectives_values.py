"""Wrong objectives above sigma_n: the value, its weight, its reduction; clean data; Stein's estimate."""

from __future__ import annotations

import torch

from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.errors import InputError
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.weights import edm_weight

from .bases import Ambient, Clean, Stein, draws, made

UNMASKED = Ambient.claims - {"serves-masks", "scale-under-masks"}


class RootOfB(Ambient):
    """b = sigma_n / sigma, the ratio of the levels and not of their squares. Breaks: E[x_n | x_t] = a E[x_0 | x_t] +
    b x_t."""

    name = "kit13-root-of-b"
    claims = UNMASKED

    def residual(self, x_0_hat, view, batch, tools):
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x - batch.x_n


class NoTweedie(Ambient):
    """Compares D with x_n itself wherever sigma > 2 sigma_n, "where it makes no difference". Breaks: the least expected
    loss is at E[x_0 | x_t]."""

    name = "kit13-far-above-as-clean"
    claims = UNMASKED

    def residual(self, x_0_hat, view, batch, tools):
        near = per_row((view.sigma <= 2 * tools.corruption.floor(batch)).to(view.x.dtype), view.x)
        full = super().residual(x_0_hat, view, batch, tools)
        return torch.where(near > 0, full, x_0_hat - batch.x_n)


class SquareOfMean(Ambient):
    """Squares the mean over the row in place of averaging squares. Breaks: an error delta c costs lambda delta^2
    mean(c^2)."""

    name = "kit13-square-of-mean"
    claims = UNMASKED

    def value(self, x_0_hat, view, batch, tools):
        root = self.factor(view, batch, tools).sqrt() * self.residual(x_0_hat, view, batch, tools)
        return root.flatten(1).mean(1, keepdim=True) ** 2 * torch.ones_like(root).flatten(1)


class NoisyStd(Ambient):
    """sigma_data of the noisy rows in lambda, sqrt(sigma_data^2 + sigma_n^2). Breaks: the std of clean data."""

    name = "kit13-std-of-noisy"

    def scale(self, sigma, batch, tools):
        total = torch.hypot(torch.full_like(sigma, tools.signal.sigma_data), tools.corruption.floor(batch))
        return 1 / sigma**2 + 1 / total**2


class InverseSquareOnly(Ambient):
    """lambda = 1 / sigma^2. Breaks: lambda is the EDM weight, with 1 / sigma_data^2."""

    name = "kit13-inverse-square-weight"

    def scale(self, sigma, batch, tools):
        return 1 / sigma**2


class OneOverA(Ambient):
    """The factor is 1/a. Breaks: an error costs lambda delta^2 in the scale of x_0, which needs 1/a^2."""

    name = "kit13-one-over-a"
    claims = UNMASKED

    def factor(self, view, batch, tools):
        return 1 / tools.corruption.slope(view, batch).clamp(min=0.04)


class CapOnAll(Ambient):
    """Caps lambda times the factor at 25 in place of the factor. Breaks: an error costs lambda delta^2."""

    name = "kit13-cap-on-all"

    def scale(self, sigma, batch, tools):
        return edm_weight(sigma, tools.signal.sigma_data).clamp(max=25)


class SumOfPixels(Ambient):
    """Sums over the values of a row. Breaks: an error costs lambda delta^2 mean(c^2)."""

    name = "kit13-sum-of-pixels"

    def reduced(self, value, view, batch):
        return value.flatten(1).sum(1)


class PseudoHuber(Ambient):
    """Pseudo-Huber in place of the square, for outliers. Breaks: the least expected loss is at the mean."""

    name = "kit13-pseudo-huber"
    claims = UNMASKED

    def value(self, x_0_hat, view, batch, tools):
        square = self.factor(view, batch, tools) * self.residual(x_0_hat, view, batch, tools) ** 2
        return 2 * 0.1 * ((square + 0.01).sqrt() - 0.1)


class OverItsOwnSize(Ambient):
    """Divides each row's loss by its own detached root, an "adaptive weight". Breaks: the expected gradient is zero at
    the exact denoiser."""

    name = "kit13-over-own-size"
    claims = UNMASKED

    def reduced(self, value, view, batch):
        found = value.flatten(1).mean(1)
        return found / (found.detach().abs() + 0.01).sqrt()

    def in_vain(self, x_0_hat, view, batch, tools):
        return torch.zeros_like(x_0_hat)


class ThresholdedAnswer(Ambient):
    """Clips x_0_hat to [-1, 1] before it is compared. Breaks: the expected gradient is zero at E[x_0 | x_t], and an
    error outside costs nothing."""

    name = "kit13-thresholded-answer"

    def asked(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **view.cond).clamp(-1, 1)


class GradientInVain(Ambient):
    """What is subtracted for the variance takes x_0_hat in place of x_n, with its gradient. Breaks: the terms
    subtracted do not depend on D."""

    name = "kit13-gradient-in-vain"
    claims = UNMASKED

    def in_vain(self, x_0_hat, view, batch, tools):
        return (tools.corruption.expect(x_0_hat, view, batch) - x_0_hat) ** 2


class MeanOfA(Ambient):
    """1/a^2 of the row's mean of a^2 where the noise is per pixel. Breaks: an error costs lambda delta^2 mean(c^2),
    value by value."""

    name = "kit13-mean-of-a"
    claims = UNMASKED

    def factor(self, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        return 1 / per_row(a.flatten(1).square().mean(1), a).clamp(min=0.04)


class WeightOfBatch(Ambient):
    """Divides lambda by its mean over the batch, to keep the size of losses. Breaks: a row costs lambda of its own
    level."""

    name = "kit13-weight-over-batch"

    def scale(self, sigma, batch, tools):
        found = edm_weight(sigma, tools.signal.sigma_data)
        return found / found.mean()


class FirstRowAsks(Clean):
    """Looks at the first row alone before it refuses. Breaks: refuses rows that carry noise."""

    name = "kit13-first-row-asks"

    def refuse(self, batch, tools):
        if bool(tools.corruption.floor(batch)[0] > 0):
            raise InputError("the data are noisy")


class NoiseLoss(Clean):
    """The mean square error of the noise, as DDPM's. Breaks: lambda is the EDM weight, not 1 / sigma^2."""

    name = "kit13-noise-loss"

    def value(self, x_0_hat, x_t, z, sigma, batch, tools):
        return ((x_t - x_0_hat) / per_row(sigma, z) - z) ** 2


class VelocityLoss(Clean):
    """The mean square error of v, as if the data's std were 1. Breaks: lambda is the EDM weight of sigma_data."""

    name = "kit13-v-loss-of-unit-data"

    def value(self, x_0_hat, x_t, z, sigma, batch, tools):
        s = per_row(sigma, z)
        return (1 + s**2) / s**2 * (x_0_hat - batch.x_n) ** 2


class FlowLoss(Clean):
    """The mean square error of the velocity of a flow, over t, without the weight of the change of variables. Breaks:
    lambda is the EDM weight."""

    name = "kit13-flow-loss"

    def value(self, x_0_hat, x_t, z, sigma, batch, tools):
        s = per_row(sigma, z)
        return ((x_t - x_0_hat) / s - x_0_hat - (z - batch.x_n)) ** 2


class CleanHigh(SplitLevels):
    """Clean rows are denoised above `clean_below` too. Breaks: clean rows are seen up to that level and no higher."""

    name = "kit13-clean-high"

    def _levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(draws(batch, tools), low, tools.levels.sigma_max, -1.2, 1.2)


class CleanAtTop(SplitLevels):
    """Clean rows up to a level written into the code, not in the field. Breaks: up to the level `clean_below`."""

    name = "kit13-clean-below-ignored"
    clean_below: float = 0.2

    def _levels(self, batch, tools):
        floor, low = tools.corruption.floor(batch), tools.levels.sigma_min
        top = torch.where(floor <= low, 0.4, tools.levels.sigma_max)
        return truncated_lognormal(draws(batch, tools), floor.clamp(min=low), top, self.p_mean, self.p_std)


class DivergenceOnce(Stein):
    """sigma^2 div D where Stein's estimate has 2 sigma^2 div D. Breaks: unbiased for the risk."""

    name = "kit13-divergence-once"

    def penalty(self, sigma, divergence):
        return sigma**2 * (divergence - 1)


class ProbePerRow(Stein):
    """One random sign for all values of a row: v . J v sums all of J. Breaks: the divergence is its trace."""

    name = "kit13-probe-per-row"

    def probe(self, x, tools):
        return super().probe(x[:, :1].flatten(1)[:, :1], tools).reshape(-1, *[1] * (x.ndim - 1)).expand_as(x)


class DivergenceConstant(Stein):
    """The divergence without its graph. Breaks: the gradient of the risk has that of the divergence."""

    name = "kit13-divergence-constant"

    def answered(self, denoiser, view, v):
        x = view.x.detach().requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad((denoiser(x, view.sigma, **view.cond) * v).sum(), x)
        return denoiser(view.x, view.sigma, **view.cond), v * slope


class CoarseDifference(Stein):
    """The divergence from a finite difference of half sigma. Breaks: the derivative of D at x."""

    name = "kit13-coarse-difference"

    def answered(self, denoiser, view, v):
        step = 0.5 * per_row(view.sigma, view.x)
        here = denoiser(view.x, view.sigma, **view.cond)
        there = denoiser(view.x + step * v, view.sigma, **view.cond)
        return here, v * (there - here) / step


class NotToppedUp(Stein):
    """Noise per pixel is not topped up to the level that is told. Breaks: the view lies at the level told."""

    name = "kit13-stein-not-topped-up"

    def seen(self, batch, sigma, tools):
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        return view._replace(x=batch.x_n)


class ProbeNormalHalf(Stein):
    """Probes are normal of variance 1/2. Breaks: v v^T is the identity in the mean."""

    name = "kit13-probe-of-half"

    def probe(self, x, tools):
        return standard_normal(x, tools.generator) * 0.5**0.5


WRONG = made(
    RootOfB,
    NoTweedie,
    SquareOfMean,
    NoisyStd,
    InverseSquareOnly,
    OneOverA,
    CapOnAll,
    SumOfPixels,
    PseudoHuber,
    OverItsOwnSize,
    ThresholdedAnswer,
    GradientInVain,
    MeanOfA,
    WeightOfBatch,
    FirstRowAsks,
    NoiseLoss,
    VelocityLoss,
    FlowLoss,
    CleanHigh,
    CleanAtTop,
    DivergenceOnce,
    ProbePerRow,
    DivergenceConstant,
    CoarseDifference,
    NotToppedUp,
    ProbeNormalHalf,
)
