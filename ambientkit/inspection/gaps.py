"""Missing values that nobody declared: NaN, or one value that occurs far too often and says nothing of what is around.

A value that stands for nothing is an atom: it occurs many times as often as the values next to it. So do black
backgrounds, clipped noise and saturated areas; but those depend on the picture, and their neighbours show it: the more
of the neighbours of a pixel are black, the darker is the pixel. Where values are missing at random places, the
number of missing neighbours and the value are uncorrelated, once the mean picture is taken off. That is also what
training on masks rests on, so that a constant of the other kind is never offered as a mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambientkit.inspection.finding import Finding, NoiseVerdict

Array = NDArray[np.float64]
LEAST = 0.005
"""Share of the values from which a constant is looked at."""
PEAK = 10.0
"""How many times as often as the values next to it a constant must occur."""
NEXT = 4
"""Distinct values on each side that it is compared with."""
FEW = 64
"""Distinct values up to which rows are counts or labels, of which every one is frequent."""
RELATED = 0.1
"""Correlation of missing neighbours with a value, from which a constant depends on the picture."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What stands for nothing in some rows."""

    value: float | str
    """The file value; "nan"."""
    share: float
    """Of all values."""
    always: int = 0
    """Values of a row that are missing in every row looked at."""
    related: float = 0.0
    """Correlation of missing neighbours with a value."""

    def fields(self, path: str) -> dict[str, object]:
        """The data set of a run file that declares it."""
        return {"name": "masked", "path": path, "missing": self.value}

    def corruption(self) -> dict[str, object]:
        """The corruption of a run file that declares it."""
        return {"name": "mask", "missing": float(f"{self.share:.3g}")}

    def finding(self, path: str, counts: str = "") -> Finding:
        """The finding, with the lines of a run file. counts: the fields of the data set that declare their noise, where
        the rows are declared to be counts."""
        what = "NaN or infinite" if self.value == "nan" else f"exactly {self.value:g}"
        why = (
            "."
            if self.value == "nan"
            else f", {PEAK:g} times or more as often as values next to it, at places that say nothing of what is "
            f"around (correlation {self.related:.2g})."
        )
        lost = f" {self.always} values of a row are missing in every row: crop them." if self.always else ""
        remedy = (
            "If that stands for nothing, declare it, and train on what was measured: "
            f"data: {{name: masked, path: {path}, missing: {self.value}, {counts or 'sigma_n: NOISE'}}}; "
            f"corruption: {{name: mask, missing: {self.share:.3g}}}."
        )
        if not counts:
            remedy += (
                " NOISE is the noise std of what was measured, 0 for none (with objective: tweedie). Of counts, whose "
                "noise grows with brightness, give `counts: {gain, offset, read_std}` and `value_range` in its place."
            )
        return Finding(
            "missing", NoiseVerdict.VIOLATED, f"{100 * self.share:.3g} % of the values are {what}{why}{lost}", remedy,
            self.share,
        )  # fmt: skip


def find_gap(x: Array) -> Gap | None:
    """What stands for nothing in rows x (n, *S) of file values; None where nothing does."""
    hole = ~np.isfinite(x)
    if hole.any():
        return None if hole.all() else Gap("nan", float(hole.mean()), _always(hole))
    values, counts = np.unique(x, return_counts=True)
    if len(values) <= FEW:
        return None
    at = int(counts.argmax())
    share = counts[at] / x.size
    beside = np.concatenate([counts[max(0, at - NEXT) : at], counts[at + 1 : at + 1 + NEXT]])
    if share < LEAST or counts[at] < PEAK * beside.mean():
        return None
    hole = x == values[at]
    always = hole.all(0)
    rest = hole & ~always
    if rest.mean() < LEAST:  # padding: the same places in all rows
        return None
    related = _related(x, rest, hole)
    return None if abs(related) > RELATED else Gap(float(values[at]), float(share), int(always.sum()), related)


def _always(hole: NDArray[np.bool_]) -> int:
    return int(hole.all(0).sum())


def _related(x: Array, rest: NDArray[np.bool_], hole: NDArray[np.bool_]) -> float:
    """Correlation, over measured values, of the value without the mean picture and the number of missing neighbours
    without its own mean."""
    axes = range(max(1, x.ndim - 2), x.ndim) if x.ndim > 2 else (1,)
    near = np.zeros(x.shape)
    for axis in axes:
        for step in (1, -1):
            moved = np.roll(rest, step, axis)
            edge = [slice(None)] * x.ndim
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            moved[tuple(edge)] = False
            near += moved
    there = ~hole
    count = np.maximum(there.sum(0), 1)
    value = np.where(there, x - np.where(there, x, 0).sum(0) / count, 0)
    number = np.where(there, near - np.where(there, near, 0).sum(0) / count, 0)
    spread = float(np.sqrt((value**2).sum() * (number**2).sum()))
    return float((value * number).sum() / spread) if spread > 0 else 0.0
