"""Right parts that are unusual: samplers, models, memory."""

from __future__ import annotations

import math

import torch
from torch import nn

from ambientkit.maths.noise import per_row, standard_normal

from .bases import made
from .memory import Errors, Noised, RatioFigure, Standardised
from .models import Edm, Eps, FlowForm, Layers, Velocity
from .models_networks import Classy
from .samplers import COMMON, Flow, Reverse, Steps, Twice


class PlainFlow(Flow):
    """The base as it is."""

    name = "kit13-right-flow"


class PlainTwice(Twice):
    """The base as it is."""

    name = "kit13-right-twice"


class PlainReverse(Reverse):
    """The base as it is."""

    name = "kit13-right-reverse"


class Trapezoid(Steps):
    """The exact factor of x and the mean of D at both ends: x_s = q x_t + (1 - q)(D_t + D_s) / 2, q = sigma_s /
    sigma_t."""

    name = "kit13-right-exponential-trapezoid"
    claims = COMMON | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        here = denoiser(x, sigma_t, **cond)
        q = per_row(sigma_s / sigma_t, x)
        ahead = q * x + (1 - q) * here
        inside = sigma_s > 0
        there = denoiser(ahead, torch.where(inside, sigma_s, sigma_t), **cond)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, q * x + (1 - q) * (here + there) / 2, ahead)


class OfEps(Steps):
    """DDIM in the VP form: points scaled by alpha, the answer as noise, and back."""

    name = "kit13-right-ddim-in-vp"
    claims = COMMON | {"order-1"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        alpha_t, alpha_s = ((1 + per_row(s, x) ** 2) ** -0.5 for s in (sigma_t, sigma_s))
        y = alpha_t * x
        x_0 = denoiser(y / alpha_t, sigma_t, **cond)
        eps = (y - alpha_t * x_0) / (alpha_t * per_row(sigma_t, x))
        return (alpha_s * x_0 + alpha_s * per_row(sigma_s, x) * eps) / alpha_s


class TwoHalves(Reverse):
    """Rows in chunks of five, each with its own generators where they are a list."""

    name = "kit13-right-sampler-in-chunks"

    def answer(self, denoiser, x, sigma_t, cond):
        parts = [
            denoiser(x[i : i + 5], sigma_t[i : i + 5], **{name: v[i : i + 5] for name, v in cond.items()})
            for i in range(0, len(x), 5)
        ]
        return torch.cat(parts)


class TwoDraws(Reverse):
    """The noise of a step as the sum of two draws."""

    name = "kit13-right-noise-of-two"

    def drawn(self, x, generator):
        return 0.6 * standard_normal(x, generator) + 0.8 * standard_normal(x, generator)


class Rated(Steps):
    """Half of the noise of the reverse kernel (eta = 1/2), with the mean of DDIM that belongs to it; claims the law and
    not the kernel."""

    name = "kit13-right-eta-half"
    claims = COMMON | {"order-1"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        s, t = per_row(sigma_s, x), per_row(sigma_t, x)
        up = 0.5 * s * (1 - (s / t) ** 2).clamp(min=0).sqrt()
        down = (s**2 - up**2).clamp(min=0).sqrt()
        x_0 = denoiser(x, sigma_t, **cond)
        return x_0 + down / t * (x - x_0) + up * standard_normal(x, generator)


class Wavy(nn.Module):
    """Sines of the input, a level that scales them, and layer norm."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.inner, self.norm, self.outer = nn.Linear(size, 24), nn.LayerNorm(24), nn.Linear(24, size)
        self.level = nn.Linear(2, 24)

    def forward(self, y, c_noise, label=None):
        told = self.level(torch.stack([c_noise.sin(), c_noise.cos()], 1))
        return self.outer(self.norm(torch.sin(self.inner(y)) * (1 + told)))


class OtherNetwork(Edm):
    """A network of sines and layer norm."""

    name = "kit13-right-sines"

    def fresh(self, size):
        return Wavy(size)


class SpectralNetwork(Edm):
    """The last layer under weight norm."""

    name = "kit13-right-weight-norm"

    def fresh(self, size):
        network = Layers(size)
        network.last = nn.utils.parametrizations.weight_norm(network.last)
        return network


class ZeroLast(Edm):
    """The last layer begins at zero, as is usual."""

    name = "kit13-right-zero-last"

    def fresh(self, size):
        network = Layers(size)
        nn.init.zeros_(network.last.weight)
        nn.init.zeros_(network.last.bias)
        return network


class PlainEps(Eps):
    """The base as it is."""

    name = "kit13-right-eps"


class PlainV(Velocity):
    """The base as it is."""

    name = "kit13-right-v"


class FlowTime(FlowForm):
    """Told t of the flow, and fed the flow's input."""

    name = "kit13-right-flow-time"

    def answer(self, network, x, sigma, c, signal):
        y = (x / per_row(1 + sigma, x)).flatten(1)
        return network(y, sigma / (1 + sigma)).reshape(x.shape)


class WithClasses(Classy):
    """The base as it is."""

    name = "kit13-right-classes"


class AngleForm(Edm):
    """EDM's coefficients by the angle phi = atan(sigma / sigma_data): cos^2, sigma_data sin, cos / sigma_data."""

    name = "kit13-right-by-angle"

    def mixed(self, network, x, sigma, c, signal):
        phi = torch.atan2(sigma, torch.full_like(sigma, signal.sigma_data))
        y = (per_row(phi.cos() / signal.sigma_data, x) * x).flatten(1)
        found = network(y, sigma.log() / 4).reshape(x.shape)
        return per_row(phi.cos() ** 2, x) * x + per_row(signal.sigma_data * phi.sin(), x) * found


class NoisedTwice(Noised):
    """The noise of an attack in two draws."""

    name = "kit13-right-attack"

    def drawn(self, x, keys, target):
        z, w = (standard_normal(x, target.generators(purpose, keys)) for purpose in ("kit13-a", "kit13-b"))
        return (z + w) / math.sqrt(2)


class WorstError(Errors):
    """The largest error of a row's draws, root mean square over the pixels."""

    name = "kit13-right-worst-error"

    def judged(self, x, noisy, answers):
        draws = answers.reshape(noisy.shape)
        worst = (draws - x.unsqueeze(1)).flatten(2).square().mean(2).amax(1).sqrt()
        return super().judged(x, noisy, answers)._replace(distance=worst)


class UnitLength(Standardised):
    """Values less their mean, as a vector of unit length."""

    name = "kit13-right-unit-length"

    def scaled(self, centred):
        return centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-3)


class LogRatio(RatioFigure):
    """The ratio by its logarithm: of the same order."""

    name = "kit13-right-log-ratio"

    def ratio(self, distance):
        return (distance[:, 0].clamp(min=1e-12) / distance[:, 1].clamp(min=1e-12)).log()


RIGHT = made(
    PlainFlow,
    PlainTwice,
    PlainReverse,
    Trapezoid,
    OfEps,
    TwoHalves,
    TwoDraws,
    Rated,
    OtherNetwork,
    SpectralNetwork,
    ZeroLast,
    PlainEps,
    PlainV,
    FlowTime,
    WithClasses,
    AngleForm,
    NoisedTwice,
    WorstError,
    UnitLength,
    LogRatio,
)
