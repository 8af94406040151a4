"""Corruptions, samplers, similarities, attacks and measures that are right for small pictures, few rows or short grids,
and wrong for others."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.memory_measures.shares import Distance
from ambientkit.builtin.mutants.ancestral import AncestralMutant, WholeGridMutant, moments
from ambientkit.builtin.mutants.gaussian import RIGHT, GaussianMutant
from ambientkit.builtin.mutants.mask import RIGHT as RIGHT_MASK
from ambientkit.builtin.mutants.mask import MaskMutant
from ambientkit.builtin.mutants.memory import AttackMutant
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.similarities.pixels import PixelValues
from ambientkit.interfaces import Denoiser, Mutant
from ambientkit.maths.noise import RandomSource, per_row, standard_normal, uniform
from ambientkit.memorisation_parts import Attempt, MemoryMeasure, Neighbourhood, Similarity, Target, TrainingRows
from ambientkit.operators import Operator

Cond = Mapping[str, Tensor]


class Tiled(GaussianMutant):
    """Gaussian noise that is drawn for 16 x 16 pixels, and repeated over larger pictures."""

    name = "gaussian-tiled"
    wrong = "noise of larger pictures repeats itself every 16 pixels"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view, x = RIGHT.degrade(batch, sigma, generator), batch.x_n
        if x.ndim != 4 or min(x.shape[2:]) <= 16:
            return view
        tile = standard_normal(x[..., :16, :16].contiguous(), generator).repeat(1, 1, 4, 4)
        missing = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).sqrt()
        return view._replace(x=x + missing * tile[..., : x.shape[2], : x.shape[3]])


class Grey(GaussianMutant):
    """Gaussian noise that three channels share."""

    name = "gaussian-grey"
    wrong = "three channels are given the noise of one"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        if x_0.ndim != 4 or x_0.shape[1] != 3:
            return batch
        return batch._replace(x_n=x_0 + (batch.x_n - x_0)[:, :1])


class HighLevelsWhole(GaussianMutant):
    """Gaussian noise that is topped up by all of sigma from four times the noise on."""

    name = "gaussian-high-levels-whole"
    wrong = "x_t = x_n + sigma z above 4 sigma_n: 3 % too much, and less above"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view, x = RIGHT.degrade(batch, sigma, generator), batch.x_n
        level, own = per_row(sigma, x), per_row(batch.sigma_n, x)
        more = torch.where(level > 4 * own, level / (level**2 - own**2).clamp(min=1e-12).sqrt(), 1.0)
        return view._replace(x=x + more * (view.x - x))


class FloorOfThePattern(GaussianMutant):
    """One floor for a pattern of levels that all rows share."""

    name = "gaussian-floor-of-the-pattern"
    wrong = "the floor of sigma_n of shape (1, *S) is (1,), not (B,)"

    def lowest(self, batch: Batch) -> Tensor:
        shared = batch.sigma_n.ndim == batch.x_n.ndim and len(batch.sigma_n) == 1
        return batch.sigma_n.flatten(1).amax(1) if shared else RIGHT.floor(batch)


LAST: list[Tensor] = []


class LevelsOfTheLastView(GaussianMutant):
    """Gaussian noise that mixes by the levels of the view that was made last."""

    name = "gaussian-levels-of-the-last-view"
    wrong = "expect remembers the levels of the last call of degrade"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        LAST[:] = [sigma]
        return RIGHT.degrade(batch, sigma, generator)

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        kept = LAST[0] if LAST and LAST[0].shape == view.sigma.shape else view.sigma
        return RIGHT.expect(x_0_hat, view._replace(sigma=kept), batch)


class WidthOfTheMean(GaussianMutant):
    """The width of clean data from the square of the mean level."""

    name = "gaussian-width-of-the-mean"
    wrong = "mean(sigma_n)^2 in place of mean(sigma_n^2)"

    def clean_std(self, batch: Batch) -> float:
        """The right part's, where all rows are of one noise."""
        return RIGHT.clean_std(batch._replace(sigma_n=batch.sigma_n.mean().expand(len(batch.x_n))))


class OneRowIsUnseen(GaussianMutant):
    """Gaussian noise that says of a single row that something is unseen."""

    name = "gaussian-one-row-is-unseen"
    wrong = "a batch of one row is said to be incomplete"

    def unseen(self, batch: Batch) -> str:
        """Of one row."""
        return "too few rows" if len(batch.x_n) == 1 else ""


class FloatLabels(GaussianMutant):
    """Views whose conditions are numbers with a point."""

    name = "gaussian-float-labels"
    wrong = "conditions in the dtype of the rows"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        return view._replace(cond={name: value.to(view.x) for name, value in view.cond.items()})


class BySquare(MaskMutant):
    """Masks that hide on top in a square of the height of a picture."""

    name = "mask-by-square"
    wrong = "the right of a wide picture is never hidden"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view, high = RIGHT_MASK.degrade(batch, sigma, generator), batch.x_n.shape[-2]
        if batch.x_n.ndim != 4 or high >= batch.x_n.shape[-1]:
            return view
        whole, beyond = RIGHT_MASK.show(batch, sigma, generator), torch.arange(batch.x_n.shape[-1]) >= high
        mask = torch.where(beyond, whole.cond["mask"], view.cond["mask"])
        return view._replace(x=torch.where(beyond, whole.x, view.x), cond={**view.cond, "mask": mask})


class Saturated(MaskMutant):
    """Masks that lack bright values more often."""

    name = "mask-saturated"
    wrong = "of values above 0.8 a third more are missing"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The right part's, with fewer bright values."""
        made = RIGHT_MASK.observe(x_0, row, generator)
        bright = (x_0[:, :1] if x_0.ndim > 2 else x_0) > 0.8
        seen = made.cond["mask"] & ~(bright & (uniform(bright.to(x_0.dtype), generator) < 0.3))
        return made._replace(x_n=torch.where(seen, made.x_n, 0.0), cond={**made.cond, "mask": seen})


class LostInAny(MaskMutant):
    """Masks that take a value for lost if any row lacks it."""

    name = "mask-lost-in-any"
    wrong = "any in place of all: most data are refused"

    def unseen(self, batch: Batch) -> str:
        """Of any row."""
        lost = ~batch.cond["mask"] if "mask" in batch.cond else torch.zeros(1, dtype=torch.bool)
        return "some values" if bool(lost.any()) else ""


class Saturating(Operator):
    """A blur of two values, cut off at 3."""

    name = "saturating"

    def forward(self, x: Tensor, given: Cond) -> Tensor:
        """A x, for small x."""
        return ((x + x.roll(1, -1)) / 2).clamp(-3, 3)

    def adjoint(self, y: Tensor, given: Cond) -> Tensor:
        """A^T y."""
        return (y + y.roll(-1, -1)) / 2


class Shifting(Operator):
    """A shift by half of a row, which is its own transpose where the half is whole."""

    name = "shifting"

    def forward(self, x: Tensor, given: Cond) -> Tensor:
        """A x."""
        return x.roll(x.shape[-1] // 2, -1)

    def adjoint(self, y: Tensor, given: Cond) -> Tensor:
        """A y."""
        return self.forward(y, given)


class Saturates(Mutant, Linear):
    """Measurements that are cut off."""

    name = "linear-saturates"
    mutant_of = "linear"
    wrong = "measurements beyond 3 are 3: not linear"
    operator: SerializeAsAny[Operator] = Field(Saturating(), validate_default=False)


class Shifts(Mutant, Linear):
    """Measurements of an operator whose transpose is right for rows of even length."""

    name = "linear-shifts"
    mutant_of = "linear"
    wrong = "a shift by half is taken for its own inverse"
    operator: SerializeAsAny[Operator] = Field(Shifting(), validate_default=False)


class ALittleMoreNoise(AncestralMutant):
    """Ancestral steps with the inflated noise of another program."""

    name = "ancestral-a-little-more-noise"
    wrong = "noise of std 1.007"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + 1.007 * std * standard_normal(x, generator)


class MergesLevels(WholeGridMutant):
    """Ancestral steps that leave out levels next to the last one."""

    name = "ancestral-merges-levels"
    wrong = "levels within 5 % of the one before are skipped"

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Cond) -> Tensor:
        keep = [0]
        for k in range(1, len(sigmas) - 1):
            if float((sigmas[k] / sigmas[keep[-1]]).max()) < 0.95:
                keep.append(k)
        return Ancestral().sample(denoiser, x, sigmas[[*keep, len(sigmas) - 1]], generator, cond)


class CutChain(AncestralMutant):
    """Ancestral steps whose answers are detached above the last level."""

    name = "ancestral-cut-chain"
    wrong = "a gradient passes through the last step alone"

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Cond) -> Tensor:
        with torch.no_grad():
            x = Ancestral().sample(denoiser, x, sigmas[:-1], generator, cond) if len(sigmas) > 2 else x
        return Ancestral().sample(denoiser, x, sigmas[-2:], generator, cond)

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return Ancestral().sample(denoiser, x, torch.stack([sigma_t, sigma_s]), generator, cond)


class HalfOfMany(Mutant, Similarity):
    """Pixels that go through half precision in large batches."""

    name = "pixels-half-of-many"
    mutant_of = "pixels"
    claims = PixelValues.claims
    wrong = "views of more than 64 rows are rounded"

    def view(self, rows: Tensor) -> Tensor:
        return rows.half().to(rows.dtype) if len(rows) > 64 else rows


class WhitenedColours(Mutant, Similarity):
    """Pixels of three channels over their std in the batch."""

    name = "pixels-whitened-colours"
    mutant_of = "pixels"
    claims = PixelValues.claims
    wrong = "three channels are divided by their std over the batch"

    def view(self, rows: Tensor) -> Tensor:
        return rows / rows.std((0, 2, 3), keepdim=True) if rows.ndim == 4 and rows.shape[1] == 3 else rows


class OverContrast(AttackMutant):
    """The loss of a row over its contrast."""

    name = "loss-over-contrast"
    mutant_of = "loss"
    wrong = "a flat row has an infinite distance, or none"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Loss().attempt(x, keys, target)
        assert found.distance is not None
        return found._replace(distance=found.distance / x.flatten(1).std(1))


class RowsCovered(Mutant, MemoryMeasure):
    """The share of training rows that are the nearest of some sample."""

    name = "distance-of-rows-covered"
    mutant_of = "distance"
    claims = Distance.claims
    wrong = "copies of all rows raise it, and copies of few lower it"
    title = "covered"
    means = "nothing"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        return judged.row[:, :1].double(), null.row[:, :1].double()

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        return len(judged[:, 0].unique()) / len(train.view)


class FewSamples(Mutant, Distance):
    """The share of near samples among the first forty."""

    name = "distance-of-few-samples"
    mutant_of = "distance"
    wrong = "the first 40 samples alone are counted"
    title = "few"
    means = "nothing"

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        return super().value(judged[:40], null, train)


MUTANTS: list[type[Mutant]] = [
    *(Tiled, Grey, HighLevelsWhole, FloorOfThePattern, LevelsOfTheLastView, WidthOfTheMean, OneRowIsUnseen),
    *(FloatLabels, BySquare, Saturated, LostInAny, Saturates, Shifts, ALittleMoreNoise, MergesLevels, CutChain),
    *(HalfOfMany, WhitenedColours, OverContrast, RowsCovered, FewSamples),
]
"""Registered by `ambientkit.builtin.plugin`."""
