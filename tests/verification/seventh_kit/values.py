"""Wrong objectives: what an error counts, and what is taken for an error."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.interfaces import Denoiser, Tools
from ambientkit.maths.ambient import capped_inverse_square, tweedie_mix
from ambientkit.maths.noise import per_row
from ambientkit.maths.weights import edm_weight
from tests.verification.seventh_kit.bases import Plain

UNSCALED = Plain.claims - {"x_0-scale", "scale-under-masks"}
"""Of a loss that is not in the scale of x_0."""


def rms_level(batch: Batch) -> Tensor:
    """(B,), root mean square of sigma_n over the values of a row."""
    return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).square().flatten(1).mean(1).sqrt()


class RmsLevel(Plain):
    """Noise per pixel enters the Tweedie mix as its root mean square over the row."""

    name = "seven-rms-level"

    def _residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        return tools.corruption.expect(x_0_hat, view, batch._replace(sigma_n=rms_level(batch))) - batch.x_n


class FloorFactor(Plain):
    """1/a^2 is that of the noisiest pixel of the row for all its pixels, so that the others count too much."""

    name = "seven-floor-factor"
    claims = Plain.claims - {"serves-masks", "serves-operators", "scale-under-masks"}

    def _factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        a = 1 - (tools.corruption.floor(batch) / view.sigma) ** 2
        return per_row(capped_inverse_square(a, self.cap), batch.x_n)


class NoisyStd(Plain):
    """The EDM weight takes the std of the noisy rows, sqrt(sigma_data^2 + sigma_n^2), for that of the clean data."""

    name = "seven-noisy-std"

    def _lambda(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        total = (tools.signal.sigma_data**2 + tools.corruption.floor(batch) ** 2).sqrt()
        return view.sigma**-2 + total**-2


class AddedWeight(Plain):
    """The EDM weight is taken at the level of the noise that was added, not at that of the view."""

    name = "seven-added-weight"

    def _lambda(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        added = view.sigma**2 - tools.corruption.floor(batch) ** 2
        return edm_weight(added.clamp(min=1e-4).sqrt(), tools.signal.sigma_data)


class InVainOfEstimate(Plain):
    """What is taken off the squared residual is (b (x_t - D))^2, which depends on the denoiser and pulls it."""

    name = "seven-in-vain-of-estimate"

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        rho = self._residual(x_0_hat, view, batch, tools)
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        off = (b * (view.x - x_0_hat)) ** 2
        return (self._factor(view, batch, tools) * (rho**2 - off)).flatten(1).mean(1)


class PseudoHuber(Plain):
    """The loss is pseudo-Huber's, whose minimum lies between the mean and the median of x_0 given x_t."""

    name = "seven-pseudo-huber"
    claims = UNSCALED

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        rho, c = self._residual(x_0_hat, view, batch, tools), 0.2
        size = (self._factor(view, batch, tools) * rho**2).flatten(1).mean(1)
        return 2 * c * ((size + c**2).sqrt() - c)


class LogError(Plain):
    """The loss of a row is the logarithm of its mean squared error, which favours rows that are easy."""

    name = "seven-log-error"
    claims = UNSCALED

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        rho = self._residual(x_0_hat, view, batch, tools)
        return 0.1 * ((self._factor(view, batch, tools) * rho**2).flatten(1).mean(1) / 0.1 + 1).log()


class AdaptiveRow(Plain):
    """Each row's loss is divided by its own detached value to a power, as few-step methods weigh, and is biased so."""

    name = "seven-adaptive-row"
    claims = UNSCALED

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        rho = self._residual(x_0_hat, view, batch, tools)
        size = (self._factor(view, batch, tools) * rho**2).flatten(1).mean(1)
        return size / (size.detach() + 0.01) ** 0.5


class ClippedResidual(Plain):
    """Residuals beyond two noise levels are taken for outliers and clipped."""

    name = "seven-clipped-residual"
    claims = UNSCALED

    def _residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        bound = (2 * per_row(tools.corruption.floor(batch), batch.x_n)).clamp(min=0.05)
        return super()._residual(x_0_hat, view, batch, tools).clamp(-bound, bound)


class ZeroForClean(Plain):
    """Rows without noise are not left out but valued 0, which dilutes the mean and says that they are learned."""

    name = "seven-zero-for-clean"

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        noisy = (tools.corruption.floor(batch) > tools.levels.sigma_min).to(x_0_hat.dtype)
        return noisy * super()._value(x_0_hat, view, batch, tools)


class MeanRepeated(Plain):
    """Each row gets the mean over the batch as its value, so that the loss by level says nothing."""

    name = "seven-mean-repeated"

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        value = super()._value(x_0_hat, view, batch, tools)
        return value.mean().expand_as(value)


class SumOverPixels(Plain):
    """The error is summed over the values of a row, not averaged."""

    name = "seven-sum-over-pixels"

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        return super()._value(x_0_hat, view, batch, tools) * batch.x_n[0].numel()


class MeanOverMeasured(Plain):
    """Under masks the mean is taken over the measured values alone, which counts the share of missing ones twice."""

    name = "seven-mean-over-measured"

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        value = super()._value(x_0_hat, view, batch, tools)
        if "mask" not in batch.cond:
            return value
        seen = batch.cond["mask"].to(value.dtype).expand_as(batch.x_n).flatten(1).mean(1)
        return value / seen.clamp(min=0.05)


class ShownOnly(Plain):
    """Values that the view hides are given no weight, so that nobody teaches what lies under a mask."""

    name = "seven-shown-only"

    def _factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        factor = super()._factor(view, batch, tools)
        return factor * view.cond["mask"].to(factor.dtype) if "mask" in view.cond else factor


class HiddenMixed(Plain):
    """Hidden values are compared as if the view showed them: a D + b x_t, with the 0 that stands there for x_t."""

    name = "seven-hidden-mixed"

    def _residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        if "mask" not in batch.cond:
            return super()._residual(x_0_hat, view, batch, tools)
        mixed = tweedie_mix(x_0_hat, view.x, view.sigma, batch.sigma_n)
        return torch.where(batch.cond["mask"].bool(), mixed - batch.x_n, 0.0)


class HiddenAsShown(Plain):
    """A hidden value counts like a shown one, lambda(sigma), and not over the chance that it was measured."""

    name = "seven-hidden-as-shown"

    def _factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        a = tools.corruption.slope(view, batch)
        factor = capped_inverse_square(a, self.cap)
        if "mask" in batch.cond:
            factor = torch.where(batch.cond["mask"].bool(), factor, 0.0)
        if "sampled" in batch.cond:
            factor = torch.where(batch.cond["sampled"].bool(), factor, 0.0)
        return factor


class FullNoiseMean(Plain):
    """Rows are compared with D itself, as if the observation were clean: no Tweedie mix."""

    name = "seven-full-noise-mean"
    claims = Plain.claims - {"serves-masks", "serves-operators", "scale-under-masks", "x_0-scale"}

    def _residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        return x_0_hat - batch.x_n


class RatioNotSquared(Plain):
    """The share of x_t in the mix is sigma_n / sigma, where its square is right."""

    name = "seven-ratio-not-squared"
    claims = FullNoiseMean.claims

    def _residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x - batch.x_n


class Noisier2Noise(Plain):
    """E[x_n | x_t] is taken for the middle of D and x_t, which holds for sigma^2 = 2 sigma_n^2 only."""

    name = "seven-noisier2noise"
    claims = FullNoiseMean.claims

    def _residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        noisy = per_row((tools.corruption.floor(batch) > 0).to(view.x.dtype), view.x)
        return torch.lerp(x_0_hat, (x_0_hat + view.x) / 2, noisy.expand_as(view.x)) - batch.x_n


class MixBounded(Plain):
    """The residual over a is a (D - x_t) + x_t - x_n with a bounded below by 0.3, which shifts its zero."""

    name = "seven-mix-bounded"
    claims = FullNoiseMean.claims

    def _residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        a = (1 - b).clamp(min=0.3)
        return a * (x_0_hat - view.x) + view.x - batch.x_n


class TeacherTarget(Plain):
    """The target is the EMA teacher's answer at the same point, so that the least loss is the teacher, right or not."""

    name = "seven-teacher-target"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        sigma = self._levels(batch, tools)
        view = self._view(batch, sigma, tools)
        with torch.no_grad():
            target = tools.teacher(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)
        error = (denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype) - target).square().flatten(1).mean(1)
        return {self.name: Term(self._lambda(view, batch, tools) * error, sigma)}


class StdNormalised(Plain):
    """Values are divided by their std over the batch, which is NaN for a single row."""

    name = "seven-std-normalised"
    claims = FullNoiseMean.claims

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        value = super()._value(x_0_hat, view, batch, tools)
        return value / value.detach().std()


class WeightedTwice(Plain):
    """The weight of the level enters inside the square, so that it counts squared."""

    name = "seven-weighted-twice"

    def _lambda(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        return super()._lambda(view, batch, tools) ** 2 * tools.signal.sigma_data**2


class CleanestPixels(Plain):
    """Where noise is given per pixel, only pixels at the row's lowest level are compared; the rest counts nothing."""

    name = "seven-cleanest-pixels"

    def _factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        factor = super()._factor(view, batch, tools)
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1)
        least = level <= level.amin(1, keepdim=True) * 1.01
        return factor * least.to(factor.dtype).reshape(batch.x_n.shape)


PARTS = (
    RmsLevel,
    FloorFactor,
    NoisyStd,
    AddedWeight,
    InVainOfEstimate,
    PseudoHuber,
    LogError,
    AdaptiveRow,
    ClippedResidual,
    ZeroForClean,
    MeanRepeated,
    SumOverPixels,
    MeanOverMeasured,
    ShownOnly,
    HiddenMixed,
    HiddenAsShown,
    FullNoiseMean,
    RatioNotSquared,
    Noisier2Noise,
    MixBounded,
    TeacherTarget,
    StdNormalised,
    WeightedTwice,
    CleanestPixels,
)
