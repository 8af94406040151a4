"""Observations whose noise is known to a check, for corruptions to degrade: per row, per pixel, some of them clean."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch
from ambientkit.builtin.checks.travel import key
from ambientkit.builtin.checks.white import pictures
from ambientkit.interfaces import Case
from ambientkit.maths.noise import per_row, standard_normal


def noisy_pictures(
    case: Case, n: int, purpose: str, *, by_pixel: bool, pattern: bool = False
) -> tuple[torch.Tensor, Batch]:
    """x_0 and a batch of n pictures; sigma_n uniform in [0.1, 0.4] per row, (n,), or per pixel, (n, 2, 8, 8), the same
    for all rows where it is a `pattern`. Rows are numbered from 5000."""
    generator = key(case, f"{purpose}.noisy", int(by_pixel) + 2 * int(pattern))
    x_0 = pictures(n, generator)
    shape = x_0.shape if by_pixel else (n,)
    sigma_n = 0.1 + 0.3 * torch.rand(shape, generator=generator, dtype=torch.float64)
    if pattern:
        sigma_n = (
            torch.linspace(0.1, 0.4, x_0[0].numel(), dtype=torch.float64)
            .reshape(x_0.shape[1:])
            .expand_as(x_0)
            .contiguous()
        )
    x_n = x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator)
    return x_0, Batch(x_n, sigma_n, 5000 + torch.arange(n), {})


def floors(batch: Batch) -> torch.Tensor:
    """The largest sigma_n of each row, (B,)."""
    return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1)
