"""EDM preconditioning: a network that sees inputs and targets of unit variance at every noise level."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.maths.noise import per_row


class Preconditioning(NamedTuple):
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise). Each of shape (B,). Source: arXiv 2206.00364, eq. 7 and table
    1."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def edm_preconditioning(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """The EDM coefficients. sigma: (B,), > 0. sigma_data: std of the clean data, > 0. Source: arXiv 2206.00364, table
    1."""
    total = sigma**2 + sigma_data**2
    return Preconditioning(
        c_skip=sigma_data**2 / total,
        c_out=sigma * sigma_data / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=sigma.log() / 4,
    )


TOLD = ("mask", "sampled", "coverage")
"""Conditions that say what a view shows: of the values of the row itself, or of what was measured of it through an
operator; "coverage" is that of measurements that do not lie over pictures, carried back to them, A^T M A 1."""
SEEN = (*TOLD, "measured")
"""With the measurements themselves, which a network may use or leave alone: all their information is in the view."""


def beside(y: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
    """The input of a network for a view: y (B, C, *S) with the masks of `TOLD` as further channels, 1 where something
    is shown; rows of one axis (B, d) with all of their masks appended.

    A mask of pictures must have their height and width, or broadcast to them.
    """
    if y.ndim < 3:
        extra = [cond[name].to(y).flatten(1) for name in TOLD if name in cond]
    else:
        extra = [cond[name].to(y).expand(-1, -1, *y.shape[2:]) for name in _over_pictures(cond)]
    return torch.cat([y, *extra], dim=1) if extra else y


def channels_beside(conds: Mapping[str, tuple[int, ...]], shape: tuple[int, ...]) -> int:
    """How many channels `beside` adds to pictures of this shape (C, H, W), by the shapes of the conditions. Raises
    ValueError for a mask that does not fit them."""
    found = 0
    for name in _over_pictures(conds):
        own = conds[name]
        if not lies_over(own, shape):
            raise ValueError(f"{name} of shape {tuple(own)} does not lie over pictures of shape {tuple(shape)}")
        found += own[0]
    return found


def lies_over(own: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a mask of shape (c, ...) has the height and width of pictures of shape (C, H, W), or broadcasts to
    them."""
    return len(own) == len(shape) and all(size in (1, whole) for size, whole in zip(own[1:], shape[1:], strict=True))


def _over_pictures(names: Container[str]) -> list[str]:
    """The conditions of `TOLD` that become channels: the coverage in place of measurements that have another layout."""
    return [name for name in TOLD if name in names and not (name == "sampled" and "coverage" in names)]


def denoised(
    network: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    sigma: Tensor,
    sigma_data: float,
    cond: Mapping[str, Tensor] = MappingProxyType({}),
) -> Tensor:
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise), (B, *S) in the dtype of x, for a network F(y, c_noise).

    cond["mask"]: bool, broadcastable to x, true where x shows a value. A value that is hidden stands at the level
    infinity: c_in = 0 for any x, c_skip = 0 and c_out = sigma_data, so that F sees 0 there and answers
    with x_0 over its std. cond["sampled"]: x is A^T y of a measurement, which hides something of every value, so
    c_out = sigma_data for all. Source: arXiv 2206.00364, eq. 7 and table 1, each value at its own level.
    """
    c = edm_preconditioning(sigma.to(x.dtype), sigma_data)
    c_out = per_row(c.c_out, x)
    if "mask" in cond:
        shown = cond["mask"].bool()
        x = torch.where(shown, x, torch.zeros_like(x))
        c_out = torch.where(shown, c_out, torch.full_like(c_out, sigma_data))
    if "sampled" in cond:
        c_out = torch.full_like(c_out, sigma_data)
    return per_row(c.c_skip, x) * x + c_out * network(per_row(c.c_in, x) * x, c.c_noise).to(x.dtype)
