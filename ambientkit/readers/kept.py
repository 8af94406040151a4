"""Rows of which some are left out, because they cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.readers.source import Source


class Kept:
    """The rows of a source without some of them. Position i stands for row `number(i)` of the files, whose name and
    level it keeps.

    left_out: numbers of the rows that are left out. Only these numbers are held, so memory grows with them alone.
    """

    def __init__(self, source: Source, left_out: Sequence[int]) -> None:
        self.source = source
        self._out = np.unique(np.asarray(left_out, np.int64))
        self._before = self._out - np.arange(len(self._out))  # rows that are kept before each one that is not
        self.shape = (source.shape[0] - len(self._out), *source.shape[1:])
        self.dtype = source.dtype
        self.missing: dict[str, float] = dict(getattr(source, "missing", {}))

    def __str__(self) -> str:
        return str(self.source)

    def number(self, position: int) -> int:
        """The row of the files at a position."""
        return position + int(np.searchsorted(self._before, position, side="right"))

    def runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Positions start..stop as bounds of consecutive rows of the files."""
        first, last = self.number(start), self.number(stop - 1) + 1
        inside = self._out[np.searchsorted(self._out, first) : np.searchsorted(self._out, last)].tolist()
        edges = [first, *chain.from_iterable((row, row + 1) for row in inside), last]
        return ((a, b) for a, b in zip(edges[::2], edges[1::2]) if a < b)

    def check(self) -> None:
        """As of the source."""
        self.source.check()

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows at positions start..stop."""
        return np.concatenate([self.source.read(a, b) for a, b in self.runs(start, stop)])

    def row(self, index: int) -> NDArray[Any]:
        """The row at a position. Raises IndexError outside 0..N-1."""
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"row {index} of {self.shape[0]}")
        return self.source.row(self.number(index))

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return np.concatenate([self.read(start, stop) for start, stop in self.chunks()])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds of consecutive positions, cut where those of the source are."""
        for start, stop in self.source.chunks():
            first, last = (bound - int(np.searchsorted(self._out, bound)) for bound in (start, stop))
            if first < last:
                yield first, last

    def name(self, index: int) -> str:
        """What the row at a position is called: its name in the files."""
        return self.source.name(self.number(index))

    def blocks(self) -> list[int] | None:
        """Rows of each shard that are kept; None where the source has no shards."""
        if not hasattr(self.source, "blocks") or (blocks := self.source.blocks()) is None:
            return None
        ends = np.cumsum([0, *blocks])
        return (np.diff(ends) - np.diff(np.searchsorted(self._out, ends))).tolist()
