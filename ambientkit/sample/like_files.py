"""Restored rows as files like those that they were read from: same names, axes and metadata, one folder a series."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError, RunError
from ambientkit.readers import Encoded, Encoding, Kept, Result, Savable, Series, Unwritable
from ambientkit.readers.over import bare

Dtype = Literal["float32", "stored"]
"""Floating point, or the number type of the input files, rounded and clipped to what it holds."""
MEANS = {"mean": "posterior mean", "std": "std of the draws", "draws": "draw"}


class Place(NamedTuple):
    """Where one row of a series is written."""

    file: str
    """Relative to the folder of the results."""
    row: int
    """Its row in that file."""
    alone: bool
    """Whether the file holds no other."""

    def __str__(self) -> str:
        return self.file if self.alone else f"{self.file}[{self.row}]"


@dataclass(frozen=True, slots=True)
class LikeFiles:
    """The output for each input file of a data set, series by series."""

    source: Savable
    rows: int
    """Rows restored: the first ones that can be used."""
    dtype: Dtype
    key: str
    """What all files of a call share."""
    clipped: dict[tuple[str, int], int] = field(default_factory=dict)
    """(series, row) -> values clipped, of the files written so far."""

    @classmethod
    def of(cls, rows: Any, count: int, dtype: Dtype, key: str) -> LikeFiles | None:
        """For the rows of a data set; None where it has no files, or nobody writes their format."""
        source = getattr(rows, "source", None)
        whole = bare(source.source if isinstance(source, Kept) else source)
        if not isinstance(whole, Savable):
            return None
        found = cls(whole, count, dtype, key)
        found._check_cut()
        return found

    def _check_cut(self) -> None:
        """Raises InputError where the last file would be written in part, and its format has no such files: before
        anything is restored."""
        cut = [one for one in self.source.results() if one.start < self.rows < one.stop]
        for one in cut:
            partly = getattr(self.source, "partly", None)
            if partly is None or not (why := partly(one.like, self.rows - one.start)):
                continue
            counts = " or ".join(f"--n {count}" for count in (one.start, one.stop) if count)
            raise InputError(
                f"--n {self.rows}: {one.name}: results cannot be written like it: {why}. Restore whole files "
                f"({counts}), or take --format npy"
            )

    def series(self, arrays: tuple[str, ...], draws: int) -> list[tuple[str, int | None, Series]]:
        """(array, number of the draw, series) of all that is written."""
        found: list[tuple[str, int | None, Series]] = []
        for array in arrays:
            if array != "draws":
                found.append((array, None, Series(array, MEANS[array], self.key)))
            else:
                found += [(array, k, Series(f"draws/{k:03}", f"draw {k}", self.key)) for k in range(draws)]
        return found

    def results(self) -> list[Result]:
        """The input files, as far as their rows are restored."""
        found = [one for one in self.source.results() if one.start < self.rows]
        return [one._replace(stop=min(one.stop, self.rows)) for one in found]

    def names(self, array: str) -> list[str]:
        """What the file of each input file is called; the whole name of the input and a suffix where two would be one
        file."""
        encodings = [self.encoding(one, array) for one in self.results()]
        names = [self.source.result_name(one.name, code) for one, code in zip(self.results(), encodings, strict=True)]
        count = Counter(name.lower() for name in names)
        return [
            name if count[name.lower()] == 1 or name == one.name else f"{one.name}{Path(name).suffix}"
            for name, one in zip(names, self.results(), strict=True)
        ]

    def encoding(self, result: Result, array: str, values: Any = np.float32) -> Encoding:
        """How a file of an array stands on disk; a spread is always floating point. values: the type of the
        results."""
        if self.dtype == "stored" and array != "std":
            return self.source.stored_as(result.like)
        return Encoding(np.dtype(values))

    def targets(self, arrays: tuple[str, ...], draws: int) -> Iterator[str]:
        """Every file that is written, relative to the folder."""
        for array, _, series in self.series(arrays, draws):
            yield from (f"{series.name}/{name}" for name in self.names(array))

    def places(self, arrays: tuple[str, ...], draws: int) -> dict[str, list[Place]]:
        """Series -> where each row is written."""
        found: dict[str, list[Place]] = {}
        for array, _, series in self.series(arrays, draws):
            pairs = zip(self.results(), self.names(array), strict=True)
            found[series.name] = [
                Place(f"{series.name}/{name}", row - one.start, one.stop - one.start == 1)
                for one, name in pairs
                for row in range(one.start, one.stop)
            ]
        return found

    def inputs(self) -> list[Place]:
        """The input file of each row."""
        return [
            Place(one.name, row - one.start, one.stop - one.start == 1)
            for one in self.results()
            for row in range(one.start, one.stop)
        ]

    def write(self, folder: Path, joined: Mapping[str, NDArray[Any]]) -> None:
        """Write every file, whole or not at all, from arrays (rows, ...) of all rows in file values and axes; one file
        of one series is in memory at a time.

        Raises InputError where a format cannot hold the values, and RunError where the disk refuses.
        """
        draws = joined["draws"].shape[1] if "draws" in joined else 0
        for name in joined:  # of a call that was killed
            for left in (folder / name).rglob(".*.tmp-*"):
                _remove(left)
        for array, number, series in self.series(tuple(joined), draws):
            values = joined[array] if number is None else joined[array][:, number]
            for one, name in zip(self.results(), self.names(array), strict=True):
                rows = Encoded(values[one.start : one.stop], self.encoding(one, array, values.dtype))
                self._write(one, rows, folder / series.name / name, series)
                self.clipped.update({(series.name, one.start + i): n for i, n in rows.clipped.items() if n})

    def _write(self, one: Result, rows: Encoded, target: Path, series: Series) -> None:
        aside = target.with_name(f".{os.getpid()}.tmp-{target.name}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove(aside)
            self.source.save(one.like, rows, aside, series)
            if aside.is_dir():
                _remove(target)
            else:
                with open(aside, "rb+") as stream:
                    os.fsync(stream.fileno())
            os.replace(aside, target)
        except Unwritable as error:
            _remove(aside)
            raise InputError(f"{one.name}: results cannot be written like it: {error}; or take --format npy") from None
        except OSError as error:
            _remove(aside)
            reason = error.strerror or str(error)
            raise RunError(f"{target}: cannot be written ({reason}); the same command goes on from here") from error
        except BaseException:
            _remove(aside)
            raise

    def told(self) -> str:
        """Values that were clipped, and in which files; empty where none was."""
        if not self.clipped:
            return ""
        inputs = self.inputs()
        by_file: Counter[str] = Counter()
        for (_, row), count in self.clipped.items():
            by_file[inputs[row].file] += count
        few = ", ".join(f"{name} ({count:,})" for name, count in by_file.most_common(5))
        more = f" and {len(by_file) - 5} more" if len(by_file) > 5 else ""
        return (
            f"{by_file.total():,} values did not fit the number type of the input files and were clipped to its ends, "
            f"in the results of {len(by_file):,} of {len(self.results()):,} files: {few}{more}"
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
