"""Wrong variants of the objective `naive`."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.objectives.naive import Naive
from ambientkit.interfaces import Denoiser, Mutant, Objective, Tools
from ambientkit.maths.weights import edm_weight


class NaiveMutant(Mutant, Objective):
    """What these mutants share: the right part's claims and loss, with another weight."""

    mutant_of = "naive"
    claims = Naive.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The right part's, times `factor`."""
        right = Naive().loss(denoiser, batch, tools)["naive"]
        return {"naive": Term(self.factor(right.sigma, tools.signal.sigma_data) * right.value, right.sigma)}

    @abstractmethod
    def factor(self, sigma: Tensor, sigma_data: float) -> Tensor:
        """The weight over the right one, (B,)."""


class TwiceTheScale(NaiveMutant):
    """The loss in twice the scale of x_0."""

    name = "naive-twice-the-scale"
    wrong = "twice the EDM weight"

    def factor(self, sigma: Tensor, sigma_data: float) -> Tensor:
        """2 at every level."""
        return torch.full_like(sigma, 2.0)


class Unweighted(NaiveMutant):
    """The loss without its weight."""

    name = "naive-unweighted"
    wrong = "weight 1 in place of the EDM weight"

    def factor(self, sigma: Tensor, sigma_data: float) -> Tensor:
        """What takes the EDM weight away."""
        return 1 / edm_weight(sigma, sigma_data)


MUTANTS: list[type[Mutant]] = [TwiceTheScale, Unweighted]
