"""Draws of what a mask hides, given what it shows: a particle filter in a denoiser's own reverse process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ambientkit.maths.noise import standard_normal, uniform
from ambientkit.maths.reverse import reverse_moments


def particle_filter(
    denoise: Callable[[Tensor, Tensor], Tensor],
    y: Tensor,
    seen: Tensor,
    grid: Tensor,
    generators: Sequence[torch.Generator],
    particles: int,
) -> Tensor:
    """One draw from p(x_s | the values of x_s where `seen` are y) for each of n rows, (n, *S), s the last level.

    denoise: E[x_0 | x_t] of whole points (B, *S) at levels (B,); B is n times `particles`, row by row. y: (n, *S); what
    is not seen of it is not read. seen: (n, *S) bool. grid: (T, n), levels from one at which x_t is noise down to that
    of y, which may be 0. The seen values are carried up through the levels once, y_s = y_r + sqrt(sigma_s^2 -
    sigma_r^2) z, and `particles` points go down the reverse process with them. At each level a particle is kept in
    proportion to N(y_s; its mean of the reverse step at the seen values, the variance of that step), then moved; its
    seen values become y_s. At the end one particle is chosen at random. Weighing before moving is the fully adapted
    auxiliary filter of this model.

    Bias: exact in the limit of many particles and short steps, for an exact denoiser. With few particles draws lean to
    what is likely without the mask; with long steps they spread too little, by the (1 - r)^2 Cov[x_0 | x_t] that a step
    lacks (`reverse_moments`). Source: Trippe et al. (2023), arXiv 2206.04119, algorithm 2 (SMCDiff); Pitt and Shephard
    (1999), J. Am. Stat. Assoc. 94 (446).
    """
    own = list(generators)
    wide = [-1, *[1] * (y.ndim - 1)]
    grid = grid.to(y)
    path = [torch.where(seen, y, torch.zeros_like(y))]
    for high, low in zip(grid[:-1].flip(0), grid[1:].flip(0), strict=True):
        path.append(path[-1] + (high**2 - low**2).sqrt().reshape(wide) * standard_normal(y, own))
    path.reverse()  # path[i] is at grid[i]
    many = y.unsqueeze(1).expand(-1, particles, *y.shape[1:])
    mask = seen.unsqueeze(1)
    first = grid[0].reshape(-1, 1, *wide[1:])
    x = torch.where(mask, path[0].unsqueeze(1), first * standard_normal(many, own))
    for i, (high, low) in enumerate(zip(grid[:-1], grid[1:], strict=True)):
        flat = x.flatten(0, 1)
        sigma, below = high.repeat_interleave(particles), low.repeat_interleave(particles)
        mean, std = reverse_moments(flat, denoise(flat, sigma).to(flat.dtype), sigma, below)
        mean, wanted = mean.reshape(x.shape), path[i + 1].unsqueeze(1)
        if not bool((low > 0).all()):
            x = torch.where(mask, wanted, mean)
            break
        spread = std.reshape(len(y), particles, *wide[1:])[:, :1]
        misfit = torch.where(mask, wanted - mean, torch.zeros_like(mean)).flatten(2).double().square().sum(2)
        kept = _resampled(torch.softmax(-misfit / (2 * spread.reshape(-1, 1).double() ** 2), dim=1), own)
        mean = mean.gather(1, kept.reshape(*kept.shape, *[1] * (mean.ndim - 2)).expand_as(mean))
        x = torch.where(mask, wanted, mean + spread * standard_normal(mean, own))
    last = (uniform(x[:, 0].flatten(1)[:, :1], own).squeeze(1) * particles).long().clamp(max=particles - 1)
    return x[torch.arange(len(x), device=x.device), last]


def _resampled(weights: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Which particles go on, (n, P), by systematic resampling. weights (n, P), each line of sum 1.

    Source: Kitagawa (1996), J. Comput. Graph. Stat. 5 (1), section A.
    """
    particles = weights.shape[1]
    u = uniform(weights[:, :1], generators)
    points = (torch.arange(particles, device=weights.device, dtype=weights.dtype) + u) / particles
    return torch.searchsorted(weights.cumsum(1).contiguous(), points.contiguous()).clamp(max=particles - 1)
