"""Values that may lie under a mask: draws from p(x_0 | some values of x_0) by a particle filter in the run's own
reverse
process."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels
from ambientkit.maths.noise import standard_normal, uniform
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.reverse import reverse_moments
from ambientkit.sample.schedule import levels as scheduled


@torch.no_grad()
def inpaint(
    denoiser: Denoiser,
    x_0: Tensor,
    seen: Tensor,
    rows: Tensor,
    levels: Levels,
    *,
    draws: int = 8,
    particles: int = 64,
    steps: int = 64,
    schedule: str = "cosine",
    seed: int = 0,
    batch_size: int = 4096,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Draws of whole rows given the values of x_0 where `seen`; (B, draws, *S), on the CPU. The seen values stand in
    them to the bit.

    x_0: (B, *S); only its seen values are read. seen: (B, *S) bool. rows: (B,) keys. For each draw the seen values
    are carried up through the levels once, y_s = y_r + sqrt(sigma_s^2 - sigma_r^2) z, and `particles` points go down
    the reverse process with them. At each level a particle is kept in proportion to N(y_s; its mean of the reverse step
    at the seen values, the variance of that step), then moved; its seen values become y_s. At the end one particle is
    chosen at random. Weighing before moving is the fully adapted auxiliary filter of this model.

    Bias: exact in the limit of many particles and short steps, for an exact denoiser. With few particles draws lean to
    what is likely without the mask; with long steps they spread too little, by the (1 - r)^2 Cov[x_0 | x_t] that a step
    lacks (`reverse_moments`). Each draw is keyed by (seed, row, number), independent of the batch. Raises InputError
    for shapes that do not fit, and fewer than one draw, particle or step. Source: Trippe et al. (2023), arXiv
    2206.04119, algorithm 2 (SMCDiff); Pitt and Shephard (1999), J. Am. Stat. Assoc. 94 (446)."""
    if x_0.shape != seen.shape or len(rows) != len(x_0) or min(draws, particles, steps) < 1:
        raise InputError(
            f"inpaint: rows {tuple(x_0.shape)}, mask {tuple(seen.shape)}, {len(rows)} keys, {draws} draws, "
            f"{particles} particles, {steps} steps do not fit"
        )
    grid = scheduled(schedule, steps, levels.sigma_max, levels.sigma_min).squeeze(1)
    pairs = [(row, k) for row in range(len(x_0)) for k in range(draws)]
    at_once, parts = max(1, batch_size // particles), []
    for start in range(0, len(pairs), at_once):
        chosen = pairs[start : start + at_once]
        index = torch.tensor([row for row, _ in chosen])
        generators = [keyed_generator(seed, "memorisation.inpaint", step=k, row=int(rows[row])) for row, k in chosen]
        parts.append(
            _filter(denoiser, x_0[index].to(device), seen[index].to(device), grid, generators, particles).cpu()
        )
    return torch.cat(parts).reshape(len(x_0), draws, *x_0.shape[1:])


def _filter(
    denoiser: Denoiser, x_0: Tensor, seen: Tensor, grid: Tensor, generators: list[torch.Generator], particles: int
) -> Tensor:
    """One draw for each of n rows, (n, *S)."""
    path = [torch.where(seen, x_0, torch.zeros_like(x_0))]
    for high, low in zip(grid[:-1].flip(0).tolist(), grid[1:].flip(0).tolist(), strict=True):
        path.append(path[-1] + (high**2 - low**2) ** 0.5 * standard_normal(x_0, generators))
    path.reverse()  # path[i] is at grid[i]
    many = x_0.unsqueeze(1).expand(-1, particles, *x_0.shape[1:])
    mask = seen.unsqueeze(1)
    x = torch.where(mask, path[0].unsqueeze(1), float(grid[0]) * standard_normal(many, generators))
    for i, (high, low) in enumerate(zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True)):
        flat = x.flatten(0, 1)
        sigma, below = (flat.new_full((len(flat),), level) for level in (high, low))
        mean, std = reverse_moments(flat, denoiser(flat, sigma).to(flat.dtype), sigma, below)
        mean, wanted = mean.reshape(x.shape), path[i + 1].unsqueeze(1)
        if low == 0:
            x = torch.where(mask, wanted, mean)
            break
        spread = float(std.flatten()[0])
        misfit = torch.where(mask, wanted - mean, torch.zeros_like(mean)).flatten(2).double().square().sum(2)
        kept = _resampled(torch.softmax(-misfit / (2 * spread**2), dim=1), generators)
        mean = mean.gather(1, kept.reshape(*kept.shape, *[1] * (mean.ndim - 2)).expand_as(mean))
        x = torch.where(mask, wanted, mean + spread * standard_normal(mean, generators))
    last = (uniform(x[:, 0].flatten(1)[:, :1], generators).squeeze(1) * particles).long().clamp(max=particles - 1)
    return x[torch.arange(len(x), device=x.device), last]


def _resampled(weights: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Which particles go on, (n, P), by systematic resampling. weights (n, P), each line of sum 1.

    Source: Kitagawa (1996), J. Comput. Graph. Stat. 5 (1), section A.
    """
    particles = weights.shape[1]
    u = uniform(weights[:, :1], generators)
    points = (torch.arange(particles, device=weights.device, dtype=weights.dtype) + u) / particles
    return torch.searchsorted(weights.cumsum(1).contiguous(), points.contiguous()).clamp(max=particles - 1)
