"""The shape that the noise of few counts keeps after their transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ambientkit.units.counts import CountRange

LEVELS, DRAWS = 9, 20_000
"""Levels of brightness at which it is found, and draws at each."""


def bent(counts: CountRange, brightness: NDArray[np.float64]) -> tuple[float, float]:
    """(skewness, excess kurtosis) that the noise of counts keeps after the transform, by drawing it at the quantiles of
    the brightness (k,), data units: the square root bends the noise of few counts."""
    clean = counts.from_unit(np.quantile(brightness, np.linspace(0.05, 0.95, LEVELS)))
    rng = np.random.default_rng(0)
    photons = rng.poisson(np.maximum(clean - counts.offset, 0) / counts.gain, (DRAWS, LEVELS))
    read = counts.offset + counts.read_std * rng.standard_normal((DRAWS, LEVELS))
    x = counts.to_unit(counts.gain * photons + read).astype(np.float64)
    z = x - x.mean(0)
    second = float(np.square(z).mean())
    return float((z**3).mean()) / second**1.5, float((z**4).mean()) / second**2 - 3
