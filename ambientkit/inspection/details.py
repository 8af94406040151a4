"""The finest details of pictures, and where they are noise alone.

Each 2 x 2 block (a b; c d) gives four coefficients, orthonormal, so that white noise of level sigma has std sigma in
each and they are independent: mean (a+b+c+d)/2, horizontal (a-b+c-d)/2, vertical (a+b-c-d)/2 and diagonal (a-b-c+d)/2.
Flat blocks are chosen by the means around them alone, so the choice is independent of the details, where the noise is
white and Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FLAT = 2.0
"""A block is flat where the means of its 3 x 3 neighbourhood have at most this variance, in units of the noise variance
(1 for noise alone)."""


AREA = 0.01
"""Share of blocks that hold one end of the range alone, from which they are padding."""


@dataclass(frozen=True, slots=True)
class Details:
    """Coefficients of n pictures of C channels, (n, C, h, w) each, divided by the level where one is declared."""

    mean: Array
    horizontal: Array
    vertical: Array
    diagonal: Array
    scale: Array
    """(n, C, h, w): what they were divided by; 0 where the values are declared clean."""
    roughness: Array
    """(n, C, h, w): variance of the 3 x 3 means around each block; inf at the border, where there are not nine."""
    around: Array
    """(n, C, h, w): the average of those nine means, not divided, as a value of one pixel."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Blocks with all their neighbours, where noise is declared."""
        return np.isfinite(self.roughness)

    def residuals(self, chosen: NDArray[np.bool_]) -> Array:
        """The four pixels of each chosen block (4, k), without the local average, in units of the level."""
        h, v, d = self.horizontal[chosen], self.vertical[chosen], self.diagonal[chosen]
        m = self.mean[chosen] - 2 * self.around[chosen] / self.scale[chosen]
        return np.stack([m + h + v + d, m - h + v - d, m + h - v - d, m - h - v + d]) / 2

    def flat(self, variance: float) -> NDArray[np.bool_]:
        """Blocks around which there is nothing but noise of that variance."""
        return self.roughness <= FLAT * variance


def details(x: Array, sigma: Array | None) -> Details:
    """Of pictures x (n, C, H, W); sigma: their level, broadcastable to x, or None where it is unknown."""
    h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    x = x[..., :h, :w]
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    if sigma is None:
        scale = np.ones(a.shape)
    else:
        s2 = np.square(
            np.broadcast_to(sigma, (*x.shape[:2], *np.broadcast_shapes(np.shape(sigma)[-2:], x.shape[-2:])))[
                ..., :h, :w
            ]
        )
        scale = np.sqrt((s2[..., ::2, ::2] + s2[..., ::2, 1::2] + s2[..., 1::2, ::2] + s2[..., 1::2, 1::2]) / 4)
    by = np.where(scale > 0, scale, np.inf)
    mean, horizontal, vertical, diagonal = (
        (s / 2) / by for s in (a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d)
    )
    from scipy.ndimage import uniform_filter

    raw = (a + b + c + d) / 2
    size = (1, 1, 3, 3)
    local = uniform_filter(raw, size)
    variance = np.maximum(uniform_filter(raw**2, size) - local**2, 0) * 9 / 8 / by**2
    rough = np.full(a.shape, np.inf)
    rough[..., 1:-1, 1:-1] = np.where(scale > 0, variance, np.inf)[..., 1:-1, 1:-1]
    return Details(mean, horizontal, vertical, diagonal, scale, rough, local / 2)


def padding(x: Array) -> tuple[NDArray[np.bool_], float]:
    """((n, C, h, w): blocks with a value at an end of the range at which whole areas lie; the share of such areas).

    x: pictures (n, C, H, W). Scattered values at an end, as clipping leaves them, make no area.
    """
    h, w = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    found, share = np.zeros((*x.shape[:2], h // 2, w // 2), bool), 0.0
    for end in (x.min(), x.max()):
        at = x[..., :h, :w] == end
        four = np.stack([at[..., ::2, ::2], at[..., ::2, 1::2], at[..., 1::2, ::2], at[..., 1::2, 1::2]])
        whole = float(four.all(0).mean())
        if whole > AREA:
            found |= four.any(0)
            share += whole
    return found, share


def without(found: Details, blocks: NDArray[np.bool_]) -> Details:
    """The same details, in which these blocks are not usable."""
    return replace(found, roughness=np.where(blocks, np.inf, found.roughness))


def whole_blocks(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n, C, h, w): blocks of 2 x 2 pixels that were measured whole, with the eight around them."""
    from scipy.ndimage import minimum_filter

    h, w = seen.shape[-2] // 2 * 2, seen.shape[-1] // 2 * 2
    cut = seen[..., :h, :w]
    block = cut[..., ::2, ::2] & cut[..., ::2, 1::2] & cut[..., 1::2, ::2] & cut[..., 1::2, 1::2]
    whole: NDArray[np.bool_] = minimum_filter(block.astype(np.uint8), size=(1, 1, 3, 3), mode="constant") > 0
    return whole


def robust_std(values: Array) -> float:
    """median(|v|) / 0.6745: the std of normal values about 0, unaffected by a minority of outliers."""
    return float(np.median(np.abs(values)) / 0.6744897501960817) if values.size else float("nan")


def noise_std(found: Details) -> tuple[float, int]:
    """The level by the diagonal details of flat blocks, and how many of those there are.

    Flatness needs the level and the level needs flat blocks: it starts from all blocks, which gives too much, and goes
    down.
    """
    inside = found.usable
    level = robust_std(found.diagonal[inside])
    for _ in range(12):
        chosen = inside & found.flat(level**2)
        if chosen.sum() < 64:
            break
        new = robust_std(found.diagonal[chosen])
        if abs(new - level) <= 1e-3 * level:
            level = new
            break
        level = new
    return level, int((inside & found.flat(level**2)).sum())
