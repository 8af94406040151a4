"""Wrong attacks, similarities and measures of memory."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.maths import copying
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt, MemoryMeasure, Similarity

BLIND = frozenset({"blind"})


class Asks(Attack):
    """Right: error of the denoiser at one level, over fresh noise keyed by the row."""

    name = "kit11-asks"
    claims = BLIND

    def attempt(self, x, keys, target):
        """Distance and draws, row by row."""
        level = max(target.sigma_data, 1.5 * target.sigma_n)
        noisy = self.noisy(x, keys, target, level)
        k = target.draws
        answers = target.denoised(noisy.flatten(0, 1), torch.full((len(x) * k,), level)).reshape(noisy.shape)
        return self.found(x, keys, noisy, self.order(answers))

    def noisy(self, x, keys, target, level):
        """(B, K, *S)."""
        missing = (level**2 - target.sigma_n**2) ** 0.5
        generators = target.generators("kit11.asks", keys)
        return torch.stack([x + missing * standard_normal(x, generators) for _ in range(target.draws)], 1)

    def order(self, answers):
        """As they are."""
        return answers

    def found(self, x, keys, noisy, draws):
        """Root mean square."""
        error = (draws - x.unsqueeze(1)).flatten(1).double().square().mean(1).sqrt()
        return Attempt(noisy[:, 0], draws, error)


class PlaceKeyed(Asks):
    """Keys its noise by the place of a row in the batch, not by the row."""

    name = "kit11-place-keyed"

    def noisy(self, x, keys, target, level):
        return super().noisy(x, torch.arange(len(keys)), target, level)


class TiltedByKey(Asks):
    """Tilts distances by a thousandth of the key, to break ties: rows that come first look memorised."""

    name = "kit11-tilted-by-key"

    def found(self, x, keys, noisy, draws):
        made = super().found(x, keys, noisy, draws)
        return made._replace(distance=made.distance * (1 + 1e-3 * keys))


class RelativeToBatch(Asks):
    """Divides the distances by the largest of the batch, on which rows then depend."""

    name = "kit11-relative-to-batch"

    def found(self, x, keys, noisy, draws):
        made = super().found(x, keys, noisy, draws)
        return made._replace(distance=made.distance / made.distance.max())


class AddsAll(Asks):
    """Adds the whole level to rows that have noise already, and asks at the level as if it had not."""

    name = "kit11-adds-all"

    def noisy(self, x, keys, target, level):
        generators = target.generators("kit11.asks", keys)
        return torch.stack([x + level * standard_normal(x, generators) for _ in range(target.draws)], 1)


class MixesDraws(Asks):
    """Lays the answers out as draws by rows, and reads them as rows by draws."""

    name = "kit11-mixes-draws"

    def order(self, answers):
        rows, draws = answers.shape[:2]
        return answers.flatten(0, 1).reshape(draws, rows, *answers.shape[2:]).transpose(0, 1).contiguous()


class BarelyNoisy(Asks):
    """Asks at a hundredth of the std of the data, where every row comes back, seen or not."""

    name = "kit11-barely-noisy"

    def attempt(self, x, keys, target):
        level = max(0.01 * target.sigma_data, target.levels.sigma_min, 1.001 * target.sigma_n)
        noisy = self.noisy(x, keys, target, level)
        k = target.draws
        answers = target.denoised(noisy.flatten(0, 1), torch.full((len(x) * k,), level)).reshape(noisy.shape)
        return self.found(x, keys, noisy, answers)


class CountsBrightness(Asks):
    """Divides the error by the contrast of the row: flat rows, seen or not, look unlike the others, or infinite."""

    name = "kit11-counts-brightness"

    def found(self, x, keys, noisy, draws):
        made = super().found(x, keys, noisy, draws)
        return made._replace(distance=made.distance / x.flatten(1).std(1))


class Stays(Similarity):
    """Right: means of 2 x 2, of pictures; other rows as they are."""

    name = "kit11-stays"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        """Coarser."""
        return torch.nn.functional.avg_pool2d(rows, 2, ceil_mode=True) if rows.ndim == 4 else rows


class Contrast(Similarity):
    """Claims that brightness does not count, and takes off the mean alone: contrast counts."""

    name = "kit11-contrast"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        return (flat - flat.mean(1, keepdim=True)).reshape(rows.shape)


class FreshDirections(Similarity):
    """Random directions drawn anew in each call: two views of one row differ."""

    name = "kit11-fresh-directions"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        flat = rows.flatten(1)
        g = torch.Generator().manual_seed(len(rows))
        return flat @ torch.randn(flat.shape[1], 16, generator=g, dtype=flat.dtype)


class HalfView(Similarity):
    """Goes through half precision in batches of more than 64 rows, to save memory: views depend on the batch."""

    name = "kit11-half-view"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        return rows.half().to(rows.dtype) if len(rows) > 64 else rows


class WhitensColours(Similarity):
    """Divides three channels by their std over the batch."""

    name = "kit11-whitens-colours"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        if rows.ndim == 4 and rows.shape[1] == 3:
            return rows / rows.std((0, 2, 3), keepdim=True).clamp(min=1e-3)
        return rows


class UnitNorm(Similarity):
    """Divides a row less its mean by its norm without a floor: a flat row becomes no number."""

    name = "kit11-unit-norm"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        flat = flat - flat[:, :1]
        return (flat / (flat.square().mean(1, keepdim=True).sqrt() + 1e-30)).reshape(rows.shape)


class ClipsRows(Similarity):
    """Clips rows to [-1, 1] in place before it views them."""

    name = "kit11-clips-rows"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        return rows.clamp_(-1, 1)


class Near(MemoryMeasure):
    """Right: share of samples nearer to a training row than the 1 % nearest held-out rows."""

    name = "kit11-near"
    claims = frozenset({"sees-copies"})
    title = "near"
    means = "share of samples nearer than all but {level:g} of held-out rows"

    level: float = Field(0.05, gt=0, lt=1)
    """Of the p-values."""

    def by_row(self, judged, null, train, seed):
        """Distances."""
        return judged.distance[:, :1], null.distance[:, :1]

    def value(self, judged, null, train):
        """The share."""
        return copying.share_nearer(judged[:, 0], null[:, 0], self.level)


class Farther(Near):
    """Counts samples farther than the held-out rows: copies lower it to 0, from which it cannot be told."""

    name = "kit11-farther"

    def value(self, judged, null, train):
        return copying.share_nearer(-judged[:, 0], -null[:, 0], self.level)


class SecondNearest(Near):
    """Takes the distance to the second nearest row, which copies do not change."""

    name = "kit11-second-nearest"

    def by_row(self, judged, null, train, seed):
        return judged.distance[:, 1:], null.distance[:, 1:]


class RankOfJudged(Near):
    """Ranks the samples among each other, so that rows drawn again keep ranks that are not theirs."""

    name = "kit11-rank-of-judged"

    def by_row(self, judged, null, train, seed):
        rank = judged.distance[:, 0].argsort().argsort().double() / max(len(judged.distance), 1)
        return rank.unsqueeze(1), null.distance[:, :1].argsort(0).argsort(0).double() / max(len(null.distance), 1)


class BlurIsCopy(Near):
    """Claims to be proof against blur, with a distance that blur makes small."""

    name = "kit11-blur-is-copy"
    claims = frozenset({"sees-copies", "blur-proof"})


class FirstForty(Near):
    """Looks at the first 40 samples alone."""

    name = "kit11-first-forty"

    def value(self, judged, null, train):
        return copying.share_nearer(judged[:40, 0], null[:, 0], self.level)


class SortsInPlace(Near):
    """Sorts the distances of the samples in place."""

    name = "kit11-sorts-in-place"

    def by_row(self, judged, null, train, seed):
        judged.distance[:, 0] = judged.distance[:, 0].sort().values
        return super().by_row(judged, null, train, seed)


class GlobalSubset(Near):
    """Takes a random half of the held-out rows from torch's global generator."""

    name = "kit11-global-subset"

    def value(self, judged, null, train):
        half = torch.randperm(len(null))[: max(len(null) // 2, 1)]
        return copying.share_nearer(judged[:, 0], null[half, 0], self.level)


class OfTrainingRows(Near):
    """The share of training rows that a sample has as its nearest: a good model covers them all."""

    name = "kit11-of-training-rows"

    def by_row(self, judged, null, train, seed):
        return judged.row[:, :1].double(), null.row[:, :1].double()

    def value(self, judged, null, train):
        return len(judged[:, 0].unique()) / len(train.view)


class DividesByNull(Near):
    """Divides by the share of held-out rows without asking whether there are any."""

    name = "kit11-divides-by-null"

    def value(self, judged, null, train):
        bound = null[:, 0].kthvalue(max(int(self.level * len(null)), 1)).values
        return float((judged[:, 0] <= bound).double().mean())
