"""A few values that were cut at an end of their range: a run may take them as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ambientkit.readers.own_values import OwnValues
from ambientkit.text import percent
from ambientkit.units.clipping import CLIPPED, KEPT, range_ends
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange


def clipped_values(values: OwnValues, spec: Mapping[str, Any]) -> str | None:
    """Why `clipped: keep` is proposed, where so many values as may be kept are the smallest or the largest one; None
    where fewer or more are.

    Half of what is refused is enough for that: these are some of the rows, and others may have more.
    """
    seen = values.rows[np.isfinite(values.rows)]
    if spec.get("clean") or spec.get("clipped") is not None or not seen.size:
        return None
    pair = spec.get("value_range")
    mapping = CountRange(*pair, **spec["counts"]) if "counts" in spec and pair else ValueRange(*pair) if pair else None
    ends = range_ends(values.found.source.dtype, mapping)
    shares = {end: float((seen == end).mean()) for end in (float(seen.min()), float(seen.max())) if end in ends}
    if not CLIPPED / 2 < sum(shares.values()) <= KEPT:
        return None
    told = " and ".join(f"{percent(share)} % at {end:g}" for end, share in shares.items() if share > CLIPPED / 10)
    return (
        f"The noise of a few values was cut off at an end of their range ({told}): where the truth lies there, its "
        "mean is up to 0.4 of the noise's std off. A longer range or a shorter exposure has none."
    )
