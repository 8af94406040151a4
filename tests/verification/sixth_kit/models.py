"""Models."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []
EDM = frozenset({"denoiser-contract", "edm-preconditioned"})


class Layers(nn.Module):
    """Three layers on flattened rows, told the level; and a class, where there are classes."""

    def __init__(self, size: int, width: int, classes: int | None = None) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(size + 3, width), nn.Linear(width, width), nn.Linear(width, size)
        self.label = None if classes is None else nn.Embedding(classes + 1, width)

    def forward(self, y, c_noise, label=None):
        told = torch.stack([c_noise, (2 * c_noise).sin(), (2 * c_noise).cos()], dim=1)
        hidden = torch.tanh(self.first(torch.cat([y.flatten(1), told], dim=1)))
        if self.label is not None and label is not None:
            hidden = hidden + self.label(label)
        return self.last(torch.tanh(self.middle(hidden))).reshape(y.shape)


class Net(Model):
    """EDM's preconditioning in steps that the others change."""

    source = "arXiv 2206.00364, eq. 7"
    claims = EDM

    width: int = Field(32, ge=1)
    """Channels."""

    def network(self, signal):
        if signal.conds:
            raise InputError(f"model {self.name!r} takes no conditions, but the data carry {sorted(signal.conds)}")
        return self.layers(math.prod(signal.shape))

    def layers(self, size):
        return Layers(size, self.width)

    def data(self, signal):
        return signal.sigma_data

    def c(self, sigma, sigma_data):
        total = sigma**2 + sigma_data**2
        return sigma_data**2 / total, sigma * sigma_data / total.sqrt(), 1 / total.sqrt(), sigma.log() / 4

    def answer(self, network, x, sigma, signal, cond):
        skip, out, into, noise = self.c(sigma, self.data(signal))
        output = network(per_row(into, x) * x, noise).to(x.dtype)
        return per_row(skip, x) * x + per_row(out, x) * output

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            return self.answer(network, x, sigma.to(x.dtype), signal, cond)

        return denoise


@marked(RIGHT, "EDM written out, with a small network of its own")
class WrittenOut(Net):
    name = "six-written-out"


class Residual(nn.Module):
    """Convolutions with group norm and a modulation by the level; rows of any shape become pictures."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, channels, 3, padding=1)
        self.norm, self.told = nn.GroupNorm(1, width), nn.Linear(1, width)

    def forward(self, y, c_noise):
        picture = y.reshape(len(y), y.shape[1] if y.ndim > 2 else 1, -1, y.shape[-1])
        hidden = self.norm(self.first(picture)) + self.told(c_noise.unsqueeze(1))[..., None, None]
        return self.last(nn.functional.silu(hidden)).reshape(y.shape)


@marked(RIGHT, "convolutions with group norm, which looks at one row at a time")
class GroupNormed(Net):
    name = "six-group-normed"

    def network(self, signal):
        super().network(signal)
        return Residual(signal.shape[0] if len(signal.shape) > 1 else 1, self.width)


class FormNet(Net):
    """A network of another form: x_0 = skip x + out F."""

    claims = frozenset({"denoiser-contract"})

    def coefficients(self, sigma):
        raise NotImplementedError

    def fed(self, x, sigma):
        return x / per_row((1 + sigma**2).sqrt(), x)

    def told(self, sigma):
        return sigma.atan()

    def answer(self, network, x, sigma, signal, cond):
        skip, out = self.coefficients(sigma)
        output = network(self.fed(x, sigma), self.told(sigma)).to(x.dtype)
        return per_row(skip, x) * x + per_row(out, x) * output


@marked(RIGHT, "the noise is predicted, from the input of the VP form")
class Eps(FormNet):
    name = "six-eps"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def coefficients(self, sigma):
        return torch.ones_like(sigma), -sigma


@marked(RIGHT, "v is predicted")
class V(FormNet):
    name = "six-v"
    claims = frozenset({"denoiser-contract", "v-form"})

    def coefficients(self, sigma):
        return 1 / (1 + sigma**2), -sigma / (1 + sigma**2).sqrt()


@marked(RIGHT, "the velocity of the flow is predicted, at t of the flow")
class Flow(FormNet):
    name = "six-flow"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def coefficients(self, sigma):
        return 1 / (1 + sigma), -sigma / (1 + sigma)

    def fed(self, x, sigma):
        return x / per_row(1 + sigma, x)

    def told(self, sigma):
        return sigma / (1 + sigma)


@marked(RIGHT, "x_0 is predicted, which promises nothing for small levels")
class X0(FormNet):
    name = "six-x-0"
    claims = frozenset({"x_0-form"})

    def coefficients(self, sigma):
        return torch.zeros_like(sigma), torch.ones_like(sigma)


@marked(RIGHT, "classes by an embedding, whose last entry stands for none")
class Classes(Net):
    name = "six-classes"
    num_classes: int | None = Field(None, ge=1)
    """Classes of class_cond."""

    def network(self, signal):
        wanted = set() if self.num_classes is None else {"class_cond"}
        if set(signal.conds) != wanted:
            raise InputError(f"model {self.name!r} takes {sorted(wanted)}, but the data carry {sorted(signal.conds)}")
        return Layers(math.prod(signal.shape), self.width, self.num_classes)

    def null_cond(self, name):
        return self.num_classes if name == "class_cond" else None

    def answer(self, network, x, sigma, signal, cond):
        skip, out, into, noise = self.c(sigma, self.data(signal))
        label = cond.get("class_cond")
        output = network(per_row(into, x) * x, noise, self.labels(label)).to(x.dtype)
        return per_row(skip, x) * x + per_row(out, x) * output

    def labels(self, label):
        return label


@marked(RIGHT, "a subclass of mlp with another default width, v-prediction and a field of its own")
class OwnMLP(MLP):
    name = "six-own-mlp"
    width: int = Field(48, ge=1)
    predicts: str = "v"
    sees: str = "vp"
    remark: str = ""
    """Anything."""


@marked(WRONG, "c_in lacks its square root")
class NoRoot(Net):
    name = "six-no-root"

    def c(self, sigma, sigma_data):
        skip, out, _, noise = super().c(sigma, sigma_data)
        return skip, out, 1 / (sigma**2 + sigma_data**2), noise


@marked(WRONG, "c_in is applied by the denoiser and once more by the network")
class TwiceScaled(Net):
    name = "six-twice-scaled"

    def answer(self, network, x, sigma, signal, cond):
        skip, out, into, noise = self.c(sigma, self.data(signal))
        output = network(per_row(into**2, x) * x, noise)
        return per_row(skip, x) * x + per_row(out, x) * output


@marked(WRONG, "c_out has the sign of the noise")
class OtherSign(Net):
    name = "six-other-sign"

    def c(self, sigma, sigma_data):
        skip, out, into, noise = super().c(sigma, sigma_data)
        return skip, -out, into, noise


@marked(WRONG, "c_skip has sigma_data where its square belongs")
class SkipOfStd(Net):
    name = "six-skip-of-std"

    def c(self, sigma, sigma_data):
        _, out, into, noise = super().c(sigma, sigma_data)
        return sigma_data / (sigma**2 + sigma_data**2), out, into, noise


@marked(WRONG, "c_noise is the level itself")
class NoiseIsSigma(Net):
    name = "six-noise-is-sigma"

    def c(self, sigma, sigma_data):
        skip, out, into, _ = super().c(sigma, sigma_data)
        return skip, out, into, sigma


@marked(WRONG, "the logarithm is to base 10")
class Log10(Net):
    name = "six-log-10"

    def c(self, sigma, sigma_data):
        skip, out, into, _ = super().c(sigma, sigma_data)
        return skip, out, into, sigma.log10() / 4


@marked(WRONG, "sigma_data is 0.5, whatever the data")
class HalfData(Net):
    name = "six-half-data"

    def data(self, signal):
        return 0.5


@marked(WRONG, "sigma_data is the variance of the data")
class DataVariance(Net):
    name = "six-data-variance"

    def data(self, signal):
        return signal.sigma_data**2


@marked(WRONG, "levels are clamped to [0.02, 10] before they are used")
class ClampedLevels(Net):
    name = "six-clamped-levels"

    def answer(self, network, x, sigma, signal, cond):
        return super().answer(network, x, sigma.clamp(0.02, 10), signal, cond)


@marked(WRONG, "the level told is rounded to a step of a table of 20")
class TableOfSteps(Net):
    name = "six-table-of-steps"
    claims = frozenset({"denoiser-contract"})

    def c(self, sigma, sigma_data):
        skip, out, into, noise = super().c(sigma, sigma_data)
        return skip, out, into, (noise * 5).round() / 5


@marked(WRONG, "the level is the first row's for all")
class LevelOfFirst(Net):
    name = "six-level-of-first"

    def answer(self, network, x, sigma, signal, cond):
        return super().answer(network, x, sigma[:1].expand_as(sigma), signal, cond)


@marked(WRONG, "the level told is the mean of the batch; the coefficients are right")
class ToldMean(Net):
    name = "six-told-mean"

    def c(self, sigma, sigma_data):
        skip, out, into, noise = super().c(sigma, sigma_data)
        return skip, out, into, noise.mean().expand_as(noise)


@marked(WRONG, "the estimate is clamped to the range of the data")
class ClampedModel(Net):
    name = "six-clamped-model"

    def answer(self, network, x, sigma, signal, cond):
        return super().answer(network, x, sigma, signal, cond).clamp(-1, 1)


@marked(WRONG, "the input is divided by its std over the batch")
class BatchStd(Net):
    name = "six-batch-std"
    claims = frozenset({"denoiser-contract", "own-form"})

    def answer(self, network, x, sigma, signal, cond):
        skip, out, _, noise = self.c(sigma, self.data(signal))
        output = network(x / x.std().clamp(min=1e-6), noise)
        return per_row(skip, x) * x + per_row(out, x) * output
