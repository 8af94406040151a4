"""Wrong attacks, measures of memory and similarities."""

from __future__ import annotations

import torch

from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt, MemoryMeasure, Similarity


class OwnLoss(Attack):
    """The error of the denoiser, relative to the mean of the rows that are attacked together."""

    name = "ten-attack-relative-to-the-batch"
    claims = frozenset({"blind"})

    def attempt(self, x, keys, target):
        level = target.sigma_data
        missing = max(level**2 - target.sigma_n**2, 0.0) ** 0.5
        noisy = x + missing * standard_normal(x, target.generators("ten.loss", keys))
        draws = target.denoised(noisy, torch.full((len(x),), level)).unsqueeze(1)
        error = (draws[:, 0] - x).flatten(1).double().square().mean(1).sqrt()
        return Attempt(noisy, draws, error / error.mean())


class Inverted(Attack):
    """How well a row is denoised: large where it looks memorised."""

    name = "ten-attack-score-not-distance"
    claims = frozenset({"blind"})

    def attempt(self, x, keys, target):
        level = target.sigma_data
        missing = max(level**2 - target.sigma_n**2, 0.0) ** 0.5
        noisy = x + missing * standard_normal(x, target.generators("ten.loss", keys))
        draws = target.denoised(noisy, torch.full((len(x),), level)).unsqueeze(1)
        error = (draws[:, 0] - x).flatten(1).double().square().mean(1)
        return Attempt(noisy, draws, -10 * error.log10())


class SortedApart(MemoryMeasure):
    """The ratio of the two distances, the first of them sorted, so that they are those of different rows."""

    name = "ten-measure-columns-apart"
    title = "mean distance"
    means = "mean distance to the nearest training row over that of the second"
    claims = frozenset({"sees-copies", "blur-proof"})

    def by_row(self, judged, null, train, seed):
        order = judged.distance[:, 0].argsort()
        return torch.stack([judged.distance[order, 0], judged.distance[:, 1]], 1), null.distance[:0]

    def value(self, judged, null, train):
        return float((judged[:, 0] / judged[:, 1]).mean())


class SelfNear(MemoryMeasure):
    """Samples beside the training rows' distances to themselves, which are 0: nobody is ever nearer."""

    name = "ten-measure-own-neighbour"
    title = "nearer than rows among themselves"
    means = "share of samples nearer to a training row than training rows are to each other"
    claims = frozenset({"sees-copies"})

    def by_row(self, judged, null, train, seed):
        own = train.nearest(train.view, train.view)
        return torch.stack([judged.distance[:, 0], own[judged.row[:, 0]]], 1), null.distance[:0]

    def value(self, judged, null, train):
        return float((judged[:, 0] < judged[:, 1]).double().mean())


class Whitened(Similarity):
    """Values over the std of the rows that are compared together."""

    name = "ten-similarity-of-the-batch"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        return (rows - rows.mean(0)) / rows.std(0, unbiased=False).clamp(min=1e-3)


class ByMaximum(Similarity):
    """Contrast taken out by the largest value: brightness stays."""

    name = "ten-similarity-by-maximum"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        return (flat / flat.abs().amax(1, keepdim=True)).reshape(rows.shape)


PARTS = (OwnLoss, Inverted, SortedApart, SelfNear, Whitened, ByMaximum)
