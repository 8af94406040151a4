"""The corruption `gaussian`: additive white noise of known level."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.ambient import top_up, tweedie_mix
from ambientkit.maths.levels import GREATEST
from ambientkit.maths.noise import RandomSource, draw_levels, highest_level, per_row, standard_normal, uniform

Level = Annotated[float, Field(ge=0, le=GREATEST)]


class Gaussian(Corruption):
    """Additive white Gaussian noise of known level, per data set, per row or per pixel.

    x_n = x_0 + sigma_n z;  x_t = x_n + sqrt(sigma^2 - sigma_n^2) z';
    E[x_n | x_t] = a E[x_0 | x_t] + b x_t, b = sigma_n^2 / sigma^2, a = 1 - b.
    `sigma_n` is the level that `observe` simulates; observations that arrive noisy carry their own.
    """

    name = "gaussian"
    source = "arXiv 2404.10177, Lemma 3.1"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})

    sigma_n: Level | tuple[Level, Level] = 0.2
    """Simulated noise std, data units; a pair (low, high) draws one level per row, uniform between them."""

    clean_share: float = Field(0.0, ge=0, le=1)
    """Simulated share of rows that stay clean (sigma_n = 0), drawn row by row."""

    @model_validator(mode="after")
    def _ordered(self) -> Gaussian:
        if isinstance(self.sigma_n, tuple) and self.sigma_n[0] > self.sigma_n[1]:
            raise ValueError("sigma_n as a pair is (low, high)")
        return self

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z. x_0: (B, *S); row: (B,)."""
        one_each = draw_levels(x_0, self.sigma_n, generator).unsqueeze(1)
        if self.clean_share > 0:
            one_each = torch.where(
                uniform(one_each, generator) < self.clean_share, torch.zeros_like(one_each), one_each
            )
        sigma_n = one_each.squeeze(1)
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z. sigma: (B,). Raises ValueError naming the row where sigma is below
        its floor."""
        below = sigma < self.floor(batch)
        if below.any():
            first = int(below.nonzero()[0])
            raise ValueError(
                f"row {int(batch.row[first])} cannot be seen at sigma {float(sigma[first]):g}, below its own noise "
                "level"
            )
        return View(top_up(batch.x_n, batch.sigma_n, sigma, generator), sigma, batch.cond)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """E[x_n | x_t] = a x_0_hat + b x_t, elementwise in sigma_n."""
        return tweedie_mix(x_0_hat, view.x, view.sigma, batch.sigma_n)

    def floor(self, batch: Batch) -> Tensor:
        """(B,), the largest sigma_n of each row."""
        return highest_level(batch.sigma_n, batch.x_n)
