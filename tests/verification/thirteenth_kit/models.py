"""Wrong models: the form and its coefficients, on one small network."""

from __future__ import annotations

import math

import torch
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning

from .bases import made


class Layers(nn.Module):
    """Two layers on flattened rows, and the level beside them."""

    def __init__(self, size: int, width: int = 32, classes: int | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(size + 1, width), nn.Linear(width, size)
        self.label = None if classes is None else nn.Embedding(classes + 1, width)

    def forward(self, y, c_noise, label=None):
        hidden = self.first(torch.cat([y, c_noise.unsqueeze(1)], dim=1))
        if label is not None:
            hidden = hidden + self.label(label)
        return self.last(torch.tanh(hidden))


class Edm(Model):
    """EDM's preconditioning in small steps that a mistake may replace."""

    source = "arXiv 2206.00364, eq. 7 and table 1"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal):
        if signal.conds:
            raise InputError(f"model {self.name!r} takes no conditions, but the data carry {sorted(signal.conds)}")
        return self.fresh(math.prod(signal.shape))

    def fresh(self, size):
        return Layers(size)

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            sigma = self.level(sigma.to(x.dtype))
            c = edm_preconditioning(sigma, self.sigma_data(signal))
            return self.mixed(network, x, sigma, c, signal)

        return denoise

    def sigma_data(self, signal):
        return signal.sigma_data

    def level(self, sigma):
        return sigma

    def mixed(self, network, x, sigma, c, signal):
        return per_row(self.skip(c, sigma, signal), x) * x + per_row(self.out(c, sigma, signal), x) * self.answer(
            network, x, sigma, c, signal
        )

    def answer(self, network, x, sigma, c, signal):
        y = (per_row(self.inp(c, sigma, signal), x) * x).flatten(1)
        return network(y, self.time(c, sigma)).reshape(x.shape).to(x.dtype)

    def skip(self, c, sigma, signal):
        return c.c_skip

    def out(self, c, sigma, signal):
        return c.c_out

    def inp(self, c, sigma, signal):
        return c.c_in

    def time(self, c, sigma):
        return c.c_noise


class OutOverTotal(Edm):
    """c_out = sigma sigma_data / (sigma^2 + sigma_data^2), without the root. Breaks: EDM's coefficients."""

    name = "kit13-out-over-total"

    def out(self, c, sigma, signal):
        return sigma * signal.sigma_data / (sigma**2 + signal.sigma_data**2)


class NaturalLog(Edm):
    """c_noise = log(sigma). Breaks: log(sigma) / 4."""

    name = "kit13-log-whole"

    def time(self, c, sigma):
        return sigma.log()


class LogTen(Edm):
    """c_noise = log10(sigma) / 4. Breaks: log(sigma) / 4."""

    name = "kit13-log-ten"

    def time(self, c, sigma):
        return sigma.log10() / 4


class UnitInput(Edm):
    """c_in = 1 / sqrt(sigma^2 + 1), as for data of unit std. Breaks: EDM's coefficients of sigma_data."""

    name = "kit13-unit-input"

    def inp(self, c, sigma, signal):
        return (sigma**2 + 1) ** -0.5


class HalfData(Edm):
    """sigma_data is 0.5 in the code. Breaks: EDM's coefficients of the signal's sigma_data."""

    name = "kit13-data-of-half"

    def sigma_data(self, signal):
        return 0.5


class ConsistencySkip(Edm):
    """The coefficients of consistency models, with sigma - sigma_min for sigma. Breaks: EDM's coefficients."""

    name = "kit13-shifted-skip"

    def skip(self, c, sigma, signal):
        return signal.sigma_data**2 / ((sigma - 0.002) ** 2 + signal.sigma_data**2)


class FlooredLevel(Edm):
    """Levels below 0.05 are raised to it for the coefficients. Breaks: D(x, sigma) - x vanishes with sigma."""

    name = "kit13-floored-level"

    def level(self, sigma):
        return sigma.clamp(min=0.05)


class LevelOfFirst(Edm):
    """The level of the first row for the whole batch. Breaks: row i depends on x_i and sigma_i alone."""

    name = "kit13-level-of-first"

    def level(self, sigma):
        return sigma[:1].expand_as(sigma)


class LevelOfMeanInTime(Edm):
    """The time embedding is of the batch's mean level. Breaks: row i depends on x_i and sigma_i alone."""

    name = "kit13-mean-time"

    def time(self, c, sigma):
        return c.c_noise.mean().expand_as(c.c_noise)


class OwnStd(Edm):
    """The input is divided by its own std, row by row, in place of c_in. Breaks: F(c_in x, ...)."""

    name = "kit13-input-by-own-std"

    def answer(self, network, x, sigma, c, signal):
        flat = x.flatten(1)
        y = flat / flat.std(1, keepdim=True).clamp(min=1e-3)
        return network(y, c.c_noise).reshape(x.shape)


class BatchStd(Edm):
    """The input is divided by the std of the batch. Breaks: row i depends on x_i and sigma_i alone."""

    name = "kit13-input-by-batch-std"

    def answer(self, network, x, sigma, c, signal):
        y = x.flatten(1) / x.std().clamp(min=1e-3)
        return network(y, c.c_noise).reshape(x.shape)


class Clamped(Edm):
    """Clips the answer to [-1, 1]. Breaks: D = c_skip x + c_out F for any network F."""

    name = "kit13-clamped-answer"

    def mixed(self, network, x, sigma, c, signal):
        return super().mixed(network, x, sigma, c, signal).clamp(-1, 1)


class AlwaysFloat(Edm):
    """Computes and answers in float32. Breaks: keeps dtype."""

    name = "kit13-always-float32"

    def mixed(self, network, x, sigma, c, signal):
        return super().mixed(network, x, sigma, c, signal).float()


class NoGradAnswer(Edm):
    """Wrapped for inference: no gradient reaches the network. Breaks: a network that torch can train."""

    name = "kit13-inference-only"

    def mixed(self, network, x, sigma, c, signal):
        with torch.no_grad():
            return super().mixed(network, x, sigma, c, signal)


class InPlaceInput(Edm):
    """Scales x in place by c_in, and back. Breaks: D(x, sigma) reads x, which is the caller's: it changes in its last
    digits, and no gradient may pass."""

    name = "kit13-input-in-place"

    def answer(self, network, x, sigma, c, signal):
        x.mul_(per_row(c.c_in, x))
        found = network(x.flatten(1), c.c_noise).reshape(x.shape)
        x.div_(per_row(c.c_in, x))
        return found


class InputLeftScaled(Edm):
    """Scales x in place by c_in, after the skip is computed. Breaks: x is the caller's, and stays as it is."""

    name = "kit13-input-left-scaled"

    def mixed(self, network, x, sigma, c, signal):
        kept = per_row(c.c_skip, x) * x
        x *= per_row(c.c_in, x)
        return kept + per_row(c.c_out, x) * network(x.flatten(1), c.c_noise).reshape(x.shape)


class StaleCoefficients(Edm):
    """Keeps the coefficients of the first call for each size of batch. Breaks: D depends on sigma_i."""

    name = "kit13-stale-coefficients"

    def denoiser(self, network, signal):
        kept = {}

        def denoise(x, sigma, /, **cond):
            if len(x) not in kept:
                kept[len(x)] = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            c = type(kept[len(x)])(*(one.to(x) for one in kept[len(x)]))
            return self.mixed(network, x, sigma.to(x.dtype), c, signal)

        return denoise


class NoisyInTraining(Edm):
    """Adds a little noise to the input while training, from the global generator. Breaks: D = c_skip x + c_out F(c_in
    x, ...); no part draws from the global generator."""

    name = "kit13-noisy-in-training"

    def answer(self, network, x, sigma, c, signal):
        if network.training:
            x = x + 0.05 * torch.randn_like(x)
        return super().answer(network, x, sigma, c, signal)


class Eps(Edm):
    """The network answers with the noise: D = x - sigma F."""

    source = "arXiv 2006.11239, eq. 4"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def mixed(self, network, x, sigma, c, signal):
        return x - per_row(self.factor(sigma), x) * self.answer(network, x, sigma, c, signal)

    def factor(self, sigma):
        return sigma


class EpsPlus(Eps):
    """D = x + sigma F. Breaks: D = x - sigma F."""

    name = "kit13-eps-plus"

    def factor(self, sigma):
        return -sigma


class EpsSeen(Eps):
    """D = alpha x - s F with the coefficients of the VP form at its own input. Breaks: D = x - sigma F."""

    name = "kit13-eps-vp-units"

    def mixed(self, network, x, sigma, c, signal):
        alpha = per_row((1 + sigma**2) ** -0.5, x)
        return alpha * x - per_row(sigma, x) * alpha * self.answer(network, x, sigma, c, signal)


class EpsSteps(Eps):
    """The level is rounded to the nearest of 1000 timesteps, in the noise that is taken off too. Breaks: D = x - sigma
    F at the level asked for."""

    name = "kit13-eps-nearest-step"

    def factor(self, sigma):
        steps = torch.logspace(-3, 2, 1000, dtype=sigma.dtype)
        return steps[(sigma.unsqueeze(1) - steps).abs().argmin(1)]


class Velocity(Edm):
    """The network answers with v: D = alpha^2 x - s F."""

    source = "arXiv 2202.00512, appendix D"
    claims = frozenset({"denoiser-contract", "v-form"})

    def mixed(self, network, x, sigma, c, signal):
        alpha = per_row((1 + sigma**2) ** -0.5, x)
        return self.of(alpha, per_row(sigma, x) * alpha, x, self.answer(network, x, sigma, c, signal))

    def of(self, alpha, s, x, v):
        return alpha**2 * x - s * v


class VelocityOther(Velocity):
    """The other sign of v, s x_0 - alpha z. Breaks: v = alpha z - s x_0."""

    name = "kit13-v-other-sign"

    def of(self, alpha, s, x, v):
        return alpha**2 * x + s * v


class VelocityAlpha(Velocity):
    """alpha x - s v, which takes x for the input of the VP form. Breaks: D = alpha^2 x - s F at our x."""

    name = "kit13-v-alpha-once"

    def of(self, alpha, s, x, v):
        return alpha * x - s * v


class FlowForm(Edm):
    """The network answers with the velocity of a flow: D = (x - sigma F) / (1 + sigma)."""

    source = "arXiv 2210.02747, eq. 20-23"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def mixed(self, network, x, sigma, c, signal):
        return self.of(per_row(sigma, x), x, self.answer(network, x, sigma, c, signal))

    def of(self, sigma, x, u):
        return (x - sigma * u) / (1 + sigma)


class FlowUnscaled(FlowForm):
    """x - t F with t = sigma / (1 + sigma), of our x. Breaks: D = (x - sigma F) / (1 + sigma)."""

    name = "kit13-flow-unscaled"

    def of(self, sigma, x, u):
        return x - sigma / (1 + sigma) * u


class FlowBackwards(FlowForm):
    """The velocity runs from noise to data, x_0 - z. Breaks: the velocity z - x_0."""

    name = "kit13-flow-backwards"

    def of(self, sigma, x, u):
        return (x + sigma * u) / (1 + sigma)


WRONG = made(
    OutOverTotal,
    NaturalLog,
    LogTen,
    UnitInput,
    HalfData,
    ConsistencySkip,
    FlooredLevel,
    LevelOfFirst,
    LevelOfMeanInTime,
    OwnStd,
    BatchStd,
    Clamped,
    AlwaysFloat,
    NoGradAnswer,
    InPlaceInput,
    InputLeftScaled,
    StaleCoefficients,
    NoisyInTraining,
    EpsPlus,
    EpsSeen,
    EpsSteps,
    VelocityOther,
    VelocityAlpha,
    FlowUnscaled,
    FlowBackwards,
)
