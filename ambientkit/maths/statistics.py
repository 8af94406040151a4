"""Test statistics and distances between samples; their p-values are looked up by whoever uses them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor


class HotellingF(NamedTuple):
    """An F statistic and its degrees of freedom."""

    statistic: float
    numerator: int
    denominator: int


def hotelling_f(samples: Tensor) -> HotellingF:
    """Hotelling's T^2 of the hypothesis "the mean is 0", as an F statistic.

    samples: (n, p) independent rows, n > p. T^2 = n m^T S^-1 m; F = (n - p) / (p (n - 1)) T^2 follows F(p, n - p) for
    normal rows, and by the central limit theorem approximately for means of many draws.
    Raises ValueError for n <= p. Source: Anderson, "An Introduction to Multivariate Statistical Analysis", theorem
    5.2.2.
    """
    n, p = samples.shape
    if n <= p:
        raise ValueError(f"Hotelling's test of {p} dimensions needs more than {p} samples, not {n}")
    samples = samples.double()
    mean = samples.mean(0)
    # The statistic is invariant under rescaling of each column; scaling keeps the solve well conditioned.
    scale = samples.std(0).clamp(min=torch.finfo(torch.float64).tiny)
    covariance = torch.cov((samples / scale).T).reshape(p, p)
    direction = torch.linalg.lstsq(covariance, (mean / scale).unsqueeze(1)).solution.squeeze(1)
    t_square = n * torch.dot(mean / scale, direction)
    return HotellingF(float((n - p) / (p * (n - 1)) * t_square), p, n - p)


def sliced_wasserstein(x: Tensor, y: Tensor, generator: Generator, projections: int = 256) -> float:
    """Sliced 2-Wasserstein distance: the root mean square over random directions of the 1-D distance of projections.

    x: (n, d), y: (m, d); quantiles are matched on the smaller grid. Returns the distance in data units.
    Source: Bonneel et al., "Sliced and Radon Wasserstein Barycenters" (2015), definition 3.
    """
    x, y = x.double(), y.double()
    directions = torch.randn(x.shape[1], projections, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=0)
    levels = (torch.arange(min(len(x), len(y)), dtype=torch.float64) + 0.5) / min(len(x), len(y))
    quantiles = []
    for points in (x, y):
        ordered = (points @ directions).T.contiguous().sort(dim=1).values  # along memory: several times as fast
        index = (levels * len(points)).long().clamp(max=len(points) - 1)
        quantiles.append(ordered[:, index])
    return float((quantiles[0] - quantiles[1]).square().mean().sqrt())
