"""Stored rows as a map-style data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.counts import CountRange
from ambientkit.stored.layout import Layout, to_row
from ambientkit.stored.noise import Noise
from ambientkit.stored.source import Source
from ambientkit.units import ValueRange

Mapping = ValueRange | CountRange


class CleanRows(Dataset[Clean]):
    """Clean rows. `mapping` is what file values mean in [-1, 1], `source` where they are."""

    def __init__(self, source: Source, mapping: Mapping, layout: Layout) -> None:
        self.source, self.mapping, self.layout = source, mapping, layout

    def __len__(self) -> int:
        return self.source.shape[0]

    def __getitem__(self, index: int) -> Clean:
        return Clean(pixels(self.source.row(index), self.mapping, self.layout), {})


class NoisyRows(Dataset[Batch]):
    """Observations with their noise level."""

    def __init__(self, source: Source, mapping: Mapping, layout: Layout, noise: Noise) -> None:
        self.source, self.mapping, self.layout, self.noise = source, mapping, layout, noise

    def __len__(self) -> int:
        return self.source.shape[0]

    def __getitem__(self, index: int) -> Batch:
        x_n = pixels(self.source.row(index), self.mapping, self.layout)
        return Batch(x_n, self.noise.row(index, self.layout), torch.tensor(index), {})

    def at_or_above(self, sigma: float) -> Iterator[int]:
        """The rows whose noise level, or its maximum over the values, is at least sigma; found without reading the rows themselves."""
        for start, stop in self.source.chunks():
            level = np.asarray(self.noise.chunk(start, stop, len(self.source.shape)))
            by_row = level.ndim == len(self.source.shape)  # otherwise it is the same for all rows
            most = level.reshape(len(level), -1).max(1) if by_row else level.max()
            yield from (start + np.flatnonzero(np.broadcast_to(most, (stop - start,)) >= sigma)).tolist()


def pixels(row: NDArray[Any], mapping: Mapping, layout: Layout) -> torch.Tensor:
    """One row as the network sees it: float32, channels first, in data units."""
    return torch.from_numpy(np.ascontiguousarray(to_row(mapping.to_unit(row), layout)))
