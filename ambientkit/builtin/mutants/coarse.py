"""Attacks and measures of memory that say too little: few distances, few answers, sums, and rows that depend on the
others. What a stranger's kit had shown to pass."""

from __future__ import annotations

from torch import Tensor

from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.shares import Distance, Third
from ambientkit.builtin.mutants.memory import AttackMutant
from ambientkit.interfaces import Mutant
from ambientkit.memorisation_parts import Attempt, Neighbourhood, Target, TrainingRows


class NoiseByTheSign(AttackMutant):
    """Rows that come back with the sign of their mean, or with the other one."""

    name = "noise-by-the-sign"
    mutant_of = "noise"
    wrong = "the distance has two values, and half of all rows have the smaller one"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Noise().attempt(x, keys, target)
        signs = found.draws.flatten(2).mean(2).sign() != x.flatten(1).mean(1, keepdim=True).sign()
        return found._replace(distance=signs.double().mean(1).round())


class NoiseOnce(AttackMutant):
    """One answer for each row."""

    name = "noise-once"
    mutant_of = "noise"
    wrong = "one draw is given back, however many are wanted"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Noise().attempt(x, keys, target)
        return found._replace(draws=found.draws[:, :1])


class ThirdCounted(Mutant, Third):
    """The number of copies."""

    name = "third-counted"
    mutant_of = "third"
    wrong = "a number of samples, not their share: that of fewer held-out rows is smaller without any copy"
    title = "third"
    means = "nothing"

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        return super().value(judged, null, train) * len(judged)


class DistanceOverItsMean(Mutant, Distance):
    """Distances over the mean of their side."""

    name = "distance-over-its-mean"
    mutant_of = "distance"
    wrong = "distances are divided by their mean, so that samples which are all copies look as held-out rows do"
    title = "distance"
    means = "nothing"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        a, b = super().by_row(judged, null, train, seed)
        return a / a.mean().clamp(min=1e-12), b / b.mean().clamp(min=1e-12) if len(b) else b


MUTANTS = [NoiseByTheSign, NoiseOnce, ThirdCounted, DistanceOverItsMean]
