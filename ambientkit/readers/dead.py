"""Rows of a camera some of whose pixels hold nothing: they are missing in every row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.layout import Layout, in_file
from ambientkit.readers.over import Over
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


class Dead(Over):
    """The rows of a source, with NaN at some pixels of every row, in all channels.

    pixels: their places. `dtype` stays that of the files. Raises InputError for one outside the rows,
    and for rows that are no pictures.
    """

    def __init__(self, source: Source, pixels: Sequence[Place], layout: Layout) -> None:
        super().__init__(source)
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

    @property
    def missing(self) -> dict[str, float]:
        """As of the source, and the dead pixels."""
        return {**super().missing, "dead": math.nan}

    def seen(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values in floating point, with NaN at the dead pixels."""
        return np.where(self._hole, np.nan, values).astype(np.result_type(values.dtype, np.float32))
