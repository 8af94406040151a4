"""A value range measured on the rows, for files that do not say what part of their range the pictures use."""

from __future__ import annotations

import logging
from contextlib import suppress

import numpy as np

from ambientkit.errors import InputError
from ambientkit.readers.missing import missing_of
from ambientkit.readers.source import Source
from ambientkit.rows import evenly
from ambientkit.units.ranges import ValueRange
from ambientkit.units.scale import FAR

logger = logging.getLogger("ambientkit")

SHARE = 1e-3
"""Share of the values that lies outside, at each end: hot pixels and cosmic rays set no range."""
ROWS, VALUES = 4096, 2**24
"""Most rows looked at, evenly spaced, and most values."""


def measured_range(source: Source) -> tuple[float, float]:
    """(low, high): the quantiles 0.001 and 0.999 of the values of evenly spaced rows, those that are missing aside; 7
    digits.

    A function of the files alone, reported as a warning together with how far single values lie outside. Nothing is
    clipped to it: they are mapped by the same line. Raises InputError where no row can be read, or all values are one
    and the same."""
    most = max(1, min(ROWS, VALUES // max(1, int(np.prod(source.shape[1:])))))
    rows = []
    for index in evenly(source.shape[0], most):
        with suppress(InputError):  # one that cannot be read is reported later
            rows.append(source.row(index).ravel())
    values = np.concatenate(rows).astype(np.float64) if rows else np.empty(0)
    values = values[np.isfinite(values) & ~np.isin(values, list(missing_of(source).values()))]
    if not values.size or np.ptp(values) == 0:
        why = "all values are the same" if values.size else "no row can be read"
        raise InputError(f"{source}: no value range can be measured, because {why}")
    low, high = np.quantile(values, [SHARE, 1 - SHARE])
    if low == high:  # nearly all values are one and the same
        low, high = values.min(), values.max()
    found = float(f"{low:.7g}"), float(f"{high:.7g}")
    far = beyond(found, float(values.min()), float(values.max()))
    told = f"{source}: value_range: [{found[0]:.7g}, {found[1]:.7g}], measured on the rows{far and f'; {far}'}"
    logger.warning("%s", told, extra={"subject": "value_range"})
    return found


def beyond(value_range: tuple[float, float], low: float, high: float) -> str:
    """What single values say that lie far beyond a range; empty where none does. low, high: of all values."""
    reach = float(np.abs(ValueRange(*value_range).to_unit(np.asarray([low, high]))).max())
    if reach <= FAR:
        return ""
    return f"single values reach {reach:.3g} in these units: hot pixels, or pictures that are mostly dark?"
