"""Models, continued: wrong forms, and wrong networks."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from ambientkit.errors import InputError
from ambientkit.maths.noise import per_row
from tests.verification.sixth_kit.marks import Marked, marked
from tests.verification.sixth_kit.models import X0, Classes, Eps, Flow, FormNet, Layers, Net, V

WRONG: Marked = []
RIGHT: Marked = []


@marked(WRONG, "the sign of the noise: x + sigma F")
class EpsAdded(Eps):
    name = "six-eps-added"

    def coefficients(self, sigma):
        return torch.ones_like(sigma), sigma


@marked(WRONG, "the variance multiplies the noise")
class EpsVariance(Eps):
    name = "six-eps-variance"

    def coefficients(self, sigma):
        return torch.ones_like(sigma), -(sigma**2)


@marked(WRONG, "the estimate is not brought back from the VP form: alpha x - s F")
class EpsInVP(Eps):
    name = "six-eps-in-vp"

    def coefficients(self, sigma):
        alpha = 1 / (1 + sigma**2).sqrt()
        return alpha, -sigma * alpha


@marked(WRONG, "alpha stands where its square should: x is taken for the VP input")
class VOnce(V):
    name = "six-v-once"

    def coefficients(self, sigma):
        alpha = 1 / (1 + sigma**2).sqrt()
        return alpha, -sigma * alpha


@marked(WRONG, "alpha and s are exchanged in v")
class VExchanged(V):
    name = "six-v-exchanged"

    def coefficients(self, sigma):
        alpha = 1 / (1 + sigma**2).sqrt()
        return alpha**2, -alpha


@marked(WRONG, "the velocity is scaled by t, but x is not brought to the flow: x - t F")
class FlowUnscaled(Flow):
    name = "six-flow-unscaled"

    def coefficients(self, sigma):
        return torch.ones_like(sigma), -sigma / (1 + sigma)


@marked(WRONG, "the time of the flow runs the other way: x_0 at t = 1")
class FlowTurned(Flow):
    name = "six-flow-turned"

    def coefficients(self, sigma):
        return 1 / (1 + sigma), sigma / (1 + sigma)


@marked(WRONG, "x_0 is said to be the answer, but x is added to it")
class X0Residual(X0):
    name = "six-x-0-residual"

    def coefficients(self, sigma):
        return torch.ones_like(sigma), torch.ones_like(sigma)


@marked(WRONG, "an eps network is fed x itself, of std 80 at the highest level")
class EpsUnscaled(FormNet):
    name = "six-eps-unscaled"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def coefficients(self, sigma):
        return torch.ones_like(sigma), -sigma

    def fed(self, x, sigma):
        return x


@marked(WRONG, "an eps network is told t of one thousand as a whole number: low levels are one")
class WholeSteps(Eps):
    name = "six-whole-steps"

    def told(self, sigma):
        return (sigma.atan() / (math.pi / 2) * 20).floor() / 20


class Normed(Layers):
    def __init__(self, size: int, width: int) -> None:
        super().__init__(size, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, y, c_noise, label=None):
        told = torch.stack([c_noise, c_noise.sin(), c_noise.cos()], dim=1)
        hidden = self.norm(self.first(torch.cat([y.flatten(1), told], dim=1)))
        return self.last(torch.tanh(self.middle(hidden.tanh()))).reshape(y.shape)


@marked(WRONG, "batch norm: a row depends on its neighbours in training")
class BatchNormed(Net):
    name = "six-batch-normed"

    def layers(self, size):
        return Normed(size, self.width)


class AttentionOverBatch(Layers):
    def __init__(self, size: int, width: int) -> None:
        super().__init__(size, width)
        self.attention = nn.MultiheadAttention(width, 4)

    def forward(self, y, c_noise, label=None):
        told = torch.stack([c_noise, c_noise.sin(), c_noise.cos()], dim=1)
        hidden = self.first(torch.cat([y.flatten(1), told], dim=1)).unsqueeze(1)
        hidden = hidden + self.attention(hidden, hidden, hidden, need_weights=False)[0]
        return self.last(torch.tanh(self.middle(hidden.squeeze(1)))).reshape(y.shape)


@marked(WRONG, "batch_first was forgotten: rows attend to each other")
class Attends(Net):
    name = "six-attends"

    def layers(self, size):
        return AttentionOverBatch(size, self.width)


class Dropped(Layers):
    def forward(self, y, c_noise, label=None):
        return super().forward(nn.functional.dropout(y, 0.1), c_noise, label)


@marked(WRONG, "functional dropout, which is never off")
class AlwaysDrops(Net):
    name = "six-always-drops"

    def layers(self, size):
        return Dropped(size, self.width)


class Remembers(Layers):
    told: torch.Tensor | None = None

    def forward(self, y, c_noise, label=None):
        if self.told is None or self.told.shape != c_noise.shape:
            self.told = c_noise.detach().clone()
        return super().forward(y, self.told, label)


@marked(WRONG, "the embedding of the level is cached by shape: later levels are the first ones")
class Caches(Net):
    name = "six-caches"

    def layers(self, size):
        return Remembers(size, self.width)


MADE: dict[int, nn.Module] = {}


@marked(WRONG, "the network is made once and given again: no fresh one")
class SameNetwork(Net):
    name = "six-same-network"

    def layers(self, size):
        return MADE.setdefault(size, Layers(size, self.width))


@marked(WRONG, "the answer is computed without gradient")
class WithoutGradient(Net):
    name = "six-without-gradient"

    def answer(self, network, x, sigma, signal, cond):
        with torch.no_grad():
            return super().answer(network, x, sigma, signal, cond)


@marked(WRONG, "the input is detached: no derivative reaches x, which Stein's estimate and guidance need")
class DetachedInput(Net):
    name = "six-detached-input"

    def answer(self, network, x, sigma, signal, cond):
        skip, out, into, noise = self.c(sigma, self.data(signal))
        output = network((per_row(into, x) * x).detach(), noise)
        return per_row(skip, x) * x + per_row(out, x) * output


@marked(WRONG, "x is scaled in place")
class ScaledInPlace(Net):
    name = "six-scaled-in-place"

    def answer(self, network, x, sigma, signal, cond):
        skip, out, into, noise = self.c(sigma, self.data(signal))
        kept = x.clone()
        output = network(x.mul_(per_row(into, x)), noise)
        return per_row(skip, kept) * kept + per_row(out, kept) * output


@marked(WRONG, "the sum is formed in float16: x - c_out F loses its digits at high levels")
class HalfSum(Net):
    name = "six-half-sum"

    def answer(self, network, x, sigma, signal, cond):
        skip, out, into, noise = self.c(sigma, self.data(signal))
        output = network(per_row(into, x) * x, noise)
        return (per_row(skip, x) * x).half().to(x.dtype) + per_row(out, x) * output.half().to(x.dtype)


@marked(WRONG, "float32 is returned, whatever x is")
class Float32(Net):
    name = "six-returns-float32"

    def answer(self, network, x, sigma, signal, cond):
        return super().answer(network, x, sigma, signal, cond).float()


@marked(WRONG, "the level is rounded to bfloat16 before its logarithm")
class CoarseSigma(Net):
    name = "six-coarse-sigma"

    def c(self, sigma, sigma_data):
        skip, out, into, _ = super().c(sigma, sigma_data)
        return skip, out, into, sigma.bfloat16().to(sigma.dtype).log() / 4


@marked(WRONG, "conditions are not refused, and ignored")
class IgnoresConditions(Net):
    name = "six-ignores-conditions"

    def network(self, signal):
        return self.layers(math.prod(signal.shape))


@marked(WRONG, "the class is taken and not used")
class ClassUnused(Classes):
    name = "six-class-unused"

    def labels(self, label):
        return None


@marked(WRONG, "labels are wrapped: the one that stands for none becomes class 0")
class NoneIsFirst(Classes):
    name = "six-none-is-first"

    def labels(self, label):
        return label if label is None else label % self.num_classes


@marked(WRONG, "the label of none is -1, which an embedding has not")
class NoneIsMinusOne(Classes):
    name = "six-none-is-minus-1"

    def null_cond(self, name):
        return -1 if name == "class_cond" else None


@marked(WRONG, "classes are dropped by the model itself, by torch's global generator")
class DropsItself(Classes):
    name = "six-drops-itself"

    def labels(self, label):
        if label is None:
            return None
        return torch.where(torch.rand(len(label)) < 0.2, torch.full_like(label, self.num_classes), label)


@marked(WRONG, "the label of the first row serves all")
class LabelOfFirst(Classes):
    name = "six-label-of-first"

    def labels(self, label):
        return label if label is None else label[:1].expand_as(label)


@marked(WRONG, "rows that do not fit are cut to the network's size in silence")
class Cuts(Net):
    name = "six-cuts"
    size: int = Field(2, ge=1)

    def network(self, signal):
        if signal.conds:
            raise InputError("no conditions")
        return Layers(min(self.size, math.prod(signal.shape)), self.width)

    def answer(self, network, x, sigma, signal, cond):
        skip, out, into, noise = self.c(sigma, self.data(signal))
        flat = x.flatten(1)
        size = min(self.size, flat.shape[1])
        output = network((per_row(into, flat) * flat)[:, :size], noise)
        output = torch.cat([output, torch.zeros_like(flat[:, size:])], dim=1).reshape(x.shape)
        return per_row(skip, x) * x + per_row(out, x) * output
