"""The checks `sees-copies` and `blur-proof`: a measure of memory distinguishes copies from fresh rows, and blur from
copies."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.remembered import Rows, beside, pictures, training_rows
from ambientkit.interfaces import Case, Check, Measured, Part
from ambientkit.memorisation_parts import MemoryMeasure, Neighbourhood, TrainingRows

SIDE, TRAIN, HELD, SAMPLES, COPIES = 6, 60, 240, 240, 120
FEW = 3
"""Training rows that are copied alone."""
FAR = 4.0
"""Standard deviations of the figure of fresh rows."""
SHARE, MOST = 0.25, 15.0
"""Of what copies move a figure by, which blur may, and standard deviations at most: one training row in the middle of
all draws blurred samples a little (0.08 and 10 at most, in 12 seeds of `ratio`); the distance to the nearest row moves
by 0.55 and 36, and `mifid`, which copies move without bound, by 20 and more."""


class SeesCopies(Check):
    """Where half of the samples are copies, the figure lies 4 standard deviations off what it is for fresh rows.

    Copies of each training row, and of three of them alone, on the same side of fresh rows: a figure that says how many
    rows have a sample near them rises with the first and falls with the second.
    """

    name = "sees-copies"
    source = "the definition of memory"
    kind = "memory-measure"
    claim = "sees-copies"
    null_law = "exact: at least 4 stds of the figure of fresh samples"
    detects = "a figure that copies do not move, or that copies of few rows move the other way"
    meaning = "A set of samples full of copies has the figure of fresh ones."
    quick = True

    repeats: int = Field(24, ge=8)
    """Sets of fresh samples."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The smaller distance in standard deviations, of copies of all rows and of few; 0 where they lie on two
        sides."""
        assert isinstance(part, MemoryMeasure)
        train, null = sides(case)
        samples = [_copies(case, train.view[:rows]) for rows in (TRAIN, FEW)]
        all_rows, few_rows = _scores(part, case, train, null, samples, self.repeats)
        score = min(all_rows, few_rows, key=abs) if all_rows * few_rows > 0 else 0.0
        return Measured(score, 1.0 if abs(score) >= FAR else 0.0, self.repeats)

    def control(self, part: Part) -> Part:
        """The same measure, which looks at held-out rows in place of the samples."""
        assert isinstance(part, MemoryMeasure)
        return _Elsewhere(inner=part)


def _copies(case: Case, rows: Tensor) -> Tensor:
    """Samples of which the first half are these rows, each as often, and a little noise."""
    copies = pictures(case, "copies", SAMPLES, SIDE)
    jitter = 0.02 * pictures(case, "jitter", COPIES, SIDE)
    copies[:COPIES] = rows.repeat(COPIES // len(rows), 1, 1, 1) + jitter
    return copies


class BlurProof(Check):
    """Averages of six rows that the model has not seen lie near to everything, and are not taken for copies."""

    name = "blur-proof"
    source = "arXiv 2310.02664 (the ratio of two distances)"
    kind = "memory-measure"
    claim = "blur-proof"
    null_law = "exact: at most 4 stds of the figure of fresh samples, or up to 15 a quarter of what copies move it by"
    detects = "a measure that is the distance to the nearest training row"
    meaning = "A model that draws averages is called a memoriser."

    repeats: int = Field(24, ge=8)
    """Sets of fresh samples."""

    def measure(self, part: Part, case: Case) -> Measured:
        """Standard deviations towards the figure of copies."""
        assert isinstance(part, MemoryMeasure)
        train, null = sides(case)
        copies = train.view.repeat(2, 1, 1, 1)
        (side,) = _scores(part, case, train, null, [copies], self.repeats)
        blurred = pictures(case, "blurred", 6 * SAMPLES, SIDE).unflatten(0, (6, SAMPLES)).mean(0)
        (blur,) = _scores(part, case, train, null, [blurred], self.repeats)
        score = math.copysign(1.0, side) * blur
        return Measured(score, 1.0 if score <= max(FAR, min(SHARE * abs(side), MOST)) else 0.0, self.repeats)

    def control(self, part: Part) -> Part:
        """The mean distance to the nearest training row."""
        assert isinstance(part, MemoryMeasure)
        return _Near()


def sides(case: Case) -> tuple[Rows, Neighbourhood]:
    """Training rows and held-out rows."""
    train = training_rows(pictures(case, "train", TRAIN, SIDE))
    return train, beside(pictures(case, "held-out", HELD, SIDE), train)


def _scores(
    part: MemoryMeasure, case: Case, train: Rows, null: Neighbourhood, samples: list[Tensor], repeats: int
) -> list[float]:
    """Standard deviations between the figures of samples, as many in each, and those of fresh rows; 0 where nothing
    varies."""
    count = len(samples[0])
    sets = [beside(pictures(case, f"fresh {i}", count, SIDE), train) for i in range(repeats)]
    values = torch.tensor([_value(part, one, null, train) for one in sets], dtype=torch.float64)
    spread = float(values.std())
    found = [_value(part, beside(one, train), null, train) for one in samples]
    # A share that is 0 for all fresh sets has no spread; one sample in a set is then the least that it can move.
    return [
        (one - float(values.mean())) / max(spread, 1.0 / count)
        if math.isfinite(one) and math.isfinite(spread)
        else math.nan
        for one in found
    ]


def _value(part: MemoryMeasure, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows) -> float:
    return part.value(*part.by_row(judged, null, train, 0), train)


class _Elsewhere(MemoryMeasure):
    """A measure that does not look at the samples: wrong on purpose."""

    name = "elsewhere-control"
    title = "control"
    means = "nothing"

    inner: InstanceOf[MemoryMeasure]

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Of held-out rows, as many as there are samples."""
        return self.inner.by_row(null.take(torch.arange(len(judged.view)) % len(null.view)), null, train, seed)

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The inner figure."""
        return self.inner.value(judged, null, train)


class _Near(MemoryMeasure):
    """The mean distance to the nearest training row, which blur makes small: wrong on purpose."""

    name = "near-control"
    title = "control"
    means = "nothing"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """(m, 1) distances."""
        return judged.distance[:, :1], judged.distance[:0, :1]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """Their mean."""
        return float(judged.mean())
