"""The values of rows as their files have them, for those who judge noise before anybody says what a value means."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.layout import to_row
from ambientkit.readers.missing import missing_of
from ambientkit.readers.part import Found, Stored
from ambientkit.rows import evenly

VALUES = 2**22
"""Most values that are read."""


@dataclass(frozen=True, slots=True)
class OwnValues:
    """Evenly spaced rows in file values, channels first, float64; missing values are NaN."""

    rows: NDArray[np.float64]
    """(n, *S)."""
    total: int
    """Rows there are."""
    found: Found

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(n,): rows with a missing value."""
        return np.isnan(self.rows).reshape(len(self.rows), -1).any(1)

    @property
    def whole(self) -> NDArray[np.float64]:
        """The rows without a missing value."""
        return self.rows[~self.missing]


def own_values(part: Stored, most: int, values: int = VALUES) -> OwnValues:
    """Up to `most` rows of a data set, and about `values` values; one row at least. Raises InputError where no row can
    be read."""
    found = part.found()
    source = found.source
    source.check()
    size = max(1, int(np.prod(source.shape[1:])))
    marks = [value for value in missing_of(source).values() if not np.isnan(value)]
    rows = []
    for index in evenly(source.shape[0], max(1, min(most, values // size))):
        with suppress(InputError):  # one that cannot be read is reported when all are checked
            rows.append(np.asarray(to_row(source.row(index), found.layout), np.float64))
    if not rows:
        raise InputError(f"{source}: no row can be read")
    kept = np.stack(rows)
    for mark in marks:
        kept[kept == mark] = np.nan
    kept[~np.isfinite(kept)] = np.nan
    return OwnValues(kept, source.shape[0], found)
