"""The data set `mixture`: points whose exact denoiser is known."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch.utils.data import Dataset

from ambientkit.batch import Clean
from ambientkit.interfaces import Data
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator


class Mixture(Data):
    """Points of a Gaussian mixture on a ring in the plane, whose exact denoiser is known: the whole walk in seconds."""

    name = "mixture"
    source = "docs/method.md: 8 modes, radius 1.5, std 0.1"

    modes: int = Field(8, ge=1)
    """Number of modes, evenly spaced."""
    radius: float = Field(1.5, ge=0)
    """Distance of the modes from the origin."""
    std: float = Field(0.1, gt=0)
    """Std within a mode."""
    n: int = Field(20_000, ge=1)
    """Rows."""
    seed: int = 0
    """Seed of the points; the run's seed draws the noise."""

    def law(self) -> GaussianMixture:
        """The mixture the points are drawn from."""
        angle = torch.arange(self.modes, dtype=torch.float64) * 2 * math.pi / self.modes
        means = self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        covariances = torch.eye(2, dtype=torch.float64).expand(self.modes, 2, 2) * self.std**2
        return GaussianMixture(torch.ones(self.modes, dtype=torch.float64), means, covariances)

    def rows(self) -> Dataset[Clean]:
        """Clean points of shape (2,), float32."""
        return _Points(self.law().sample(self.n, keyed_generator(self.seed, "mixture")).float())


class _Points(Dataset[Clean]):
    def __init__(self, points: torch.Tensor) -> None:
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: int) -> Clean:
        return Clean(self._points[index], {})
