"""The check `measure-contract`: a measure of memory leaves what it is given, and draws from its seed alone."""

from __future__ import annotations

import math

import torch
from pydantic import InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.copies_seen import SAMPLES, SIDE, sides
from ambientkit.builtin.checks.labelled import Broken, global_state, require
from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.remembered import beside, pictures
from ambientkit.interfaces import CONTRACT, Case, Check, Measured, Part
from ambientkit.memorisation_parts import MemoryMeasure, Neighbourhood, TrainingRows

APART = 1e-3
"""Of the largest value of a column: the rounding of a distance near 0, in a product of matrices of other rows."""


COPIED = 50
"""Samples that are copies, which stand first."""
ORDERS = 8
"""Of the rows, drawn at random: a share of a few of them is the same in one by chance."""


class MeasureContract(Check):
    """A measure of memory keeps the contract of `MemoryMeasure`.

    `by_row` gives a line of numbers for each of the rows judged, and for each held-out row or for none; the same for
    the same seed, and for rows in another order or without the others. `value` gives one number of them, in any order
    of the rows of either, which intervals draw again; of each row twice it is not twice as large. Neither changes what
    all measures of a run look at, or draws from a global generator.
    """

    name = "measure-contract"
    source = "the contract of `MemoryMeasure`"
    kind = "memory-measure"
    claim = CONTRACT
    null_law = "exact: nothing wrong"
    detects = (
        "rows, distances or values that are changed, randomness from elsewhere, rows without a value, a row's "
        "numbers or a figure that depend on the order of rows, or on their number"
    )
    meaning = "The figure differs from run to run or from its interval, or the measures beside it see other rows."
    quick = True

    def measure(self, part: Part, case: Case) -> Measured:
        """0, or infinity with what is wrong."""
        assert isinstance(part, MemoryMeasure)
        train, null = sides(case)
        samples = pictures(case, "measured", SAMPLES, SIDE)
        samples[:COPIED] = train.view[:COPIED] + 0.02 * samples[:COPIED]  # most figures are neither 0 nor 1 then
        judged = beside(samples, train)
        try:
            self._try(part, judged, null, train)
        except Broken as error:
            return Measured(math.inf, 0.0, SAMPLES, str(error))
        return exact(0.0, 0.0, SAMPLES)

    def control(self, part: Part) -> Part:
        """The same measure, which moves the rows a little in place."""
        assert isinstance(part, MemoryMeasure)
        return _Moving(inner=part)

    def _try(self, part: MemoryMeasure, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows) -> None:
        given = [judged.view, judged.distance, judged.row, null.view, null.distance, null.row]
        given += [train.view, train.own_distance]
        kept = [one.clone() for one in given]
        a, b = part.by_row(judged, null, train, 7)
        require(all(map(torch.equal, given, kept)), "by_row changes the rows or the distances that it is given")
        require(a.ndim == 2 and len(a) == len(judged.view), f"by_row gives {tuple(a.shape)} for {SAMPLES} rows")
        held_out = (0, len(null.view))
        require(b.ndim == 2 and len(b) in held_out, f"by_row gives {tuple(b.shape)} for {held_out[1]} held-out rows")
        of_rows = (a.clone(), b.clone())
        found = part.value(a, b, train)
        require(isinstance(found, float | int), f"value gives {type(found).__name__}, not a number")
        require(all(map(torch.equal, (a, b), of_rows)), "value changes the numbers of the rows")
        world = global_state()  # after the first calls: a library that they import may draw once
        again = part.by_row(judged, null, train, 7)
        require(all(map(torch.equal, (a, b), again)), "by_row gives other numbers for the same seed")
        require(found == part.value(a, b, train), "value gives two figures of the same rows")
        require(global_state() == world, "numbers are drawn from a global generator, or it is seeded")
        for mine, one, kind in (
            (a, part.by_row(judged.take(_turned(judged)), null, train, 7)[0], "judged"),
            (b, part.by_row(judged, null.take(_turned(null)), train, 7)[1], "held out"),
        ):
            require(
                _near(one, mine.flip(0)),
                f"what by_row gives a row of those {kind} depends on the order of the rows: it may be another's",
            )
        half = torch.arange(0, len(judged.view), 2)
        require(
            _near(part.by_row(judged.take(half), null, train, 7)[0], a[half]),
            "what by_row gives a row of those judged depends on the others, which intervals draw again without them",
        )
        twice = part.value(a.repeat(2, 1), b, train)
        require(
            found == 0 or not math.isclose(twice, 2 * found, rel_tol=1e-6),
            "the figure is a sum over the rows: beside that of fewer held-out rows it says nothing",
        )
        orders = [(torch.arange(len(a)).flip(0), torch.arange(len(b)).flip(0)), (_turned(judged), torch.arange(len(b)))]
        orders += [(_mixed(len(a), seed), _mixed(len(b), seed)) for seed in range(ORDERS)]
        for one, other in orders:  # the two sets are drawn again independently
            turned = part.value(a[one], b[other], train)
            require(math.isclose(found, turned, rel_tol=1e-3, abs_tol=1e-6), "value depends on the order of the rows")


def _mixed(rows: int, seed: int) -> Tensor:
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))


def _turned(rows: Neighbourhood) -> Tensor:
    return torch.arange(len(rows.view)).flip(0)


def _near(one: Tensor, other: Tensor) -> bool:
    """Whether all columns agree, each to `APART` of its largest value; nan where both are."""
    if one.shape != other.shape:
        return False
    off = (one.double() - other.double()).abs()
    off = torch.where(one.isnan() & other.isnan(), 0.0, off)
    top = other.double().nan_to_num(nan=0.0).abs().amax(0) if len(other) else off.new_zeros(other.shape[1:])
    return bool((off <= APART * top).all())


class _Moving(MemoryMeasure):
    """A measure that changes what it looks at: wrong on purpose."""

    name = "moving-measure-control"
    title = "control"
    means = "nothing"

    inner: InstanceOf[MemoryMeasure]

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """The inner measure's."""
        found = self.inner.by_row(judged, null, train, seed)
        judged.distance.mul_(1.001)
        return found

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The inner figure."""
        return self.inner.value(judged, null, train)
