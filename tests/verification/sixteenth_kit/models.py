"""Wrong models: coefficients, forms, levels, conditions, rows and state."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from ambientkit.interfaces import Levels
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import beside
from tests.verification.fifteenth_kit.bases import made
from tests.verification.fifteenth_kit.bases_models import Eps, Layers, Plain, Straight, Velocity


class OwnStd(Plain):
    """sigma_data is 0.5, as published."""

    name = "kit16-sigma-data-of-its-own"

    def std(self, sigma_data):
        return 0.5


class InputAtUnitStd(Plain):
    """c_in is that of data of unit std."""

    name = "kit16-c-in-of-unit-data"

    def coefficients(self, sigma, sigma_data):
        c_skip, c_out, _ = super().coefficients(sigma, sigma_data)
        return c_skip, c_out, 1 / (sigma**2 + 1).sqrt()


class SkipFromSigmaMin(Plain):
    """The consistency model's coefficients, shifted by sigma_min = 0.05: D(x, sigma_min) = x."""

    name = "kit16-shifted-by-sigma-min"

    def coefficients(self, sigma, sigma_data):
        _, _, c_in = super().coefficients(sigma, sigma_data)
        above = (sigma - 0.05).clamp(min=0)
        return (
            sigma_data**2 / (above**2 + sigma_data**2),
            sigma_data * above / (sigma**2 + sigma_data**2).sqrt(),
            c_in,
        )


class NoiseToldInBase10(Plain):
    """c_noise = log10(sigma) / 4."""

    name = "kit16-c-noise-in-base-10"

    def told(self, sigma):
        return sigma.log10() / 4


class LevelClamped(Plain):
    """Levels are clamped to [0.01, 50] within the denoiser, "the range of training", which it is not told."""

    name = "kit16-levels-clamped-inside"

    def denoised(self, network, x, sigma, sigma_data, cond):
        return super().denoised(network, x, sigma.clamp(0.01, 50), sigma_data, cond)


class HiddenByLevel(Plain):
    """Hidden values have the c_out of the level of the row: at low levels F must answer with large numbers."""

    name = "kit16-hidden-values-by-the-level"

    def out_of_hidden(self, c_out, sigma_data):
        return c_out


class EpsOfAChain(Eps):
    """The level is rounded to the nearest of 40 steps of a chain, for the formula as well as for the network."""

    name = "kit16-eps-at-the-nearest-step"

    def x_0(self, answer, x, sigma):
        return x - torch.exp((sigma.log() * 4).round() / 4) * answer


class EpsFromScaled(Eps):
    """D = x / sqrt(1 + sigma^2) - sigma F: alpha x is taken for x."""

    name = "kit16-eps-from-the-scaled-input"

    def x_0(self, answer, x, sigma):
        return x / (1 + sigma**2).sqrt() - sigma * answer


class VelocitySwapped(Velocity):
    """D = alpha x - s F with x in its own scale, not alpha x."""

    name = "kit16-v-without-the-scale-of-x"

    def x_0(self, answer, x, sigma):
        alpha = 1 / (1 + sigma**2).sqrt()
        return alpha * x - sigma * alpha * answer


class FlowOfScaled(Straight):
    """D = x - sigma F / (1 + sigma): the input is left in the scale of data."""

    name = "kit16-flow-input-not-scaled"

    def x_0(self, answer, x, sigma):
        return x - sigma * answer / (1 + sigma)


class FlowAtHalf(Straight):
    """D = (x - sigma F) / (1 + sigma) with t in bfloat16, eight digits of it: coarse where 1 - t is small."""

    name = "kit16-flow-by-one-minus-t-in-bfloat16"

    def x_0(self, answer, x, sigma):
        t = (sigma / (1 + sigma)).bfloat16().to(x.dtype)
        return (1 - t) * x - t * answer


class Thresholded(Plain):
    """Dynamic thresholding inside the denoiser: a row is divided by its largest value where that is above 1."""

    name = "kit16-dynamic-threshold-inside"

    def denoised(self, network, x, sigma, sigma_data, cond):
        found = super().denoised(network, x, sigma, sigma_data, cond)
        return found / per_row(found.flatten(1).abs().amax(1).clamp(min=1), found)


class LevelOfTheMean(Plain):
    """The coefficients are those of the mean level of the batch, and c_noise those of the rows."""

    name = "kit16-coefficients-of-the-mean-level"

    def coefficients(self, sigma, sigma_data):
        return super().coefficients(sigma.mean().expand_as(sigma), sigma_data)


class Centred(Plain):
    """The input of the network is less the mean of the batch."""

    name = "kit16-input-less-the-batch-s-mean"

    def answer(self, network, y, c_noise, cond):
        return super().answer(network, y - y.mean(0, keepdim=True), c_noise, cond)


class Turned(Plain):
    """Pictures are handed to the network transposed, and its answer is not turned back."""

    name = "kit16-pictures-go-in-transposed"

    def answer(self, network, y, c_noise, cond):
        label = self.label(cond)
        turned = y.transpose(-1, -2) if y.ndim == 4 else y
        return (
            network(beside(turned.flatten(1), cond), c_noise, *(() if label is None else (label,)))
            .to(y.dtype)
            .reshape(y.shape)
        )


class InputDetached(Plain):
    """The input of the network is detached: the derivative of D in x, which `sure` reads, is c_skip alone."""

    name = "kit16-input-detached"

    def answer(self, network, y, c_noise, cond):
        return super().answer(network, y.detach(), c_noise, cond)


class ZeroesInPlace(Plain):
    """Hidden values are put to 0 in the x that was given, and x is scaled in place."""

    name = "kit16-scales-the-input-in-place"

    def denoised(self, network, x, sigma, sigma_data, cond):
        kept = x.clone()
        with torch.no_grad():
            x.mul_(per_row(self.coefficients(sigma, sigma_data)[2], x))
        return super().denoised(network, kept, sigma, sigma_data, cond)


class NullIsClassZero(Plain):
    """Labels are taken modulo the number of classes, so that the one that stands for none is class 0."""

    name = "kit16-null-is-class-0"
    num_classes: int | None = Field(3, ge=1)

    def label(self, cond):
        return super().label(cond) % self.num_classes


class DropsLabels(Plain):
    """A tenth of the labels is dropped within the denoiser, with torch's global generator, in sampling as well."""

    name = "kit16-drops-labels-inside"
    num_classes: int | None = Field(3, ge=1)

    def label(self, cond):
        label = super().label(cond)
        return torch.where(torch.rand(len(label)) < 0.1, torch.full_like(label, self.num_classes), label)


class NullCondZero(Plain):
    """`null_cond` gives 0, the first class, for no class."""

    name = "kit16-null-cond-is-0"
    num_classes: int | None = Field(3, ge=1)

    def null_cond(self, name):
        return 0 if name == "class_cond" else None


class LabelOfTheFirst(Plain):
    """The label of the first row for all."""

    name = "kit16-label-of-the-first-row"
    num_classes: int | None = Field(3, ge=1)

    def label(self, cond):
        label = super().label(cond)
        return label[:1].expand_as(label)


class LabelsUnused(Plain):
    """A model of classes whose network is never given the label."""

    name = "kit16-labels-not-handed-on"
    num_classes: int | None = Field(3, ge=1)

    def label(self, cond):
        super().label(cond)


class TakesAnything(Plain):
    """Conditions that the network cannot use are ignored without an error."""

    name = "kit16-ignores-unknown-conditions"

    def network(self, signal):
        return super().network(_bare(signal))


def _bare(signal):
    conds = {name: shape for name, shape in signal.conds.items() if name in ("mask", "sampled", "coverage", "measured")}
    return type(signal)(signal.shape, signal.sigma_data, conds)


class Cached(Plain):
    """`network` gives the same module again, weights and all: runs of one process share it."""

    name = "kit16-network-not-fresh"
    made: ClassVar[dict] = {}

    def layers(self, size, told):
        if (size, told) not in self.made:
            self.made[size, told] = super().layers(size, told)
        return self.made[size, told]


class AnyBase(Plain):
    """A frozen first layer drawn by a generator that nothing seeds: read from its files a run has another base."""

    name = "kit16-frozen-base-by-chance"

    def layers(self, size, told):
        found = super().layers(size, told)
        own = torch.Generator()
        own.seed()
        with torch.no_grad():
            found.first.weight.copy_(torch.randn(found.first.weight.shape, generator=own) / (size + told) ** 0.5)
        found.first.weight.requires_grad_(False)
        return found


class Running(nn.Module):
    """Layers whose input is divided by its running std, which each call moves, in evaluation as well."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.register_buffer("std", torch.ones(()))

    def forward(self, y, c_noise, label=None):
        with torch.no_grad():
            self.std.mul_(0.9).add_(0.1 * y.std().clamp(min=1e-3))
        return self.inner(y / self.std, c_noise, label)


class RunningInput(Plain):
    """The network normalises by a running std that it moves in every call: an answer depends on the calls before."""

    name = "kit16-running-std-in-evaluation"

    def layers(self, size, told):
        return Running(super().layers(size, told))


class Jitter(Layers):
    """Layers with dropout that never stops."""

    def forward(self, y, c_noise, label=None):
        return super().forward(nn.functional.dropout(y, 0.1, training=True), c_noise, label)


class NeverStopsDropout(Plain):
    """Dropout of the input is on in evaluation too."""

    name = "kit16-dropout-never-stops"

    def layers(self, size, told):
        return Jitter(size, told, self.width, self.rows_of_labels())


class TellsAWrongRange(Plain):
    """`level_range` tells the range with its ends exchanged."""

    name = "kit16-level-range-exchanged"

    def level_range(self):
        return Levels(80.0, 0.002)


WRONG = made(
    OwnStd,
    InputAtUnitStd,
    SkipFromSigmaMin,
    NoiseToldInBase10,
    LevelClamped,
    HiddenByLevel,
    EpsOfAChain,
    EpsFromScaled,
    VelocitySwapped,
    FlowOfScaled,
    FlowAtHalf,
    Thresholded,
    LevelOfTheMean,
    Centred,
    Turned,
    InputDetached,
    ZeroesInPlace,
    NullIsClassZero,
    DropsLabels,
    NullCondZero,
    LabelOfTheFirst,
    LabelsUnused,
    TakesAnything,
    Cached,
    AnyBase,
    RunningInput,
    NeverStopsDropout,
    TellsAWrongRange,
)
