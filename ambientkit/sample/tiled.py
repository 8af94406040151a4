"""Pictures larger than the rows that a network was trained on: it denoises overlapping tiles, which are blended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser
from ambientkit.maths.tiles import Tile, Tiling, default_overlap
from ambientkit.sample.batches import Batches


class TiledDenoiser:
    """D(x, sigma) of a picture from that of its tiles: D(x) = sum_t w_t D(x_t), with windows that sum to 1.

    The picture is what the sampler carries: it has one level, one noise field keyed by its row, and one state, so draws
    agree where tiles overlap, in every step. Each call of it is one call of the network for each tile, `batches` tiles
    at a time; what is held besides is one picture. Conditions that lie along the picture (a mask) are cut alike, all
    others are those of the whole. The result is the law of one picture only as far as what a tile does not see says
    nothing about it. Sources: arXiv 2302.08113, eq. 5 (overlapping denoisers as a weighted mean in each step); arXiv
    2406.02462 (patches of a large picture).
    """

    def __init__(self, denoiser: Denoiser, tile: Sequence[int], overlap: Sequence[int], batches: Batches) -> None:
        self._denoiser, self._tile, self._overlap, self._batches = denoiser, tuple(tile), tuple(overlap), batches

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        """x (B, C, *picture), sigma (B,); returns the shape and dtype of x."""
        size = tuple(x.shape[2:])
        cut = Tiling(size, self._tile, self._overlap)
        along = {name for name, value in cond.items() if tuple(value.shape[2:]) == size}
        result = torch.zeros_like(x)
        place = 0

        def denoised(part: range) -> Tensor:
            chosen = [(i % len(x), cut[i // len(x)]) for i in part]
            rows = torch.tensor([row for row, _ in chosen], device=x.device)
            seen = {
                name: torch.stack([value[_at(row, tile)] for row, tile in chosen]) if name in along else value[rows]
                for name, value in cond.items()
            }
            crops = torch.stack([x[_at(row, tile)] for row, tile in chosen])
            return self._denoiser(crops, sigma[rows], **seen)

        for found in self._batches.over(len(cut) * len(x), denoised):
            for values in found:
                tile = cut[place // len(x)]
                result[_at(place % len(x), tile)] += tile.weights.to(x) * values
                place += 1
        return result


def _at(row: int, tile: Tile) -> tuple[Any, ...]:
    """The place of a tile of one row."""
    return (row, slice(None), *tile.where)


def needs_tiles(shape: Sequence[int], trained: Sequence[int]) -> bool:
    """Whether rows of this shape are restored in tiles of the shape trained on: as many channels, and no axis of the
    picture shorter, one at least longer."""
    return (
        len(shape) == len(trained) > 1
        and shape[0] == trained[0]
        and tuple(shape) != tuple(trained)
        and all(long >= short for long, short in zip(shape, trained, strict=True))
    )


def overlaps(shape: Sequence[int], trained: Sequence[int], overlap: int | None) -> tuple[int, ...]:
    """Pixels shared by neighbours along each axis of the picture: half a tile by default, none where one tile is all.

    Raises InputError for more than half a tile, or less than 0.
    """
    most = min(tile // 2 for tile in trained[1:])
    if overlap is not None and not 0 <= overlap <= most:
        raise InputError(f"--tile-overlap {overlap}: should be from 0 to half a tile, {most} pixels")
    return tuple(
        0 if long == tile else default_overlap(tile) if overlap is None else overlap
        for long, tile in zip(shape[1:], trained[1:], strict=True)
    )


def pictures_at_a_time(batch_size: int, shape: Sequence[int], trained: Sequence[int]) -> int:
    """Pictures carried at a time: as many values as `batch_size` rows have, and one picture at least."""
    return max(1, batch_size * math.prod(trained) // math.prod(shape))
