"""Wrong objectives: values, levels below the noise, and what is kept."""

from __future__ import annotations

import torch

from ambientkit.batch import Term
from ambientkit.maths.weights import edm_weight

from .bases import OfClean, TopUp, made


class WeightsOfBatch(TopUp):
    """Weights are divided by their mean over the batch, and multiplied by a typical one. Breaks: lambda is a function
    of the row's own level."""

    name = "kit14-weights-over-mean"

    def scale(self, sigma, batch, tools):
        found = super().scale(sigma, batch, tools)
        return found / found.mean() * edm_weight(sigma.new_tensor([0.3]), tools.signal.sigma_data)


class SumOfChannels(OfClean):
    """Channels are summed and pixels averaged. Breaks: mean(c^2) over all values."""

    name = "kit14-sum-of-channels"

    def value(self, error, sigma, tools):
        found = super().value(error, sigma, tools)
        return found * error.shape[1] if error.ndim == 4 else found


class SpreadOfBatch(TopUp):
    """lambda with the spread of the batch in place of the signal's. Breaks: lambda the EDM weight of sigma_data."""

    name = "kit14-spread-of-batch"

    def scale(self, sigma, batch, tools):
        if len(batch.x_n) == 1:
            return super().scale(sigma, batch, tools)
        return edm_weight(sigma, max(float(batch.x_n.std()), 1e-3))


class ScaledByMemory(TopUp):
    """Values are divided by a running mean of their size, once ten calls have been made. Breaks: a loss in the scale of
    x_0, in each call."""

    name = "kit14-scaled-after-ten-calls"

    def scale(self, sigma, batch, tools):
        found = super().scale(sigma, batch, tools)
        calls = tools.memory.get("calls", torch.zeros(()))
        mean = tools.memory.get("mean", torch.ones(()))
        tools.memory["calls"], tools.memory["mean"] = calls + 1, 0.9 * mean + 0.1 * found.mean().detach().cpu().float()
        return found / tools.memory["mean"] if float(calls) >= 10 else found


class NamesBySize(TopUp):
    """Keeps a running mean for each size of batch, under names of their own. Breaks: names in the memory stay those of
    the first call."""

    name = "kit14-names-by-size"

    def used(self, batch, tools):
        name = f"rows-{len(batch.x_n)}"
        tools.memory[name] = tools.memory.get(name, torch.zeros(())) + 1
        return batch


class KeepsGraph(TopUp):
    """Keeps a running mean of the values with its graph, and takes it off as a control variate. Breaks: the memory is
    saved with the run; the next step does not pass into the last."""

    name = "kit14-keeps-graph"

    def loss(self, denoiser, batch, tools):
        found = super().loss(denoiser, batch, tools)["top-up"]
        mean = tools.memory.get("mean", found.value.new_zeros(()))
        tools.memory["mean"] = 0.9 * mean + 0.1 * found.value.mean()
        return {"top-up": Term(found.value - mean + mean.detach(), found.sigma)}


class MinusOwnMean(TopUp):
    """The mean of the batch is taken off each value, to lower the variance. Breaks: the gradient of lambda E|D -
    x_0|^2 is lost."""

    name = "kit14-minus-own-mean"

    def mean(self, error):
        found = super().mean(error)
        return found - found.mean() if len(found) > 1 else found


class RareLarge(TopUp):
    """Values above 100 times the median of the batch are left at 0, as outliers. Breaks: the mean loss is lambda
    E|D - x_0|^2."""

    name = "kit14-outliers-out"

    def mean(self, error):
        found = super().mean(error)
        size = found.detach().abs()
        return torch.where(size > 100 * size.median(), torch.zeros_like(found), found)


class SquareInHalf(OfClean):
    """The squared error is computed in half precision, where it overflows at large errors and vanishes at small ones.
    Breaks: lambda delta^2 mean(c^2), for small delta."""

    name = "kit14-square-in-half"

    def value(self, error, sigma, tools):
        square = error.to(torch.float16).square().to(error.dtype)
        return edm_weight(sigma, tools.signal.sigma_data) * square.flatten(1).mean(1)


class NoisyLetThrough(OfClean):
    """Refuses a batch only where all of its rows are noisy. Breaks: refuses rows that carry noise."""

    name = "kit14-refuses-all-noisy"

    def noisy(self, floor):
        return bool((floor > 0).all())


WRONG = made(
    WeightsOfBatch,
    SumOfChannels,
    SpreadOfBatch,
    ScaledByMemory,
    NamesBySize,
    KeepsGraph,
    MinusOwnMean,
    RareLarge,
    SquareInHalf,
    NoisyLetThrough,
)
