"""Wrong models: what the network itself does, forms, labels, and how it is offered."""

from __future__ import annotations

import math

import torch
from torch import nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning
from ambientkit.proposal import Proposal

from .bases import made
from .models import Edm, Small


class Biased(Small):
    """With a bias of its own for each value."""

    def __init__(self, size):
        super().__init__(size)
        self.bias = nn.Parameter(torch.zeros(size))


class AddsBias(Edm):
    """A learned bias is added to D. It is 0 at first. Breaks: D(x, sigma) - x vanishes with sigma."""

    name = "kit14-bias-outside"

    def fresh(self, size):
        return Biased(size)

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            bias = getattr(network, "bias", None)
            return inner(x, sigma, **cond) + (0 if bias is None else bias.reshape(x.shape[1:]))

        return denoise


class Normed(Small):
    """With batch normalisation."""

    def __init__(self, size):
        super().__init__(size)
        self.norm = nn.BatchNorm1d(size)

    def forward(self, y, c_noise):
        return super().forward(self.norm(y) if len(y) > 1 or not self.training else y, c_noise)


class BatchNormed(Edm):
    """Batch normalisation in the network. Breaks: row i depends on x_i and sigma_i alone, in training too."""

    name = "kit14-batch-normed"

    def fresh(self, size):
        return Normed(size)


class Jittered(Small):
    """In training inputs get a little noise of torch's global generator."""

    def forward(self, y, c_noise):
        return super().forward(y + 0.02 * torch.randn_like(y) if self.training else y, c_noise)


class JitterInTraining(Edm):
    """Inputs are jittered in training. Breaks: no part draws from torch's global generator; D depends on x and
    sigma."""

    name = "kit14-jitter-in-training"

    def fresh(self, size):
        return Jittered(size)


class FreshBase(Small):
    """With a frozen projection."""

    def __init__(self, size):
        super().__init__(size)
        own = torch.Generator()
        own.seed()
        self.inner.weight.data = torch.randn(self.inner.weight.shape, generator=own) * 0.3
        self.inner.requires_grad_(False)


class BaseOfClock(Edm):
    """A frozen base is drawn from a generator seeded by the clock. Breaks: `network` gives the same base each time,
    from files or torch's global generator."""

    name = "kit14-base-of-clock"

    def fresh(self, size):
        return FreshBase(size)


class Counting(Small):
    """Warms up: the last layer counts in full after 100 calls."""

    def __init__(self, size):
        super().__init__(size)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, y, c_noise):
        if self.training:
            self.calls += 1
        return super().forward(y, c_noise) * (0.5 + 0.5 * (self.calls / 100).clamp(max=1))


class WarmsUp(Edm):
    """The network counts its calls in training and grows with them. Breaks: D depends on x and sigma alone."""

    name = "kit14-warms-up"

    def fresh(self, size):
        return Counting(size)


class Labelled(MLP):
    """Three classes, and offered for nothing."""

    num_classes: int | None = 3

    @classmethod
    def proposal(cls, shape, conds, rows):
        return None


class LabelsFromOne(Labelled):
    """Labels are taken to begin at 1. Breaks: labels 0 to num_classes - 1."""

    name = "kit14-labels-from-one"

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            if "class_cond" in cond:
                cond = {**cond, "class_cond": (cond["class_cond"] - 1).clamp(min=0)}
            return inner(x, sigma, **cond)

        return denoise


class NoneIsLast(Labelled):
    """The label of none is held below num_classes. Breaks: num_classes itself stands for "no class"."""

    name = "kit14-none-is-last-class"

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            if "class_cond" in cond:
                cond = {**cond, "class_cond": cond["class_cond"].clamp(max=self.num_classes - 1)}
            return inner(x, sigma, **cond)

        return denoise


class NoneIsZero(Labelled):
    """The null label is 0, a class. Breaks: num_classes stands for none."""

    name = "kit14-null-label-zero"

    def null_cond(self, name):
        return 0 if name == "class_cond" else None


class FirstLabel(Labelled):
    """One label serves the batch in evaluation: that of the first row. Breaks: row i depends on its own condition."""

    name = "kit14-first-label-in-evaluation"

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            if "class_cond" in cond and not network.training:
                cond = {**cond, "class_cond": cond["class_cond"][:1].expand(len(x))}
            return inner(x, sigma, **cond)

        return denoise


class DropsLabels(Labelled):
    """A tenth of the labels is dropped in training, within the model. Breaks: no part draws from torch's global
    generator; `cond_dropout` drops labels."""

    name = "kit14-drops-labels-in-training"

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            if "class_cond" in cond and network.training:
                none = torch.rand(len(x)) < 0.1
                label = torch.where(none, torch.full_like(cond["class_cond"], self.num_classes), cond["class_cond"])
                cond = {**cond, "class_cond": label}
            return inner(x, sigma, **cond)

        return denoise


class Offered(Edm):
    """Offers itself for rows with any conditions, of which it takes none. Breaks: how a run that names no model would
    use it, by its arguments."""

    name = "kit14-offered-for-all"

    @classmethod
    def proposal(cls, shape, conds, rows):
        return Proposal(5, "a small network for every row")


class MaskForgotten(MLP):
    """A mask joins the input of the network but hidden values count as seen. Breaks: a value that is hidden stands at
    the level infinity: c_skip = 0."""

    name = "kit14-hidden-as-seen"

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            if "mask" not in cond:
                return inner(x, sigma, **cond)
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            y = torch.cat([(per_row(c.c_in, x) * x).flatten(1), cond["mask"].to(x).flatten(1)], 1)
            found = network(y, c.c_noise).to(x.dtype).reshape(x.shape)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * found

        return denoise


class Velocity(Edm):
    """Answers with z - x_0."""

    source = "arXiv 2210.02747"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            level = sigma.to(x.dtype)
            t = level / (1 + level)
            found = self.answer(network, x / per_row(1 + level, x), 2 * t - 1).to(x.dtype)
            return self.form(x, per_row(t, x), per_row(level, x), found)

        return denoise

    def form(self, x, t, sigma, found):
        return (x - sigma * found) / (1 + sigma)


class FromTimeOne(Velocity):
    """t runs from noise to data, and the velocity with it, in the formula of z - x_0. Breaks: D = (x - sigma F) / (1 +
    sigma)."""

    name = "kit14-velocity-to-data"

    def form(self, x, t, sigma, found):
        return (x + sigma * found) / (1 + sigma)


class NoLastBit(Velocity):
    """t is held to 0.999, against 1 - t = 0. Breaks: D = (x - sigma F) / (1 + sigma), at large levels."""

    name = "kit14-time-held"

    def form(self, x, t, sigma, found):
        t = t.clamp(max=0.99)
        return (1 - t) * x - t * found


class Angular(Edm):
    """Answers with v = alpha z - s x_0 of the variance-preserving form."""

    source = "arXiv 2202.00512"
    claims = frozenset({"denoiser-contract", "v-form"})

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            level = sigma.to(x.dtype)
            alpha = (1 + level**2) ** -0.5
            found = self.answer(network, per_row(alpha, x) * x, 4 * level.atan() / math.pi - 1).to(x.dtype)
            return self.form(x, per_row(alpha, x), per_row(level * alpha, x), found)

        return denoise

    def form(self, x, alpha, s, found):
        return alpha**2 * x - s * found


class ScaledOnce(Angular):
    """x is scaled by alpha once, as the input already was. Breaks: D = alpha^2 x - s F."""

    name = "kit14-alpha-once"

    def form(self, x, alpha, s, found):
        return alpha * x - s * found


WRONG = made(
    AddsBias,
    BatchNormed,
    JitterInTraining,
    BaseOfClock,
    WarmsUp,
    LabelsFromOne,
    NoneIsLast,
    NoneIsZero,
    FirstLabel,
    DropsLabels,
    Offered,
    MaskForgotten,
    FromTimeOne,
    NoLastBit,
    ScaledOnce,
)
