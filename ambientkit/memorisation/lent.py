"""The tools that an attack gets: the model, and draws from its reverse process."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.interfaces import Denoiser, Levels, Sampler
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation.inpaint import inpaint
from ambientkit.sample.restore import restore

RESTORING, INPAINTING = 32, 64
"""Steps of the reverse process, where nothing else is said."""
POINTS = 16
"""Points that go through the network at once in `inpaint` and `denoised`, in units of batch_size."""


@dataclass(frozen=True, slots=True)
class Lent:
    """A `Target`: see `ambientkit.memorisation_parts`. Everything it returns lies on the CPU."""

    denoiser: Denoiser
    levels: Levels
    sigma_data: float
    sigma_n: float
    draws: int
    sampler: Sampler
    steps: int | None
    particles: int
    seed: int
    batch_size: int
    device: torch.device

    def generators(self, purpose: str, keys: Tensor) -> list[Generator]:
        """One generator for each row, keyed by the seed, the purpose and the row."""
        return [keyed_generator(self.seed, purpose, row=key) for key in keys.tolist()]

    def denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x, sigma) for points (B, *S) at levels (B,)."""
        size = self.batch_size * POINTS
        with torch.no_grad():
            parts = [
                self.denoiser(points.to(self.device), level.to(self.device)).to(points.dtype).cpu()
                for points, level in zip(x.split(size), sigma.split(size), strict=True)
            ]
        return torch.cat(parts)

    def restored(self, noisy: Tensor, level: float, keys: Tensor) -> Tensor:
        """(B, draws, *S), by `sample.restore`."""
        sigma_n = torch.full((len(noisy),), level, device=self.device)
        found = restore(
            self.denoiser,
            Batch(noisy.to(self.device), sigma_n, keys, {}),
            Gaussian(),
            self.sampler,
            self.levels,
            draws=self.draws,
            steps=self.steps or RESTORING,
            seed=self.seed,
            batch_size=self.batch_size,
        )
        return found.draws.cpu()

    def inpainted(self, x_0: Tensor, seen: Tensor, keys: Tensor) -> Tensor:
        """(B, draws, *S), by `inpaint`."""
        return inpaint(
            self.denoiser,
            x_0,
            seen,
            keys,
            self.levels,
            draws=self.draws,
            particles=self.particles,
            steps=self.steps or INPAINTING,
            seed=self.seed,
            batch_size=self.batch_size * POINTS,
            device=self.device,
        )
