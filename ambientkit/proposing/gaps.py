"""A run for rows in which values are missing that nobody declared: on what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ambientkit.builtin.data.array import Array
from ambientkit.config.files import KeyPath
from ambientkit.inspection.gaps import Gap, find_gap
from ambientkit.interfaces import Data
from ambientkit.readers.own_values import OwnValues
from ambientkit.units.scale import within_unit

RANGE = (0.001, 0.999)
"""Quantiles of the measured values that become -1 and 1."""
MOST = 0.1
"""Share of the values that may be missing where the noise is found on what was measured."""
SKIPPED = 0.3
"""Share of the rows with missing pixels up to which leaving them out is proposed."""
UNKNOWN = (
    "the noise of what was measured, which cannot be estimated between so many gaps: give --sigma-n, its std in units "
    "of [-1, 1] (0 for none); of counts, whose noise grows with brightness, `counts: {gain, offset, read_std}` and "
    "`value_range` in the data set; or frames that show it (--flat, --repeats)"
)
"""The quantity without which no run is proposed."""


def gap_of(part: Data, spec: Mapping[str, Any], values: OwnValues, frames: bool = False) -> Gap | None:
    """The value that marks missing ones in a .npy file of rows; None for other data, and where rows with gaps are left
    out: on request, or because they are few. frames: whether the noise is measured on others, which suits NaN that the
    data set itself masks."""
    if not isinstance(part, Array) or part.path.suffix != ".npy" or spec.get("on_bad_file") == "skip":
        return None
    if part.missing == "mask" or part.find().layout not in ("NCHW", "NHW", "N..."):
        return None
    found = find_gap(values.rows)
    if found is not None and found.value == "nan":  # of few, the noise shows between them: `unmeasured`
        return None if frames or values.missing.mean() <= SKIPPED or found.share <= MOST else found
    return found


def declared(
    gap: Gap, part: Array, values: OwnValues, sigma_n: Any, missing: list[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[KeyPath, str]]:
    """Data and corruption of a run file, and why. Adds to `missing` each fact that is not known."""
    reasons: dict[KeyPath, str] = {
        ("data", "missing"): f"{100 * gap.share:.3g} % of the values are this one and say nothing of what is around.",
        ("corruption",): "Measured values are trained on; a step hides more of them, and asks for all.",
        ("corruption", "missing"): "The share that is missing.",
    }
    data = gap.fields(str(part.path))
    corruption = gap.corruption()
    if part.counts is not None:
        assert isinstance(part.value_range, tuple)  # the data set sees to it
        data |= {"counts": part.counts.model_dump(), "value_range": list(part.value_range)}
        reasons["data", "counts"] = reasons["data", "value_range"] = "Given with the data."
        return data, _with_unseen(gap, corruption, reasons), reasons
    level = sigma_n if sigma_n is not None else part.sigma_n
    if not isinstance(level, float | int):
        missing.append(UNKNOWN)
        return data, corruption, reasons
    data["sigma_n"] = float(level)
    reasons["data", "sigma_n"] = "Given, in units of [-1, 1]."
    corruption = _with_unseen(gap, corruption, reasons)
    measured_range = _range(part, gap, values, float(level))
    if measured_range is not None:
        data["value_range"] = measured_range
        reasons["data", "value_range"] = "These two file values become -1 and 1: 0.1 % and 99.9 % of what was measured."
    return data, corruption, reasons


def _with_unseen(gap: Gap, corruption: dict[str, Any], reasons: dict[KeyPath, str]) -> dict[str, Any]:
    """The corruption, with a line on values that no row has, where there are such."""
    if not gap.always:
        return corruption
    reasons["corruption", "allow_unseen"] = (
        f"{gap.always} values of a row are missing in every row looked at: crop them, or set this to true."
    )
    return {**corruption, "allow_unseen": False}


def _range(part: Array, gap: Gap, values: OwnValues, level: float) -> list[float] | None:
    """The range of what was measured; None where the values are in [-1, 1] by themselves, or of 8 bits. level: of the
    noise, units of [-1, 1]."""
    if isinstance(part.value_range, tuple):
        return [float(end) for end in part.value_range]
    kept = values.rows[np.isfinite(values.rows)]
    kept = kept if gap.value == "nan" else kept[kept != gap.value]
    dtype = values.found.source.dtype
    if (dtype.kind == "u" and dtype.itemsize == 1) or (
        dtype.kind == "f" and within_unit(float(kept.min()), float(kept.max()), level)
    ):
        return None
    low, high = np.quantile(kept, RANGE)
    return [float(f"{low:.5g}"), float(f"{high:.5g}")]
