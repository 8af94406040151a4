"""Attacks, similarities and measures of memory."""

from __future__ import annotations

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.memory_measures.shares import Distance
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt, MemoryMeasure, Similarity
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []


class AtLevel(Attack):
    """The error of one denoising at the std of the data."""

    source = "membership inference by the denoising loss"
    claims = frozenset({"blind"})

    def noise(self, x, keys, target):
        return standard_normal(x, target.generators("six.attack", keys))

    def distance(self, x, answers):
        return (answers - x).flatten(1).double().square().mean(1).sqrt()

    def attempt(self, x, keys, target):
        level = target.sigma_data
        noisy = x + (max(level**2 - target.sigma_n**2, 0.0)) ** 0.5 * self.noise(x, keys, target)
        answers = target.denoised(noisy, torch.full((len(x),), level))
        return Attempt(noisy, answers.unsqueeze(1), self.distance(x, answers))


@marked(RIGHT, "one denoising at the std of the data")
class OneDenoising(AtLevel):
    name = "six-one-denoising"


@marked(WRONG, "the distance has the other sign: what is denoised well looks strange")
class OtherSign(AtLevel):
    name = "six-attack-sign"

    def distance(self, x, answers):
        return -super().distance(x, answers)


@marked(WRONG, "noise by torch's global generator")
class GlobalAttack(AtLevel):
    name = "six-attack-global"

    def noise(self, x, keys, target):
        return torch.randn_like(x)


@marked(WRONG, "the row itself is given back as a draw: everything looks memorised")
class GivesBack(AtLevel):
    name = "six-gives-back"

    def attempt(self, x, keys, target):
        return Attempt(x, x.unsqueeze(1))


@marked(WRONG, "distances are ranks within the batch: a row depends on the rows attacked with it")
class Ranked(Loss):
    name = "six-ranked"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance.argsort().argsort().double())


@marked(RIGHT, "differences of neighbours, over their size in the row")
class Edges(Similarity):
    name = "six-edges"
    source = "the definition"
    claims = frozenset({"row-by-row", "brightness-free"})
    moves = True

    def view(self, rows):
        edges = rows[..., 1:] - rows[..., :-1]
        size = edges.flatten(1).square().mean(1).sqrt().clamp(min=1e-3)
        return edges / size.reshape(-1, *[1] * (rows.ndim - 1))


@marked(WRONG, "rows are centred by the mean of the batch")
class CentredByBatch(Similarity):
    name = "six-centred-by-batch"
    source = "none"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        return rows - rows.mean(0, keepdim=True)


@marked(WRONG, "a flat row is divided by its std 0")
class FlatRow(Similarity):
    name = "six-flat-row"
    source = "none"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        return ((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)).reshape(rows.shape)


@marked(WRONG, "the mean is taken off, the contrast stays, and freedom of both is claimed")
class ContrastStays(Similarity):
    name = "six-contrast-stays"
    source = "none"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        return rows - rows.flatten(1).mean(1).reshape(-1, *[1] * (rows.ndim - 1))


@marked(WRONG, "rows are scaled in place")
class ScaledInPlace(Similarity):
    name = "six-similarity-in-place"
    source = "none"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        return rows.clamp_(-1, 1)


class MedianRatio(MemoryMeasure):
    """The share of samples whose ratio of nearest distances lies below that of nearly all held-out rows."""

    source = "a quantile"
    claims = frozenset({"sees-copies", "blur-proof"})
    title = "low ratios"
    means = "share of samples with a ratio below the hundredth part of held-out rows; above 0.01: copies"

    def by_row(self, judged, null, train, seed):
        return tuple((one.distance[:, :1] / one.distance[:, 1:].clamp(min=1e-9)) for one in (judged, null))

    def value(self, judged, null, train):
        return float((judged[:, 0] < torch.quantile(null[:, 0].double(), 0.01)).double().mean())


@marked(RIGHT, "a quantile of the ratios of held-out rows")
class LowRatios(MedianRatio):
    name = "six-low-ratios"


@marked(WRONG, "the quantile is that of the samples themselves: the share is always the same")
class OwnQuantile(MedianRatio):
    name = "six-own-quantile"

    def value(self, judged, null, train):
        return float((judged[:, 0] < torch.quantile(judged[:, 0].double(), 0.01)).double().mean())


@marked(WRONG, "blurred rows count as copies, though the measure is said to be proof against it")
class BlurCounts(Distance):
    name = "six-blur-counts"
    claims = frozenset({"sees-copies", "blur-proof"})
