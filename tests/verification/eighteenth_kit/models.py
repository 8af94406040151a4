"""Right models: other networks, and other but equal coefficients."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.maths.noise import per_row
from tests.verification.seventeenth_kit.bases_models import Eps, Layers, Plain, Small, V, Velocity

from .bases import final


class Pairs(nn.Module):
    """Attention among the values of a row, each a token of its value, the level and its place."""

    def __init__(self, size, width=16):
        super().__init__()
        self.place = nn.Parameter(torch.randn(size, width) / 4)
        self.enter, self.leave = nn.Linear(2, width), nn.Linear(width, 1)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, y, told):
        token = self.enter(torch.stack([y, told[:, None].expand_as(y)], -1)) + self.place
        near = torch.einsum("bic,bjc->bij", self.query(token), self.key(token)) / math.sqrt(token.shape[2])
        return self.leave(token + near.softmax(2) @ self.value(token)).squeeze(2)


class Waves(nn.Module):
    """Random frequencies of the input and the level, in buffers, before two layers."""

    def __init__(self, size, count=24):
        super().__init__()
        self.register_buffer("frequencies", torch.randn(size + 1, count))
        self.last = nn.Linear(2 * count, size)

    def forward(self, y, told):
        phase = torch.cat([y, told[:, None]], 1) @ self.frequencies
        return self.last(torch.cat([phase.sin(), phase.cos()], 1))


class Beside(nn.Module):
    """A linear map of the row beside a network."""

    def __init__(self, size):
        super().__init__()
        self.straight, self.curved = nn.Linear(size, size, bias=False), Layers(size)

    def forward(self, y, told):
        return self.straight(y) + 0.3 * self.curved(y, told)


class Experts(nn.Module):
    """Four networks, mixed by weights that each row's level and values give."""

    def __init__(self, size, count=4):
        super().__init__()
        self.experts = nn.ModuleList(Layers(size, 8) for _ in range(count))
        self.gate = nn.Linear(size + 1, count)

    def forward(self, y, told):
        share = self.gate(torch.cat([y, told[:, None]], 1)).softmax(1)
        return torch.einsum("be,ebd->bd", share, torch.stack([own(y, told) for own in self.experts]))


class Hyper(nn.Module):
    """The level makes the matrix of the layer that each row passes."""

    def __init__(self, size, width=12):
        super().__init__()
        self.size, self.width = size, width
        self.maker = nn.Sequential(nn.Linear(1, 16), nn.SiLU(), nn.Linear(16, size * width))
        self.last = nn.Linear(width, size)

    def forward(self, y, told):
        made = self.maker(told[:, None]).unflatten(1, (self.size, self.width)) / math.sqrt(self.size)
        return self.last(torch.einsum("bd,bdw->bw", y, made).tanh())


class Tied(nn.Module):
    """The last layer is the first one transposed."""

    def __init__(self, size, width=24):
        super().__init__()
        self.both, self.level = nn.Linear(size, width), nn.Linear(1, width)

    def forward(self, y, told):
        return (self.both(y) + self.level(told[:, None])).tanh() @ self.both.weight


class Bounded(nn.Module):
    """Layers whose matrices are divided by their spectral norm where it is above 1."""

    def __init__(self, size, width=24):
        super().__init__()
        self.first, self.last = nn.Linear(size + 1, width), nn.Linear(width, size)

    def forward(self, y, told):
        def bounded(layer, value):
            norm = torch.linalg.matrix_norm(layer.weight.float(), 2).clamp(min=1).to(value.dtype)
            return nn.functional.linear(value, layer.weight / norm, layer.bias)

        return bounded(self.last, bounded(self.first, torch.cat([y, told[:, None]], 1)).relu())


class Mapped(nn.Module):
    """Layers for one row, mapped over the batch by torch.func."""

    def __init__(self, size):
        super().__init__()
        self.inner = Layers(size)

    def forward(self, y, told):
        if not len(y):
            return y
        return torch.func.vmap(lambda row, level: self.inner(row[None], level[None])[0])(y, told)


class ChannelsLast(nn.Module):
    """A convolution of rows as pictures of one line, with channels last in memory, and a norm within each row."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 8, (1, 3), padding=(0, 1)), nn.Conv2d(8, 1, 1)
        self.norm = nn.GroupNorm(2, 8)

    def forward(self, y, told):
        line = torch.stack([y, told[:, None].expand_as(y)], 1).unsqueeze(2)
        line = line.contiguous(memory_format=torch.channels_last)
        return self.last(nn.functional.silu(self.norm(self.first(line)))).flatten(1)


class Kept(nn.Module):
    """Layers with an embedding of the level, whose frequencies are made once for each dtype and device."""

    def __init__(self, size, width=24):
        super().__init__()
        self.first, self.last = nn.Linear(size + 8, width), nn.Linear(width, size)
        self._kept = {}

    def forward(self, y, told):
        key = (y.dtype, y.device)
        if key not in self._kept:
            with torch.inference_mode(False):  # what is kept must serve training too
                self._kept[key] = 2 ** torch.arange(4, dtype=y.dtype, device=y.device)
        phase = told[:, None] * self._kept[key]
        return self.last(torch.cat([y, phase.sin(), phase.cos()], 1) @ self.first.weight.T + self.first.bias).tanh()


class Attention(Small):
    """EDM's preconditioning of attention among values."""

    name = "kit18-attention"

    def network(self, signal):
        super().network(signal)
        return Pairs(math.prod(signal.shape))


class Frequencies(Small):
    """EDM's preconditioning of random frequencies; c_skip, c_out and c_in by the angle atan(sigma / std)."""

    name = "kit18-frequencies-and-angles"

    def network(self, signal):
        super().network(signal)
        return Waves(math.prod(signal.shape))

    def coefficients(self, sigma, std):
        angle = (sigma / std).atan()
        return angle.cos() ** 2, std * angle.sin(), angle.cos() / std, sigma.log() / 4


class LinearBeside(Small):
    """EDM's preconditioning of a linear map beside a network; the skip as x less a share of it."""

    name = "kit18-linear-beside-network"

    def network(self, signal):
        super().network(signal)
        return Beside(math.prod(signal.shape))

    def mixed(self, x, sigma, network, std):
        _, out, into, told = self.coefficients(sigma, std)
        away = sigma**2 / (sigma**2 + std**2)
        answer = self.call(network, per_row(into, x) * x, told)
        return torch.addcmul(x - per_row(away, x) * x, per_row(out, x).expand_as(x), answer)


class OfExperts(Small):
    """EDM's preconditioning of a mixture of experts."""

    name = "kit18-mixture-of-experts"

    def network(self, signal):
        super().network(signal)
        return Experts(math.prod(signal.shape))


class OfHyper(Small):
    """EDM's preconditioning of a network whose weights the level makes."""

    name = "kit18-hypernetwork"

    def network(self, signal):
        super().network(signal)
        return Hyper(math.prod(signal.shape))


class OfTied(Eps):
    """The noise, by tied layers; D is made in float64."""

    name = "kit18-eps-of-tied-layers"

    def network(self, signal):
        super().network(signal)
        return Tied(math.prod(signal.shape))

    def mixed(self, x, sigma, network, std):
        into, told = self.coefficients(sigma, std)[2:]
        answer = self.call(network, per_row(into, x) * x, told).double()
        return (x.double() - per_row(sigma.double(), x) * answer).to(x.dtype)


class OfBounded(Velocity):
    """The velocity, by layers of bounded norm; D by the time t = sigma / (1 + sigma) of the flow."""

    name = "kit18-velocity-of-bounded-layers"

    def network(self, signal):
        super().network(signal)
        return Bounded(math.prod(signal.shape))

    def mixed(self, x, sigma, network, std):
        t = per_row(sigma / (1 + sigma), x)
        at_t = (1 - t) * x
        return at_t - t * self.call(network, at_t, t.flatten())


class OfMapped(Small):
    """EDM's preconditioning of layers mapped over the rows by torch.func."""

    name = "kit18-mapped-over-rows"

    def network(self, signal):
        super().network(signal)
        return Mapped(math.prod(signal.shape))


class OfChannelsLast(V):
    """v, by a convolution with channels last."""

    name = "kit18-v-of-channels-last"

    def network(self, signal):
        super().network(signal)
        return ChannelsLast()


class OfKept(Plain):
    """x_0 itself, by layers that keep their frequencies."""

    name = "kit18-x-0-of-kept-frequencies"

    def network(self, signal):
        super().network(signal)
        return Kept(math.prod(signal.shape))


class Lazy(Small):
    """EDM's preconditioning of lazily made layers, which one row of zeros makes."""

    name = "kit18-lazily-made"

    def network(self, signal):
        super().network(signal)
        found = Layers(math.prod(signal.shape))
        found.first, found.last = nn.LazyLinear(20), nn.LazyLinear(math.prod(signal.shape))
        with torch.no_grad():
            found(torch.zeros(1, math.prod(signal.shape)), torch.zeros(1))
        return found


class TwoByTwo(Small):
    """The network is asked two rows at a time, the last ones first."""

    name = "kit18-two-rows-at-a-time-backwards"

    def call(self, network, y, told):
        parts = [
            super(TwoByTwo, self).call(network, *both)
            for both in reversed(list(zip(y.split(2), told.split(2), strict=True)))
        ]
        return torch.cat(parts[::-1]) if parts else y


class OtherSkip(Small):
    """The skip std^4 / (std^4 + sigma^4), with the c_out that makes the target of unit variance: no known form."""

    name = "kit18-skip-of-fourth-powers"
    claims = frozenset({"denoiser-contract", "own-form"})

    def coefficients(self, sigma, std):
        _, _, into, told = super().coefficients(sigma, std)
        skip = 1 / (1 + (sigma / std) ** 4)
        return skip, torch.hypot((1 - skip) * std, skip * sigma), into, told


class VSeesFlow(MLP):
    """The built-in network with few channels, features, v, and the time of the flow."""

    name = "kit18-mlp-v-sees-flow"

    width: int = 8
    """Channels of each layer."""
    depth: int = 1
    """Residual blocks."""
    features: int = 5
    """Random Fourier features of the input."""
    feature_scale: float = 0.1
    """Std of their frequencies."""
    predicts: Literal["edm", "x_0", "eps", "v", "flow"] = "v"
    """What the network answers with."""
    sees: Literal["ve", "vp", "flow"] = "flow"
    """The schedule of its input."""


NETWORKS = ("Pairs", "Waves", "Beside", "Experts", "Hyper", "Tied", "Bounded", "Mapped", "ChannelsLast", "Kept")
RIGHT = final(globals(), *NETWORKS)
