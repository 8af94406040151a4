"""What a format provides: rows of one shape and number type, by index, in file values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.npy import CHUNK


class UnusableFile(ValueError):
    """A file, or rows of one, that cannot be used; the message is the cause, without its name."""


def cause_of(error: Exception) -> str:
    """One short line for what a decoder raised."""
    text = (error.strerror or "") if isinstance(error, OSError) else ""
    return (" ".join((text or str(error)).split()) or type(error).__name__)[:160]


class Source(Protocol):
    """Rows on disk. It holds names and sizes, never the data, and can be pickled; open files belong to one
    process.

    A source may also have `missing`: name -> file value of what stands for a missing pixel (NaN where it is returned as
    NaN already), and `blocks()`: the rows of each shard, in order, where reading in another order is slow.
    """

    shape: tuple[int, ...]
    """(N, *S)."""
    dtype: np.dtype[Any]
    """Of the values as `read` and `row` return them."""

    def check(self) -> None:
        """Raises InputError where these can be no rows of numbers."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop (n, *S), for a scan. Raises UnusableFile where one of them cannot be used."""

    def row(self, index: int) -> NDArray[Any]:
        """One row (*S). Raises IndexError outside 0..N-1, and InputError where it cannot be used."""

    def all(self) -> NDArray[Any]:
        """Everything, in memory; for noise levels, which are small."""

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds (start, stop) of consecutive rows."""

    def name(self, index: int) -> str:
        """What row `index` is called in messages."""


def chunks_of(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """The bounds of consecutive rows with about `CHUNK` values together."""
    step = max(1, CHUNK // max(1, math.prod(shape[1:])))
    return ((start, min(start + step, shape[0])) for start in range(0, shape[0], step))


def check_numbers(where: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raises InputError for an empty array, and for anything but real numbers of at most 64 bits."""
    if dtype.hasobject or dtype.kind not in "uif" or dtype.itemsize > 8:
        raise InputError(
            f"{where}: values of type {dtype} are no data for a diffusion model. "
            "Save whole numbers or floating point of at most 64 bits (float32 is best); split complex numbers "
            "into two channels"
        )
    if min(shape, default=1) < 1:
        raise InputError(f"{where}: the array is empty (shape {shape})")


FIRST = 100
"""Rows among which one is sought that shows the shape of all."""


def first_usable(rows: int, decode: Callable[[int], NDArray[Any]]) -> NDArray[Any]:
    """The first row that can be decoded, of which all others must have the shape. Raises UnusableFile of row 0 where
    none of `FIRST` can."""
    cause: UnusableFile | None = None
    for index in range(min(rows, FIRST)):
        try:
            return decode(index)
        except UnusableFile as error:
            cause = cause or error
    raise cause or UnusableFile("there are no rows")
