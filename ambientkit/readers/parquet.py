"""One column of .parquet files, read by row groups as they are needed: nothing is converted, and memory does not grow
with the rows."""

from __future__ import annotations

import bisect
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.source import UnusableFile, cause_of, check_numbers, chunks_of, first_usable
from ambientkit.text import lines

HELD = 9
"""Row groups in memory at a time: those of a window of the order by blocks, and one of the next."""
Decode = Callable[[Any], NDArray[Any]]
"""What a value of the column is as a row (*S). Raises UnusableFile."""


class RowGroups:
    """Rows (N, *S) of one column, in the order of the files. blocks: the row groups, which the order of training goes
    through.

    A row group is read once for all its rows that are wanted one after another. Files are opened for a row group and
    closed again, without threads, so that workers may be forked. most: bytes that `HELD` row groups may take. Raises
    InputError where they would take more, where the column is missing, and for damaged files.
    """

    def __init__(
        self,
        where: Path,
        files: Sequence[Path],
        column: str,
        decode: Decode,
        most: int,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        import pyarrow.parquet as parquet

        self.lossy: set[str] = set()
        """Compression that loses something, by name (`readers.lossy`)."""
        self._where, self._column, self._decode = where, column, decode
        self._files = [str(file) for file in files]
        self._groups: list[tuple[int, int]] = []
        self._held: tuple[int, OrderedDict[int, Any]] = (os.getpid(), OrderedDict())
        counts, bad, largest = [], [], 0
        for i, file in enumerate(files):
            try:
                with parquet.ParquetFile(file) as opened:
                    found = opened.metadata
                    place = opened.schema_arrow.names.index(column) if column in opened.schema_arrow.names else -1
                    if place < 0:
                        raise UnusableFile(
                            f"there is no column {column!r}, only {', '.join(opened.schema_arrow.names)}"
                        )
                    for group in range(found.num_row_groups):
                        part = found.row_group(group)
                        size = sum(
                            c.total_uncompressed_size
                            for c in map(part.column, range(part.num_columns))
                            if c.path_in_schema.split(".")[0] == column
                        )
                        if part.num_rows:
                            largest = max(largest, size)
                            counts.append(part.num_rows)
                            self._groups.append((i, group))
            except Exception as error:  # Arrow's own family of errors, and ours
                bad.append(f"{self._name(i)}: {cause_of(error)}")
        if bad:
            raise InputError(
                f"{where}: {len(bad)} of {len(files)} files cannot be used:\n{lines(bad)}\nCopy or make them again"
            )
        if not counts:
            raise InputError(f"{where}: the dataset has no rows")
        if largest * HELD > most:
            raise InputError(
                f"{where}: the largest row group has {largest / 2**20:,.0f} MiB of column {column!r}, and {HELD} "
                "of them are held in memory by "
                f"each worker: more than max_group_bytes = {most}. Write the files with smaller row groups "
                "(pyarrow: row_group_size), leave "
                f"streaming out, or raise the limit"
            )
        self._counts, self._ends = counts, list(accumulate(counts))
        try:
            first = first_usable(self._ends[-1], self._row)
        except UnusableFile as error:
            raise InputError(f"{self}: {self.name(0)}: {error}") from None
        self.shape: tuple[int, ...] = (self._ends[-1], *first.shape)
        self.dtype = np.dtype(dtype or first.dtype)

    def __str__(self) -> str:
        return f"{self._where}, column {self._column!r}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": (0, OrderedDict())}

    def _name(self, file: int) -> str:
        return Path(self._files[file]).name

    def _values(self, group: int) -> Any:
        """The values of a row group: an array, or a list of what the column holds."""
        if self._held[0] != os.getpid():  # what a parent held is not counted twice
            self._held = (os.getpid(), OrderedDict())
        held = self._held[1]
        if group in held:
            held.move_to_end(group)
            return held[group]
        import pyarrow.parquet as parquet

        file, number = self._groups[group]
        try:
            with parquet.ParquetFile(self._files[file]) as opened:
                values = _plain(opened.read_row_group(number, columns=[self._column], use_threads=False).column(0))
        except Exception as error:
            raise UnusableFile(f"its row group cannot be read ({cause_of(error)})") from None
        if len(values) != self._counts[group]:
            raise UnusableFile("the file was changed during the run")
        held[group] = values
        while len(held) > HELD:
            held.popitem(last=False)
        return values

    def _row(self, index: int) -> NDArray[Any]:
        group = bisect.bisect_right(self._ends, index)
        return self._decode(self._values(group)[index - self._ends[group] + self._counts[group]])

    def _checked(self, index: int) -> NDArray[Any]:
        row = self._row(index)
        if row.shape != self.shape[1:]:
            raise UnusableFile(f"its shape {row.shape} differs from {self.shape[1:]} of the first row")
        if row.dtype != self.dtype and not np.can_cast(row.dtype, self.dtype, "safe"):
            raise UnusableFile(f"its values are {row.dtype}, those of the first row {self.dtype}")
        return row.astype(self.dtype, copy=False)

    def check(self) -> None:
        """Raises InputError where these can be no rows of numbers."""
        check_numbers(str(self), self.shape, self.dtype)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop. Raises UnusableFile where one of them cannot be used."""
        return np.stack([self._checked(index) for index in range(start, stop)])

    def row(self, index: int) -> NDArray[Any]:
        """One row. Raises IndexError outside 0..N-1, and InputError where it cannot be used."""
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"row {index} of {self.shape[0]}")
        try:
            return self._checked(index)
        except UnusableFile as error:
            raise InputError(f"{self}: {self.name(index)}: {error}") from None

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return np.stack([self.row(index) for index in range(self.shape[0])])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds of consecutive rows with few values together."""
        return chunks_of(self.shape)

    def name(self, index: int) -> str:
        """What a row is called."""
        return f"row {index}"

    def blocks(self) -> list[int]:
        """Rows of each row group, in order."""
        return self._counts


def _plain(column: Any) -> Any:
    """The values of an Arrow column: one array (n, *S) where they are numbers of one shape, otherwise a list of what it
    holds."""
    import pyarrow
    import pyarrow.compute as compute

    array = column.combine_chunks()
    if isinstance(array.type, pyarrow.ExtensionType):  # Array2D to Array5D of the datasets library
        return array.to_numpy(zero_copy_only=False)
    rest, shape = array, [len(array)]
    while (
        pyarrow.types.is_list(rest.type)
        or pyarrow.types.is_large_list(rest.type)
        or pyarrow.types.is_fixed_size_list(rest.type)
    ):
        lengths = compute.min_max(compute.list_value_length(rest))
        if rest.null_count or lengths["min"].as_py() != lengths["max"].as_py():
            return array.to_pylist()
        shape.append(lengths["min"].as_py() or 0)
        rest = rest.flatten()
    if rest.null_count or not (pyarrow.types.is_floating(rest.type) or pyarrow.types.is_integer(rest.type)):
        return array.to_pylist()
    return rest.to_numpy(zero_copy_only=False).reshape(shape)
