"""Wrong attacks, measures of memory and similarities."""

from __future__ import annotations

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Box, Mask
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.comparisons import Authenticity, DataCopying, TrainGap
from ambientkit.builtin.memory_measures.shares import Distance, Ratio, Third
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.builtin.similarities.pixels import PixelValues
from ambientkit.maths import copying
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt
from tests.verification.fifteenth_kit.bases import made


class AnnealedAlongRows(Attack):
    """The level grows along the rows of the call, "to try several": a row's distance depends on its place, and
    training rows are handed in before the others."""

    name = "kit16-level-grows-along-the-rows"
    claims = Loss.claims

    def attempt(self, x, keys, target):
        level = target.sigma_data * torch.linspace(0.7, 1.4, len(x))
        noisy = x + level.reshape(-1, *[1] * (x.ndim - 1)) * standard_normal(x, target.generators("kit16.grows", keys))
        found = target.denoised(noisy, level)
        return Attempt(noisy, found.unsqueeze(1), (found - x).flatten(1).square().mean(1).sqrt())


class LessTheMean(Loss):
    """The error of a row less the mean of its call, "as a score": training rows and held-out rows that come in calls of
    their own have the same mean."""

    name = "kit16-error-less-the-mean-of-the-call"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance - found.distance.mean())


class RankOfTheCall(Noise):
    """The distance is the rank within the call."""

    name = "kit16-rank-within-the-call"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        near = (found.draws - x.unsqueeze(1)).flatten(2).square().mean((1, 2))
        return found._replace(distance=near.argsort().argsort().double())


class DrawsOfOtherRows(Loss):
    """The answers are laid out as (draws, rows) and read as (rows, draws)."""

    name = "kit16-draws-of-other-rows"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        draws = found.draws.transpose(0, 1).reshape(found.draws.shape)
        return found._replace(draws=draws, distance=(draws - x.unsqueeze(1)).flatten(1).square().mean(1).sqrt())


class KeysByPlace(Noise):
    """Noise is keyed by the place in the call, not by the row: a row alone is another attack."""

    name = "kit16-noise-keyed-by-the-place"

    def attempt(self, x, keys, target):
        return super().attempt(x, torch.arange(len(keys)), target)


class GlobalNoise(Noise):
    """Noise by torch's global generator: asked again, the row has another distance."""

    name = "kit16-attack-with-global-noise"

    def attempt(self, x, keys, target):
        level = min(4 * target.sigma_data, 0.99 * target.levels.sigma_max)
        noisy = x + level * torch.randn_like(x)
        return Attempt(noisy, target.restored(noisy, level, keys))


class RowLeftIn(Noise):
    """The mean of the draws and of the row itself is handed back as the draw, as in blending."""

    name = "kit16-draws-blended-with-the-row"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(draws=0.02 * found.draws + 0.98 * x.unsqueeze(1))


class SignOfTheMean(Box):
    """What is compared is the sign of the mean of the row: two values, which half of all rows share."""

    name = "kit16-compares-the-sign-of-the-mean"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        near = (found.draws.flatten(2).mean(2).sign() - x.flatten(1).mean(1, keepdim=True).sign()).abs().mean(1)
        return found._replace(distance=near)


class Similar(Noise):
    """The distance is a similarity, the correlation with the row: large where it is memorised."""

    name = "kit16-similarity-for-distance"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        draws, rows = found.draws.flatten(2), x.flatten(1).unsqueeze(1)
        return found._replace(distance=torch.nn.functional.cosine_similarity(draws, rows, dim=2).mean(1))


class OneDraw(Noise):
    """Gives one draw back, however many are wanted."""

    name = "kit16-one-draw-whatever-is-wanted"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(draws=found.draws[:, :1])


class BestOfSeen(Mask):
    """The distance is taken on the values that were shown, which the draw copies from the row."""

    name = "kit16-distance-where-it-was-shown"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        seen = (found.corrupted != 0).to(x)
        near = ((found.draws - x.unsqueeze(1)) * seen.unsqueeze(1)).flatten(1).square().mean(1)
        return found._replace(distance=near.sqrt())


class ChangesRows(Loss):
    """The mean of the call is subtracted from the rows that were given, in place."""

    name = "kit16-attack-changes-the-rows"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        x.sub_(x.mean())
        return found


class SecondNearest(Distance):
    """The distance to the second nearest training row: a copy of a row is near to one alone."""

    name = "kit16-distance-to-the-second"

    def by_row(self, judged, null, train, seed):
        return judged.distance[:, 1:], null.distance[:, 1:]


class SmallerSide(Ratio):
    """Counts rows that are farther than held-out rows: the sign of the scores was lost."""

    name = "kit16-counts-the-far-ones"

    def value(self, judged, null, train):
        return copying.share_nearer(-judged[:, 0], -null[:, 0], self.level)


class Counted(Third):
    """The number of copies, not their share: it cannot be put beside that of fewer held-out rows."""

    name = "kit16-number-not-share"

    def value(self, judged, null, train):
        return copying.share_of_third(judged) * len(judged)


class FirstTen(Ratio):
    """Looks at the first ten rows."""

    name = "kit16-looks-at-ten-rows"

    def value(self, judged, null, train):
        return copying.share_nearer(judged[:10, 0], null[:, 0], self.level)


class UpperQuartile(Third):
    """The upper quartile of d_1 / d_2, which copies of less than three quarters of the samples do not move much."""

    name = "kit16-upper-quartile-of-the-ratio"

    def value(self, judged, null, train):
        return float((judged[:, 0] / judged[:, 1].clamp(min=1e-12)).quantile(0.75))


class OwnByOrder(Authenticity):
    """The distances of training rows among each other are sorted, and no longer belong to the nearest row."""

    name = "kit16-own-distance-by-order"

    def by_row(self, judged, null, train, seed):
        m = len(judged.distance)
        own = train.own_distance.repeat(m // len(train.own_distance) + 1)[:m]
        found = torch.stack([judged.distance[:, 0], own.sort().values.flip(0)], 1)
        return found, found[:0]


class ScaledByJudged(Distance):
    """Distances of both sides over their own mean: the copies' small distances leave the share as it is."""

    name = "kit16-distances-over-their-own-mean"

    def by_row(self, judged, null, train, seed):
        a, b = super().by_row(judged, null, train, seed)
        return a / a.mean().clamp(min=1e-12), b / b.mean().clamp(min=1e-12) if len(b) else b


class GlobalGap(TrainGap):
    """The rows compared with are chosen by torch's global generator: a second run of the figure is another one."""

    name = "kit16-gap-by-the-global-generator"

    def by_row(self, judged, null, train, seed):
        return super().by_row(judged, null, train, int(torch.randint(2**31, ())))


class GapOfAll(TrainGap):
    """Against all training rows, of which there are more than held-out ones: nearer for their number alone."""

    name = "kit16-gap-with-more-training-rows"

    def by_row(self, judged, null, train, seed):
        found = torch.stack(
            [
                train.nearest(judged.view, train.view),
                train.nearest(judged.view, null.view[: max(1, len(null.view) // 2)]),
            ],
            1,
        )
        return found, found[:0]


class DistanceIsBlurProof(Distance):
    """Claims not to take blurred pictures for copies, by a distance divided by the norm of the view."""

    name = "kit16-distance-over-norm-blur-proof"
    claims = frozenset({"sees-copies", "blur-proof"})

    def by_row(self, judged, null, train, seed):
        def norm(one):
            return one.view.flatten(1).square().mean(1).sqrt().clamp(min=1e-6)

        return (judged.distance[:, 0] / norm(judged)).unsqueeze(1), (null.distance[:, 0] / norm(null)).unsqueeze(1)


class RanksAlone(DataCopying):
    """Distances of samples and held-out rows are ranked each among their own, and the statistic is 0 for any."""

    name = "kit16-ranks-each-side-alone"

    def value(self, judged, null, train):
        def ranked(one):
            place = one[:, 0].argsort().argsort().double() / max(len(one), 1)
            return torch.stack([place, 0 * one[:, 1]], 1)

        return super().value(ranked(judged), ranked(null), train)


class ClipsRows(Correlation):
    """Rows are clipped to [-1, 1] first, and bright ones lose what is beyond."""

    name = "kit16-clips-before-it-compares"

    def view(self, rows):
        return super().view(rows.clamp(-1, 1))


class LargeEpsilon(Correlation):
    """The std has 0.1 added: rows of low contrast differ less."""

    name = "kit16-std-with-a-tenth-added"

    def view(self, rows):
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / (centred.std(1, keepdim=True) + 0.1)).reshape(rows.shape)


class OverItsMaximum(Correlation):
    """A row over its largest value: an offset counts."""

    name = "kit16-over-the-largest-value"

    def view(self, rows):
        return rows / rows.flatten(1).abs().amax(1).clamp(min=1e-6).reshape(-1, *[1] * (rows.ndim - 1))


class FlatIsNan(Correlation):
    """No bound below the std: a flat row is 0 / 0."""

    name = "kit16-flat-rows-are-nan"

    def view(self, rows):
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / centred.norm(dim=1, keepdim=True)).reshape(rows.shape)


class LessTheMeanRow(PixelValues):
    """Rows less the mean row of the call."""

    name = "kit16-less-the-mean-row"

    def view(self, rows):
        return rows - rows.mean(0, keepdim=True)


class InPlaceView(PixelValues):
    """Rows less their mean, written into the rows that were given."""

    name = "kit16-centres-rows-in-place"

    def view(self, rows):
        return rows.sub_(rows.flatten(1).mean(1).reshape(-1, *[1] * (rows.ndim - 1)))


class Whole(PixelValues):
    """Eight-bit whole numbers, which are not floating point."""

    name = "kit16-whole-numbers"

    def view(self, rows):
        return ((rows + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


WRONG = made(
    AnnealedAlongRows,
    LessTheMean,
    RankOfTheCall,
    DrawsOfOtherRows,
    KeysByPlace,
    GlobalNoise,
    RowLeftIn,
    SignOfTheMean,
    Similar,
    OneDraw,
    BestOfSeen,
    ChangesRows,
    SecondNearest,
    SmallerSide,
    Counted,
    FirstTen,
    UpperQuartile,
    OwnByOrder,
    ScaledByJudged,
    GlobalGap,
    GapOfAll,
    DistanceIsBlurProof,
    RanksAlone,
    ClipsRows,
    LargeEpsilon,
    OverItsMaximum,
    FlatIsNan,
    LessTheMeanRow,
    InPlaceView,
    Whole,
)
