"""Wrong variants of the objective `sure`."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, take
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.interfaces import Denoiser, Mutant, Objective, Tools
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.weights import edm_weight


class SureMutant(Mutant, Objective, abc.ABC):
    """What these mutants share: the right part's claims, and the estimate with the divergence weighted by
    `factor(sigma_n)`."""

    mutant_of = "sure"
    claims = Sure.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """mean(|D - x_n|^2 + factor div D)."""
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        x = tools.corruption.degrade(batch, sigma, tools.generator).x.detach().requires_grad_()
        probe = self.probe(x, tools).detach()
        x_0_hat = denoiser(x, sigma, **batch.cond)
        (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        risk = (x_0_hat - x).square() + per_row(self.factor(sigma), x) * probe * slope
        return {"sure": Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        """v with E[v v^T] = 1."""
        return standard_normal(x, tools.generator)

    @abc.abstractmethod
    def factor(self, sigma: Tensor) -> Tensor:
        """What the divergence is multiplied by; right is 2 sigma_n^2."""


class WithoutTwo(SureMutant):
    """Stein's estimate with half of its divergence."""

    name = "sure-without-two"
    wrong = "sigma_n^2 div D in place of 2 sigma_n^2 div D"

    def factor(self, sigma: Tensor) -> Tensor:
        return sigma**2


class WithoutDivergence(SureMutant):
    """Stein's estimate without its divergence: the identity is best."""

    name = "sure-without-divergence"
    wrong = "the divergence is left out, so that D(x_n) = x_n is the minimum"

    def factor(self, sigma: Tensor) -> Tensor:
        return torch.zeros_like(sigma)


class TurnedDivergence(SureMutant):
    """Stein's estimate with the wrong sign of its divergence."""

    name = "sure-turned-divergence"
    wrong = "- 2 sigma_n^2 div D in place of + 2 sigma_n^2 div D"

    def factor(self, sigma: Tensor) -> Tensor:
        return -2 * sigma**2


class StdForVariance(SureMutant):
    """Stein's estimate with sigma_n in place of its square."""

    name = "sure-std-for-variance"
    wrong = "2 sigma_n div D in place of 2 sigma_n^2 div D"

    def factor(self, sigma: Tensor) -> Tensor:
        return 2 * sigma


class OneLevel(SureMutant):
    """Stein's estimate with the mean level of the batch."""

    name = "sure-one-level-for-the-batch"
    wrong = "the mean sigma_n of the batch in place of that of the row"

    def factor(self, sigma: Tensor) -> Tensor:
        return 2 * sigma.mean().expand_as(sigma) ** 2


class UniformProbe(SureMutant):
    """Stein's estimate with a probe of the wrong variance."""

    name = "sure-uniform-probe"
    wrong = "a probe that is uniform on [-1, 1], of variance 1/3"

    def factor(self, sigma: Tensor) -> Tensor:
        return 2 * sigma**2

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        return 2 * torch.special.ndtr(standard_normal(x, tools.generator)) - 1


class DifferenceHalfDetached(SureMutant):
    """Stein's estimate by a difference of two answers, of which one carries no gradient."""

    name = "sure-difference-half-detached"
    wrong = "the shifted answer is computed without gradient: its value is right, and nothing holds the identity back"

    def factor(self, sigma: Tensor) -> Tensor:
        return 2 * sigma**2

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        x = tools.corruption.degrade(batch, sigma, tools.generator).x
        probe, step = self.probe(x, tools), 0.01 * per_row(sigma, x)
        x_0_hat = denoiser(x, sigma, **batch.cond)
        with torch.no_grad():
            ahead = denoiser(x + step * probe, sigma, **batch.cond)
        risk = (x_0_hat - x).square() + per_row(self.factor(sigma), x) * probe * (ahead - x_0_hat) / step
        return {"sure": Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}


class ProbeOfAllChannels(SureMutant):
    """Stein's estimate with one probe for all channels of a picture."""

    name = "sure-probe-of-all-channels"
    wrong = "channels share their probe, so that derivatives from one channel to another count"

    def factor(self, sigma: Tensor) -> Tensor:
        return 2 * sigma**2

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        v = standard_normal(x, tools.generator)
        return v[:, :1].expand_as(v) if v.ndim > 2 else v


class NormalProbe(SureMutant):
    """Stein's estimate with a normal probe."""

    name = "sure-normal-probe"
    wrong = "a normal probe in place of random signs"
    equivalent = "any probe with E[v v^T] = 1 gives the divergence in expectation"

    def factor(self, sigma: Tensor) -> Tensor:
        return 2 * sigma**2


MUTANTS: list[type[Mutant]] = [
    WithoutTwo,
    WithoutDivergence,
    TurnedDivergence,
    StdForVariance,
    OneLevel,
    UniformProbe,
    DifferenceHalfDetached,
    ProbeOfAllChannels,
    NormalProbe,
]
"""Registered by `ambientkit.builtin.plugin`."""
