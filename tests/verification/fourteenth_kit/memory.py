"""Wrong attacks, similarities and measures of memory."""

from __future__ import annotations

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Mask
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.comparisons import Authenticity, TrainGap
from ambientkit.builtin.memory_measures.shares import Distance, Ratio
from ambientkit.errors import InputError
from ambientkit.maths import copying
from ambientkit.memorisation_parts import Similarity

from .bases import made


class DrawsRepeated(Noise):
    """One draw for each row, repeated. Breaks: (B, K, *S), `draws` answers for each row."""

    name = "kit14-one-draw-repeated"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(draws=found.draws[:, :1].expand_as(found.draws))


class BestDraw(Noise):
    """The draw that lies nearest to the row is put in place of all, and the mean over the batch taken off its distance.
    Breaks: a row's attack does not depend on the others."""

    name = "kit14-distance-less-mean"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        near = (found.draws - x.unsqueeze(1)).flatten(2).square().mean(2).sqrt().amin(1)
        return found._replace(distance=near - near.mean())


class LateRefusal(Loss):
    """A level out of range is refused after the questions. Breaks: raises InputError before the work."""

    name = "kit14-refuses-late"

    def attempt(self, x, keys, target):
        level = target.sigma_data if self.level is None else self.level
        found = super(LateRefusal, self.model_copy(update={"level": None})).attempt(x, keys, target)
        if not max(target.levels.sigma_min, target.sigma_n) < level < target.levels.sigma_max:
            raise InputError(f"level {level:g} is out of range")
        return found


class OneMask(Mask):
    """One mask for all rows, of the first key. Breaks: keyed by `keys`, row by row."""

    name = "kit14-one-mask-for-all"

    def attempt(self, x, keys, target):
        return super().attempt(x, keys[:1].expand_as(keys), target)


class ShownInFull(Mask):
    """What the model was shown is said to be the whole row. Breaks: `corrupted` is what the model was shown."""

    name = "kit14-said-shown-in-full"

    def attempt(self, x, keys, target):
        return super().attempt(x, keys, target)._replace(corrupted=x)


class LossOfBatch(Loss):
    """Errors are divided by their largest in the batch. Breaks: which rows are beside it must not matter."""

    name = "kit14-loss-over-largest"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance / found.distance.max())


class Stretched(Similarity):
    """Each row is stretched to [0, 1] by its own range; a flat row is divided by 0. Breaks: finite, a flat row too."""

    name = "kit14-stretched-to-range"
    claims = frozenset({"row-by-row", "brightness-free"})
    moves = True

    def view(self, rows):
        flat = rows.flatten(1)
        low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
        return ((flat - low) / (high - low)).reshape(rows.shape)


class InChunks(Similarity):
    """Values less the mean over chunks of four rows, for speed. Breaks: a row's view does not depend on the others."""

    name = "kit14-centred-in-chunks"
    claims = frozenset({"row-by-row"})
    moves = True

    def view(self, rows):
        return torch.cat([part - (part.mean() if len(part) > 1 else 0) for part in rows.split(4)])


class FirstHalf(Distance):
    """Only the first hundred samples are counted. Breaks: a figure of these rows, in any order."""

    name = "kit14-first-hundred"

    def value(self, judged, null, train):
        return copying.share_nearer(judged[:100, 0], null[:, 0], self.level)


class OfSecond(Authenticity):
    """The distance of the second nearest row to the others. Breaks: that of the nearest: below the figure of held-out
    rows where rows are copies."""

    name = "kit14-own-distance-of-second"

    def by_row(self, judged, null, train, seed):
        found = torch.stack([judged.distance[:, 1], train.own_distance[judged.row[:, 1]]], 1)
        return found, found[:0]


class GapOfGlobal(TrainGap):
    """Rows are chosen by torch's global generator. Breaks: keyed by the seed."""

    name = "kit14-gap-of-global-generator"

    def by_row(self, judged, null, train, seed):
        known, unseen = torch.randperm(len(train.view)), torch.randperm(len(null.view))
        size = min(len(known), len(unseen))
        one, other = train.view[known[:size]], null.view[unseen[:size]]
        found = torch.stack([train.nearest(judged.view, one), train.nearest(judged.view, other)], 1)
        return found, found[:0]


class FixedRatio(Ratio):
    """The p-values are of the samples pooled with held-out rows. Breaks: an extreme among held-out rows: where many are
    copies none is."""

    name = "kit14-pooled-null"

    def value(self, judged, null, train):
        return copying.share_nearer(judged[:, 0], torch.cat([judged, null])[:, 0], self.level)


WRONG = made(
    DrawsRepeated,
    BestDraw,
    LateRefusal,
    OneMask,
    ShownInFull,
    LossOfBatch,
    Stretched,
    InChunks,
    FirstHalf,
    OfSecond,
    GapOfGlobal,
    FixedRatio,
)
