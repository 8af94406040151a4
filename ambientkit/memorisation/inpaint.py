"""Values that may lie under a mask: draws from p(x_0 | some values of x_0) by a particle filter in the run's own
reverse
process."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels
from ambientkit.maths.randomness import keyed_generator
from ambientkit.sample.particles import particle_filter
from ambientkit.sample.schedule import levels as scheduled
from ambientkit.seeds import check_seed


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

    x_0: (B, *S); what is not seen of it is not read. seen: (B, *S) bool. rows: (B,) keys. Each draw is one of
    `sample.particles.particle_filter`, from levels.sigma_max down to 0, where its bias is stated. Each draw is keyed by
    (seed, row, number), independent of the batch. Raises InputError for shapes that do not fit, and fewer than one
    draw, particle or step. Source: Trippe et al. (2023), arXiv 2206.04119, algorithm 2 (SMCDiff); Pitt and Shephard
    (1999), J. Am. Stat. Assoc. 94 (446).
    """
    check_seed(seed)
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
        at = grid.unsqueeze(1).expand(-1, len(chosen))
        found = particle_filter(denoiser, x_0[index].to(device), seen[index].to(device), at, generators, particles)
        parts.append(found.cpu())
    return torch.cat(parts).reshape(len(x_0), draws, *x_0.shape[1:])
