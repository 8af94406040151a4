"""Wrong models of labels and masks, and of forms other than EDM's."""

from __future__ import annotations

import math

import torch

from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import beside

from .bases import made
from .models import LIMIT, Formed, Net, Plain, refuse


class Labelled(Plain):
    """A right one with labels, from which the wrong ones are made."""

    num_classes: int | None = 4

    def null_cond(self, name):
        """num_classes."""
        return self.num_classes if name == "class_cond" else None

    def network(self, signal):
        """With an embedding where rows bring labels."""
        refuse(signal, "class_cond")
        return Net(math.prod(signal.shape), classes=self.num_classes if "class_cond" in signal.conds else None)

    def label(self, cond):
        """What the network is given."""
        return cond["class_cond"]

    def denoiser(self, network, signal):
        """D(x, sigma, class_cond)."""

        def denoise(x, sigma, /, **cond):
            label = (self.label(cond),) if "class_cond" in cond else ()
            return super(Labelled, self).denoiser(lambda y, c: network(y, c, *label), signal)(x, sigma)

        return denoise


class LabelsUnused(Labelled):
    """Takes labels and hands the network 0 for all."""

    name = "kit12-labels-unused"

    def label(self, cond):
        return torch.zeros_like(cond["class_cond"])


class NullIsZero(Labelled):
    """Says that the label 0, a class, stands for none."""

    name = "kit12-null-is-zero"

    def null_cond(self, name):
        return 0 if name == "class_cond" else None


class NullIsLast(Labelled):
    """Cuts labels at the last class, so that none is the last class."""

    name = "kit12-null-is-last"

    def label(self, cond):
        return cond["class_cond"].clamp(max=(self.num_classes or 1) - 1)


class HiddenSkipped(Plain):
    """Takes a mask beside its input, and answers for hidden values with the coefficients of values that are shown."""

    name = "kit12-hidden-skipped"

    def network(self, signal):
        refuse(signal, "mask")
        return Net(math.prod(signal.shape), extra=math.prod(signal.conds.get("mask", (0,))))

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            c = self.coefficients(sigma.to(x.dtype), signal)
            y = (per_row(c.c_in, x) * x).flatten(1)
            answer = network(beside(y, cond), c.c_noise).reshape(x.shape)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * answer

        return denoise


class EpsAdded(Formed):
    """Noise form with the noise added, x + sigma F."""

    name = "kit12-eps-added"
    claims = LIMIT | {"eps-form"}

    def form(self, x, sigma, answer):
        return x + sigma * answer


class EpsOfVP(Formed):
    """Noise form with the s of the variance-preserving form in the place of sigma."""

    name = "kit12-eps-of-vp"
    claims = LIMIT | {"eps-form"}

    def form(self, x, sigma, answer):
        return x - sigma / (1 + sigma**2).sqrt() * answer


class VelocityTurned(Formed):
    """v form with the other sign, alpha^2 x + s F."""

    name = "kit12-velocity-turned"
    claims = LIMIT | {"v-form"}

    def form(self, x, sigma, answer):
        return x / (1 + sigma**2) + sigma / (1 + sigma**2).sqrt() * answer


class VelocityOnce(Formed):
    """v form with alpha x in place of alpha^2 x: our x is taken for that of the variance-preserving form."""

    name = "kit12-velocity-once"
    claims = LIMIT | {"v-form"}

    def form(self, x, sigma, answer):
        alpha = 1 / (1 + sigma**2).sqrt()
        return alpha * x - sigma * alpha * answer


class FlowWhole(Formed):
    """Flow form without the division by 1 + sigma."""

    name = "kit12-flow-whole"
    claims = LIMIT | {"flow-form"}

    def form(self, x, sigma, answer):
        return x - sigma * answer


class FlowUnscaled(Formed):
    """Flow form x - t F of a point that was not scaled by 1 - t."""

    name = "kit12-flow-unscaled"
    claims = LIMIT | {"flow-form"}

    def form(self, x, sigma, answer):
        return x - sigma / (1 + sigma) * answer


class AnswerClipped(Formed):
    """x_0 form that clips the answer to [-1, 1]."""

    name = "kit12-answer-clipped"
    claims = frozenset({"x_0-form"})

    def form(self, x, sigma, answer):
        return answer.clamp(-1, 1)


class AnswerAdded(Formed):
    """x_0 form with a residual connection, x + F."""

    name = "kit12-answer-added"
    claims = frozenset({"x_0-form"})

    def form(self, x, sigma, answer):
        return x + answer


WRONG = made(globals())
