"""Objectives whose value of a row is wrong: formulas, reductions, robust losses, weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ambientkit.batch import Term
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.noise import per_row
from ambientkit.maths.weights import edm_weight
from tests.verification.tenth_kit.bases import ABOVE, Above, in_vain

SCALELESS = ABOVE - {"x_0-scale"}


class LinearB(Above):
    """b = sigma_n / sigma, without the square."""

    name = "ten-b-not-squared"

    def error(self, x_0_hat, view, batch, tools):
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        a = 1 - b
        return capped_inverse_square(a, 25.0) * (a * x_0_hat + b * view.x - batch.x_n) ** 2


class Noisier2Noise(Above):
    """2 D - x_t for x_n, which is right where the noise added has the level of the data, and only there."""

    name = "ten-noisier2noise"

    def error(self, x_0_hat, view, batch, tools):
        return (2 * (0.5 * x_0_hat + 0.5 * view.x) - view.x - batch.x_n) ** 2


class EpsOverC(Above):
    """The right target in units of the noise added, divided by it, which is 0 at the level of the data."""

    name = "ten-eps-over-zero"
    claims = SCALELESS - {"levels-above-floor"}

    def levels(self, batch, tools):
        return torch.maximum(super().levels(batch, tools), tools.corruption.floor(batch)).where(
            batch.row % 4 != 0, tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        )

    def value(self, x_0_hat, view, batch, tools):
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        sigma, sigma_n = per_row(view.sigma, view.x), per_row(batch.sigma_n, view.x)
        return (rho / (sigma**2 - sigma_n**2).sqrt()).square().flatten(1).mean(1)


class Huber(Above):
    """Huber's loss, against outliers: its minimum is no mean."""

    name = "ten-huber"

    def value(self, x_0_hat, view, batch, tools):
        rho = tools.corruption.expect(x_0_hat, view, batch)
        loss = F.smooth_l1_loss(rho, batch.x_n, beta=0.1, reduction="none")
        return self.weight(view.sigma, tools) * (self.factor(view, batch, tools) * loss).flatten(1).mean(1)


class RootOfMean(Above):
    """The root of the mean square of a row, as pseudo-Huber losses of consistency models have it."""

    name = "ten-pseudo-huber-rows"
    claims = SCALELESS

    def value(self, x_0_hat, view, batch, tools):
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        c = 0.00054 * rho[0].numel() ** 0.5
        return (rho.square().flatten(1).sum(1) + c**2).sqrt() - c


class OverItself(Above):
    """Each row's loss over its own detached size, so that no level dominates."""

    name = "ten-over-own-size"
    claims = SCALELESS

    def value(self, x_0_hat, view, batch, tools):
        loss = (tools.corruption.expect(x_0_hat, view, batch) - batch.x_n).square().flatten(1).mean(1)
        return loss / (loss.detach() + 1e-3)


class ClampedValue(Above):
    """No value below 0: a loss should not be negative."""

    name = "ten-no-negative-loss"

    def value(self, x_0_hat, view, batch, tools):
        return super().value(x_0_hat, view, batch, tools).clamp(min=0)


class HardPixels(Above):
    """Pixels of large error count more, by their detached error."""

    name = "ten-focal-pixels"
    claims = SCALELESS

    def value(self, x_0_hat, view, batch, tools):
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        weight = rho.detach().abs()
        weight = weight / weight.flatten(1).mean(1).reshape(-1, *[1] * (rho.ndim - 1))
        return self.weight(view.sigma, tools) * (weight * rho**2).flatten(1).mean(1)


class TargetClipped(Above):
    """Observations are clipped to the range of pictures before they are compared."""

    name = "ten-target-clipped"

    def error(self, x_0_hat, view, batch, tools):
        return super().error(x_0_hat, view, batch._replace(x_n=batch.x_n.clamp(-1, 1)), tools)


class MeanOfBatch(Above):
    """Every row is given the mean of the batch."""

    name = "ten-mean-of-batch-for-each"

    def value(self, x_0_hat, view, batch, tools):
        return super().value(x_0_hat, view, batch, tools).mean().expand(len(view.x))


class Scalar(Above):
    """One number for the batch."""

    name = "ten-scalar-loss"

    def value(self, x_0_hat, view, batch, tools):
        return super().value(x_0_hat, view, batch, tools).mean()


class ByPixel(Above):
    """The value keeps its pixels: the trainer would take the mean anyway."""

    name = "ten-value-by-pixel"

    def value(self, x_0_hat, view, batch, tools):
        error = self.error(x_0_hat, view, batch, tools)
        return per_row(self.weight(view.sigma, tools), error) * error


class WeightMeanOne(Above):
    """Weights of a batch are divided by their mean."""

    name = "ten-weights-of-mean-one"

    def weight(self, sigma, tools):
        weight = super().weight(sigma, tools)
        return weight / weight.mean()


class WeightNoisyStd(Above):
    """sigma_data from the noisy rows, noise and all."""

    name = "ten-sigma-data-of-noisy-rows"

    def value(self, x_0_hat, view, batch, tools):
        weight = edm_weight(view.sigma, float(batch.x_n.std()))
        return weight * self.error(x_0_hat, view, batch, tools).flatten(1).mean(1)


class WeightHalf(Above):
    """sigma_data = 0.5, as in the paper."""

    name = "ten-sigma-data-of-the-paper"

    def weight(self, sigma, tools):
        return edm_weight(sigma, 0.5)


class NoInverse(Above):
    """Without 1/a^2."""

    name = "ten-without-inverse-square"

    def factor(self, view, batch, tools):
        return torch.ones_like(view.x)


class LoggedWithGradient(Above):
    """A second term is only meant to be logged; all terms are added up."""

    name = "ten-logged-term-counts"

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        x_0_hat = self.ask(denoiser, view, batch, tools)
        logged = (x_0_hat - batch.x_n).square().flatten(1).mean(1)
        return {"above": Term(self.value(x_0_hat, view, batch, tools), sigma), "mse": Term(logged, sigma)}


class Penalty(Above):
    """A little total variation keeps the answers smooth."""

    name = "ten-total-variation"
    claims = SCALELESS

    def value(self, x_0_hat, view, batch, tools):
        rough = (x_0_hat[..., 1:] - x_0_hat[..., :-1]).abs().flatten(1).mean(1)
        return super().value(x_0_hat, view, batch, tools) + 0.1 * rough


class InVainUndetached(Above):
    """The part that no network changes is computed with the network's answer in the place of x_n."""

    name = "ten-in-vain-of-the-answer"

    def error(self, x_0_hat, view, batch, tools):
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        b = 1 - tools.corruption.slope(view, batch)
        return self.factor(view, batch, tools) * (rho**2 - (b * (view.x - x_0_hat)) ** 2)


class HalfPrecision(Above):
    """The error is left in half precision, as autocast gave it."""

    name = "ten-half-precision-value"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **view.cond).half()

    def error(self, x_0_hat, view, batch, tools):
        return (super().error(x_0_hat, view, batch, tools)).half()

    def value(self, x_0_hat, view, batch, tools):
        return self.weight(view.sigma, tools).half() * self.error(x_0_hat, view, batch, tools).flatten(1).mean(1)


class Detached(Above):
    """The answer is moved to numpy's side for the in-vain part, and the whole value lost its gradient there."""

    name = "ten-value-without-gradient"

    def ask(self, denoiser, view, batch, tools):
        return torch.tensor(super().ask(denoiser, view, batch, tools).tolist(), dtype=batch.x_n.dtype)


class SnrOfRow(Above):
    """Rows are weighed by their own contrast, so that flat pictures count as much as others."""

    name = "ten-weighed-by-contrast"
    claims = SCALELESS

    def value(self, x_0_hat, view, batch, tools):
        contrast = x_0_hat.detach().flatten(1).std(1, unbiased=False).clamp(min=0.05)
        return super().value(x_0_hat, view, batch, tools) * (batch.x_n.flatten(1).std(1) / contrast)


class InVainTwice(Above):
    """The level of the error is estimated: what is in vain is divided out, not taken off."""

    name = "ten-relative-to-noise"
    claims = SCALELESS

    def error(self, x_0_hat, view, batch, tools):
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        return rho**2 / (in_vain(view, batch, tools) + 1e-4)


PARTS = (
    LinearB,
    Noisier2Noise,
    EpsOverC,
    Huber,
    RootOfMean,
    OverItself,
    ClampedValue,
    HardPixels,
    TargetClipped,
    MeanOfBatch,
    Scalar,
    ByPixel,
    WeightMeanOne,
    WeightNoisyStd,
    WeightHalf,
    NoInverse,
    LoggedWithGradient,
    Penalty,
    InVainUndetached,
    HalfPrecision,
    Detached,
    SnrOfRow,
    InVainTwice,
)
