"""The measures `ratio`, `distance` and `third`: the share of samples that lie too near to a training row."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from ambientkit.maths import copying
from ambientkit.memorisation_parts import MemoryMeasure, Neighbourhood, TrainingRows


class Ratio(MemoryMeasure):
    """The share of samples whose ratio d_1 / d_2 of the two nearest distances is as small as a share `level` of
    held-out rows has it."""

    name = "ratio"
    source = "arXiv 2310.02664 (the ratio); arXiv 2104.08279 (the p-values)"
    claims = frozenset({"sees-copies", "blur-proof"})
    title = "ratio, p <= {level:g}"
    means = (
        "share of samples that single out one training row, by the ratio to the second, as only {level:g} of "
        "held-out rows do: copies; "
        "{level:g} or less is expected of a model that memorises nothing"
    )

    level: float = Field(0.01, gt=0, lt=1)
    """Of the p-values."""

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """(m, 1), (n, 1): the ratios."""
        return copying.ratios(judged.distance).unsqueeze(1), copying.ratios(null.distance).unsqueeze(1)

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The share with p <= level."""
        return copying.share_nearer(judged[:, 0], null[:, 0], self.level)


class Distance(MemoryMeasure):
    """The share of samples nearer to a training row than all but a share `level` of held-out rows."""

    name = "distance"
    source = "arXiv 2104.08279 (the p-values)"
    claims = frozenset({"sees-copies"})
    title = "distance, p <= {level:g}"
    means = (
        "share of samples nearer to a training row than all but {level:g} of held-out rows; blurred pictures are "
        "near without being copies"
    )

    level: float = Field(0.01, gt=0, lt=1)
    """Of the p-values."""

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """(m, 1), (n, 1): the distances."""
        return judged.distance[:, :1], null.distance[:, :1]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The share with p <= level."""
        return copying.share_nearer(judged[:, 0], null[:, 0], self.level)


class Third(MemoryMeasure):
    """The share of samples with d_1 < d_2 / 3, the rule that needs no held-out rows."""

    name = "third"
    source = "arXiv 2310.02664"
    claims = frozenset({"sees-copies", "blur-proof"})
    title = "ratio below 1/3"
    means = (
        "share of samples at less than 1/3 of the distance to the second nearest training row: copies by the usual rule"
    )

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """(m, 2), the two distances; nothing of the null."""
        return judged.distance, judged.distance[:0]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The share."""
        return copying.share_of_third(judged)
