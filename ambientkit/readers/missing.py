"""Values that stand for no measurement: what the file names as such, and the ends of the large whole-number types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class _ToUnit(Protocol):
    def to_unit(self, values: NDArray[Any]) -> NDArray[np.float32]: ...


def missing_of(source: Any) -> dict[str, float]:
    """Name -> file value of what stands for a missing pixel in a source; NaN where the reader has put NaN in its place
    already.

    What the source itself says (`missing`), and the ends of 32- and 64-bit whole numbers, with which detectors mark
    dead pixels.
    """
    found: dict[str, float] = dict(getattr(source, "missing", {}))
    dtype = np.dtype(source.dtype)
    found = {name: near if math.isfinite(near := held(value, dtype)) else value for name, value in found.items()}
    if dtype.kind in "ui" and dtype.itemsize >= 4:
        limits = np.iinfo(dtype)
        found[f"the largest {dtype.name}"] = limits.max
        if dtype.kind == "i":
            found[f"the smallest {dtype.name}"] = limits.min
    return found


def held(value: float, dtype: np.dtype[Any]) -> float:
    """The value as a number type holds it, such as the nearest float32; NaN where it holds none of the kind."""
    if dtype.kind in "ui":
        known = np.iinfo(dtype)
        return value if float(value).is_integer() and known.min <= value <= known.max else math.nan
    with np.errstate(over="ignore"):
        near = float(dtype.type(value))
    return near if math.isfinite(near) else math.nan


def told(missing: Mapping[str, float]) -> str:
    """The values by name, for messages; empty where there are none."""
    return ", ".join(name if math.isnan(value) else f"{name} ({value:.15g})" for name, value in missing.items())


def in_unit(values: NDArray[Any], mapping: _ToUnit, missing: Sequence[float]) -> NDArray[np.float32]:
    """File values in data units, with NaN for those that are missing."""
    unit = mapping.to_unit(values)
    for value in missing:
        if not math.isnan(value):
            unit = np.where(values == value, np.float32(np.nan), unit)
    return unit
