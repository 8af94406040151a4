"""Results for rows of files: which file a row came from, what numbers it is written in, and who writes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Series(NamedTuple):
    """One quantity of the results, such as the posterior mean: every input file has one file of it."""

    name: str
    """The folder it is written in: "mean", "std", "draws/000"."""
    said: str
    """Its description."""
    key: str
    """What all files of it share: by it identifiers of the series are made."""


class Encoding(NamedTuple):
    """How numbers stand in a file: value = slope * stored + intercept."""

    dtype: np.dtype[Any]
    slope: float = 1.0
    intercept: float = 0.0
    low: float | None = None
    """The least whole number that may be stored; by default that of the type."""
    high: float | None = None
    """The largest one."""

    def bounds(self) -> tuple[float, float]:
        """The stored numbers that there are."""
        if self.dtype.kind == "f":
            return -np.inf, np.inf
        info = np.iinfo(self.dtype)
        return (
            float(info.min) if self.low is None else self.low,
            float(info.max) if self.high is None else self.high,
        )

    def encode(self, values: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """Values as they are stored, and how many were clipped to the numbers that there are; whole ones are
        rounded to the nearest, halves to even."""
        if self.dtype.kind == "f":
            return ((values - self.intercept) / self.slope if self.slope != 1 or self.intercept else values).astype(
                self.dtype
            ), 0
        low, high = self.bounds()
        whole = np.rint((values.astype(np.float64) - self.intercept) / self.slope)
        return np.clip(whole, low, high).astype(self.dtype), int(((whole < low) | (whole > high)).sum())


class Encoded(Sequence[NDArray[Any]]):
    """Rows as they are stored, encoded one by one when they are asked for, so that memory holds one.

    clipped: row -> values that did not fit, of the rows seen so far.
    """

    def __init__(self, values: Sequence[Any] | NDArray[Any], encoding: Encoding) -> None:
        self._values, self.encoding = values, encoding
        self.clipped: dict[int, int] = {}
        self.dtype = encoding.dtype
        self.row_shape: tuple[int, ...] = tuple(np.shape(values[0]))

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *S)."""
        return (len(self), *self.row_shape)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> NDArray[Any]:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        stored, self.clipped[index] = self.encoding.encode(np.asarray(self._values[index]))
        return stored

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[index] for index in range(len(self)))

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return np.stack(list(self))

    def arranged(self, how: Callable[[NDArray[Any]], NDArray[Any]]) -> Encoded:
        """The same rows with their axes arranged in another way, row by row."""
        return _Arranged(self, how)


class _Arranged(Encoded):
    def __init__(self, rows: Encoded, how: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self._rows, self._how = rows, how
        self.encoding, self.dtype, self.clipped = rows.encoding, rows.dtype, rows.clipped
        self.row_shape = how(np.empty(rows.row_shape, rows.dtype)).shape

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> NDArray[Any]:  # type: ignore[override]
        return self._how(self._rows[index])


class Result(NamedTuple):
    """The output for one input file."""

    like: Path
    """The input file."""
    name: str
    """The name of the input file, with its sub-folders, relative to the data."""
    start: int
    """Its first row, among those that are used."""
    stop: int


@runtime_checkable
class Savable(Protocol):
    """A source (`readers.source.Source`) that can write results like its own files."""

    def results(self) -> list[Result]:
        """The input files, with the rows of each."""

    def result_name(self, name: str, encoding: Encoding) -> str:
        """What the file of results for the input `name` is called."""

    def stored_as(self, like: Path) -> Encoding:
        """How numbers stand in an input file."""

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Write rows (n, *S), in the axes of the source, to `target` as a file (or folder) like `like`, with its
        metadata as far as its library writes them. The rows are the first n of those in `like`.

        Raises Unwritable where the format cannot hold them.
        """


class Unwritable(ValueError):
    """Results that a format cannot hold; the message is the reason."""


def digest(*texts: str) -> str:
    """A key of several texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
