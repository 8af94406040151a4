"""Wrong variants of attacks, similarities and measures of memory."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Mask
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.comparisons import Authenticity, DataCopying, MiFID, TrainGap
from ambientkit.builtin.memory_measures.shares import Distance, Ratio, Third
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.builtin.similarities.pixels import PixelValues
from ambientkit.interfaces import Mutant
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import (
    Attack,
    Attempt,
    MemoryMeasure,
    Neighbourhood,
    Similarity,
    Target,
    TrainingRows,
)

HELD_OUT = 1 << 30


class AttackMutant(Mutant, Attack, abc.ABC):
    """What these share: the claims of the right part."""

    claims = Noise.claims


class NoiseByKey(AttackMutant):
    """Fewer draws for held-out rows."""

    name = "noise-by-key"
    mutant_of = "noise"
    wrong = "held-out rows have one draw, and training rows the nearest of all"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Noise().attempt(x, keys, target)
        return found if int(keys[0]) < HELD_OUT else found._replace(draws=found.draws[:, :1])


class NoiseOfAnother(AttackMutant):
    """Draws for the noisy picture of another row."""

    name = "noise-of-another-row"
    mutant_of = "noise"
    wrong = "the noisy rows are rolled by one, and the draws belong to a neighbour"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Noise().attempt(x.roll(1, 0), keys, target)
        return Attempt(x, found.draws)


class NoiseOfAnotherLevel(AttackMutant):
    """Rows restored from a fourth of the noise that they were given."""

    name = "noise-of-another-level"
    mutant_of = "noise"
    wrong = "the model is given a fourth of the level of the noise that was added"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        noisy = Noise().attempt(x, keys, target).corrupted
        return Attempt(noisy, target.restored(noisy, target.sigma_data, keys))


class WholeLevelOnNoisyRows(AttackMutant):
    """Rows that have noise themselves, with the whole of the level on top."""

    name = "noise-on-noisy-rows"
    mutant_of = "noise"
    wrong = "the noise of the rows is not counted in the level that they are restored from"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        level = 4 * target.sigma_data
        noisy = x + level * standard_normal(x, target.generators("memorisation.attack.noise", keys))
        return Attempt(noisy, target.restored(noisy, level, keys))


class MaskKept(AttackMutant):
    """A mask that hides what the row itself then fills."""

    name = "mask-filled-by-the-row"
    mutant_of = "mask"
    wrong = "hidden values are read from the row, so that every row comes back"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Mask().attempt(x, keys, target)
        return Attempt(found.corrupted, x.unsqueeze(1).expand_as(found.draws))


class BoxOfAll(AttackMutant):
    """A box that leaves nothing to see."""

    name = "box-of-all"
    mutant_of = "box"
    wrong = "the box covers the whole picture: draws know nothing of the row"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        seen = torch.zeros_like(x, dtype=torch.bool)
        drawn = target.inpainted(torch.zeros_like(x), seen, keys)
        return Attempt(torch.zeros_like(x), drawn[:, :1])


class LossTurned(AttackMutant):
    """Large errors taken for memory."""

    name = "loss-turned"
    mutant_of = "loss"
    wrong = "the sign of the error is turned"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Loss().attempt(x, keys, target)
        return found._replace(distance=None if found.distance is None else -found.distance)


class LossByKey(AttackMutant):
    """Held-out rows of another contrast."""

    name = "loss-by-key"
    mutant_of = "loss"
    wrong = "held-out rows are scaled by 1.3, as by another reader"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        return Loss().attempt(x if int(keys[0]) < HELD_OUT else 1.3 * x, keys, target)


class LossAtTheVariance(AttackMutant):
    """The variance of the noise in the place of its std."""

    name = "loss-at-the-variance"
    mutant_of = "loss"
    wrong = "the model is given the variance of the noise as its level"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        level, generators = target.sigma_data, target.generators("memorisation.attack.loss", keys)
        noisy = torch.stack([x + level * standard_normal(x, generators) for _ in range(target.draws)], dim=1)
        draws = target.denoised(noisy.flatten(0, 1), torch.full((noisy.shape[0] * noisy.shape[1],), level**2))
        draws = draws.reshape(noisy.shape)
        return Attempt(noisy[:, 0], draws, (draws - x.unsqueeze(1)).flatten(1).double().square().mean(1).sqrt())


class PixelsCentred(Mutant, Similarity):
    """Pixels less the mean picture of the batch."""

    name = "pixels-centred"
    mutant_of = "pixels"
    claims = PixelValues.claims
    wrong = "the mean of the batch is taken away"

    def view(self, rows: Tensor) -> Tensor:
        return rows - rows.mean(0)


class ContrastKept(Mutant, Similarity):
    """Correlation in which contrast counts."""

    name = "correlation-contrast-kept"
    mutant_of = "correlation"
    claims = Correlation.claims
    wrong = "rows are not divided by their std"

    def view(self, rows: Tensor) -> Tensor:
        return rows - rows.flatten(1).mean(1).reshape(-1, *[1] * (rows.ndim - 1))


class StdOfTheBatch(Mutant, Similarity):
    """Correlation over one std for all rows."""

    name = "correlation-std-of-the-batch"
    mutant_of = "correlation"
    claims = Correlation.claims
    wrong = "the std is that of the batch"

    def view(self, rows: Tensor) -> Tensor:
        centred = rows - rows.flatten(1).mean(1).reshape(-1, *[1] * (rows.ndim - 1))
        return centred / centred.std()


class MeasureMutant(Mutant, MemoryMeasure, abc.ABC):
    """What these share: the figure of a right measure, of other rows."""

    title = "mutant"
    means = "nothing"

    @abc.abstractmethod
    def right(self) -> MemoryMeasure:
        """The measure it is a wrong variant of."""

    def shown(self, judged: Neighbourhood, null: Neighbourhood) -> Neighbourhood:
        """The rows it looks at: held-out rows, in place of the samples."""
        return null.take(torch.arange(len(judged.view)) % len(null.view))

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        return self.right().by_row(self.shown(judged, null), null, train, seed)

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        return self.right().value(judged, null, train)


class RatioTurned(MeasureMutant):
    """The ratio of the second to the first distance."""

    name = "ratio-turned"
    mutant_of = "ratio"
    claims = Ratio.claims
    wrong = "d_2 / d_1 in place of d_1 / d_2"

    def right(self) -> MemoryMeasure:
        return Ratio()

    def shown(self, judged: Neighbourhood, null: Neighbourhood) -> Neighbourhood:
        return judged

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        return tuple(one.distance[:, 1:] / one.distance[:, :1].clamp(min=1e-6) for one in (judged, null))  # type: ignore[return-value]


class RatioOfDistances(MeasureMutant):
    """The first distance alone."""

    name = "ratio-without-the-second"
    mutant_of = "ratio"
    claims = Ratio.claims
    wrong = "not divided by the second distance, so that blur counts as copies"

    def right(self) -> MemoryMeasure:
        return Distance()

    def shown(self, judged: Neighbourhood, null: Neighbourhood) -> Neighbourhood:
        return judged


class DistanceOfHeldOut(MeasureMutant):
    """The distance of held-out rows."""

    name = "distance-of-held-out"
    mutant_of = "distance"
    claims = Distance.claims
    wrong = "held-out rows stand where the samples should"

    def right(self) -> MemoryMeasure:
        return Distance()


class ThirdOfHeldOut(MeasureMutant):
    """The rule asked of held-out rows."""

    name = "third-of-held-out"
    mutant_of = "third"
    claims = Third.claims
    wrong = "held-out rows stand where the samples should"

    def right(self) -> MemoryMeasure:
        return Third()


class CopyingOfHeldOut(MeasureMutant):
    """C_T of held-out rows."""

    name = "c-t-of-held-out"
    mutant_of = "c-t"
    claims = DataCopying.claims
    wrong = "held-out rows are compared with themselves"

    def right(self) -> MemoryMeasure:
        return DataCopying()


class AuthenticityOfHeldOut(MeasureMutant):
    """Authenticity of held-out rows."""

    name = "authenticity-of-held-out"
    mutant_of = "authenticity"
    claims = Authenticity.claims
    wrong = "held-out rows stand where the samples should"

    def right(self) -> MemoryMeasure:
        return Authenticity()


class GapToItself(MeasureMutant):
    """The gap between the training rows and the training rows."""

    name = "train-gap-to-itself"
    mutant_of = "train-gap"
    claims = TrainGap.claims
    wrong = "both distances are those to the training rows"

    def right(self) -> MemoryMeasure:
        return TrainGap()

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        near = judged.distance[:, :1]
        return torch.cat([near, near], 1), near[:0]


class MiFIDOfHeldOut(MeasureMutant):
    """MiFID of held-out rows."""

    name = "mifid-of-held-out"
    mutant_of = "mifid"
    claims = MiFID.claims
    wrong = "held-out rows stand where the samples should"

    def right(self) -> MemoryMeasure:
        return MiFID()


class RatioOfRowsApart(Mutant, MemoryMeasure):
    """The ratio of distances of which one is sorted."""

    name = "ratio-of-rows-apart"
    mutant_of = "ratio"
    claims = Ratio.claims
    wrong = "the nearest distances are sorted, and those to the second row are not"
    title = "ratio"
    means = "nothing"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        sorted_ones = judged.distance.clone()
        sorted_ones[:, 0] = judged.distance[:, 0].sort().values
        return Ratio().by_row(Neighbourhood(judged.view, sorted_ones, judged.row), null, train, seed)

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        return Ratio().value(judged, null, train)


class DistanceOfPairs(Mutant, Distance):
    """Samples beside held-out rows, one by one."""

    name = "distance-of-pairs"
    mutant_of = "distance"
    wrong = "each sample is compared with the held-out row of its own number, so that chance pairs them"
    title = "distance"
    means = "nothing"

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        n = min(len(judged), len(null))
        return float((judged[:n] < null[:n]).double().mean())


MUTANTS = [
    NoiseByKey,
    NoiseOfAnother,
    NoiseOfAnotherLevel,
    WholeLevelOnNoisyRows,
    MaskKept,
    BoxOfAll,
    LossTurned,
    LossByKey,
    LossAtTheVariance,
    PixelsCentred,
    ContrastKept,
    StdOfTheBatch,
    RatioTurned,
    RatioOfDistances,
    RatioOfRowsApart,
    DistanceOfHeldOut,
    DistanceOfPairs,
    ThirdOfHeldOut,
    CopyingOfHeldOut,
    AuthenticityOfHeldOut,
    GapToItself,
    MiFIDOfHeldOut,
]
