"""The objective `naive`: what happens if noisy data are taken for clean. An arm to compare with."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.batch import Batch, Term
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import uniform
from ambientkit.maths.weights import edm_weight


class Naive(Objective):
    """Denoising with noisy rows taken for clean ones: samples come out as noisy as the data.

    It learns E[x_n | x_n + sigma z]: loss = lambda(sigma) mean((D(x_n + sigma z, sigma) - x_n)^2), log sigma normal.
    It claims the form of its loss, not that it is unbiased.
    """

    name = "naive"
    source = "arXiv 2206.00364, eq. 2, applied where it does not hold"
    claims = frozenset({"x_0-scale", "detached-anchor"})

    p_mean: float = -1.2
    """Mean of log sigma."""
    p_std: float = Field(1.2, gt=0)
    """Std of log sigma."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `naive`, with a value for every row; sigma_n is ignored on purpose."""
        pretended = batch._replace(sigma_n=torch.zeros_like(batch.sigma_n))
        u = uniform(torch.empty(len(batch.x_n), device=batch.x_n.device, dtype=batch.x_n.dtype), tools.generator)
        sigma = truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, self.p_mean, self.p_std)
        view = tools.corruption.degrade(pretended, sigma, tools.generator)
        error = denoiser(view.x, sigma, **view.cond).to(batch.x_n.dtype) - batch.x_n
        return {"naive": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)}
