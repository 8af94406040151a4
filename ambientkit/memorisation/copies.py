"""Rows that are there twice: groups of duplicates inside a set, and held-out rows that are training rows."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.memorisation.moved import nearest_moved
from ambientkit.memorisation.neighbours import QUERIES
from ambientkit.text import lines

ROUNDING = 1e-6
"""Root mean square difference of two copies of a row that were brought to [-1, 1] by other formulas."""


def content(row: Tensor, *, flip: bool = True) -> bytes:
    """What a row is known by: a hash of its values in float32, the same for a picture and its mirror image where
    `flip`."""
    whole = row.detach().cpu().float() + 0.0  # -0 and 0 are one value
    kinds = [whole, whole.flip(-1)] if flip and whole.ndim == 3 else [whole]
    return min(hashlib.sha256(one.contiguous().numpy().tobytes()).digest() for one in kinds)


def duplicate_groups(rows: Tensor, *, tolerance: float = 0.0, flip: bool = True) -> Tensor:
    """The group of each row, (N,) int64, numbered by their first row: rows of one content, mirrored or not, are one
    group.

    tolerance: rows at this root mean square difference or less are joined as well, also by way of others, at the cost
    of a comparison of all pairs. rows (N, *S).
    """
    first: dict[bytes, int] = {}
    group = torch.tensor(
        [first.setdefault(content(row, flip=flip), at) for at, row in enumerate(rows)], dtype=torch.int64
    )
    return group if tolerance <= 0 else _joined(rows, group, tolerance, flip)


def refuse_overlap(train: Tensor, heldout: Tensor, numbers: Tensor | None = None, *, flip: bool = True) -> None:
    """Raise InputError that names the held-out rows that are training rows, mirrored or not, up to the rounding of
    values in float32. (N, *S), (n, *S); numbers (N,): what the training rows are called, 0.. by default.

    Such a row is no evidence of what an unseen row looks like: the null would hold the very thing that is looked for.
    """
    found = nearest_moved(heldout, train, 1, flip=flip)
    shared = [
        f"held-out row {at} is training row {int(row if numbers is None else numbers[row])}"
        for at, row in enumerate(found.row[:, 0])
        if found.distance[at, 0] <= ROUNDING
    ]
    if shared:
        what = "is a training row" if len(shared) == 1 else "are training rows"
        raise InputError(
            f"{len(shared)} of {len(heldout)} held-out rows {what}, as they are or mirrored; leave them "
            f"out:\n{lines(shared)}"
        )


def _joined(rows: Tensor, group: Tensor, tolerance: float, flip: bool) -> Tensor:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    flat, size = rows.double().cpu().flatten(1), len(rows)
    mirrored = rows.double().cpu().flip(-1).flatten(1) if flip and rows.ndim == 4 else None
    ends: list[Tensor] = [torch.stack([torch.arange(size), group])]
    for start in range(0, size, QUERIES):
        for other in (flat, mirrored):
            if other is not None:
                near = torch.cdist(other[start : start + QUERIES], flat) <= tolerance * flat.shape[1] ** 0.5
                ends.append(near.nonzero().T + torch.tensor([[start], [0]]))
    a, b = torch.cat(ends, dim=1).numpy()
    _, found = connected_components(coo_array(([True] * len(a), (a, b)), shape=(size, size)), directed=False)
    first: dict[int, int] = {}
    return torch.tensor([first.setdefault(int(one), at) for at, one in enumerate(found)], dtype=torch.int64)
