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


def gap_of(part: Data, spec: Mapping[str, Any], values: OwnValues) -> Gap | None:
    """The value that marks missing ones in a .npy file of rows; None for other data, and where rows with gaps are left
    out: on request, or because they are few."""
    if not isinstance(part, Array) or part.path.suffix != ".npy" or spec.get("on_bad_file") == "skip":
        return None
    if part.find().layout not in ("NCHW", "NHW", "N..."):
        return None
    found = find_gap(values.rows)
    if found is not None and found.value == "nan":  # of few, the noise shows between them: `unmeasured`
        return None if values.missing.mean() <= SKIPPED or found.share <= MOST else found
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
    level = sigma_n if sigma_n is not None else part.sigma_n
    if not isinstance(level, float | int):
        missing.append(
            "the noise std of what was measured, in units of [-1, 1]: it cannot be estimated between gaps. Give "
            "--sigma-n (0 for none)"
        )
        return data, corruption, reasons
    data["sigma_n"] = float(level)
    reasons["data", "sigma_n"] = "Given, in units of [-1, 1]."
    if gap.always:
        corruption["allow_unseen"] = False
        reasons["corruption", "allow_unseen"] = (
            f"{gap.always} values of a row are missing in every row looked at: crop them, or set this to true."
        )
    measured_range = _range(part, gap, values, float(level))
    if measured_range is not None:
        data["value_range"] = measured_range
        reasons["data", "value_range"] = "These two file values become -1 and 1: 0.1 % and 99.9 % of what was measured."
    return data, corruption, reasons


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
