"""Pictures as blocks of pixels, and the orthonormal cosine transform of each block: its mean, and its detail by band of
frequency."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

BLOCK = 4
"""Pixels along the side of a block."""
BANDS = 2 * BLOCK - 2
"""Bands of detail: coefficients (u, v) with u + v = 1 .. BANDS."""


def coefficients(pictures: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """The orthonormal DCT-II of the blocks of pictures: (n, C, H, W) to (n, blocks, BLOCK, BLOCK), differentiable.

    Coefficient (0, 0) is BLOCK times the mean of the block, the others are its detail. White noise of level sigma has
    independent coefficients of level sigma. shift: pixels from the upper and left edge to the first block. Channels
    count as blocks; blocks at the edges that are not whole are left out. Source: the transform of `scipy.fft.dct`.
    """
    down, right = shift
    height, width = ((size - skip) // BLOCK * BLOCK for size, skip in zip(pictures.shape[2:], shift, strict=True))
    x = pictures[:, :, down : down + height, right : right + width]
    blocks = x.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).transpose(3, 4).flatten(1, 3)
    basis = _basis().to(blocks)
    return basis @ blocks @ basis.T


def band_of() -> Tensor:
    """(BLOCK, BLOCK) int64: the band u + v of each coefficient; 0 is the mean."""
    u = torch.arange(BLOCK)
    return u[:, None] + u


@functools.cache
def _basis() -> Tensor:
    """(frequency, pixel), float64. scipy takes half a second to import, which a list of the parts need not wait for."""
    from scipy.fft import dct

    return torch.from_numpy(dct(np.eye(BLOCK), axis=0, norm="ortho"))
