"""Wrong attacks, measures and similarities."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Mask
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.comparisons import Authenticity, DataCopying, TrainGap
from ambientkit.builtin.memory_measures.shares import Distance, Ratio, Third
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.builtin.similarities.pixels import PixelValues
from ambientkit.maths import copying


class Likelihood(Loss):
    """The distance is less the error, as a likelihood is large where a row is known."""

    name = "kit17-error-taken-for-a-likelihood"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=-found.distance)


class ErrorOfAnother(Loss):
    """Draws and rows are exchanged in a reshape, so that a row is compared with the answers to others."""

    name = "kit17-draws-of-other-rows"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        mixed = found.draws.flatten(0, 1).unflatten(0, (found.draws.shape[1], -1)).transpose(0, 1)
        error = (mixed - x.unsqueeze(1)).flatten(1).double().square().mean(1).sqrt()
        return found._replace(draws=mixed, distance=error)


class ErrorOfTheBatch(Loss):
    """All rows of a batch have its mean error."""

    name = "kit17-error-of-the-batch"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance.mean().expand_as(found.distance))


class NumberOfTheRow(Loss):
    """Ties are broken by the number of a row, which is so large a term that it decides."""

    name = "kit17-ties-broken-by-the-key"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance + 0.01 * keys.to(found.distance))


class GivesTheQuestion(Noise):
    """What is given back is the noisy row itself."""

    name = "kit17-gives-back-the-question"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(draws=found.corrupted.unsqueeze(1).expand_as(found.draws).contiguous())


class GivesTheRow(Mask):
    """Draws are filled in from the row where the model was to answer, so that every row is found."""

    name = "kit17-answers-filled-in-from-the-row"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(draws=x.unsqueeze(1).expand_as(found.draws).contiguous())


class MovedByOne(Noise):
    """Answers are those of the next row, as the list of batches begins one too late."""

    name = "kit17-answers-of-the-next-row"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(draws=found.draws.roll(1, 0))


class RatioInverted(Ratio):
    """The ratio is that of the second distance to the first: copies have the largest, and small ones count."""

    name = "kit17-ratio-of-the-second-to-the-first"

    def by_row(self, judged, null, train, seed):
        return tuple(1 / one.clamp(min=1e-9) for one in super().by_row(judged, null, train, seed))


class OwnNull(Ratio):
    """Samples are judged by themselves: the share is the level, whatever they are."""

    name = "kit17-samples-are-their-own-null"

    def value(self, judged, null, train):
        return super().value(judged, judged, train)


class SecondNeighbour(Distance):
    """The distance is that to the second nearest training row, as counting begins at 1."""

    name = "kit17-distance-to-the-second"

    def by_row(self, judged, null, train, seed):
        return judged.distance[:, 1:], null.distance[:, 1:]


class DistanceBlurProof(Distance):
    """The distance claims that blurred pictures are no copies to it, which its ratio alone knows."""

    name = "kit17-distance-claims-blur-proof"
    claims = Distance.claims | {"blur-proof"}


class FirstNull(Distance):
    """The distances of held-out rows are kept from the first call, and used for other data too."""

    name = "kit17-null-kept-between-calls"

    kept: ClassVar[dict] = {}

    def by_row(self, judged, null, train, seed):
        found, own = super().by_row(judged, null, train, seed)
        if own.numel():
            self.kept.setdefault("null", own)
        return found, self.kept.get("null", own)[: len(own)]


class ThreeTimes(Third):
    """The rule is d_1 < 3 d_2, which all rows meet."""

    name = "kit17-three-times-not-a-third"

    def value(self, judged, null, train):
        return copying.share_of_third(judged, 3.0)


class WholeShare(Third):
    """The share is cut to a whole number, as two counts were divided as integers."""

    name = "kit17-share-by-integer-division"

    def value(self, judged, null, train):
        return float(int(super().value(judged, null, train)))


class GapOfOneSet(TrainGap):
    """Both distances are those to training rows: the gap is 0."""

    name = "kit17-gap-of-one-set"

    def by_row(self, judged, null, train, seed):
        found, rest = super().by_row(judged, null, train, seed)
        return found[:, :1].expand(-1, 2).contiguous(), rest


class OwnOnBothSides(Authenticity):
    """Both sides of the comparison are the own distance of the training row, so that no sample is authentic."""

    name = "kit17-own-distance-on-both-sides"

    def value(self, judged, null, train):
        return copying.authenticity(judged[:, 1], judged[:, 1])


class OneCell(DataCopying):
    """Distances of samples and held-out rows are pooled before their ranks are taken: the figure is always 0."""

    name = "kit17-ranks-of-the-pool"

    def value(self, judged, null, train):
        pool = torch.cat([judged, null])
        return copying.data_copying(pool[:, 0], pool[:, 0], pool[:, 1], pool[:, 1], copying.CELLS)


class BatchContrast(Correlation):
    """Rows are divided by the std of the batch."""

    name = "kit17-contrast-of-the-batch"

    def view(self, rows):
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / centred.square().mean().sqrt().clamp(min=1e-3)).reshape(rows.shape)


class InPlace(Correlation):
    """Rows are centred in place."""

    name = "kit17-centres-its-rows-in-place"

    def view(self, rows):
        rows.sub_(rows.flatten(1).mean(1).reshape(-1, *[1] * (rows.ndim - 1)))
        return super().view(rows)


class FlatRows(Correlation):
    """A flat row is divided by its std, 0."""

    name = "kit17-flat-rows-divided-by-zero"

    def view(self, rows):
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / centred.square().mean(1, keepdim=True).sqrt()).reshape(rows.shape)


class CosineOnly(Correlation):
    """Rows are divided by their norm without being centred: brightness counts."""

    name = "kit17-cosine-claims-brightness-free"

    def view(self, rows):
        flat = rows.flatten(1)
        return (flat / flat.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)).reshape(rows.shape)


class LessTheMean(PixelValues):
    """Views are taken less the mean picture of the batch, so that a row depends on the others."""

    name = "kit17-less-the-mean-picture"

    def view(self, rows):
        return rows - rows.mean(0, keepdim=True)


class RangeOfAll(Correlation):
    """Rows are stretched to [0, 1] by the range of the batch."""

    name = "kit17-stretched-by-the-batch"

    def view(self, rows):
        return (rows - rows.min()) / (rows.max() - rows.min()).clamp(min=1e-3)


WRONG = [value() for value in list(globals().values()) if isinstance(value, type) and value.__module__ == __name__]
