"""The objective `denoising`: the ceiling, ordinary training on clean data."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.batch import Batch, Term
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import uniform
from ambientkit.maths.weights import edm_weight


class Denoising(Objective):
    """Ordinary denoising of clean data: the ceiling that a method on noisy data is measured by.

    loss = lambda(sigma) mean((D(x_0 + sigma z, sigma) - x_0)^2), log sigma normal, lambda the EDM weight.

    Refuses rows that carry noise: on those use `tweedie-consistency`, or `naive` to see what goes wrong.
    """

    name = "denoising"
    source = "arXiv 2206.00364, eq. 2 and table 1"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "x_0-scale", "detached-anchor", "needs-clean-data"})

    p_mean: float = -1.2
    """Mean of log sigma."""
    p_std: float = Field(1.2, gt=0)
    """Std of log sigma."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `denoising`, with a value for every row. Raises InputError where a row has sigma_n > 0."""
        noisy = tools.corruption.floor(batch) > 0
        if noisy.any():
            row = int(batch.row[int(noisy.nonzero()[0])])
            raise InputError(
                f"denoising needs clean data, but row {row} has sigma_n > 0: use tweedie-consistency, or give sigma_n 0"
            )
        u = uniform(torch.empty(len(batch.x_n), device=batch.x_n.device, dtype=batch.x_n.dtype), tools.generator)
        sigma = truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, self.p_mean, self.p_std)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        error = denoiser(view.x, sigma, **view.cond).to(batch.x_n.dtype) - batch.x_n
        return {
            "denoising": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)
        }
