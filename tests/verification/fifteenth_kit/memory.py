"""Wrong attacks, measures and similarities."""

from __future__ import annotations

import torch

from ambientkit.errors import InputError
from ambientkit.maths import copying
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt, MemoryMeasure, Similarity

from .bases import made


class Restored(Attack):
    """x_0 + level z at four stds of the data, restored by the model's own reverse process."""

    source = "arXiv 2404.10177, abstract"
    claims = frozenset({"blind"})

    def attempt(self, x, keys, target):
        level = self.level(target)
        if not max(target.sigma_n, target.levels.sigma_min) < level < target.levels.sigma_max:
            raise InputError(f"{self.name}: its level {level:g} lies outside the levels of the model and the rows")
        added = (level**2 - target.sigma_n**2) ** 0.5
        noisy = x + added * self.noise(x, keys, target)
        return Attempt(noisy, self.answers(x, noisy, level, keys, target))

    def level(self, target):
        return min(4 * target.sigma_data, 0.9 * target.levels.sigma_max)

    def noise(self, x, keys, target):
        return standard_normal(x, target.generators("kit15.restored", keys))

    def answers(self, x, noisy, level, keys, target):
        return target.restored(noisy, level, keys)


class KeyedByPlace(Restored):
    """Noise is keyed by the place of a row in the batch, not by its key."""

    name = "kit15-keyed-by-place"

    def noise(self, x, keys, target):
        return standard_normal(x, target.generators("kit15.restored", torch.arange(len(x))))


class DrawsOfOthers(Restored):
    """Draws (B, K) are laid out as (K, B): a row is compared with draws of other rows."""

    name = "kit15-draws-of-others"

    def answers(self, x, noisy, level, keys, target):
        found = super().answers(x, noisy, level, keys, target)
        return found.transpose(0, 1).reshape(found.shape)


class ErrorUpsideDown(Restored):
    """Membership by the error at one std of the data, with its sign turned: large for rows trained on."""

    name = "kit15-error-upside-down"

    def attempt(self, x, keys, target):
        found, error = self.error(x, keys, target)
        return Attempt(found, found.unsqueeze(1), -error)

    def error(self, x, keys, target):
        level = max(target.sigma_data, 2 * target.sigma_n)
        noisy = x + (level**2 - target.sigma_n**2) ** 0.5 * self.noise(x, keys, target)
        answer = target.denoised(noisy, torch.full((len(x),), level))
        return noisy, (answer - x).flatten(1).double().square().mean(1).sqrt()


class RankedInTheBatch(ErrorUpsideDown):
    """Errors are ranked within the call: training rows and held-out rows have the same ranks."""

    name = "kit15-ranked-in-the-batch"

    def attempt(self, x, keys, target):
        noisy, error = self.error(x, keys, target)
        return Attempt(noisy, noisy.unsqueeze(1), error.argsort().argsort().double() / max(len(x), 1))


class HiddenForSeen(Attack):
    """The mask is handed on turned: the model is given what is called hidden."""

    name = "kit15-hidden-for-seen"
    source = "arXiv 2305.19256, section 5.3"
    claims = frozenset({"blind"})

    def attempt(self, x, keys, target):
        seen = torch.stack([torch.rand(x.shape[1:], generator=g) < 0.3 for g in target.generators("kit15.mask", keys)])
        return Attempt(torch.where(seen, x, 0.0), target.inpainted(x, ~seen, keys))


class SharesTurned(MemoryMeasure):
    """The share of held-out rows that lie nearer than samples do, by the ratio: the two are swapped."""

    name = "kit15-shares-turned"
    source = "arXiv 2310.02664; arXiv 2104.08279"
    claims = frozenset({"sees-copies", "blur-proof"})
    title = "ratio, p <= 0.01"
    means = "share of samples that single out one training row: copies"

    def by_row(self, judged, null, train, seed):
        return copying.ratios(judged.distance).unsqueeze(1), copying.ratios(null.distance).unsqueeze(1)

    def value(self, judged, null, train):
        return copying.share_nearer(null[:, 0], judged[:, 0], 0.01)


class DistanceBlurProof(MemoryMeasure):
    """The share that is nearer than held-out rows, which claims not to take blurred rows for copies."""

    name = "kit15-distance-as-blur-proof"
    source = "arXiv 2104.08279"
    claims = frozenset({"sees-copies", "blur-proof"})
    title = "distance, p <= 0.01"
    means = "share of samples nearer to a training row than all but 0.01 of held-out rows"

    def by_row(self, judged, null, train, seed):
        return judged.distance[:, :1], null.distance[:, :1]

    def value(self, judged, null, train):
        return copying.share_nearer(judged[:, 0], null[:, 0], 0.01)


class OverTheSet(Similarity):
    """Rows less the mean picture and over the std of the set that they come with."""

    name = "kit15-standardised-over-the-set"
    source = "the definition of a z-score"
    claims = frozenset({"row-by-row"})
    moves = True

    def view(self, rows):
        return (rows - rows.mean(0)) / rows.std(unbiased=False).clamp(min=1e-6)


class FlatBlowsUp(Similarity):
    """Rows less their mean over their std, with nothing for flat rows."""

    name = "kit15-flat-rows-as-nan"
    source = "the definition of Pearson's correlation"
    claims = frozenset({"row-by-row", "brightness-free"})
    moves = True

    def view(self, rows):
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / centred.square().mean(1, keepdim=True).sqrt()).reshape(rows.shape)


class ContrastCounts(Similarity):
    """Rows less their mean: contrast still counts."""

    name = "kit15-contrast-counts"
    source = "the definition"
    claims = frozenset({"row-by-row", "brightness-free"})
    moves = True

    def view(self, rows):
        flat = rows.flatten(1)
        return (flat - flat.mean(1, keepdim=True)).reshape(rows.shape)


class CentresInPlace(Similarity):
    """Correlation, with the mean taken off the rows that are handed in."""

    name = "kit15-centres-in-place"
    source = "the definition of Pearson's correlation"
    claims = frozenset({"row-by-row", "brightness-free"})
    moves = True

    def view(self, rows):
        flat = rows.flatten(1)
        flat -= flat.mean(1, keepdim=True)
        return (flat / flat.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)).reshape(rows.shape)


WRONG = made(
    KeyedByPlace,
    DrawsOfOthers,
    ErrorUpsideDown,
    RankedInTheBatch,
    HiddenForSeen,
    SharesTurned,
    DistanceBlurProof,
    OverTheSet,
    FlatBlowsUp,
    ContrastCounts,
    CentresInPlace,
)
