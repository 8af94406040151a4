"""Wrong variants of the objective `naive`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.objectives.naive import Naive
from ambientkit.interfaces import Denoiser, Mutant, Objective, Tools
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import uniform
from ambientkit.maths.weights import edm_weight


class NaiveMutant(Mutant, Objective):
    """What these mutants share: the right part's claims and loss, with another weight."""

    mutant_of = "naive"
    claims = Naive.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """weight(sigma) mean((D(x_n + sigma z, sigma) - x_n)^2)."""
        right = Naive()
        pretended = batch._replace(sigma_n=torch.zeros_like(batch.sigma_n))
        u = uniform(torch.empty(len(batch.x_n), dtype=batch.x_n.dtype, device=batch.x_n.device), tools.generator)
        sigma = truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, right.p_mean, right.p_std)
        view = tools.corruption.degrade(pretended, sigma, tools.generator)
        error = denoiser(view.x, sigma, **view.cond).to(batch.x_n.dtype) - batch.x_n
        return {"naive": Term(self.weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)}

    def weight(self, sigma: Tensor, sigma_data: float) -> Tensor:
        """The EDM weight in another unit."""
        return 2 * edm_weight(sigma, sigma_data)


class TwiceTheScale(NaiveMutant):
    """The loss in twice the scale of x_0."""

    name = "naive-twice-the-scale"
    wrong = "twice the EDM weight"


class Unweighted(NaiveMutant):
    """The loss without its weight."""

    name = "naive-unweighted"
    wrong = "weight 1 in place of the EDM weight"

    def weight(self, sigma: Tensor, sigma_data: float) -> Tensor:
        """1 at every level."""
        return torch.ones_like(sigma)


MUTANTS: list[type[Mutant]] = [TwiceTheScale, Unweighted]
