"""How much noise may be cut at the ends of a range of values.

Where the truth x lies at an end, the noise of half of the draws is cut away: E[min(x + sigma z, x)] = x - sigma /
sqrt(2 pi), so that such values are 0.4 sigma off. Farther from the end it is less, and nowhere more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange

CLIPPED = 1e-3
"""Largest share of values at the ends of their range that says nothing."""
KEPT = 1e-2
"""Largest share that can be taken as it is, knowingly."""
KEEP = (
    "`clipped: keep` in the data set takes the rows as they are: where the truth lies at an end, its mean is up to 0.4 "
    "of the noise's std off, and what lies beyond is lost"
)


def range_ends(dtype: np.dtype[Any], mapping: ValueRange | CountRange | None) -> set[float]:
    """The file values at which noise can be cut: the ends of the range, where there is one, and of a type of whole
    numbers; not the one at which counts end by themselves."""
    ends = set() if mapping is None else {mapping.low, mapping.high}
    if dtype.kind in "ui":
        ends |= {float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)}
    return {end for end in ends if not (isinstance(mapping, CountRange) and abs(end - mapping.zero) <= mapping.gain)}
