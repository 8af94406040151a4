"""Wrong models: the network itself, classes, masks."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.errors import InputError
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import beside, edm_preconditioning

from .bases import made
from .models import Edm, Layers


class Normed(Layers):
    def __init__(self, size, width=32):
        super().__init__(size, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, y, c_noise, label=None):
        hidden = self.norm(self.first(torch.cat([y, c_noise.unsqueeze(1)], dim=1)))
        return self.last(torch.tanh(hidden))


class BatchNormed(Edm):
    """Normalises over the batch while training. Breaks: row i depends on x_i and sigma_i alone."""

    name = "kit13-batch-norm"

    def fresh(self, size):
        return Normed(size)


class Dropped(Layers):
    def forward(self, y, c_noise, label=None):
        hidden = self.first(torch.cat([y, c_noise.unsqueeze(1)], dim=1))
        return self.last(nn.functional.dropout(torch.tanh(hidden), 0.1))


class DropoutStays(Edm):
    """F.dropout with its default training=True, so that it drops in evaluation too. Breaks: D is a function of x and
    sigma."""

    name = "kit13-dropout-stays"

    def fresh(self, size):
        return Dropped(size)


class TwiceZero(Layers):
    def __init__(self, size, width=32):
        super().__init__(size, width)
        for layer in (self.first, self.last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


class NeverLearns(Edm):
    """Both layers begin at zero: no gradient of their weights is ever anything else. Breaks: anything that torch can
    train."""

    name = "kit13-zeros-twice"

    def fresh(self, size):
        return TwiceZero(size)


class Attending(Layers):
    def forward(self, y, c_noise, label=None):
        hidden = torch.tanh(self.first(torch.cat([y, c_noise.unsqueeze(1)], dim=1)))
        mixed = torch.softmax(hidden @ hidden.T / hidden.shape[1] ** 0.5, dim=1) @ hidden
        return self.last(hidden + mixed)


class AcrossRows(Edm):
    """Attention runs over the axis of the batch, as with batch_first=False. Breaks: row i depends on x_i and sigma_i
    alone."""

    name = "kit13-attention-over-batch"

    def fresh(self, size):
        return Attending(size)


_SHARED: dict[int, nn.Module] = {}


class OneForAll(Edm):
    """Keeps networks by size and hands the same out again. Breaks: `network` gives a fresh network."""

    name = "kit13-network-kept"

    def fresh(self, size):
        if size not in _SHARED:
            _SHARED[size] = Layers(size)
        return _SHARED[size]


class Frozen(Layers):
    def __init__(self, size, width=32):
        super().__init__(size, width)
        self.base = nn.Linear(size, size)
        nn.init.normal_(self.base.weight, std=0.05, generator=torch.Generator().manual_seed(torch.seed() % 2**31))
        self.base.requires_grad_(False)

    def forward(self, y, c_noise, label=None):
        return super().forward(y + self.base(y), c_noise)


class OtherBase(Edm):
    """A frozen base drawn from the clock. Breaks: `network` must give the same one each time, from the global generator
    that a run sets."""

    name = "kit13-base-by-clock"

    def fresh(self, size):
        return Frozen(size)


class ForgetsLevel(Edm):
    """The network's time input is constant: the embedding's argument is lost. Breaks: F(c_in x, log(sigma) / 4)."""

    name = "kit13-time-lost"

    def time(self, c, sigma):
        return torch.zeros_like(sigma)


class TakesAnyCond(Edm):
    """Takes data with any conditions, and ignores them. Breaks: raises InputError for conditions that it has no room
    for."""

    name = "kit13-takes-any-cond"

    def network(self, signal):
        return self.fresh(math.prod(signal.shape))


class Classy(Edm):
    """A small network with class labels."""

    num_classes: int | None = Field(10, ge=1)

    def null_cond(self, name):
        return self.num_classes if name == "class_cond" else None

    def network(self, signal):
        if set(signal.conds) - {"class_cond"}:
            raise InputError(f"model {self.name!r} takes class_cond alone, not {sorted(signal.conds)}")
        if "class_cond" not in signal.conds:
            raise InputError(f"model {self.name!r} needs class_cond")
        return Layers(math.prod(signal.shape), 32, self.num_classes)

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            if "class_cond" not in cond:
                raise InputError(f"model {self.name!r} needs class_cond")
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            y = (per_row(c.c_in, x) * x).flatten(1)
            found = network(y, c.c_noise, self.label(cond["class_cond"])).reshape(x.shape).to(x.dtype)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * found

        return denoise

    def label(self, label):
        return label


class LabelOfFirst(Classy):
    """The label of the first row for the whole batch. Breaks: row i depends on its own condition."""

    name = "kit13-label-of-first"

    def label(self, label):
        return label[:1].expand_as(label)


class LabelClamped(Classy):
    """The label for none is clamped to the last class. Breaks: num_classes itself stands for no class."""

    name = "kit13-none-as-last-class"

    def label(self, label):
        return label.clamp(max=self.num_classes - 1)


class LabelLost(Classy):
    """Labels are all replaced by that for none. Breaks: the condition is a label."""

    name = "kit13-label-lost"

    def label(self, label):
        return torch.full_like(label, self.num_classes)


class NullIsZero(Classy):
    """Rows without a class get class 0. Breaks: num_classes itself stands for "no class"."""

    name = "kit13-null-is-class-0"

    def null_cond(self, name):
        return 0 if name == "class_cond" else None


class ReadsHidden(MLP):
    """Reads values under the mask, which are only told as hidden. Breaks: a value that is hidden stands at the level
    infinity, c_in = 0 and c_skip = 0."""

    name = "kit13-reads-hidden"

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            y = beside((per_row(c.c_in, x) * x).flatten(1), cond)
            found = network(y, c.c_noise).to(x.dtype).reshape(x.shape)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * found

        return denoise


class Rounded(Edm):
    """Computes in bfloat16 throughout and hands back the dtype of x. Breaks: the coefficients, to the precision of
    x."""

    name = "kit13-computed-in-bfloat16"

    def mixed(self, network, x, sigma, c, signal):
        rough = x.to(torch.bfloat16).to(x.dtype)
        return super().mixed(network, rough, sigma, c, signal)


WRONG = made(
    BatchNormed,
    DropoutStays,
    NeverLearns,
    AcrossRows,
    OneForAll,
    OtherBase,
    ForgetsLevel,
    TakesAnyCond,
    LabelOfFirst,
    LabelClamped,
    LabelLost,
    NullIsZero,
    ReadsHidden,
    Rounded,
)
