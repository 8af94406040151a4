"""The noise level of each row, from any form in which it is given."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.messages import warn
from ambientkit.readers.files import needs
from ambientkit.readers.kept import Kept
from ambientkit.readers.layout import Layout, to_row
from ambientkit.readers.source import Source
from ambientkit.text import lines, listed, number

ESTIMATES = ("estimate", "estimate-by-row")
"""Values of the field sigma_n that ask for a level estimated from the rows."""


class Noise:
    """The noise level of each row: one number, one per row (N,), one per value (*S), or both (N, *S). An axis of length
    1 counts for all.

    levels: the number, an array of one level per row, or a source. scale: what a level is multiplied with to be in [-1,
    1] units. Raises InputError where the shape fits the rows in no way, or in two.
    """

    def __init__(self, levels: Source | NDArray[np.float64] | float, data: Source, scale: float = 1.0) -> None:
        self._file: Source | None = None
        self._kept: Kept | None = None
        self._scale = scale
        self._level = np.array(levels if isinstance(levels, float) else 0.0)
        self._by_row = False
        if isinstance(levels, float):
            return
        if isinstance(levels, np.ndarray):
            self._level, self._by_row = levels, True
            return
        levels.check()
        n, *values = data.shape
        shape = list(levels.shape)
        if shape == [n] == values:
            raise InputError(
                f"{levels}: shape {levels.shape} may mean one sigma_n a row or one a value, "
                f"because a row has as many values as there are rows. Save it as ({n}, 1), one per row, or as (1, "
                f"{n}), one a value"
            )
        whole = len(shape) == len(data.shape) and shape[0] in (1, n)
        per_value = shape[1:] if whole else shape
        fits = len(per_value) == len(values) and all(length in (1, of) for length, of in zip(per_value, values))
        if not fits and shape not in ([], [n]):
            raise InputError(
                f"{levels}: sigma_n has shape {levels.shape}, which does not fit {n} rows of shape {tuple(values)}. "
                f"Give one level per row, ({n},), or one a value, {tuple(values)} or {data.shape}"
            )
        self._by_row = shape == [n] and not fits
        if self._by_row or (whole and shape[0] == n):
            self._file = levels  # may be as large as the data: it is left on disk
        else:
            self._level = levels.all().astype(np.float64).reshape(per_value if fits else shape)

    def only(self, kept: Kept) -> Noise:
        """The levels of the rows that are kept, by position."""
        noise = copy(self)
        noise._kept = kept
        return noise

    def chunk(self, start: int, stop: int, axes: int) -> NDArray[Any]:
        """The levels of rows start..stop, broadcastable to them; axes: of the data, with that of the rows. Raises
        UnusableFile."""
        if not self._by_row and self._file is None:
            return self._scaled(self._level)
        runs = [(start, stop)] if self._kept is None else self._kept.runs(start, stop)
        level = np.concatenate([self._level[a:b] if self._file is None else self._file.read(a, b) for a, b in runs])
        return self._scaled(level.reshape(-1, *[1] * (axes - 1)) if self._by_row else level)

    def row(self, index: int, layout: Layout) -> torch.Tensor:
        """The level of one row, float32: (), or with as many axes as the row."""
        index = index if self._kept is None else self._kept.number(index)
        level = self._file.row(index) if self._file is not None else self._level[index] if self._by_row else self._level
        return torch.tensor(self._scaled(to_row(level, layout) if np.ndim(level) else level), dtype=torch.float32)

    def _scaled(self, level: NDArray[Any]) -> NDArray[Any]:
        return level if self._scale == 1 else level * self._scale


def levels_from_table(table: Path, rows: int) -> NDArray[np.float64]:
    """(N,): the column `sigma_n` of a .csv or .parquet file, in the order of the rows, or in that of its column `row`
    where there is one.

    Raises InputError where the table cannot be read, or does not hold one number for each row, or names files.
    """
    columns, places = table_of(table)
    if "sigma_n" not in columns:
        raise InputError(f"{table}: there is no column 'sigma_n', only {', '.join(map(repr, columns)) or 'none'}")
    if "file" in columns:
        raise InputError(
            f"{table}: its column 'file' names files, but the rows are one array: number them in a column 'row', from "
            "0, or leave the column out where the lines are in the order of the rows"
        )
    if other := [name for name in columns if name not in ("sigma_n", "row")]:
        order = "the column 'row' says which row a line is of" if "row" in columns else "line i is taken for row i"
        warn(f"{table}: the columns {', '.join(map(repr, other))} are not read; {order}")
    bad: list[str] = []
    level, row = np.zeros(len(columns["sigma_n"])), list(range(len(columns["sigma_n"])))
    for i, value in enumerate(columns["sigma_n"]):
        try:
            level[i] = level_of(value)
            row[i] = _whole(columns["row"][i]) if "row" in columns else i
        except ValueError as error:
            bad.append(f"{places[i]}: {error}")
    if bad:
        raise InputError(f"{table}: every sigma_n should be a number, and every row a whole one:\n{lines(bad)}")
    if sorted(row) != list(range(rows)):
        raise InputError(
            f"{table}: should hold one sigma_n for each of the {rows} rows, 0..{rows - 1}, but holds {len(level)}"
        )
    return level[np.argsort(row)]


def levels_by_file(
    table: Path, names: Iterable[str], every: Iterable[str] = (), what: str = "file"
) -> dict[str, float]:
    """File name -> sigma_n from a .csv or .parquet file with the columns `file` and `sigma_n`. names: of the files that
    need a level; every: of all that may have one.

    Raises InputError for a bad line, and where files and lines do not match.
    """
    columns, places = table_of(table)
    if sorted(columns) != ["file", "sigma_n"]:
        raise InputError(
            f"{table}: the columns should be file and sigma_n, one line for each {what}, but are "
            f"{', '.join(map(repr, columns)) or 'none'}"
        )
    levels: dict[str, float] = {}
    bad: list[str] = []
    for place, name, value in zip(places, columns["file"], columns["sigma_n"]):
        try:
            level = level_of(value)
        except ValueError as error:
            bad.append(f"{place}, {name}: {error}")
            continue
        if name in levels:
            bad.append(f"{place}: {name!r} comes a second time")
        levels[str(name)] = level
    if not bad:  # a bad line would be reported again as a missing one
        known = set(names)
        if missing := sorted(known - levels.keys()):
            bad.append(f"no level for {len(missing)} of {len(known)} {what}s: {listed(missing)}")
        if unknown := sorted(levels.keys() - known - set(every)):
            bad.append(f"{len(unknown)} name no {what} of the folder: {listed(unknown)}")
    if bad:
        raise InputError(f"{table}: sigma_n is not known for every {what}:\n{lines(bad)}")
    return levels


class Table(NamedTuple):
    """A table of noise levels."""

    columns: Mapping[str, Sequence[Any]]
    places: Sequence[str]
    """What each of its lines is called in messages."""


def table_of(path: Path) -> Table:
    """A .csv or .parquet file. Raises InputError where it cannot be read."""
    return _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)


def level_of(value: Any) -> float:
    """A noise level in a table. Raises ValueError for what is no number, not finite, or below 0."""
    if (level := number(value)) < 0:
        raise ValueError(f"sigma_n {value} is below 0")
    return level


def _whole(value: Any) -> int:
    """A number of a row. Raises ValueError for one with a fraction, which `int` would drop."""
    if not (row := number(value)).is_integer():
        raise ValueError(f"row {value} has a fraction")
    return int(row)


def _csv(table: Path) -> Table:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            read = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read as a table of noise levels ({error})") from None
    (_, header), *body = read or [(1, [])]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(f"{table}: the column {twice[0]!r} comes more than once: keep the one that is meant")
    if ragged := [f"line {number}: {','.join(cells)!r}" for number, cells in body if len(cells) != len(header)]:
        raise InputError(f"{table}: some lines have not as many cells as the header:\n{lines(ragged)}")
    columns = {name: [cells[i] for _, cells in body] for i, name in enumerate(header)}
    return Table(columns, [f"line {number}" for number, _ in body])


def _parquet(table: Path) -> Table:
    parquet = needs("pyarrow.parquet", "datasets", "a .parquet file")
    try:
        found = parquet.read_table(table, columns=None)
        return Table(found.to_pydict(), [f"row {i}" for i in range(len(found))])
    except Exception as error:  # pyarrow's own family of errors
        raise InputError(
            f"{table}: cannot be read as a table of noise levels ({' '.join(str(error).split())[:160]})"
        ) from None
