"""Stored rows as a map-style data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ambientkit.batch import Batch, Clean
from ambientkit.readers.kept import Kept
from ambientkit.readers.layout import Layout, in_file, to_row
from ambientkit.readers.levels import Noise
from ambientkit.readers.missing import in_unit, missing_of
from ambientkit.readers.source import Source
from ambientkit.rows import Rows
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange

Mapping = ValueRange | CountRange


class _Rows(Rows):
    """What clean and noisy rows share. left_out: the names of rows and files that are not used, each with its cause."""

    mapping: Mapping
    layout: Layout

    def __init__(
        self, source: Source, mapping: Mapping, layout: Layout, left_out: Sequence[str] = (), assumed: bool = False
    ) -> None:
        self.source, self.mapping, self.layout, self.left_out, self.assumed = (
            source,
            mapping,
            layout,
            list(left_out),
            assumed,
        )
        self.stored = str(source.dtype)
        self._missing = list(missing_of(source).values())

    @property
    def blocks(self) -> list[int] | None:  # type: ignore[override]
        """Rows of each shard, where the source has shards."""
        return self.source.blocks() if hasattr(self.source, "blocks") else None

    def __len__(self) -> int:
        return self.source.shape[0]

    def number(self, index: int) -> int:
        """The row of the files at a position: another one only where rows before it are left out."""
        return self.source.number(index) if isinstance(self.source, Kept) else index

    def _pixels(self, index: int) -> torch.Tensor:
        return pixels(self.source.row(index), self.mapping, self.layout, self._missing)


class CleanRows(_Rows):
    """Clean rows. `mapping` is what file values mean in [-1, 1], `source` where they are."""

    def __getitem__(self, index: int) -> Clean:
        return Clean(self._pixels(index), {})


class NoisyRows(_Rows):
    """Observations with their noise level. `Batch.row` is the row of the files."""

    def __init__(
        self,
        source: Source,
        mapping: Mapping,
        layout: Layout,
        noise: Noise,
        left_out: Sequence[str] = (),
        assumed: bool = False,
        masked: bool = False,
    ) -> None:
        super().__init__(source, mapping, layout, left_out, assumed)
        self.noise, self._masked = noise, masked

    def __getitem__(self, index: int) -> Batch:
        return self._observation(index, self._pixels(index), self.noise.row(index, self.layout))

    def _observation(self, index: int, x: torch.Tensor, level: torch.Tensor) -> Batch:
        """A row, with a mask of its measured values where it may lack some; what is missing is 0 there."""
        if not self._masked:
            return Batch(x, level, torch.tensor(self.number(index)), {})
        seen = x.isfinite()
        if level.ndim:  # a missing value has no level; it gets the lowest one of the row, which counts for nothing
            level = torch.where(level.isfinite(), level, level[level.isfinite()].min())
        return Batch(torch.where(seen, x, 0), level, torch.tensor(self.number(index)), {"mask": seen})

    def window(self, index: int, where: tuple[slice, ...]) -> Batch:
        """A part of a row: only its values are mapped to [-1, 1]."""
        whole = self.source.row(index)
        x = pixels(whole[in_file(where, self.layout)], self.mapping, self.layout, self._missing)
        level = self.noise.row(index, self.layout)
        if level.ndim == len(where):  # per pixel; an axis of length 1 counts for all
            level = level[tuple(slice(None) if n == 1 else one for n, one in zip(level.shape, where))]
        return self._observation(index, x, level)

    def at_or_above(self, sigma: float) -> Iterator[int]:
        """The rows whose noise level, or its maximum over the values, is at least sigma; found without reading the rows
        themselves."""
        for start, stop in self.source.chunks():
            level = np.asarray(self.noise.chunk(start, stop, len(self.source.shape)))
            by_row = level.ndim == len(self.source.shape)  # otherwise it is the same for all rows
            most = level.reshape(len(level), -1).max(1) if by_row else level.max()
            yield from map(
                self.number, (start + np.flatnonzero(np.broadcast_to(most, (stop - start,)) >= sigma)).tolist()
            )


def pixels(row: NDArray[Any], mapping: Mapping, layout: Layout, missing: Sequence[float] = ()) -> torch.Tensor:
    """One row as the network sees it: float32, channels first, in data units; NaN for the file values `missing`."""
    return torch.from_numpy(np.ascontiguousarray(to_row(in_unit(row, mapping, missing), layout)))
