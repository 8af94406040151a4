"""Right models and parts of memorisation that look unusual."""

from __future__ import annotations

import math

import torch
from torch import nn

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.memory_measures.shares import Ratio, Third
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.maths.noise import per_row
from ambientkit.memorisation_parts import Similarity

from .bases_models import Eps, Layers, Plain, Small, V, Velocity


class Along(nn.Module):
    """A convolution along the flattened row, and the level as a second channel."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv1d(2, 8, 3, padding=1), nn.Conv1d(8, 1, 3, padding=1)

    def forward(self, y, told):
        level = told[:, None].expand_as(y)
        return self.last(torch.tanh(self.first(torch.stack([y, level], 1)))).squeeze(1)


class Several(nn.Module):
    """The mean of networks."""

    def __init__(self, networks):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, y, told):
        return torch.stack([network(y, told) for network in self.networks]).mean(0)


class Convolved(Small):
    """EDM's preconditioning of a convolution."""

    name = "kit17-right-convolution"

    def network(self, signal):
        super().network(signal)
        return Along()


class Ensemble(Small):
    """EDM's preconditioning of the mean of three networks."""

    name = "kit17-right-ensemble"

    def network(self, signal):
        return Several([super(Ensemble, self).network(signal) for _ in range(3)])


class Adapted(Small):
    """A frozen network with a small one beside it, which alone is trained."""

    name = "kit17-right-adapter"

    def network(self, signal):
        base = super().network(signal).requires_grad_(False)
        return Several([base, Layers(math.prod(signal.shape), 8)])


class ByThrees(Small):
    """The network is asked three rows at a time."""

    name = "kit17-right-three-rows-at-a-time"

    def call(self, network, y, told):
        parts = [super(ByThrees, self).call(network, *both) for both in zip(y.split(3), told.split(3), strict=True)]
        return torch.cat(parts) if parts else y


class WideMixture(Small):
    """The mixture is made in float64."""

    name = "kit17-right-mixture-in-float64"

    def mixed(self, x, sigma, network, std):
        skip, out, into, told = self.coefficients(sigma.double(), std)
        answer = self.call(network, (per_row(into, x) * x).to(x.dtype), told.to(x.dtype))
        return (per_row(skip, x) * x.double() + per_row(out, x) * answer.double()).to(x.dtype)


class EpsAngle(Eps):
    """The noise, with the level told as an angle."""

    name = "kit17-right-eps-told-an-angle"

    def coefficients(self, sigma, std):
        skip, out, into, _ = super().coefficients(sigma, std)
        return skip, out, into, sigma.atan()


class VTold(V):
    """v, with the level told as the logarithm of its square."""

    name = "kit17-right-v-told-the-log-variance"

    def coefficients(self, sigma, std):
        skip, out, into, _ = super().coefficients(sigma, std)
        return skip, out, into, 2 * sigma.log()


class VelocityOverStd(Velocity):
    """The velocity, of an input over its std."""

    name = "kit17-right-velocity-of-unit-input"

    def coefficients(self, sigma, std):
        skip, out, _, told = super().coefficients(sigma, std)
        return skip, out, 1 / torch.hypot(std + 0 * sigma, sigma), told


class PlainTold(Plain):
    """x_0 itself, with the level told in tenths of a neper."""

    name = "kit17-right-x-0-told-tenths"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out, into, told * 0.4


class FlowOfAngle(MLP):
    """The built-in network, which answers with a velocity and sees the angle of the VP schedule."""

    name = "kit17-right-mlp-flow-sees-vp"

    width: int = 16
    """Channels of each layer."""
    predicts: str = "flow"
    """What the network answers with."""
    sees: str = "vp"
    """The schedule of its input."""


class Ranks(Similarity):
    """The rank of each value in its row, over the size of the row."""

    name = "kit17-right-ranks"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        order = flat.argsort(dim=1, stable=True).argsort(dim=1)
        return (order / flat.shape[1]).to(rows.dtype).reshape(rows.shape)


class Differences(Correlation):
    """Differences of neighbouring values, over their root mean square."""

    name = "kit17-right-differences"
    moves = False

    def view(self, rows):
        flat = rows.flatten(1)
        steps = flat.diff(dim=1) if flat.shape[1] > 1 else flat * 0
        return steps / steps.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)


class MiddleError(Loss):
    """The median of the errors of the draws."""

    name = "kit17-right-median-of-the-errors"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        errors = (found.draws - x.unsqueeze(1)).flatten(2).double().square().mean(2).sqrt()
        return found._replace(distance=errors.median(1).values)


class LooseRatio(Ratio):
    """The ratio with the p-value 0.05."""

    name = "kit17-right-ratio-of-a-twentieth"

    level: float = 0.05
    """Of the p-values."""


class MeanLogRatio(Third):
    """The mean logarithm of the ratio of the two distances."""

    name = "kit17-right-mean-log-ratio"
    title = "log ratio"
    means = "mean logarithm of the ratio of the two nearest distances; well below that of held-out rows: copies"
    claims = frozenset({"sees-copies"})

    def value(self, judged, null, train):
        near = (judged[:, 0] / judged[:, 1].clamp(min=1e-9)).clamp(min=1e-3)
        return float(near.log().mean())


MODELS = [
    Convolved(),
    Ensemble(),
    Adapted(),
    ByThrees(),
    WideMixture(),
    EpsAngle(),
    VTold(),
    VelocityOverStd(),
    PlainTold(),
    FlowOfAngle(),
]
MEMORY = [Ranks(), Differences(), MiddleError(), LooseRatio(), MeanLogRatio()]
RIGHT = [*MODELS, *MEMORY]
