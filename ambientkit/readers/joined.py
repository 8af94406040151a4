"""Several arrays of one row shape as one source: the images of a plate, or of a folder."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.opened import OpenedArray
from ambientkit.readers.results import Encoding, Result
from ambientkit.text import listed


class Joined:
    """The rows of arrays, one array after the other. Each is opened when its rows are read.

    folder: the path they were found under. Raises InputError for rows of several shapes or types.
    """

    def __init__(self, folder: Path, arrays: Sequence[OpenedArray]) -> None:
        self._folder, self.arrays = folder, list(arrays)
        kinds: dict[tuple[tuple[int, ...], np.dtype[Any]], list[str]] = {}
        for array in arrays:
            kinds.setdefault((array.shape[1:], array.dtype), []).append(self._called(array))
        if len(kinds) > 1:
            told = [f"{shape} {dtype}: {listed(names, limit=4)}" for (shape, dtype), names in kinds.items()]
            raise InputError(
                f"{folder}: all images must have rows of one shape and type; found\n" + "\n".join(told) + "\nName one "
                "by key, or move those of another shape out"
            )
        self._ends = list(accumulate(array.shape[0] for array in arrays))
        self.shape = (self._ends[-1], *arrays[0].shape[1:])
        self.dtype = arrays[0].dtype
        self.lossy = set().union(*(array.lossy for array in arrays))
        self.missing: dict[str, float] = {}
        """Name -> value of what stands for a missing pixel in any of them."""
        for array in arrays:
            for name, value in array.missing.items():
                same = self.missing.setdefault(name, value) == value
                self.missing.update({} if same else {f"{name} of {self._called(array)}": value})

    def __str__(self) -> str:
        return f"{self._folder}, {len(self.arrays)} images"

    def _called(self, array: OpenedArray) -> str:
        inside = os.path.relpath(array.path, self._folder).replace(os.sep, "/")
        return "/".join(part for part in (inside if inside != "." else "", array.key) if part)

    def _place(self, index: int) -> tuple[OpenedArray, int]:
        which = bisect.bisect_right(self._ends, index)
        return self.arrays[which], index - (self._ends[which - 1] if which else 0)

    def check(self) -> None:
        """Raises InputError where one of them can be no rows of numbers."""
        for array in self.arrays:
            array.check()

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop, all in one array (as `chunks` cuts them). Raises UnusableFile."""
        array, first = self._place(start)
        return array.read(first, first + stop - start)

    def row(self, index: int) -> NDArray[Any]:
        """One row. Raises IndexError outside 0..N-1, and InputError where it cannot be decoded."""
        array, inside = self._place(index)
        return array.row(inside)

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return np.concatenate([array.all() for array in self.arrays])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds of consecutive rows, none of which crosses the end of an array."""
        for array, end in zip(self.arrays, self._ends, strict=True):
            first = end - array.shape[0]
            yield from ((first + start, first + stop) for start, stop in array.chunks())

    def name(self, index: int) -> str:
        """The image of a row, and its number in there where it holds several."""
        array, inside = self._place(index)
        return self._called(array) + (f"[{inside}]" if array.shape[0] > 1 else "")

    def results(self) -> list[Result]:
        """The folders of the arrays, with the rows of each; see `readers.results`."""
        found: list[Result] = []
        for array, end in zip(self.arrays, self._ends, strict=True):
            if found and found[-1].like == array.path:
                found[-1] = found[-1]._replace(stop=end)
                continue
            name = array.path.name if array.path == self._folder else os.path.relpath(array.path, self._folder)
            found.append(Result(array.path, name, end - array.shape[0], end))
        return found

    def result_name(self, name: str, encoding: Encoding) -> str:
        """The same name."""
        return name

    def stored_as(self, like: Path) -> Encoding:
        """How numbers stand in the arrays."""
        return Encoding(self.dtype)

    def within(self, like: Path) -> list[OpenedArray]:
        """The arrays of one folder."""
        return [array for array in self.arrays if array.path == like]

    def partly(self, like: Path, rows: int) -> str:
        """Why the first rows of a folder alone cannot be written like it; empty where they can."""
        arrays = self.within(like)
        if len(arrays) == 1:
            return arrays[0].partly(like, rows)
        whole = sum(array.shape[0] for array in arrays)
        return f"its {len(arrays)} images have {whole} rows, and this would be {rows}"
