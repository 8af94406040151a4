"""Units: the affine mapping between the values of a file and the data units [-1, 1], and 8-bit values for display."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The file values that stand for -1 and 1.

    x = (v - m) / h with m = (low + high) / 2 and h = (high - low) / 2; a noise level has no offset: sigma = sigma_file
    / h. The mapping is increasing, and for (-1, 1) it is the identity to the last bit. Values outside the range are
    mapped by the same line and never clipped: noise may leave the range of the clean data. Raises ValueError unless low
    < high and both are finite.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"a value range is (low, high) with low < high, but is ({self.low:g}, {self.high:g})")

    def __str__(self) -> str:
        if (self.low, self.high) == (-1, 1):
            return "taken as they are, in [-1, 1]"
        return f"{self.low:g} and {self.high:g} stand for -1 and 1"

    @classmethod
    def of(cls, dtype: np.dtype[Any]) -> ValueRange:
        """The range a number type stands for: uint8 0..255, uint16 0..65535, floating point -1..1 (taken as it is).

        Raises ValueError for every other type: how much of an int32, say, the pictures use cannot be guessed.
        """
        if dtype.kind == "f":
            return cls(-1, 1)
        if dtype.kind == "u" and dtype.itemsize <= 2:
            return cls(0, np.iinfo(dtype).max)
        raise ValueError(
            f"values of type {dtype.name} have no agreed range: give value_range, the two file values that stand "
            "for -1 and 1 (of what an operator measured, from -a to a)"
        )

    @property
    def _middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2

    def to_unit(self, values: ArrayLike) -> NDArray[np.float32]:
        """File values to data units, any shape; computed in float64, returned in float32. A value beyond float32
        becomes inf."""
        with np.errstate(over="ignore"):
            return ((np.asarray(values, np.float64) - self._middle) / self._half).astype(np.float32)

    def from_unit(self, x: ArrayLike) -> NDArray[np.float64]:
        """Data units back to file values, float64. Rounded to integers it is the exact inverse for uint8 and uint16."""
        return np.asarray(x, np.float64) * self._half + self._middle

    def sigma_to_unit(self, sigma: float) -> float:
        """A noise level in file units to data units."""
        return sigma / self._half

    def sigma_from_unit(self, sigma: float) -> float:
        """A noise level in data units to file units."""
        return sigma * self._half


def to_uint8(x: ArrayLike) -> NDArray[np.uint8]:
    """Data units to 8-bit values for display: round(127.5 (x + 1)), clipped; -1, -0.5, 0, 0.5, 1 become 0, 64, 128,
    191, 255.

    The mapping is fixed, never stretched to an image's own extremes, so that pictures can be compared. It is for the
    eye: clipping and rounding spoil the law of the noise. x: any shape. Raises ValueError where a value is not finite.
    """
    values = np.asarray(x, np.float64)
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise ValueError(f"{bad} of {values.size} values are not finite and have no colour")
    return np.rint(127.5 * (values.clip(-1, 1) + 1)).astype(np.uint8)
