"""Wrong models."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.maths.noise import per_row

from .bases_models import Eps, Plain, Small, V, Velocity


class SkipOfNoise(Small):
    """c_skip = sigma^2 / (sigma^2 + sigma_data^2): numerator of the other variance."""

    name = "kit17-skip-of-the-noise"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return 1 - skip, out, into, told


class OutWithoutRoot(Small):
    """c_out = sigma sigma_data / (sigma^2 + sigma_data^2), without the root."""

    name = "kit17-out-without-the-root"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out * into, into, told


class InOfNoise(Small):
    """c_in = 1 / sqrt(sigma^2 + 1), for data of unit variance."""

    name = "kit17-in-for-unit-variance"

    def coefficients(self, sigma, std):
        skip, out, _, told = super().coefficients(sigma, std)
        return skip, out, 1 / (sigma**2 + 1).sqrt(), told


class NoiseWithoutQuarter(Small):
    """c_noise = log(sigma), without the factor 1/4."""

    name = "kit17-told-log-sigma"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out, into, 4 * told


class NoiseOfTen(Small):
    """c_noise is a logarithm to the base 10 over 4."""

    name = "kit17-told-log-to-the-base-ten"

    def coefficients(self, sigma, std):
        skip, out, into, _ = super().coefficients(sigma, std)
        return skip, out, into, sigma.log10() / 4


class HalfForAny(Small):
    """sigma_data = 0.5 is written into the coefficients, for data of any std."""

    name = "kit17-coefficients-for-one-half"

    def coefficients(self, sigma, std):
        return super().coefficients(sigma, 0.5)


class VarianceGiven(Small):
    """sigma_data is taken for a variance."""

    name = "kit17-std-taken-for-a-variance"

    def coefficients(self, sigma, std):
        return super().coefficients(sigma, std**0.5)


class Bounded(Small):
    """Levels below 0.05 are raised to it silently, so that D does not become x as sigma vanishes."""

    name = "kit17-levels-bounded-below"

    def mixed(self, x, sigma, network, std):
        return super().mixed(x, sigma.clamp(min=0.05), network, std)


class BoundedAbove(Small):
    """Levels above 10 are lowered to it silently."""

    name = "kit17-levels-bounded-above"

    def mixed(self, x, sigma, network, std):
        return super().mixed(x, sigma.clamp(max=10), network, std)


class FirstLevel(Small):
    """The level of the first row is used for all."""

    name = "kit17-level-of-the-first-row"

    def mixed(self, x, sigma, network, std):
        return super().mixed(x, sigma[:1].expand_as(sigma), network, std)


class BatchStd(Small):
    """The input is divided by the std of the batch, not by that of its level."""

    name = "kit17-input-over-the-batch-s-std"

    def call(self, network, y, told):
        return super().call(network, y / y.std().clamp(min=1e-6), told)


class BatchMean(Small):
    """The answer is centred by its mean over the batch."""

    name = "kit17-answer-centred-over-the-batch"

    def call(self, network, y, told):
        found = super().call(network, y, told)
        return found - found.mean(0, keepdim=True)


class Dropout(Small):
    """Dropout is always on, as the functional form ignores the mode of the network."""

    name = "kit17-dropout-always-on"

    def call(self, network, y, told):
        return super().call(network, nn.functional.dropout(y, 0.1, training=True), told)


class Chunked(Small):
    """Rows are taken four by four, and the rest of an odd batch is answered with the input."""

    name = "kit17-rest-of-the-chunks-unanswered"

    def mixed(self, x, sigma, network, std):
        whole = len(x) - len(x) % 4
        return torch.cat([super().mixed(x[:whole], sigma[:whole], network, std), x[whole:]])


class SortedByLevel(Small):
    """Rows are sorted by level for speed, and never put back."""

    name = "kit17-rows-sorted-by-level"

    def mixed(self, x, sigma, network, std):
        order = sigma.argsort()
        return super().mixed(x[order], sigma[order], network, std)


class Caches(Small):
    """The answer to a batch of the same shape and levels is kept and given again."""

    name = "kit17-answers-kept"

    kept: ClassVar[dict] = {}

    def call(self, network, y, told):
        key = (id(network), tuple(y.shape), tuple(told.tolist()))
        if key not in self.kept:
            self.kept[key] = super().call(network, y, told).detach()
        return self.kept[key]


class Single(Small):
    """Answers are float32, whatever the dtype of the input."""

    name = "kit17-answers-in-float32"

    def mixed(self, x, sigma, network, std):
        return super().mixed(x, sigma, network, std).float()


class Halves(Small):
    """The mixture is made in float16, where x of a high level has three digits."""

    name = "kit17-mixes-in-float16"

    def mixed(self, x, sigma, network, std):
        skip, out, into, told = self.coefficients(sigma, std)
        answer = self.call(network, per_row(into, x) * x, told)
        return (per_row(skip.half(), x.half()) * x.half() + per_row(out.half(), x.half()) * answer.half()).to(x.dtype)


class Clamped(Small):
    """Answers are clamped to [-1, 1], the range of pictures."""

    name = "kit17-answers-clamped"

    def mixed(self, x, sigma, network, std):
        return super().mixed(x, sigma, network, std).clamp(-1, 1)


class OneNetwork(Small):
    """`network` gives the same network again, already trained by another run."""

    name = "kit17-network-not-fresh"

    kept: ClassVar[dict] = {}

    def network(self, signal):
        if signal.shape not in self.kept:
            self.kept[signal.shape] = super().network(signal)
        return self.kept[signal.shape]


class EpsPlus(Eps):
    """D = x + sigma F: the network answers with the noise, which is taken for the score."""

    name = "kit17-eps-with-plus"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, -out, into, told


class EpsVariance(Eps):
    """D = x - sigma^2 F, the formula of a score."""

    name = "kit17-eps-by-the-variance"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out * sigma, into, told


class EpsOverAlpha(Eps):
    """D = (x - s F) / alpha, as for an input that preserves variance: x is no such input."""

    name = "kit17-eps-for-a-vp-input"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip / into, out, into, told


class VAlpha(V):
    """D = alpha x - s F: x was not scaled to the variance-preserving form first."""

    name = "kit17-v-of-x-unscaled"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip.sqrt(), out, into, told


class VSign(V):
    """v = s x_0 - alpha z: the sign of another convention."""

    name = "kit17-v-with-the-other-sign"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, -out, into, told


class VAngle(V):
    """alpha = cos(sigma), where the angle is atan(sigma)."""

    name = "kit17-v-of-sigma-as-an-angle"

    def coefficients(self, sigma, std):
        angle = sigma.clamp(max=1.5)
        return angle.cos() ** 2, -angle.sin(), angle.cos(), angle


class FlowBack(Velocity):
    """The velocity is x_0 - z, of a time that runs the other way."""

    name = "kit17-velocity-of-the-other-time"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, -out, into, told


class FlowUnscaled(Velocity):
    """D = x - t F: the input was not scaled to the flow's form."""

    name = "kit17-velocity-of-x-unscaled"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return torch.ones_like(skip), out, into, told


class FlowSigma(Velocity):
    """D = x / (1 + sigma) - sigma F: sigma stands where t belongs."""

    name = "kit17-velocity-times-sigma"

    def coefficients(self, sigma, std):
        skip, _, into, told = super().coefficients(sigma, std)
        return skip, -sigma, into, told


class PlainSkip(Plain):
    """D = x + F, a residual, where the network is said to answer with x_0."""

    name = "kit17-residual-called-x-0"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip + 1, out, into, told


class NoneIsZero(MLP):
    """The label that stands for no class is 0, the first class."""

    name = "kit17-no-class-is-the-first"

    num_classes: int | None = 3
    """Classes of the condition `class_cond`."""

    def null_cond(self, name):
        return 0 if name == "class_cond" else None


class LabelsOfTheFirst(MLP):
    """All rows of a batch have the label of the first."""

    name = "kit17-label-of-the-first-row"

    num_classes: int | None = 3
    """Classes of the condition `class_cond`."""

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)
        return lambda x, sigma, /, **cond: inner(
            x, sigma, **{key: value[:1].expand_as(value) for key, value in cond.items()}
        )


class MaskInverted(MLP):
    """The mask of a view is taken for what is hidden."""

    name = "kit17-mask-taken-for-the-hidden"

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            return inner(x, sigma, **{key: ~value.bool() if key == "mask" else value for key, value in cond.items()})

        return denoise


BASES = (Eps, MLP, Plain, Small, V, Velocity)
WRONG = [
    value()
    for value in list(globals().values())
    if isinstance(value, type) and value.__module__ == __name__ and value not in BASES
]
