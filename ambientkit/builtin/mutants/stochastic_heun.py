"""Wrong variants of the sampler `stochastic-heun`."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.builtin.mutants.ancestral import Cond, SteppingMutant
from ambientkit.builtin.samplers.stochastic_heun import GAIN, StochasticHeun
from ambientkit.interfaces import Denoiser, Mutant, Sampler
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments


class StochasticHeunMutant(SteppingMutant, abc.ABC):
    """What these mutants share: the right part's claims, and its step with the correction as they have it."""

    mutant_of = "stochastic-heun"
    claims = StochasticHeun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        """The step of `ancestral` and its correction, row by row none where it ends at 0."""
        x_0_hat = denoiser(x, sigma_t, **cond)
        mean, std = reverse_moments(x, x_0_hat, sigma_t, sigma_s)
        ahead, inside = mean + std * standard_normal(x, generator), sigma_s > 0
        if not inside.any():
            return ahead
        low = torch.where(inside, sigma_s, sigma_t)
        second = denoiser(self.asked(ahead, mean, std, generator), self.level(low, sigma_t), **cond)
        corrected = ahead + self.size(per_row(low / sigma_t, x)) * (second - x_0_hat)
        return torch.where(per_row(inside.double(), x) > 0, corrected, ahead)

    def asked(self, ahead: Tensor, mean: Tensor, std: Tensor, generator: RandomSource) -> Tensor:
        """The point of the second call."""
        return ahead

    def level(self, sigma_s: Tensor, sigma_t: Tensor) -> Tensor:
        """The level of the second call."""
        return sigma_s

    def size(self, ratio: Tensor) -> Tensor:
        """c of ratio = sigma_s / sigma_t."""
        return (1 - GAIN) * (1 - ratio**2) / 2 + GAIN * (1 / ratio - 1)


class TurnedCorrection(StochasticHeunMutant):
    """Its step with the correction taken away."""

    name = "stochastic-heun-turned-correction"
    wrong = "p - c (D(p) - D(x_t)) in place of p + c (D(p) - D(x_t))"

    def size(self, ratio):
        return -super().size(ratio)


class NoCorrection(StochasticHeunMutant):
    """Its step without the correction: that of `ancestral`."""

    name = "stochastic-heun-no-correction"
    wrong = "the second call is made and not used; the rule is of first order"

    def size(self, ratio):
        return torch.zeros_like(ratio)


class DoubledCorrection(StochasticHeunMutant):
    """Its step with the correction twice."""

    name = "stochastic-heun-doubled-correction"
    wrong = "2 c in place of c"

    def size(self, ratio):
        return 2 * super().size(ratio)


class FreshNoise(StochasticHeunMutant):
    """Its step with noise of its own in the corrector."""

    name = "stochastic-heun-fresh-noise"
    wrong = "D is asked at another draw of p, so that the correction does not move with the noise of the step"

    def asked(self, ahead, mean, std, generator):
        return mean + std * standard_normal(ahead, generator)


class NoNoiseAhead(StochasticHeunMutant):
    """Its step with a corrector that sees the mean of p."""

    name = "stochastic-heun-no-noise-ahead"
    wrong = "D is asked at the mean of p, which brings none of the spread that is lacking"

    def asked(self, ahead, mean, std, generator):
        return mean


class SecondAtTheUpperLevel(StochasticHeunMutant):
    """Its step that asks the second time at the upper level."""

    name = "stochastic-heun-second-at-the-upper-level"
    wrong = "D(p, sigma_t) in place of D(p, sigma_s)"

    def level(self, sigma_s, sigma_t):
        return sigma_t


class LevelOfTheFirstRow(StochasticHeunMutant):
    """Its step that asks the second time at the level of the first row."""

    name = "stochastic-heun-level-of-the-first-row"
    wrong = "D(p, sigma_s of row 0) in place of the row's own"

    def level(self, sigma_s, sigma_t):
        return sigma_s[:1].expand_as(sigma_s)


class LastStepOfTheBatch(Mutant, Sampler):
    """Its step that drops the correction for all rows where one row ends at 0."""

    name = "stochastic-heun-last-step-of-the-batch"
    mutant_of = "stochastic-heun"
    wrong = "whether a row ends at 0 is asked of the whole batch"
    claims = StochasticHeun.claims

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Cond) -> Tensor:
        """The right steps, but for a last one in which some rows, not all, end at 0."""
        if bool((sigmas[-1] > 0).all()) or bool((sigmas[-1] == 0).all()):
            return StochasticHeun().sample(denoiser, x, sigmas, generator, cond)
        x = StochasticHeun().sample(denoiser, x, sigmas[:-1], generator, cond) if len(sigmas) > 2 else x
        mean, std = reverse_moments(x, denoiser(x, sigmas[-2], **cond), sigmas[-2], sigmas[-1])
        return mean + std * standard_normal(x, generator)


class HeunsShare(StochasticHeunMutant):
    """Its step with the correction of Heun's method alone."""

    name = "stochastic-heun-share-of-heun"
    wrong = "c = (1 - r) / 2 without the gain"
    equivalent = (
        "equal to first order in 1 - r, and so of second order too; the gain only makes the error of long steps smaller"
    )

    def size(self, ratio):
        return (1 - ratio**2) / 2


MUTANTS: list[type[Mutant]] = [
    *(TurnedCorrection, NoCorrection, DoubledCorrection, FreshNoise, NoNoiseAhead),
    *(SecondAtTheUpperLevel, LevelOfTheFirstRow, LastStepOfTheBatch, HeunsShare),
]
"""Registered by `ambientkit.builtin.plugin`."""
