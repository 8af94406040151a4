"""Wrong attacks, similarities and measures of memory."""

from __future__ import annotations

import torch

from ambientkit.maths import copying
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt, MemoryMeasure, Similarity

from .bases import made


class Noised(Attack):
    """A row under noise, restored."""

    claims = frozenset({"blind"})

    def attempt(self, x, keys, target):
        level = min(4 * target.sigma_data, 0.99 * target.levels.sigma_max)
        noisy = x + self.added(level, target) * self.drawn(x, keys, target)
        return Attempt(noisy, target.restored(noisy, self.told(level), keys))

    def added(self, level, target):
        return (level**2 - target.sigma_n**2) ** 0.5

    def drawn(self, x, keys, target):
        return standard_normal(x, target.generators("kit13", keys))

    def told(self, level):
        return level


class NoisedWhole(Noised):
    """Adds the whole level to rows that have noise. Breaks: what the model is shown lies at the level told."""

    name = "kit13-attack-whole-level"

    def added(self, level, target):
        return level


class NoisedGlobal(Noised):
    """Noise of torch's global generator. Breaks: randomness is keyed per row."""

    name = "kit13-attack-global"

    def drawn(self, x, keys, target):
        return torch.randn_like(x)


class NoisedByPlace(Noised):
    """Keys the noise by the place in the batch. Breaks: keyed by `keys`, row by row."""

    name = "kit13-attack-by-place"

    def drawn(self, x, keys, target):
        return standard_normal(x, target.generators("kit13", torch.arange(len(x))))


class NoisedCentred(Noised):
    """Takes the mean of the batch off before it attacks, and adds it again. Breaks: a row is attacked alike whatever
    rows are beside it."""

    name = "kit13-attack-centred"

    def attempt(self, x, keys, target):
        found = super().attempt(x - x.mean(0), keys, target)
        return found._replace(corrupted=found.corrupted + x.mean(0), draws=found.draws + x.mean(0))


class Errors(Attack):
    """How well a row is denoised."""

    claims = frozenset({"blind"})

    def attempt(self, x, keys, target):
        level, generators = target.sigma_data, target.generators("kit13", keys)
        noisy = torch.stack([x + level * standard_normal(x, generators) for _ in range(target.draws)], 1)
        answers = target.denoised(noisy.flatten(0, 1), torch.full((len(x) * target.draws,), level))
        return self.judged(x, noisy, answers)

    def judged(self, x, noisy, answers):
        draws = answers.reshape(noisy.shape)
        return Attempt(noisy[:, 0], draws, (draws - x.unsqueeze(1)).flatten(1).square().mean(1).sqrt())


class ErrorsNegative(Errors):
    """The distance is a likelihood, large where a row looks memorised. Breaks: small where it does."""

    name = "kit13-attack-likelihood"

    def judged(self, x, noisy, answers):
        found = super().judged(x, noisy, answers)
        return found._replace(distance=-found.distance)


class ErrorsMixed(Errors):
    """The draws of a row are gathered from a batch in the other order, so that they are those of other rows. Breaks:
    (B, K, *S), what it gave back for each row."""

    name = "kit13-attack-order-mixed"

    def judged(self, x, noisy, answers):
        draws = answers.reshape(noisy.shape[1], noisy.shape[0], *noisy.shape[2:]).transpose(0, 1)
        return Attempt(noisy[:, 0], draws, (draws - x.unsqueeze(1)).flatten(1).square().mean(1).sqrt())


class Standardised(Similarity):
    """Values less their mean, over their std."""

    claims = frozenset({"row-by-row", "brightness-free"})
    moves = True

    def view(self, rows):
        flat = rows.flatten(1)
        return self.scaled(flat - self.middle(flat)).reshape(rows.shape)

    def middle(self, flat):
        return flat.mean(1, keepdim=True)

    def scaled(self, centred):
        return centred / centred.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)


class MeanOfBatch(Standardised):
    """Takes off the mean over the batch. Breaks: a row's view does not depend on the others."""

    name = "kit13-similarity-batch-mean"

    def middle(self, flat):
        return flat.mean(0, keepdim=True)


class ContrastStays(Standardised):
    """Takes off the mean alone. Breaks: rows a x + b are seen as x is."""

    name = "kit13-similarity-contrast-stays"

    def scaled(self, centred):
        return centred


class FlatIsNan(Standardised):
    """Divides by the std, also where it is 0. Breaks: finite."""

    name = "kit13-similarity-flat-nan"

    def scaled(self, centred):
        return centred / centred.square().mean(1, keepdim=True).sqrt()


class InPlace(Standardised):
    """Centres the rows in place. Breaks: leaves the row as it was."""

    name = "kit13-similarity-in-place"

    def view(self, rows):
        flat = rows.flatten(1)
        flat -= flat.mean(1, keepdim=True)
        return self.scaled(flat).reshape(rows.shape)


class Softened(Standardised):
    """A std with 0.1 added, against noise of flat rows. Breaks: rows a x + b are seen as x is."""

    name = "kit13-similarity-softened"

    def scaled(self, centred):
        return centred / (centred.square().mean(1, keepdim=True).sqrt() + 0.1)


class RatioFigure(MemoryMeasure):
    """The share of samples whose ratio of distances is as small as few held-out rows have it."""

    claims = frozenset({"sees-copies", "blur-proof"})
    title = "ratio"
    means = "share of samples with a small ratio"

    def by_row(self, judged, null, train, seed):
        return self.ratio(judged.distance).unsqueeze(1), self.ratio(null.distance).unsqueeze(1)

    def ratio(self, distance):
        return copying.ratios(distance)

    def value(self, judged, null, train):
        return copying.share_nearer(judged[:, 0], null[:, 0], 0.01)


class RatioUpsideDown(RatioFigure):
    """d_2 / d_1. Breaks: sees copies, whose ratio is small."""

    name = "kit13-ratio-upside-down"

    def ratio(self, distance):
        return distance[:, 1] / distance[:, 0].clamp(min=1e-6)


class RatioOfNull(RatioFigure):
    """Judges the held-out rows in place of the samples. Breaks: one figure of samples."""

    name = "kit13-ratio-of-null"

    def value(self, judged, null, train):
        return copying.share_nearer(null[:, 0], null[:, 0], 0.01)


class DistanceAsBlurProof(RatioFigure):
    """The distance alone, under the claim of the ratio. Breaks: blurred rows are not taken for copies."""

    name = "kit13-distance-for-ratio"

    def ratio(self, distance):
        return distance[:, 0]


class SquaredThird(RatioFigure):
    """d_1^2 < d_2 / 3: a square on one side. Breaks: averages that lie near to everything are not taken for copies,
    whatever the units."""

    name = "kit13-third-of-square"

    def by_row(self, judged, null, train, seed):
        return judged.distance, judged.distance[:0]

    def value(self, judged, null, train):
        return float((judged[:, 0] ** 2 < judged[:, 1] / 3).double().mean())


class OneColumnLess(RatioFigure):
    """by_row gives (m,) in place of (m, a). Breaks: (m, a) of the rows judged."""

    name = "kit13-measure-of-one-axis"

    def by_row(self, judged, null, train, seed):
        return self.ratio(judged.distance), self.ratio(null.distance)

    def value(self, judged, null, train):
        return copying.share_nearer(judged, null, 0.01)


WRONG = made(
    NoisedWhole,
    NoisedGlobal,
    NoisedByPlace,
    NoisedCentred,
    ErrorsNegative,
    ErrorsMixed,
    MeanOfBatch,
    ContrastStays,
    FlatIsNan,
    InPlace,
    Softened,
    RatioUpsideDown,
    RatioOfNull,
    DistanceAsBlurProof,
    SquaredThird,
    OneColumnLess,
)
