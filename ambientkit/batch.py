"""What travels through a run: rows of data, noisier views of them, and terms of a loss.

All are NamedTuples: torch's default collation and accelerate pass a NamedTuple whole, and both reject a dataclass.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Clean(NamedTuple):
    """One clean row of a data set: noise has to be simulated before anything is trained on it."""

    x_0: Tensor
    """(*S), in [-1, 1]."""
    cond: dict[str, Tensor]
    """name -> (...), handed to the denoiser unchanged."""


class Batch(NamedTuple):
    """Observations x_n = x_0 + sigma_n z. A data set of real noisy data yields the same tuple without the batch
    axis."""

    x_n: Tensor
    """(B, *S), observation, data units ([-1, 1])."""
    sigma_n: Tensor
    """(B,) or broadcastable to (B, *S); known noise std, data units; 0 = clean."""
    row: Tensor
    """(B,) int64, row of the data set."""
    cond: dict[str, Tensor]
    """name -> (B, ...), handed to the denoiser unchanged."""

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        x_n, sigma_n, row = (value.to(device, non_blocking=True) for value in (self.x_n, self.sigma_n, self.row))
        return Batch(
            x_n, sigma_n, row, {name: value.to(device, non_blocking=True) for name, value in self.cond.items()}
        )


class View(NamedTuple):
    """What a denoiser sees: x_t = x_0 + sigma z at one level per row."""

    x: Tensor
    """(B, *S), x_t; 0 where a mask in `cond` hides a value."""
    sigma: Tensor
    """(B,), > 0, never per pixel."""
    cond: dict[str, Tensor]


class Term(NamedTuple):
    """One named part of a loss. The trainer averages it over all rows of all ranks and accumulated steps."""

    value: Tensor
    """(N,), N <= B: an objective may use a fraction of the batch."""
    sigma: Tensor
    """(N,), the level each value was taken at: loss by noise level comes free."""


def take(batch: Batch, index: Tensor) -> Batch:
    """The rows `index` (N,) of a batch, in that order; rows may repeat."""
    sigma_n = (
        batch.sigma_n if batch.sigma_n.ndim == 0 or len(batch.sigma_n) == 1 != len(batch.x_n) else batch.sigma_n[index]
    )
    return Batch(
        batch.x_n[index], sigma_n, batch.row[index], {name: value[index] for name, value in batch.cond.items()}
    )


def values_of(row: Clean | Batch) -> list[Tensor]:
    """All that a row holds, in one order: its values, its noise level, and its conditions by their names. A condition
    may be a plain number, such as the number of a class."""
    own = [row.x_0] if isinstance(row, Clean) else [row.x_n, row.sigma_n]
    conds = [row.cond[name] for name in sorted(row.cond)]
    return own + [torch.as_tensor(value) if isinstance(value, int | float) else value for value in conds]


def bytes_of(value: Tensor) -> bytes:
    """The bytes of a tensor of any number type; numpy knows no bfloat16."""
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
