"""Drawing samples: every one has its own generator, so it does not depend on the batch it is drawn in."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ambientkit.interfaces import Denoiser, Levels, Sampler
from ambientkit.maths.levels import edm_grid
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator


def step_grid(steps: int, levels: Levels) -> Tensor:
    """steps + 1 decreasing levels: `steps` of them from sigma_max to sigma_min by EDM's rule, then exactly 0. Float64.

    Raises ValueError for steps < 1. Source: arXiv 2206.00364, eq. 5.
    """
    return torch.cat([edm_grid(steps, levels.sigma_min, levels.sigma_max), torch.zeros(1, dtype=torch.float64)])


def draw(
    denoiser: Denoiser,
    sampler: Sampler,
    shape: tuple[int, ...],
    n: int,
    *,
    sigmas: Tensor,
    seed: int,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
) -> Iterator[Tensor]:
    """n samples in batches of (b, *shape), in order. sigmas: (T,), decreasing; sample i starts at sigmas[0] z and is keyed by (seed, i).

    A sampler that does not claim "row-generators" is run one sample at a time, so that its samples keep to that rule too.
    """
    separate = "row-generators" in sampler.claims
    size = batch_size if separate else 1
    for first in range(0, n, size):
        indices = range(first, min(first + size, n))
        generators = [keyed_generator(seed, "sample", row=index) for index in indices]
        with torch.no_grad():
            x = standard_normal(torch.empty(len(indices), *shape, device=device), generators) * float(sigmas[0])
            grid = sigmas.to(x).unsqueeze(1).expand(-1, len(indices))
            yield sampler.sample(denoiser, x, grid, generators if separate else generators[0], {})
