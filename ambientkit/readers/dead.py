"""Rows of a camera some of whose pixels hold nothing: they are missing in every row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.layout import Layout, in_file
from ambientkit.readers.source import Source

Place = tuple[int | Literal["*"], int | Literal["*"]]
"""(line, column) of a pixel, from 0; ("*", column) and (line, "*") are whole columns and lines."""


def pixels_of(places: Sequence[Place], height: int, width: int) -> list[tuple[int, int]]:
    """The pixels that are named, each once."""
    found = (
        (y, x)
        for line, column in places
        for y in (range(height) if line == "*" else (line,))
        for x in (range(width) if column == "*" else (column,))
    )
    return list(dict.fromkeys(found))


class Dead:
    """The rows of a source, with NaN at some pixels of every row, in all channels.

    pixels: their places. `dtype` stays that of the files. Raises InputError for one outside the rows,
    and for rows that are no pictures.
    """

    def __init__(self, source: Source, pixels: Sequence[Place], layout: Layout) -> None:
        self.source, self.dtype, self.shape = source, source.dtype, source.shape
        axes = len(source.shape) - 1 + (layout == "NHW")
        hole = np.zeros(source.shape[1:], bool)
        if axes < 3:
            raise InputError(f"{source}: dead names pixels of pictures, but a row has the shape {source.shape[1:]}")
        for line, column in pixels:
            at = [slice(None) if one == "*" else slice(one, one + 1) for one in (line, column)]
            where = (*[slice(None)] * (axes - 2), *at)
            if not hole[in_file(where, layout)].size:
                raise InputError(
                    f"{source}: dead names ({line}, {column}), which is outside rows of {source.shape[1:]}"
                )
            hole[in_file(where, layout)] = True
        self._hole = hole
        self.missing: dict[str, float] = {**getattr(source, "missing", {}), "dead": math.nan}

    def __str__(self) -> str:
        return str(self.source)

    def check(self) -> None:
        """As of the source, which may have left out files."""
        self.source.check()
        self.shape = self.source.shape

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop, in floating point."""
        return self._without(self.source.read(start, stop))

    def row(self, index: int) -> NDArray[Any]:
        """One row, in floating point."""
        return self._without(self.source.row(index))

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return self._without(self.source.all())

    def chunks(self) -> Iterator[tuple[int, int]]:
        """As of the source."""
        return self.source.chunks()

    def name(self, index: int) -> str:
        """As of the source."""
        return self.source.name(index)

    def blocks(self) -> list[int] | None:
        """Rows of each shard; None where the source has no shards."""
        blocks: list[int] | None = self.source.blocks() if hasattr(self.source, "blocks") else None
        return blocks

    def _without(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.where(self._hole, np.nan, values).astype(np.result_type(values.dtype, np.float32))


def bare(source: Any) -> Any:
    """The source of the files themselves."""
    return source.source if isinstance(source, Dead) else source
