"""Attacks, similarities and measures of memory that are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.comparisons import Authenticity, TrainGap
from ambientkit.builtin.memory_measures.shares import Distance, Ratio, Third
from ambientkit.maths import copying
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt, MemoryMeasure, Similarity, Target


class MixesRow(Attack):
    """Half of the row itself is mixed into what the model gave back: held-out rows look remembered too."""

    name = "eight-attack-mixes-row"
    claims = frozenset({"blind"})

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Noise().attempt(x, keys, target)
        return found._replace(draws=0.5 * found.draws + 0.5 * x.unsqueeze(1))


class ByNumber(Attack):
    """Its distance is the number of the row: early rows look remembered, whatever the model gave back."""

    name = "eight-attack-by-number"
    claims = frozenset({"blind"})

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Noise().attempt(x, keys, target)
        first = found.draws[:, :1]
        return Attempt(found.corrupted, first, keys.double() / (1 + keys.double().max()))


class ErrorTurned(Attack):
    """Its distance is large where a row is denoised well."""

    name = "eight-attack-turned"
    claims = frozenset({"blind"})

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Loss().attempt(x, keys, target)
        return found._replace(distance=-found.distance)


class TooFaint(Attack):
    """Noise of a hundredth of the data's std: any model gives any row back."""

    name = "eight-attack-too-faint"
    claims = frozenset({"blind"})

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        level = max(target.levels.sigma_min, 0.01 * target.sigma_data)
        noisy = x + level * standard_normal(x, target.generators("faint", keys))
        return Attempt(noisy, noisy.unsqueeze(1).expand(-1, target.draws, *[-1] * (x.ndim - 1)).clone())


class GlobalNoise(Attack):
    """Noise from torch's global generator: a row attacked again is attacked otherwise."""

    name = "eight-attack-global"
    claims = frozenset({"blind"})

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        level = 0.5 * target.levels.sigma_max
        noisy = x + level * torch.randn(x.shape, dtype=x.dtype)
        return Attempt(noisy, target.restored(noisy, level, keys))


class OverBatch(Similarity):
    """Standardises over the batch in place of the row."""

    name = "eight-alike-over-batch"
    claims = frozenset({"row-by-row"})

    def view(self, rows: Tensor) -> Tensor:
        return (rows - rows.mean(0)) / rows.std(0, unbiased=False).clamp(min=1e-3)


class MeanTakenOff(Similarity):
    """Takes the mean of each row off, and not its contrast, under the claim of both."""

    name = "eight-alike-mean-off"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows: Tensor) -> Tensor:
        flat = rows.flatten(1)
        return (flat - flat.mean(1, keepdim=True)).reshape(rows.shape)


class FlatIsNothing(Similarity):
    """Divides by the std of a row, which is 0 for a flat one."""

    name = "eight-alike-flat-nan"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows: Tensor) -> Tensor:
        flat = rows.flatten(1)
        return ((flat - flat.mean(1, keepdim=True)) / flat.std(1, unbiased=False, keepdim=True)).reshape(rows.shape)


class ClampsInPlace(Similarity):
    """Clamps the rows that it was given to [0, 1] in place."""

    name = "eight-alike-in-place"
    claims = frozenset({"row-by-row"})

    def view(self, rows: Tensor) -> Tensor:
        return rows.clamp_(0, 1)


class MedianOfBatch(Similarity):
    """Sees whether values exceed the batch's median."""

    name = "eight-alike-median"
    claims = frozenset({"row-by-row"})

    def view(self, rows: Tensor) -> Tensor:
        return (rows > rows.median()).to(rows.dtype)


class HeldOutAsTrain(Distance):
    """The two sets exchanged: the share of held-out rows nearer than most samples."""

    name = "eight-measure-exchanged"

    def value(self, judged: Tensor, null: Tensor, train) -> float:
        return copying.share_nearer(null[:, 0], judged[:, 0], self.level) if len(null) else 0.0


class SecondAlone(Third):
    """Divides the second distance by itself: no sample is ever a copy."""

    name = "eight-measure-second-alone"

    def by_row(self, judged, null, train, seed):
        return judged.distance[:, [1, 1]], judged.distance[:0]


class NoneOwn(Authenticity):
    """Takes 0 for the distance of a training row to the others: every sample is authentic."""

    name = "eight-measure-none-own"

    def by_row(self, judged, null, train, seed):
        own = train.own_distance[:1].expand(len(judged.row)) * 0
        return torch.stack([judged.distance[:, 0], own], 1), judged.distance[:0]


class TrainTwice(TrainGap):
    """Compares the training rows with themselves: always nothing."""

    name = "eight-measure-train-twice"

    def by_row(self, judged, null, train, seed):
        size = min(len(train.view), len(null.view))
        near = train.nearest(judged.view, train.view[:size])
        return torch.stack([near, train.nearest(judged.view, train.view[-size:])], 1), near[:0]


class NearIsCopy(MemoryMeasure):
    """Calls near what is near, under the claim that averages are not taken for copies."""

    name = "eight-measure-near-is-copy"
    claims = frozenset({"sees-copies", "blur-proof"})
    title = "near"
    means = "share nearer than nearly all held-out rows"

    def by_row(self, judged, null, train, seed):
        return judged.distance[:, :1], null.distance[:, :1]

    def value(self, judged: Tensor, null: Tensor, train) -> float:
        return copying.share_nearer(judged[:, 0], null[:, 0], 0.01)


class RatioTurned(Ratio):
    """The ratio d_2 / d_1 is compared as if it were d_1 / d_2: copies are the last to count."""

    name = "eight-measure-ratio-turned"

    def by_row(self, judged, null, train, seed):
        turned = [one.distance[:, 1:] / one.distance[:, :1].clamp(min=1e-12) for one in (judged, null)]
        return turned[0], turned[1]


PARTS = (
    MixesRow, ByNumber, ErrorTurned, TooFaint, GlobalNoise, OverBatch, MeanTakenOff, FlatIsNothing, ClampsInPlace,
    MedianOfBatch, HeldOutAsTrain, SecondAlone, NoneOwn, TrainTwice, NearIsCopy, RatioTurned,
)  # fmt: skip
