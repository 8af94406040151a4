"""Wrong models: coefficients, inputs and outputs around one small network."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning

from .bases import made


class Small(nn.Module):
    """Two layers on flattened rows and a level."""

    def __init__(self, size, width=24):
        super().__init__()
        self.inner, self.outer = nn.Linear(size + 1, width), nn.Linear(width, size)

    def forward(self, y, c_noise):
        return self.outer(functional.silu(self.inner(torch.cat([y, c_noise.unsqueeze(1)], 1))))


class Edm(Model):
    """EDM's preconditioning: D = c_skip x + c_out F(c_in x, log(sigma) / 4)."""

    source = "arXiv 2206.00364, table 1"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal):
        if signal.conds:
            raise InputError(f"model {self.name!r} takes no conditions, but the data carry {sorted(signal.conds)}")
        return self.fresh(math.prod(signal.shape))

    def fresh(self, size):
        return Small(size)

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            level = self.level(sigma.to(x.dtype))
            c = edm_preconditioning(level, signal.sigma_data)
            found = self.answer(network, self.fed(x, c.c_in), self.time(level))
            return self.given(per_row(c.c_skip, x) * x + per_row(c.c_out, x) * found.to(x.dtype), x, sigma)

        return denoise

    def level(self, sigma):
        return sigma

    def time(self, sigma):
        return sigma.log() / 4

    def fed(self, x, c_in):
        return per_row(c_in, x) * x

    def answer(self, network, y, c_noise):
        return network(y.flatten(1), c_noise).reshape(y.shape)

    def given(self, found, x, sigma):
        return found


class Noise(Edm):
    """Answers with the noise: D = x - sigma F."""

    source = "arXiv 2006.11239"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            level = self.level(sigma.to(x.dtype))
            y = self.fed(x, (level**2 + signal.sigma_data**2) ** -0.5)
            return x - per_row(level, x) * self.answer(network, y, self.time(level)).to(x.dtype)

        return denoise


class WithinRange(Edm):
    """Levels are held within [0.002, 80]. Breaks: EDM's coefficients at any level; no `level_range` is told."""

    name = "kit14-levels-held-in-range"

    def level(self, sigma):
        return sigma.clamp(0.002, 80.0)


class TimeRounded(Edm):
    """The network is given log(sigma) / 4 to two digits, so that its embedding is looked up. Breaks: F(c_in x,
    log(sigma) / 4)."""

    name = "kit14-time-to-two-digits"

    def time(self, sigma):
        return (sigma.log() / 4 * 100).round() / 100


class HalfCoefficients(Edm):
    """Coefficients are computed from a level in bfloat16. Breaks: EDM's coefficients of sigma."""

    name = "kit14-coefficients-in-half"

    def level(self, sigma):
        return sigma.bfloat16().to(sigma.dtype)


class ChannelsLast(Edm):
    """Pictures are flattened channels last and given back channels first. Breaks: c_out F belongs to the value that
    c_skip x does."""

    name = "kit14-flattened-channels-last"

    def answer(self, network, y, c_noise):
        flat = y.permute(0, 2, 3, 1) if y.ndim == 4 else y
        return network(flat.flatten(1), c_noise).reshape(y.shape)


class PaddedOdd(Edm):
    """Pictures of odd width are rolled by one column, as a padded picture cut on the wrong side. Breaks: c_skip x +
    c_out F(c_in x, ...)."""

    name = "kit14-odd-width-cut-wrong"

    def answer(self, network, y, c_noise):
        found = super().answer(network, y, c_noise)
        return found.roll(1, -1) if y.ndim == 4 and y.shape[-1] % 2 else found


class TurnedFlat(Edm):
    """Pictures that are not square go in with their sides swapped, and come back as they are. Breaks: F(c_in x, ...) on
    the picture."""

    name = "kit14-sides-swapped"

    def answer(self, network, y, c_noise):
        if y.ndim != 4:
            return super().answer(network, y, c_noise)
        return network(y.mT.flatten(1), c_noise).reshape(y.shape)


class OneRow(Edm):
    """Squeezes the answer. Breaks: D keeps the shape of a batch of one row."""

    name = "kit14-answer-squeezed"

    def given(self, found, x, sigma):
        return found.squeeze()


class Reused(Edm):
    """In evaluation the answer of the last call is used again where the level has moved by less than 5 %. Breaks:
    D(x, sigma) depends on x and sigma alone."""

    name = "kit14-answer-used-again"

    def denoiser(self, network, signal):
        kept = {}

        def denoise(x, sigma, /, **cond):
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            near = kept and kept["f"].shape == x.shape and bool(((sigma / kept["sigma"]).log().abs() < 0.05).all())
            if network.training or torch.is_grad_enabled() or not near:
                found = self.answer(network, self.fed(x, c.c_in), c.c_noise)
                kept.update(f=found.detach(), sigma=sigma)
            else:
                found = kept["f"]
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * found.to(x.dtype)

        return denoise


class Folded(Edm):
    """The weights are copied when the denoiser is made, for speed. Breaks: it wraps the network, whose weights are
    trained."""

    name = "kit14-weights-folded"

    def denoiser(self, network, signal):
        own = self.fresh(math.prod(signal.shape))
        own.load_state_dict(network.state_dict()) if isinstance(network, Small) else None
        used = own if isinstance(network, Small) else network
        return super().denoiser(used, signal)


class Evaluates(Edm):
    """Puts the network into evaluation mode at each call. Breaks: the trainer's mode is left as it is."""

    name = "kit14-puts-into-evaluation"

    def answer(self, network, y, c_noise):
        network.eval()
        return super().answer(network, y, c_noise)


class PlainInPlace(Edm):
    """Without gradients the input is scaled in place. Breaks: x is left as it was."""

    name = "kit14-scaled-in-place"

    def fed(self, x, c_in):
        if torch.is_grad_enabled():
            return super().fed(x, c_in)
        return x.mul_(per_row(c_in, x))


class LargeRounded(Edm):
    """Inputs above 100 are held, against overflow in half precision. Breaks: c_in x for any x, at large levels."""

    name = "kit14-input-held"

    def fed(self, x, c_in):
        return per_row(c_in, x) * x.clamp(-100, 100)


class Centred(Noise):
    """The mean of the noise over a picture is put to 0. Breaks: D = x - sigma F for any network F."""

    name = "kit14-noise-centred"

    def answer(self, network, y, c_noise):
        found = super().answer(network, y, c_noise)
        return found - found.flatten(1).mean(1).reshape(-1, *[1] * (y.ndim - 1)) if y.ndim == 4 else found


class TableLevel(Noise):
    """The level is the nearest of DDPM's 1,000, in the formula too. Breaks: D = x - sigma F."""

    name = "kit14-level-of-table"

    def level(self, sigma):
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        table = ((1 - alpha_bar) / alpha_bar).sqrt().to(sigma)
        return table[(sigma.log().unsqueeze(1) - table.log()).abs().argmin(1)]


WRONG = made(
    WithinRange,
    TimeRounded,
    HalfCoefficients,
    ChannelsLast,
    PaddedOdd,
    TurnedFlat,
    OneRow,
    Reused,
    Folded,
    Evaluates,
    PlainInPlace,
    LargeRounded,
    Centred,
    TableLevel,
)
