"""What outlives a call, what holds in one mode alone, and what is changed for others: what a stranger's kit had shown
to pass."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.batch import Batch, Term
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.memory_measures.comparisons import TrainGap
from ambientkit.builtin.memory_measures.shares import Distance
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants.heun import HeunMutant
from ambientkit.builtin.mutants.mask import MaskMutant
from ambientkit.builtin.mutants.memory import AttackMutant, MeasureMutant
from ambientkit.builtin.mutants.models import MLPMutant
from ambientkit.builtin.mutants.tweedie import TweedieMutant
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Mutant, Signal, Tools
from ambientkit.maths.ambient import clean_std
from ambientkit.maths.noise import RandomSource, per_row
from ambientkit.memorisation_parts import Attempt, MemoryMeasure, Neighbourhood, Target, TrainingRows


class LevelsOfAnEarlierCall(MLPMutant):
    """A denoiser that keeps its levels by the first of them."""

    name = "mlp-levels-of-an-earlier-call"
    wrong = "levels are kept for batches of one size whose first row has one level"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = MLP(width=32).denoiser(network, signal)
        kept: dict[tuple[int, float], Tensor] = {}

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return right(x, kept.setdefault((len(x), float(sigma[0])), sigma.clone()), **cond)

        return denoise

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma)


class GuidesInSampling(MLPMutant):
    """A denoiser that is guided towards its class, by itself, once training is over."""

    name = "mlp-guides-in-sampling"
    wrong = "in evaluation mode the answer is that of no class and twice the difference to that of the class"

    num_classes: int | None = Field(None, ge=1)
    """Classes of the condition `class_cond`."""

    def null_cond(self, name: str) -> float | None:
        return self._right().null_cond(name)

    def network(self, signal: Signal) -> nn.Module:
        return self._right().network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = self._right().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            found = right(x, sigma, **cond)
            if network.training or self.num_classes is None:
                return found
            other = right(x, sigma, **{**cond, "class_cond": torch.full_like(cond["class_cond"], self.num_classes)})
            return other + 2 * (found - other)

        return denoise

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma)

    def _right(self) -> MLP:
        return MLP(width=32, num_classes=self.num_classes)


class EqualSteps(HeunMutant):
    """Two slopes of Adams and Bashforth, as for equal steps."""

    name = "heun-equal-steps"
    wrong = "3/2 and -1/2 of the last two slopes, for steps of any length: of first order where steps are uneven"

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond) -> Tensor:
        last = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
            x = x + per_row(sigma_s - sigma_t, x) * (slope if last is None else 1.5 * slope - 0.5 * last)
            last = slope
        return x


class CountsMemory(TweedieMutant):
    """Tweedie that counts its calls."""

    name = "tweedie-counts-in-memory"
    wrong = "memory holds a number, which is not saved as tensors are"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        tools.memory["calls"] = tools.memory.get("calls", 0) + 1  # type: ignore[assignment, operator]
        return Tweedie().loss(denoiser, batch, tools)


class WidthWithZeros(MaskMutant):
    """Masks that hide little, and count what is hidden as 0."""

    name = "mask-width-with-zeros"
    wrong = "clean_std takes missing values for 0"

    def clean_std(self, batch: Batch) -> float:
        return clean_std(batch.x_n, batch.sigma_n)

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        return Mask(missing=0.2, drop=0.3).observe(x_0, row, generator)


class AttackInPlace(AttackMutant):
    """Noise that is added to the rows themselves."""

    name = "noise-in-place"
    mutant_of = "noise"
    wrong = "the rows attacked are changed: what follows sees noisy ones"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Noise().attempt(x.clone(), keys, target)
        x.add_(0.1 * (found.corrupted - x))
        return found


class SortsDistances(MeasureMutant):
    """Distances, sorted for all who look at them later."""

    name = "distance-sorted-in-place"
    mutant_of = "distance"
    claims = Distance.claims
    wrong = "the distances of the samples are sorted in place, and belong to other rows then"

    def right(self) -> MemoryMeasure:
        return Distance()

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        judged.distance.copy_(judged.distance.sort(0).values)
        return self.right().by_row(judged, null, train, seed)


class GapOfTheDay(MeasureMutant):
    """The gap to rows that torch's global generator chooses."""

    name = "train-gap-of-the-day"
    mutant_of = "train-gap"
    claims = TrainGap.claims
    wrong = "the seed is drawn from the global generator"

    def right(self) -> MemoryMeasure:
        return TrainGap()

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        return self.right().by_row(
            judged, null, train, int(torch.randint(2**31, (), generator=torch.default_generator))
        )


class FigureOfTheFirst(MeasureMutant):
    """Distances, of which the first half counts."""

    name = "distance-of-the-first"
    mutant_of = "distance"
    claims = Distance.claims
    wrong = "the figure is that of the first rows: it depends on their order"

    def right(self) -> MemoryMeasure:
        return Distance(level=0.5)

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        return self.right().by_row(judged, null, train, seed)

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        return self.right().value(judged[: len(judged) // 2], null, train)


MUTANTS: list[type[Mutant]] = [
    LevelsOfAnEarlierCall,
    GuidesInSampling,
    EqualSteps,
    CountsMemory,
    WidthWithZeros,
    AttackInPlace,
    SortsDistances,
    GapOfTheDay,
    FigureOfTheFirst,
]
"""Registered by `ambientkit.builtin.plugin`."""
