"""Overlapping tiles of a large picture, and windows that blend them: weights whose sum is exactly 1 at every pixel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.errors import InputError

BITS = 22
"""Fractional bits of a weight: float32 holds 24, so that sums of weights up to 1 are exact."""


class Window(NamedTuple):
    """One tile along one axis."""

    start: int
    """First pixel."""
    weights: Tensor
    """(tile,), float32, in [0, 1]."""


class Tile(NamedTuple):
    """One tile of a picture."""

    where: tuple[slice, ...]
    """Its place along the axes of the picture."""
    weights: Tensor
    """(*tile,), float32: of its result at each pixel."""


def default_overlap(tile: int) -> int:
    """Pixels that neighbours share: half a tile, so that what is used of a tile lies an eighth of it from its edge."""
    return tile // 2


def windows(length: int, tile: int, overlap: int, bits: int = BITS) -> list[Window]:
    """Tiles that cover 0..length - 1 along one axis, evenly spaced, with `overlap` pixels or more shared by neighbours.

    Between neighbours the weight passes from one to the other as sin^2 over the middle half of `overlap`; the outer
    quarters, next to the edges of the two tiles, weigh 0: there a network sees too little of what is around. Tiles at
    the ends of the axis keep weight 1 up to them. Weights are multiples of 2^-bits and telescope (w_i = u_i - u_i+1,
    u_0 = 1, u_last = 0), so they sum to 1 exactly. A denoiser that looks no further than overlap / 4 pixels gives the
    same in tiles as on the whole. Raises InputError where the overlap is not in 0..tile/2, or the tile is longer than
    the axis.
    """
    if tile > length:
        raise InputError(f"tiles of {tile} pixels do not fit into an axis of {length}")
    if not 0 <= overlap <= tile // 2:
        raise InputError(f"overlap {overlap}: should be from 0 to half a tile, {tile // 2} pixels")
    count = 1 if tile == length else math.ceil((length - overlap) / (tile - overlap))
    starts = [round(i * (length - tile) / max(1, count - 1)) for i in range(count)]
    place = torch.arange(length, dtype=torch.float64) + 0.5
    rising = [torch.ones(length, dtype=torch.float64)]
    for before, after in itertools.pairwise(starts):
        width = min(overlap / 2, after - before)
        middle = (after + before + tile) / 2
        part = ((place - middle) / width + 0.5 if width else (place >= middle).double()).clamp(0, 1)
        rising.append((torch.sin(math.pi / 2 * part) ** 2 * 2**bits).round() / 2**bits)
    rising.append(torch.zeros(length, dtype=torch.float64))
    return [Window(start, (rising[i] - rising[i + 1])[start : start + tile].float()) for i, start in enumerate(starts)]


class Tiling(Sequence[Tile]):
    """The tiles of a picture of this shape, axis by axis as `windows`. Only the windows along the axes are held.

    A tile's weights are the product of those along its axes, exact in float32, and sum to 1 exactly over all tiles.
    """

    def __init__(self, shape: Sequence[int], tile: Sequence[int], overlap: Sequence[int]) -> None:
        bits = BITS // max(1, len(shape))
        self._along = [windows(*axis, bits) for axis in zip(shape, tile, overlap, strict=True)]

    def __len__(self) -> int:
        return math.prod(len(found) for found in self._along)

    def __getitem__(self, index: int) -> Tile:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        chosen: list[Window] = []
        for found in reversed(self._along):
            index, place = divmod(index, len(found))
            chosen.insert(0, found[place])
        weights = torch.ones(())
        for window in chosen:
            weights = weights.unsqueeze(-1) * window.weights
        return Tile(tuple(slice(w.start, w.start + len(w.weights)) for w in chosen), weights)
