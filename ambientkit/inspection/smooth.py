"""Smooth areas of pictures: their brightness, and the noise that a filter sees which smooth shapes do not move."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambientkit.inspection.details import Array, whole_blocks

GROUPS = 40
"""Groups of blocks at least, between which errors are taken to be independent."""
FILTER = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]) / 6
"""Second differences along both axes, of unit norm: white noise keeps its std, planes and parabolas vanish. Source:
Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996."""
_X = np.array([[-1.0, 0.0, 1.0]] * 3)
_PARABOLA = [
    np.ones((3, 3)) / 3,
    _X / math.sqrt(6),
    _X.T / math.sqrt(6),
    _X * _X.T / 2,
    (3 * _X**2 - 2) / math.sqrt(18),
    (3 * _X.T**2 - 2) / math.sqrt(18),
]
"""Orthonormal: the parabolas on 3 x 3 points."""
CENTRE = np.array([[-1.0, 2.0, -1.0], [2.0, 5.0, 2.0], [-1.0, 2.0, -1.0]]) / 9
"""The value of the fitted parabola in the middle."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Of each 2 x 2 block (n, C, h, w): its brightness by the parabola through the means around it, the mean square of
    the filter's answers, and what these means leave of the parabola, as a variance."""

    mean: Array
    square: Array
    diagonal: Array
    """Squared diagonal details of the 2 x 2 pixels, which see coarser texture than the filter."""
    rough: Array
    usable: NDArray[np.bool_]


def smoothness(pictures: Array, level: Array | None = None, counted: bool = False) -> Blocks:
    """Of pictures (n, C, H, W); the remainder and the squares in units of level^2, where one is given. Blocks next to
    values that are missing (NaN) are not usable, nor those where values pile up; counted: the least value is no count
    at all, where they may."""
    from scipy.ndimage import correlate

    seen = np.isfinite(pictures)
    if not (complete := bool(seen.all())):
        pictures = np.where(seen, pictures, np.nanmedian(pictures))
    h, w = pictures.shape[-2] // 2 * 2, pictures.shape[-1] // 2 * 2
    x = pictures[..., :h, :w]
    fine = np.square(correlate(x, FILTER[None, None], mode="nearest"))

    def pooled(values: Array) -> Array:
        return (values[..., ::2, ::2] + values[..., ::2, 1::2] + values[..., 1::2, ::2] + values[..., 1::2, 1::2]) / 4

    mean = pooled(x)
    means = 2 * (mean - mean.mean())  # orthonormal: white noise keeps its std
    left = correlate(np.square(means), np.ones((1, 1, 3, 3)), mode="nearest")
    for shape in _PARABOLA:
        left -= np.square(correlate(means, shape[None, None], mode="nearest"))
    rough = np.maximum(left, 0) / (9 - len(_PARABOLA))
    usable = np.zeros(mean.shape, bool)
    usable[..., 1:-1, 1:-1] = True
    if not complete:
        usable &= whole_blocks(seen)
    square = pooled(fine)
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    diagonal = np.square((a - b - c + d) / 2)
    if level is not None:
        unit = pooled(np.square(np.broadcast_to(level, pictures.shape)[..., :h, :w]))
        usable &= unit > 0
        by = np.where(unit > 0, unit, 1.0)
        square, rough, diagonal = square / by, rough / by, diagonal / by
    usable &= ~piled_up(x, counted)
    return Blocks(correlate(mean, CENTRE[None, None], mode="nearest"), square, diagonal, rough, usable)


def groups_of(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The group of each chosen block: its picture, or for few pictures its part of one."""
    n, _, h, w = chosen.shape
    parts = 1 if n >= GROUPS else math.ceil(math.sqrt(GROUPS / n))
    rows, columns = (np.arange(h) * parts // h)[:, None], (np.arange(w) * parts // w)[None]
    place = rows * parts + columns
    number = np.arange(n)[:, None, None, None] * parts**2 + place
    return np.broadcast_to(number, chosen.shape)[chosen]


def piles(values: Array, counted: bool = False) -> list[float]:
    """The ends at which values pile up: more than 1 in 1,000, which no continuous law and no camera does otherwise.
    counted: the least value is no count at all, and may be frequent."""
    ends = (values.max(),) if counted else (values.min(), values.max())
    return [float(end) for end in ends if float((values == end).mean()) > 1e-3]


def piled_up(pictures: Array, counted: bool = False) -> NDArray[np.bool_]:
    """Blocks with a value at an end at which values pile up."""
    h, w = pictures.shape[-2] // 2 * 2, pictures.shape[-1] // 2 * 2
    blocks = np.zeros((*pictures.shape[:2], h // 2, w // 2), bool)
    for end in piles(pictures, counted):
        at = pictures[..., :h, :w] == end
        blocks |= at[..., ::2, ::2] | at[..., ::2, 1::2] | at[..., 1::2, ::2] | at[..., 1::2, 1::2]
    return blocks


def count_step(values: Array) -> float | None:
    """The step of whole numbers of counts from 0 on; None for other values.

    values: any shape, file units, NaN where missing. The step is the least difference of two values that occur.
    """
    there = values[np.isfinite(values)]
    if not there.size or there.min() != 0:
        return None
    occur = np.unique(there)
    if len(occur) < 2:
        return None
    step = float(np.diff(occur).min())
    whole = occur / step
    return step if bool((np.abs(whole - np.rint(whole)) < 1e-3).all()) else None
