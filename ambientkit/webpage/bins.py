"""The bins of a histogram, which show the values and not their rounding."""

from __future__ import annotations

import math
from typing import Any

LOOKED_AT = 100_000
"""Values by which steps are recognised."""
ROUNDED = 1e-6
"""Least distance of two values, over the range of all."""


def histogram_edges(values: Any, bins: int) -> Any:
    """(m + 1,): the edges of m <= `bins` bins of equal width for finite values (n,).

    They reach from the least value to the greatest, but not to those that lie further out than the middle 99.8 % of the
    values are wide: a few would press all others into one bin. Of values on steps (whole numbers) each bin holds
    equally many steps: otherwise some hold one more than their neighbours, which shows as a comb.
    """
    import numpy as np

    low, high = float(values.min()), float(values.max())
    first, last = (float(end) for end in np.quantile(values, (0.001, 0.999)))
    if last > first:
        low, high = max(low, first - (last - first)), min(high, last + (last - first))
    if not high > low:
        return np.histogram_bin_edges(values, 1)
    step = _step(values[(values >= low) & (values <= high)], high - low)
    if step is None:
        return np.linspace(low, high, bins + 1)
    steps = round((high - low) / step) + 1
    width = math.ceil(steps / bins)
    return low - step / 2 + step * width * np.arange(math.ceil(steps / width) + 1)


def _step(values: Any, reach: float) -> float | None:
    """The step of values that stand on even steps, to the rounding of float32; None where they do not."""
    import numpy as np

    kept = values if values.size <= LOOKED_AT else values[:: values.size // LOOKED_AT + 1]
    apart = np.diff(np.unique(kept))
    apart = apart[apart > ROUNDED * reach]  # the same value, mapped to other units and back
    if not apart.size:
        return None
    step = float(np.median(apart[apart < 1.5 * apart.min()]))
    off = np.abs(apart / step - np.round(apart / step))
    return step if reach / step < LOOKED_AT / 10 and bool((off < 0.05).all()) else None
