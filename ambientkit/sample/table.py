"""The table of restored rows: which input each is, and where its results are."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ambientkit.sample.like_files import LikeFiles, Place
from ambientkit.sample.uncertainty import RowError, Uncertainty

COLUMNS = ("sigma", "topped_up", "as_it_is")
"""Of a `RowInfo`, what the table shows: Stein's estimate is too uncertain row by row."""


class RowInfo(NamedTuple):
    """The measures of one restored row."""

    number: int
    """Row of the data set, as `Batch.row`."""
    sigma: float
    """The level restored from, units of [-1, 1]."""
    topped_up: bool
    """Whether noise was added up to that level first."""
    as_it_is: bool
    """Whether it is returned unchanged, for want of noise."""
    mse: float | None = None
    """As `Restored.mse`; None where it is not known."""
    variance: float | None = None
    """As `Restored.variance`."""
    fresh: bool = True
    """Whether the run was not trained on it."""


def uncertainty_of(rows: Sequence[RowInfo]) -> Uncertainty | None:
    """By all rows that have an estimate; None for too few."""
    return Uncertainty.of(
        RowError(one.mse, one.variance, one.sigma, one.fresh)
        for one in rows
        if one.mse is not None and one.variance is not None
    )


def restored_table(rows: Sequence[RowInfo], places: Mapping[str, Sequence[Place]], like: LikeFiles | None) -> bytes:
    """A CSV file with a line for each row. Columns: the input file (empty where rows are not kept in files) and its row
    there, sigma, topped_up, as_it_is, a column for each series with the file of results and the row in it, and, where
    values were clipped to whole numbers, how many."""
    counted = like is not None and like.dtype == "stored"
    inputs = like.inputs() if like else [Place("", one.number, False) for one in rows]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["input", "row", *COLUMNS, *places, *(["clipped"] if counted else [])])
    for index, (one, source) in enumerate(zip(rows, inputs, strict=True)):
        about = [source.file, source.row, f"{one.sigma:.6g}", int(one.topped_up), int(one.as_it_is)]
        clipped = [sum(like.clipped.get((name, index), 0) for name in places)] if like and counted else []
        writer.writerow([*about, *(str(found[index]) for found in places.values()), *clipped])
    return stream.getvalue().encode("utf-8", errors="surrogateescape")
