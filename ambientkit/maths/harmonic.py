"""Pixels without a value, as a harmonic function of the pixels around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def filled(pictures: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
    """Pictures (..., H, W) with the pixels `places` (line, column) replaced: each is the mean of its neighbours, up to
    four, whether those have values or are replaced too (Laplace's equation with the other pixels as boundary).

    A dead pixel that stands alone is the mean of its neighbours. Raises ValueError where no pixel has a value.
    """
    from scipy.sparse import coo_matrix  # half a second, which those without dead pixels need not wait for
    from scipy.sparse.linalg import splu

    height, width = pictures.shape[-2:]
    gone = np.unique(np.asarray(places, dtype=np.int64).reshape(-1, 2) @ [width, 1])
    if len(gone) == 0:
        return pictures
    if len(gone) == height * width:
        raise ValueError("no pixel has a value")
    line, column = np.divmod(gone, width)
    number = np.arange(len(gone))
    pairs = []
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        there = (line + down >= 0) & (line + down < height) & (column + right >= 0) & (column + right < width)
        pairs.append(np.stack([number[there], gone[there] + down * width + right]))
    of, beside = np.concatenate(pairs, axis=1)
    known = ~np.isin(beside, gone)
    degree = np.bincount(of, minlength=len(gone))
    ones = np.ones(len(of))
    inside = coo_matrix(
        (ones[~known], (of[~known], np.searchsorted(gone, beside[~known]))), shape=(len(gone), len(gone))
    )
    around, place = np.unique(beside[known], return_inverse=True)
    outside = coo_matrix((ones[known], (of[known], place)), shape=(len(gone), len(around)))
    laplacian = coo_matrix((degree.astype(float), (number, number)), shape=inside.shape) - inside
    flat = pictures.flatten(-2).clone()
    shown = flat[..., torch.from_numpy(around)].double().cpu().numpy().reshape(-1, len(around))
    found = splu(laplacian.tocsc()).solve(outside.tocsr() @ shown.T).T
    flat[..., torch.from_numpy(gone)] = torch.from_numpy(found).to(flat).view(*flat.shape[:-1], len(gone))
    return flat.view(pictures.shape)
