"""Missing values that nobody declared: NaN, or one value that occurs far too often and says nothing of what is around.

A value that stands for nothing is an atom: it occurs many times as often as the values next to it. So do black
backgrounds, clipped noise and saturated areas; but those depend on the picture, and their neighbours show it: the more
of the neighbours of a pixel are black, the darker is the pixel. Where values are missing at random places, the
number of missing neighbours and the value are uncorrelated, once the mean picture is taken off. That is also what
training on masks rests on, so that a constant of the other kind is never offered as a mask. But a constant far outside
of all other values, such as -999, is none of them wherever it stands; unless it is the end of a converter's range, or
the largest value with bright ones beside it, which is saturation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ambientkit.inspection.finding import Finding, NoiseVerdict

Array = NDArray[np.float64]
LEAST = 0.005
"""Share of the values from which a constant is looked at."""
PEAK = 10.0
"""How many times as often as the values next to it a constant must occur."""
NEXT = 4
"""Distinct values on each side that it is compared with."""
FAR = 2.0
"""How many times the range of all other values a constant lies outside of it, from which it is none of them."""
LEAST_FAR, OFTEN = 1e-4, 3
"""Share of the values from which such a constant is looked at, and how often it occurs at least."""
FEW = 64
"""Distinct values up to which rows are counts or labels, of which every one is frequent."""
RELATED = 0.1
"""Correlation of missing neighbours with a value, from which a constant depends on the picture."""
ALL = 0.9
"""Share of what masks call measured from which one value can be no background."""
SKIPPED = 0.3
"""Share of the rows with missing values up to which leaving them out is proposed."""


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
    far: bool = False
    """Whether the value lies far outside of all others."""
    rows: float = 1.0
    """Share of the rows that lack values."""
    marks: str = ""
    """What the files mark missing values by, besides NaN; those count as NaN."""

    def finding(self, declared: Mapping[str, Any], corruption: Mapping[str, Any] | None = None) -> Finding:
        """The finding, with the lines of a run file. declared: the data set that declares the gap. corruption: by which
        the rows were observed, where that is known."""
        if self.value != "nan":
            what = f"exactly {self.value:g}"
        else:
            what = "NaN or infinite" + (f", or marked as missing in the files by {self.marks}" if self.marks else "")
            what += f", in {100 * self.rows:.3g} % of the rows"
        odd = f"{PEAK:g} times or more as often as values next to it, at places that say nothing of what is around"
        if self.far:
            odd = f"far outside of all others (by more than {FAR:g} times their range)"
        why = "." if self.value == "nan" else f", {odd} (correlation {self.related:.2g})."
        if abs(self.related) > RELATED:
            why += " They are missing where the picture is bright or dark: what is restored there is biased."
        lost = (
            f" {self.always} values of a row are missing in every row: crop them, or set corruption.allow_unseen."
            if self.always
            else ""
        )
        fields = {name: value for name, value in declared.items() if name != "sigma_n"}
        told = _inline(fields)
        through = _inline({"name": "mask", **(corruption or {}), "missing": float(f"{self.share:.3g}")})
        level = f", sigma_n: {declared.get('sigma_n', 'NOISE')}" if "counts" not in declared else ""
        remedy = (
            "If that stands for nothing, declare it, and train on what was measured: "
            f"data: {{{told}{level}}}; corruption: {{{through}}}."
        )
        if not {"counts", "sigma_n"} & declared.keys():
            remedy += (
                " NOISE is the noise std of what was measured, 0 for none (with objective: tweedie). Of counts, whose "
                "noise grows with brightness, give `counts: {gain, offset, read_std}` and `value_range` in its place."
            )
        if self.rows < SKIPPED:
            remedy += " Or leave out these rows: --on-bad-file skip."
        return Finding(
            "missing", NoiseVerdict.VIOLATED, f"{100 * self.share:.3g} % of the values are {what}{why}{lost}", remedy,
            self.share,
        )  # fmt: skip


def _inline(fields: Mapping[str, Any]) -> str:
    """The fields on one line, without the braces around them."""
    return yaml.safe_dump(dict(fields), default_flow_style=True, sort_keys=False, width=10**6).strip()[1:-1]


def find_gap(x: Array) -> Gap | None:
    """What stands for nothing in rows x (n, *S) of file values; None where nothing does."""
    gone = ~np.isfinite(x)
    if gone.all():
        return None
    if (marked := _constant(x, gone)) is not None or not gone.any():
        return marked
    share_of_rows = float(gone.reshape(len(gone), -1).any(1).mean())
    return Gap("nan", float(gone.mean()), int(gone.all(0).sum()), rows=share_of_rows)


def unlike_mask(x: Array, seen: NDArray[np.bool_], mapping: object = None) -> Finding | None:
    """The finding on rows x (n, *S), data units, whose mask `seen` calls a constant measured that stands for nothing;
    None where it does not. mapping: by which the file's values came to data units."""
    values, counts = np.unique(x[seen], return_counts=True)
    if len(values) == 0:
        return None
    whole = counts.max() > ALL * counts.sum()
    gap = Gap(float(values[counts.argmax()]), float(counts.max() / counts.sum())) if whole else _constant(x, ~seen)
    if gap is None:
        return None
    assert isinstance(gap.value, float)
    share = float((x[seen] == gap.value).mean())
    value = gap.value if mapping is None else float(mapping.from_unit(np.asarray(gap.value)))  # type: ignore[attr-defined]
    reason = (
        f"{100 * share:.3g} % of the values that the masks call measured are exactly {value:.6g}, which noise does "
        "not do"
    ) + (
        ": a mask is 1 where a value was measured, and these are 1 where one is missing, or the rows are empty."
        if whole
        else ", at places that say nothing of what is around: the masks are those of other rows, are moved, or hide "
        "nothing."
    )
    remedy = (
        "Store 1 - masks." if whole else f"Set the masks to 0 there, or give the value itself: missing: {value:.6g}."
    )
    return Finding("missing", NoiseVerdict.VIOLATED, reason, remedy, share)


def _constant(x: Array, gone: NDArray[np.bool_]) -> Gap | None:
    """The value that stands for nothing; gone: values that are none."""
    values, counts = np.unique(x[~gone], return_counts=True)
    if len(values) <= FEW:
        return None
    if (outside := _outside(values, counts, x.size)) is not None:
        gap, _ = _of_constant(x, gone, outside, far=True)
        if outside < values[-1] or gap.related <= RELATED:  # beside saturated pixels it is bright
            return gap
    at = int(counts.argmax())
    share = counts[at] / x.size
    beside = np.concatenate([counts[max(0, at - NEXT) : at], counts[at + 1 : at + 1 + NEXT]])
    if share < LEAST or counts[at] < PEAK * beside.mean():
        return None
    gap, scattered = _of_constant(x, gone, float(values[at]))
    # Padding lies at the same places in all rows.
    return None if scattered < LEAST or abs(gap.related) > RELATED else gap


def _of_constant(x: Array, gone: NDArray[np.bool_], value: float, far: bool = False) -> tuple[Gap, float]:
    """The gap where that value is what stands for nothing; and its share of the values, without those that are missing
    in every row."""
    hole = (x == value) & ~gone
    always = (hole | gone).all(0)
    rest = hole & ~always
    related = _related(np.where(gone, 0, x), rest, hole | gone) if rest.any() else 0.0
    return Gap(value, float(hole.mean()), int(always.sum()), related, far), float(rest.mean())


def _outside(values: Array, counts: NDArray[np.int64], size: int) -> float | None:
    """The least or largest of distinct values where it occurs often, and so far outside of all others that it can be
    none of them, such as -999; None where neither is. The largest that a converter gives is saturation."""
    for end, others in ((0, values[1:]), (-1, values[:-1])):
        if end == -1 and _full_scale(values[end]):
            continue
        beyond = min(abs(values[end] - others[0]), abs(values[end] - others[-1]))
        if counts[end] >= max(OFTEN, LEAST_FAR * size) and beyond > FAR * np.ptp(others):
            return float(values[end])
    return None


def _full_scale(value: float) -> bool:
    """Whether it is the largest of 8 bits or more, such as 255, 4095 or 65535, of which lower bits may be filled with 0
    (65520), or 1 of values that were divided by that."""
    if value == 1:
        return True
    if not (255 <= value < 2**32 and float(value).is_integer()):
        return False
    bits = int(value) // (int(value) & -int(value))  # without the lower ones that are 0
    return bits >= 255 and bits & (bits + 1) == 0


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
