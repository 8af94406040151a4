"""Wrong variants of the objective `detail-moments`."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.hops import Hops
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.interfaces import Denoiser, Mutant, Objective, Tools


class DetailMutant(Mutant, Objective, abc.ABC):
    """What these mutants share: the right part's claims, and its term on detail, computed wrongly where they say."""

    mutant_of = "detail-moments"
    claims = DetailMoments.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The right terms, with the parts that a mutant replaces."""
        return _Replaced(mutant=self).loss(denoiser, batch, tools)

    def rows(self, batch: Batch) -> Batch:
        """The rows that the energies are measured on."""
        return batch

    def found(self, found: Hops) -> Hops:
        """The knowledge of the ends of hops."""
        return found

    def value(self, value: Tensor) -> Tensor:
        """The value of the term."""
        return value


class _Replaced(DetailMoments):
    """The right part, asked through a mutant."""

    mutant: DetailMutant

    def _detail(self, found: Hops, batch: Batch, tools: Tools) -> Tensor:
        return self.mutant.value(super()._detail(self.mutant.found(found), self.mutant.rows(batch), tools))


class NoiseAsDetail(DetailMutant):
    """Second moments of noisy rows with their noise."""

    name = "detail-moments-noise-as-detail"
    wrong = "E[f(x_n)^2] is wanted, without the noise taken off"

    def rows(self, batch: Batch) -> Batch:
        return batch._replace(sigma_n=torch.where(batch.sigma_n > 0, 0.011, batch.sigma_n))


class OtherLevel(DetailMutant):
    """Second moments of the ends, less the noise of another level."""

    name = "detail-moments-level-of-the-ends"
    wrong = "1.4 sigma_s is taken off the energy of the ends in place of sigma_s"

    def found(self, found: Hops) -> Hops:
        return found._replace(sigma_s=1.4 * found.sigma_s)


class OneLevel(DetailMutant):
    """Second moments of rows of unlike noise, with the noise of the noisiest."""

    name = "detail-moments-one-level-for-all"
    wrong = "the highest noise level of the batch is taken off all rows"

    def rows(self, batch: Batch) -> Batch:
        return batch._replace(sigma_n=torch.where(batch.sigma_n > 0, batch.sigma_n.max(), batch.sigma_n))


class Turned(DetailMutant):
    """Second moments that push away."""

    name = "detail-moments-turned"
    wrong = "detail is strengthened where there is too much, and weakened where there is too little"

    def value(self, value: Tensor) -> Tensor:
        return 2 * value.detach() - value


class Silent(DetailMutant):
    """Second moments without a gradient."""

    name = "detail-moments-without-gradient"
    wrong = "the term on detail carries no gradient"

    def value(self, value: Tensor) -> Tensor:
        return value.detach()


MUTANTS = [NoiseAsDetail, OtherLevel, OneLevel, Turned, Silent]
