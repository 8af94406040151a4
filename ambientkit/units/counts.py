"""Counts: the generalised Anscombe transform, which turns Poisson-Gaussian noise into noise of std 1, and its exact
unbiased inverse.

Sources: Makitalo and Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise",
IEEE TIP 22(1), 2013, equations 3 (forward) and 10 (closed-form approximation of the exact unbiased inverse); for pure
Poisson noise also "A closed-form approximation of the exact unbiased inverse of the Anscombe variance-stabilizing
transformation", IEEE TIP 20(9), 2011, equation 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambientkit.units.ranges import ValueRange

ROOT = math.sqrt(1.5)
SMALLEST = ROOT
"""D(0) = sqrt(3/2): the transformed value below which the inverse would grow again; there it is 0 counts."""


def in_file_units(mapping: object, latents: bool, low: float, high: float) -> str:
    """What levels in units of [-1, 1] are in those of the files, to follow them: " (12.75 to 31.88 in file units)".

    In 0..255 (half as many units cover the range there: 127.5 sigma) where the files have that range, or there are
    none; of counts, it is said that the level is that of their transform; of latents, nothing.
    """
    if isinstance(mapping, CountRange):
        return ", of counts after their transform"
    if latents:
        return ""
    own = (
        mapping if isinstance(mapping, ValueRange) and mapping not in (ValueRange(-1, 1), ValueRange(0, 255)) else None
    )
    levels = [level * 127.5 if own is None else own.sigma_from_unit(level) for level in sorted({low, high})]
    ends = " to ".join(f"{level:.4g}" for level in levels)
    return f" ({ends} in {'0..255' if own is None else 'file units'})"


def anscombe(values: ArrayLike, gain: float, offset: float, read_std: float) -> NDArray[np.float64]:
    """D = 2 sqrt(max(0, u + 3/8 + s^2)), u = (v - offset) / gain, s = read_std / gain; its noise has std about 1.

    values: v = gain p + n, p ~ Poisson(lambda), n ~ N(offset, read_std^2); any shape, file units.
    """
    u = (np.asarray(values, np.float64) - offset) / gain
    return 2 * np.sqrt(np.maximum(u + 3 / 8 + (read_std / gain) ** 2, 0))


def exact_unbiased_inverse(transformed: ArrayLike, gain: float, offset: float, read_std: float) -> NDArray[np.float64]:
    """E[v] from E[D | lambda]: lambda = D^2/4 + sqrt(3/2)/4 D^-1 - 11/8 D^-2 + 5 sqrt(3/2)/8 D^-3 - 1/8 - s^2, not
    below 0; v = gain lambda + offset.

    It inverts the *mean* of the transform, which a noise-free sample is; the algebraic inverse would be biased low.
    """
    d = np.asarray(transformed, np.float64)
    s2 = (read_std / gain) ** 2
    floor = np.maximum(d, SMALLEST)
    rate = floor**2 / 4 + ROOT / 4 / floor - 11 / 8 / floor**2 + 5 * ROOT / 8 / floor**3 - 1 / 8 - s2
    return gain * np.maximum(rate, 0) + offset


@dataclass(frozen=True, slots=True)
class CountRange:
    """The mapping of counts to [-1, 1]: x = (D(v) - m) / h, where the counts low and high stand for -1 and 1.

    m and h are middle and half width of D(low)..D(high). Noise has std sigma = 1 / h at every brightness. `from_unit`
    is the exact unbiased inverse and is meant for samples, which are clean. Raises ValueError unless low < high, gain >
    0 and read_std >= 0.
    """

    low: float
    high: float
    gain: float = 1.0
    offset: float = 0.0
    read_std: float = 0.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.low, self.high, self.gain, self.offset, self.read_std))):
            raise ValueError("counts: gain, offset, read_std and value_range must be finite")
        if self.gain <= 0 or self.read_std < 0:
            raise ValueError(
                f"counts: gain must be above 0 and read_std not below, but they are {self.gain:g} and {self.read_std:g}"
            )
        if not self._transform(self.low) < self._transform(self.high):
            raise ValueError(f"a value range is (low, high) with low < high, but is ({self.low:g}, {self.high:g})")

    def __str__(self) -> str:
        return (
            f"{self.low:g} and {self.high:g} stand for -1 and 1, after the Anscombe transform of counts: gain "
            f"{self.gain:.4g}, offset {self.offset:.4g}, read_std {self.read_std:.4g}"
        )

    def _transform(self, values: ArrayLike) -> NDArray[np.float64]:
        return anscombe(values, self.gain, self.offset, self.read_std)

    @property
    def _middle(self) -> float:
        return float(self._transform(self.low) + self._transform(self.high)) / 2

    @property
    def _half(self) -> float:
        return float(self._transform(self.high) - self._transform(self.low)) / 2

    @property
    def sigma_n(self) -> float:
        """Noise std in [-1, 1] units, of every value."""
        return 1 / self._half

    @property
    def zero(self) -> float:
        """The file value at which the noise has variance 0: that of no count. Values that pile up within one count of
        it were not cut; below it there is nothing."""
        return self.offset - self.read_std**2 / self.gain

    def to_unit(self, values: ArrayLike) -> NDArray[np.float32]:
        """Counts to data units, float32."""
        return ((self._transform(values) - self._middle) / self._half).astype(np.float32)

    def from_unit(self, x: ArrayLike) -> NDArray[np.float64]:
        """Clean data units to expected counts, by the exact unbiased inverse."""
        d = np.asarray(x, np.float64) * self._half + self._middle
        return exact_unbiased_inverse(d, self.gain, self.offset, self.read_std)

    def sigma_to_unit(self, sigma: float) -> float:
        """A std of transformed counts (1 by construction) to data units."""
        return sigma / self._half

    def sigma_from_unit(self, sigma: float) -> float:
        """A std in data units to transformed counts."""
        return sigma * self._half
