"""Wrong objectives above the noise of the data: how one value is made of a row, of pairs, and of clean rows."""

from __future__ import annotations

import torch

from ambientkit.batch import Term
from ambientkit.builtin.objectives.tweedie import Tweedie

from .bases import Above, OfClean


class SumsPixels(Above):
    """The sum over the values of a row, not their mean: pictures count by their size."""

    name = "kit17-sums-over-pixels"

    def reduce(self, each):
        return each.flatten(1).sum(1)


class SumsRows(Above):
    """The mean over columns and the sum over the lines of a picture, as one axis was forgotten."""

    name = "kit17-sums-over-lines"

    def reduce(self, each):
        return each.flatten(2).mean(1).sum(1) / each.shape[-1] if each.ndim == 4 else each.flatten(1).mean(1)


class OneChannel(Above):
    """The first channel alone is compared, as grey pictures have no other."""

    name = "kit17-compares-the-first-channel"

    def reduce(self, each):
        return each[:, :1].flatten(1).mean(1) if each.ndim > 2 else each.flatten(1).mean(1)


class SkipsTheLast(Above):
    """Rows are taken in chunks of four, and the last, which is not whole, is not compared."""

    name = "kit17-drops-the-last-chunk-of-rows"

    def loss(self, denoiser, batch, tools):
        found = super().loss(denoiser, batch, tools)["above"]
        whole = len(found.value) - len(found.value) % 4
        keep = (torch.arange(len(found.value), device=found.value.device) < whole).to(found.value)
        return {"above": Term(found.value * keep, found.sigma)}


class MeanOfTheBatch(Above):
    """Each row has the mean of the batch as its value, so that the loss by level is flat."""

    name = "kit17-the-batch-s-mean-for-each-row"

    def term(self, value, sigma, batch):
        return Term(value.mean().expand_as(value) if len(value) else value, sigma)


class Detached(Tweedie):
    """The mixture is made of a detached estimate where rows come in pairs, so that these teach nothing."""

    name = "kit17-pairs-without-gradient"

    def _value(self, denoiser, batch, view, cap, tools):
        value = super()._value(denoiser, batch, view, cap, tools)
        return torch.where(cap > self.cap, value.detach(), value)


class PairsCountTwice(Tweedie):
    """Rows of pairs count twice in the scale of x_0, as a pair is taken for two rows of half the weight."""

    name = "kit17-pairs-count-twice"

    def _value(self, denoiser, batch, view, cap, tools):
        value = super()._value(denoiser, batch, view, cap, tools)
        return torch.where(cap > self.cap, 2 * value, value)


class CleanByRoot(OfClean):
    """Denoising with the root of the EDM weight, as a residual was meant to be weighed and not its square."""

    name = "kit17-denoises-by-the-root-of-lambda"

    def weigh(self, sigma, batch, tools):
        return super().weigh(sigma, batch, tools).sqrt()


class CleanOfTheView(OfClean):
    """Denoising in the scale of the noise: (D - x_0) over sigma + 0.1, weighed by 1, where lambda is claimed."""

    name = "kit17-denoises-over-sigma"

    def weigh(self, sigma, batch, tools):
        return 1 / (sigma + 0.1) ** 2 + 1 / tools.signal.sigma_data**2


class OverTheLargest(Above):
    """Values are divided by the largest of the batch, through which the gradient passes too."""

    name = "kit17-values-over-their-largest"

    def reduce(self, each):
        value = super().reduce(each)
        return value / value.abs().amax().clamp(min=1e-6) if len(value) else value


WRONG = [value() for value in list(globals().values()) if isinstance(value, type) and value.__module__ == __name__]
