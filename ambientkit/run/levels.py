"""The noise levels that suit the rows of a run, where neither the levels nor the model were named."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.data import Observed
from ambientkit.interfaces import Corruption, Levels
from ambientkit.rows import evenly

LOOK_AT = 512
"""Rows whose distances are measured, evenly spaced."""
HIGHEST_OF_NOISE = 10.0
"""sigma_max over the noise of the data, at least: above sigma_n there has to be something to learn."""
LOWEST_OF_NOISE = 1 / 15
"""sigma_min over the noise of the data, at most."""
LOWEST = 0.02
"""sigma_min at most: noise of a hundredth of the range of values is not seen."""


def suiting_levels(observations: Observed, corruption: Corruption) -> Levels | None:
    """The range of levels for pictures with white noise; None for rows that hide values.

    sigma_max is the largest distance of two clean rows. With noise of that std no two rows can be distinguished, and
    steps of sampling above it change nothing; below it a sample begins with too narrow a choice. It is estimated as
    sqrt(|x_n - x_n'|^2 - |sigma_n|^2 - |sigma_n'|^2), the largest of 512 rows at most, whose square is unbiased for
    each pair. sigma_min is 1/15 of the lowest noise of the rows, so that levels below it are not trained for long;
    `LOWEST` at most. Both stay within the default range. Levels have three digits. Source: arXiv 2006.09011,
    technique 1.
    """
    if corruption.carries:
        return None
    default = Levels()
    batch = observations.__getitems__(evenly(len(observations), LOOK_AT))
    if not (batch.x_n.isfinite().all() and batch.sigma_n.isfinite().all()):
        return None  # which is refused, in words, where the run begins
    floor = corruption.floor(batch).double()
    noisy = floor[floor > 0]
    least = float(noisy.min()) if len(noisy) else 0.0
    high = max(_largest_distance(batch), HIGHEST_OF_NOISE * float(floor.max()))
    low = min(max(LOWEST_OF_NOISE * least, default.sigma_min), LOWEST)
    if high <= 10 * LOWEST:  # rows that are all alike, which say nothing of a range
        return None
    return Levels(_rounded(low), _rounded(min(high, default.sigma_max)))


def _largest_distance(batch: Batch) -> float:
    """sqrt(max |x_n - x_n'|^2 - |sigma_n|^2 - |sigma_n'|^2) over all pairs of rows; 0 where all pairs are below."""
    x = batch.x_n.double().flatten(1)
    squared = torch.cdist(x, x).square()
    noise = _noise_energy(batch)
    squared = squared - noise[:, None] - noise[None, :]
    squared.fill_diagonal_(0.0)
    return float(squared.max().clamp(min=0.0).sqrt())


def _noise_energy(batch: Batch) -> Tensor:
    """(B,), E|sigma_n z|^2 of each row; sigma_n: (B,), or a level for each value."""
    x, sigma_n = batch.x_n, batch.sigma_n.double()
    one_each = sigma_n.view(-1, *[1] * (x.ndim - sigma_n.ndim)) if sigma_n.ndim == 1 else sigma_n
    return one_each.expand(x.shape).square().flatten(1).sum(1)


def _rounded(level: float) -> float:
    return float(f"{level:.3g}")
