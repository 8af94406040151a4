"""Broadcasting of noise levels and draws of noise, in one place.

A random source is one `torch.Generator` for the whole batch, or a sequence of them, one per row. With one per row, what
is drawn for a row does not depend on which rows it is batched with. `Mirrored` is a source for a batch of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A random source for a batch of two halves: the normal draws of the second half are those of the first with the
    other sign.

    Each row has the law it has with `generator` alone, so a function of one row has the same mean; but the mean over a
    row and its mirror image is free of all terms that are odd in the noise. Uniform draws are independent. Source:
    antithetic variates, Hammersley and Morton (1956).
    """

    generator: Generator


RandomSource = Generator | Sequence[Generator] | Mirrored


def per_row(level: Tensor | float, like: Tensor) -> Tensor:
    """View a noise level so that it multiplies a batch `like` of shape (B, *S) row by row.

    level: a number, a tensor of shape () or (B,), or a tensor with as many axes as `like` (per pixel, or (B, 1, 1, 1)).
    Returns a tensor that broadcasts against `like`, on its device; floating tensors keep their own dtype.
    Raises ValueError for any other shape: a (B,) level must never be spread along the width by accident.
    """
    if not isinstance(level, Tensor) or not level.is_floating_point():
        # A plain number would become float32 and lose digits beside float64 data; half precision is too coarse for a
        # level.
        level = torch.as_tensor(level, dtype=torch.promote_types(like.dtype, torch.float32))
    level = level.to(like.device)
    if level.ndim == 0:
        return level
    if level.ndim == 1 and level.shape[0] == like.shape[0]:
        return level.reshape(-1, *[1] * (like.ndim - 1))
    # Not `torch.broadcast_shapes`: its first call imports sympy, which takes half a second.
    if level.ndim == like.ndim and all(own in (1, size) for own, size in zip(level.shape, like.shape, strict=True)):
        return level
    raise ValueError(
        f"a noise level of shape {tuple(level.shape)} does not fit a batch of shape {tuple(like.shape)}: "
        f"give a number, one level per row ({like.shape[0]},), or one per pixel"
    )


def as_row_levels(sigma: Tensor | float, like: Tensor) -> Tensor:
    """A noise level as shape (B,) in the dtype and on the device of `like`. sigma: a number, () or (B,). Raises
    ValueError otherwise."""
    sigma = torch.as_tensor(sigma, dtype=like.dtype, device=like.device)
    if sigma.ndim > 1 or (sigma.ndim == 1 and sigma.shape[0] != like.shape[0]):
        raise ValueError(f"sigma must be a number or of shape ({like.shape[0]},), not {tuple(sigma.shape)}")
    return sigma.expand(like.shape[0])


def draw_levels(like: Tensor, sigma_n: float | tuple[float, float], source: RandomSource) -> Tensor:
    """(B,) noise levels: a number for all, or one for each row of `like`, uniform between the two of a pair."""
    low, high = sigma_n if isinstance(sigma_n, tuple) else (sigma_n, sigma_n)
    one_each = like.new_full((len(like), 1), low)
    if high > low:
        one_each = low + (high - low) * uniform(one_each, source)
    return one_each.squeeze(1)


def highest_level(sigma_n: Tensor, like: Tensor) -> Tensor:
    """(B,), the largest noise level of each row. sigma_n: (), (B,) or per pixel."""
    level = per_row(sigma_n, like)
    own = level.flatten(1).amax(1) if level.ndim else level
    return own.expand(len(like))  # not expanded over the pixels, which changes nothing


def standard_normal(like: Tensor, source: RandomSource) -> Tensor:
    """z ~ N(0, I), with the shape, dtype and device of `like` (B, *S). Raises ValueError where `Mirrored` meets an odd
    number of rows."""
    if not isinstance(source, Mirrored):
        return _draw(torch.randn, tuple(like.shape), like, source)
    if len(like) % 2:
        raise ValueError(f"a mirrored batch has two halves, but this one has {len(like)} rows")
    half = _draw(torch.randn, (len(like) // 2, *like.shape[1:]), like, source.generator)
    return torch.cat([half, -half])


def uniform(like: Tensor, source: RandomSource) -> Tensor:
    """u ~ U[0, 1), independent, with the shape, dtype and device of `like` (B, ...)."""
    return _draw(torch.rand, tuple(like.shape), like, source.generator if isinstance(source, Mirrored) else source)


def _draw(function, shape: tuple[int, ...], like: Tensor, source: Generator | Sequence[Generator]) -> Tensor:
    # Half precision is drawn in float32 and rounded: its own generators have too few distinct values in the tails.
    dtype = torch.float32 if like.dtype in (torch.float16, torch.bfloat16) else like.dtype
    if isinstance(source, Generator):
        return function(shape, generator=source, dtype=dtype, device=source.device).to(like)
    if len(source) != shape[0]:
        raise ValueError(f"{len(source)} generators for {shape[0]} rows")
    return torch.stack([function(shape[1:], generator=g, dtype=dtype, device=g.device) for g in source]).to(like)
