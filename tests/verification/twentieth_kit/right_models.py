"""Right models and parts of memorisation."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Mask as MaskAttack
from ambientkit.builtin.memory_measures.shares import Ratio
from ambientkit.builtin.models.mlp import MLP
from ambientkit.maths.copying import share_of_third
from ambientkit.memorisation_parts import Similarity

from ..seventeenth_kit.bases_models import Eps, Layers, Plain, Small, V, Velocity


class Gated(nn.Module):
    """Layers with gates by the level."""

    def __init__(self, size, width):
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(size, width), nn.Linear(1, width), nn.Linear(width, size)

    def forward(self, y, told):
        return self.last(torch.sigmoid(self.gate(told.unsqueeze(1))) * self.first(y).sin())


class GatedModel(Small):
    """EDM's preconditioning of sines with gates by the level."""

    name = "kit20-right-gated-sines"

    width: int = Field(24, ge=1)
    """Channels between the layers."""

    def network(self, signal):
        super().network(signal)
        return Gated(math.prod(signal.shape), self.width)


class Mirrored(nn.Module):
    """The mean of a network's answers to a row and to the row backwards, which is turned back."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, y, told):
        return (self.inner(y, told) + self.inner(y.flip(1), told).flip(1)) / 2


class MirroredModel(Small):
    """EDM's preconditioning of a network that does not tell a row from the row backwards."""

    name = "kit20-right-mirrored-network"

    def network(self, signal):
        return Mirrored(super().network(signal))


class EpsUnscaled(Eps):
    """A network that answers with the noise, of input by the std of the data, told the VP angle."""

    name = "kit20-right-eps-of-scaled-input"

    def coefficients(self, sigma, std):
        return torch.ones_like(sigma), -sigma, 1 / torch.hypot(torch.full_like(sigma, std), sigma), sigma.atan()


class VOfAlpha(V):
    """A network that answers with v, told alpha."""

    name = "kit20-right-v-told-alpha"

    def coefficients(self, sigma, std):
        skip, out, into, _ = super().coefficients(sigma, std)
        return skip, out, into, into


class VelocityShifted(Velocity):
    """A network that answers with the velocity, told a shifted time, which changes nothing else."""

    name = "kit20-right-velocity-told-a-shifted-time"

    shift: float = Field(3.0, gt=0)
    """Of the time that is told."""

    def coefficients(self, sigma, std):
        skip, out, into, time = super().coefficients(sigma, std)
        return skip, out, into, self.shift * time / (1 + (self.shift - 1) * time)


class PlainRoot(Plain):
    """A network that answers with x_0 and is told the root of the level."""

    name = "kit20-right-x-0-told-a-root"

    def coefficients(self, sigma, std):
        skip, out, into, _ = super().coefficients(sigma, std)
        return skip, out, into, sigma.sqrt() / 2


class Score(Small):
    """A form of its own: D = x + sigma^2 S with the score S = F / sqrt(sigma^2 + sigma_data^2)."""

    name = "kit20-right-score-network"
    claims = frozenset({"denoiser-contract", "own-form"})

    def coefficients(self, sigma, std):
        _, _, into, told = super().coefficients(sigma, std)
        return torch.ones_like(sigma), sigma**2 * into, into, told


class VSeesFlow(MLP):
    """The built-in network, which answers with v and sees the schedule of a flow."""

    name = "kit20-right-mlp-v-sees-flow"

    width: int = Field(32, ge=1)
    depth: int = Field(1, ge=1)
    predicts: Literal["v", "eps", "flow"] = "v"
    sees: Literal["flow", "vp"] = "flow"


class Two(nn.Module):
    """The sum of two networks, the second of which has half of the input."""

    def __init__(self, one, two):
        super().__init__()
        self.one, self.two = one, two

    def forward(self, y, told):
        return self.one(y, told) + self.two(y / 2, told)


class Sum(Small):
    """EDM's preconditioning of the sum of two networks, the second of half of the input."""

    name = "kit20-right-sum-of-two"

    def network(self, signal):
        return Two(super().network(signal), Layers(math.prod(signal.shape), 8))


class LowNoise(Loss):
    """`loss` at half of the std of the data, where rows that were trained on are denoised better."""

    name = "kit20-right-loss-at-half-the-std"

    def attempt(self, x, keys, target):
        level = 0.5 * target.sigma_data
        found = Loss(level=level).attempt(x, keys, target)
        return found._replace(distance=found.distance / level)


class NearestDraw(MaskAttack):
    """`mask` of nine tenths, whose distance is the mean of those of the two nearest draws."""

    name = "kit20-right-mask-of-nine-tenths"

    level: float = Field(0.9, gt=0, lt=1)

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        errors = (found.draws - x.unsqueeze(1)).flatten(2).double().square().mean(2).sqrt()
        return found._replace(distance=errors.sort(dim=1).values[:, :2].mean(1))


class RatioOfTenPercent(Ratio):
    """The share of samples whose ratio has a p-value of a fiftieth or less."""

    name = "kit20-right-ratio-of-a-fiftieth"

    level: float = Field(0.02, gt=0, lt=1)


class RatioBelowHalf(Ratio):
    """The share of samples at less than half of the distance of the second row."""

    name = "kit20-right-ratio-below-a-half"
    title = "ratio below {part:g}"
    means = "share of samples at less than this part of the distance to the second nearest training row: copies"

    part: float = Field(0.5, ge=0.2, le=0.6)
    """Of the second distance."""

    def by_row(self, judged, null, train, seed):
        return judged.distance, judged.distance[:0]

    def value(self, judged, null, train):
        return share_of_third(judged, self.part)


class Saturated(Similarity):
    """Values through tanh, so that differences beyond the range count less."""

    name = "kit20-right-values-through-tanh"
    claims = frozenset({"row-by-row"})
    moves = True

    gain: float = 1.5
    """Before tanh."""

    def view(self, rows):
        return torch.tanh(self.gain * rows)


class UnitNorm(Similarity):
    """Values less their mean, over their mean absolute value: brightness and contrast do not count."""

    name = "kit20-right-over-the-mean-absolute-value"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / centred.abs().mean(1, keepdim=True).clamp(min=1e-3)).reshape(rows.shape)


RIGHT = [
    part()
    for part in (
        GatedModel,
        MirroredModel,
        EpsUnscaled,
        VOfAlpha,
        VelocityShifted,
        PlainRoot,
        Score,
        VSeesFlow,
        Sum,
        LowNoise,
        NearestDraw,
        RatioOfTenPercent,
        RatioBelowHalf,
        Saturated,
        UnitNorm,
    )
]
