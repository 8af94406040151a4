"""How noisy are rows whose noise level nobody knows: a wavelet estimator, with its uncertainty.

sigma = median(|d|) / 0.6745 over the finest diagonal detail coefficients d of a picture: white noise has std sigma in
every coefficient, and most of a picture's own coefficients are small. Where a picture has enough flat blocks
(ambientkit.inspection.details), only their coefficients count, which keeps texture out; otherwise all do, by
scikit-image's estimator, and texture that reaches the finest scale is counted as noise.

Source: Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994;
`skimage.restoration.estimate_sigma`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.inspection.details import details, noise_std, padding, without

SMALLEST = 8
"""Fewest pixels along a side from which a level can be estimated."""
FEWEST_FLAT = 64
"""Flat blocks from which the level is taken from them alone."""
EFFICIENCY = 1.1664
"""Std of median(|z|) / 0.6745 from n standard normal z, times sqrt(n): 1 / (4 phi(0.6745) 0.6745)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A noise level with its standard error; spread is the std of the level from row to row, beyond that error."""

    sigma: float
    error: float
    spread: float
    rows: int

    def __str__(self) -> str:
        varies = f"; rows differ by {self.spread:.2g}" if self.spread > 0.1 * self.sigma else ""
        return f"{self.sigma:.4g} +- {self.error:.2g}{varies}"


def of_row(row: NDArray[np.floating]) -> float:
    """The level of one picture (C, H, W), root mean square over its channels; of one volume (C, D, H, W), over its
    slices too.

    Raises InputError for rows that are no pictures, or smaller than 8 x 8.
    """
    from skimage.restoration import estimate_sigma

    if row.ndim < 3 or min(row.shape[-2:]) < SMALLEST:
        raise InputError(
            f"the noise level of rows of shape {tuple(row.shape)} cannot be estimated: that takes pictures of at least "
            f"{SMALLEST} x {SMALLEST} pixels. Give it as sigma_n"
        )
    planes = np.asarray(row, np.float64).reshape(-1, *row.shape[-2:])
    level, flat = noise_std(details(planes[None], None))
    if flat >= FEWEST_FLAT:
        return level
    levels = [float(estimate_sigma(plane)) for plane in planes if np.ptp(plane) > 0]
    return math.sqrt(sum(level**2 for level in levels) / len(planes)) if levels else 0.0


def standard_error(sigma: float, values: int) -> float:
    """Of a level estimated from a picture of that many values, a quarter of which make the coefficients."""
    return EFFICIENCY * sigma / math.sqrt(max(values / 4, 1))


def estimate(rows: Iterable[NDArray[np.floating]]) -> Estimate:
    """One level for all rows (a few hundred: they are held in memory): that of their flat blocks together where there
    are enough.

    Otherwise the median of the levels of the rows. The error counts chance alone; what texture adds cannot be known
    from noisy rows.
    """
    kept = [np.asarray(row, np.float64) for row in rows]
    found = np.asarray([of_row(row) for row in kept])
    one = standard_error(float(np.median(found)), kept[0].size)
    spread = math.sqrt(max(float(found.std()) ** 2 - one**2, 0.0))
    pictures = np.stack(kept).reshape(-1, 1, *kept[0].shape[-2:])
    together = details(pictures, None)
    sigma, flat = noise_std(together)
    if sigma < 1e-3 * float(np.ptp(pictures)) and (padded := padding(pictures)[0]).any():  # whose noise is 0
        rest = without(together, padded)
        level, beside = noise_std(rest)
        if beside >= 200 and beside >= 0.02 * rest.usable.sum():
            together, sigma, flat = rest, level, beside
    if flat >= 200 and flat >= 0.02 * together.usable.sum():
        return Estimate(
            sigma, max(EFFICIENCY * sigma / math.sqrt(flat), spread / math.sqrt(len(found))), spread, len(found)
        )
    error = 1.2533 * math.hypot(one, spread) / math.sqrt(len(found))  # of a median
    return Estimate(float(np.median(found)), error, spread, len(found))


def estimate_rows(rows: Iterable[NDArray[np.floating]], total: int) -> tuple[NDArray[np.float64], float]:
    """(N,): the level of each row by itself, and the typical standard error of one."""
    found = np.empty(total)
    values = 0
    for i, row in enumerate(rows):
        found[i], values = of_row(row), row.size
    return found, standard_error(float(np.median(found)), values)
