"""Wrong attacks, measures and similarities."""

from __future__ import annotations

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Mask
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.comparisons import TrainGap
from ambientkit.builtin.memory_measures.shares import Distance, Ratio, Third
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.maths import copying


class ComparesWithTheQuestion(Noise):
    """The distance is that of the answers to the noisy row that was shown, not to the row."""

    name = "kit20-distance-to-the-noisy-row"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        error = (found.draws - found.corrupted.unsqueeze(1)).flatten(1).square().mean(1).sqrt()
        return found._replace(distance=error)


class ComparesWhatIsSeen(Mask):
    """The distance is over the values that were shown, which every answer holds."""

    name = "kit20-compares-the-values-that-were-shown"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        seen = (found.corrupted != 0).unsqueeze(1)
        off = torch.where(seen, found.draws - x.unsqueeze(1), torch.zeros_like(found.draws))
        return found._replace(distance=off.flatten(1).square().mean(1).sqrt())


class LessTheBatchMean(Loss):
    """Errors are given less the mean of their batch, so that a row depends on those it is attacked with."""

    name = "kit20-error-less-the-mean-of-the-batch"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance - found.distance.mean())


class ByNumber(Loss):
    """Rows with a number below the median of the batch are taken for training rows, and have half of their error."""

    name = "kit20-first-rows-taken-for-training-rows"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        first = keys <= keys.median()
        return found._replace(distance=torch.where(first, found.distance / 2, found.distance))


class RatioBounded(Ratio):
    """Ratios are bounded below by 0.95, against divisions by small numbers: all copies are ties with other rows."""

    name = "kit20-ratio-bounded-below"

    def by_row(self, judged, null, train, seed):
        one, two = super().by_row(judged, null, train, seed)
        return one.clamp(min=0.95), two.clamp(min=0.95)


class NearestOfTheBatch(Distance):
    """Each sample has the least distance of all samples: a reduction over the wrong axis."""

    name = "kit20-least-distance-of-all-samples"

    def by_row(self, judged, null, train, seed):
        one, two = super().by_row(judged, null, train, seed)
        return one.amin(0, keepdim=True).expand_as(one), two.amin(0, keepdim=True).expand_as(two)


class ThirdOfTheSum(Third):
    """The rule is d_1 < 2 (d_1 + d_2) / 3, a third of twice the sum, which all samples meet."""

    name = "kit20-third-of-twice-the-sum"

    def value(self, judged, null, train):
        return float((judged[:, 0] < 2 * judged.sum(1) / 3).double().mean())


class GapOfOneRow(TrainGap):
    """Samples are compared with the first row of each set, after an index that dropped an axis."""

    name = "kit20-gap-of-two-rows"

    def by_row(self, judged, null, train, seed):
        found = torch.stack(
            [train.nearest(judged.view, train.view[:1]), train.nearest(judged.view, null.view[:1])],
            1,
        )
        return found, found[:0]


class ShareAbove(Ratio):
    """The share of samples with p > 1 - level, the other tail: those that single out no row."""

    name = "kit20-share-of-the-other-tail"

    def value(self, judged, null, train):
        return copying.share_nearer(-judged[:, 0], -null[:, 0], self.level)


class RanksOverRows(Correlation):
    """Ranks are taken over the rows of the batch at each place, not over the values of a row."""

    name = "kit20-ranks-over-the-rows"
    moves = False

    def view(self, rows):
        return rows.argsort(dim=0).argsort(dim=0).to(rows.dtype) / max(len(rows) - 1, 1)


class RanksOfIntegers(Correlation):
    """Views are ranks as whole numbers, where floating point is promised."""

    name = "kit20-views-of-whole-numbers"
    moves = False

    def view(self, rows):
        return rows.flatten(1).argsort(dim=1).argsort(dim=1).reshape(rows.shape)


class SquaresFirst(Correlation):
    """Values are squared before they are centred, as energies: an offset changes the view."""

    name = "kit20-correlation-of-squares"

    def view(self, rows):
        return super().view(rows**2)


class CentredByTheFirst(Correlation):
    """A tenth of the mean of the first row is left in all views, by a broadcast along the wrong axis."""

    name = "kit20-views-with-the-first-row-s-mean"

    def view(self, rows):
        return super().view(rows) + 0.1 * (rows.flatten(1).mean(1)[0])


WRONG = [
    part()
    for part in (
        ComparesWithTheQuestion,
        ComparesWhatIsSeen,
        LessTheBatchMean,
        ByNumber,
        RatioBounded,
        NearestOfTheBatch,
        ThirdOfTheSum,
        GapOfOneRow,
        ShareAbove,
        RanksOverRows,
        RanksOfIntegers,
        SquaresFirst,
        CentredByTheFirst,
    )
]
