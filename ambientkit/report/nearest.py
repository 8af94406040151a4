"""The training rows that lie nearest to samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.errors import InputError


class Nearest(NamedTuple):
    """Of each of B samples."""

    row: Tensor
    """(B,) int64, the number of the nearest row; of equal ones the first that came."""
    distance: Tensor
    """(B,) float64, root mean square difference over the values of a row: L2 / sqrt(number of values), data units."""


def nearest_rows(samples: Tensor, blocks: Iterable[tuple[Tensor, Tensor]]) -> Nearest:
    """The row with the least |sample - row|, L2 over all pixels and channels, among all blocks.

    samples (B, *S); blocks of (row numbers (N,), rows (N, *S)), of which one is in memory at a time: memory does not
    grow with the data. Nothing is aligned and no feature is used, so that a copy moved by a pixel is far away. On noisy
    rows even the clean row under one is at about its noise level. Raises InputError for rows of another shape, and
    where there are none.
    """
    wanted = samples.detach().double().cpu().flatten(1)
    best = torch.full((len(wanted),), torch.inf, dtype=torch.float64)
    row = torch.full((len(wanted),), -1, dtype=torch.int64)
    for numbers, rows in blocks:
        if rows.shape[1:] != samples.shape[1:]:
            raise InputError(
                f"nearest rows: samples of shape {tuple(samples.shape[1:])}, but rows of {tuple(rows.shape[1:])}"
            )
        # Not by a^2 + b^2 - 2ab, which cancels just where a sample equals a row.
        found = torch.cdist(
            wanted, rows.detach().double().cpu().flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
        )
        distance, place = found.min(1)
        closer = distance < best
        best = torch.where(closer, distance, best)
        row = torch.where(closer, numbers.cpu()[place], row)
    if bool((row < 0).any()):
        raise InputError("nearest rows: there are no rows, or their values are not finite")
    return Nearest(row, best / max(wanted.shape[1], 1) ** 0.5)
