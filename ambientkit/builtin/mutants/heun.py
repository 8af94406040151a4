"""Wrong variants of the sampler `heun`."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.builtin.mutants.ancestral import Cond, SteppingMutant
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Denoiser, Mutant, Sampler
from ambientkit.maths.noise import RandomSource, per_row


class HeunMutant(SteppingMutant, abc.ABC):
    """What these mutants share: the right part's claims, and Heun's rule with the second slope where they put it."""

    mutant_of = "heun"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        """Heun's rule, row by row Euler's where it ends at 0."""
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        ahead = x + per_row(sigma_s - sigma_t, x) * slope
        inside = sigma_s > 0
        if not inside.any():
            return ahead
        second = self.second(denoiser, x, ahead, sigma_t, torch.where(inside, sigma_s, sigma_t), cond)
        corrected = x + per_row(sigma_s - sigma_t, x) * self.mix(slope, second)
        return torch.where(per_row(inside.double(), x) > 0, corrected, ahead)

    def second(self, denoiser, x, ahead, sigma_t, sigma_s, cond):
        """The second slope."""
        return (ahead - denoiser(ahead, sigma_s, **cond)) / per_row(sigma_s, x)

    def mix(self, slope, second):
        """The slope of the step."""
        return (slope + second) / 2


class EulersOrder(HeunMutant):
    """Heun's rule without its correction."""

    name = "heun-eulers-order"
    wrong = "the second evaluation is made and not used"

    def mix(self, slope, second):
        return slope


class BackwardSlope(HeunMutant):
    """Heun's rule with the second slope alone."""

    name = "heun-second-slope-alone"
    wrong = "the second slope in place of the mean of both"

    def mix(self, slope, second):
        return second


class SumOfSlopes(HeunMutant):
    """Heun's rule with slopes that are not weighted alike."""

    name = "heun-uneven-slopes"
    wrong = "weights 2/3 and 1/3, those of another rule"

    def mix(self, slope, second):
        return (2 * slope + second) / 3


class SecondAtTheUpperLevel(HeunMutant):
    """Heun's rule that asks for the second slope at the upper level."""

    name = "heun-second-at-the-upper-level"
    wrong = "D(ahead, sigma_t) in place of D(ahead, sigma_s)"

    def second(self, denoiser, x, ahead, sigma_t, sigma_s, cond):
        return (ahead - denoiser(ahead, sigma_t, **cond)) / per_row(sigma_t, x)


class SecondAtTheOldPoint(HeunMutant):
    """Heun's rule that asks for the second slope at the old point."""

    name = "heun-second-at-the-old-point"
    wrong = "D(x, sigma_s) in place of D(ahead, sigma_s)"

    def second(self, denoiser, x, ahead, sigma_t, sigma_s, cond):
        return (x - denoiser(x, sigma_s, **cond)) / per_row(sigma_s, x)


class NoCorrectionAtLowLevels(HeunMutant):
    """Heun's rule down to a level, and Euler's below it."""

    name = "heun-no-correction-at-low-levels"
    wrong = "steps to levels below 0.1 go by the first slope alone: of first order there"

    def second(self, denoiser, x, ahead, sigma_t, sigma_s, cond):
        first = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        low = per_row((sigma_s < 0.1).to(x.dtype), x) > 0
        return torch.where(low, first, super().second(denoiser, x, ahead, sigma_t, sigma_s, cond))


class LastStepOfTheBatch(Mutant, Sampler):
    """Heun's rule that drops its correction for all rows where one row ends at 0."""

    name = "heun-last-step-of-the-batch"
    mutant_of = "heun"
    wrong = "whether a row ends at 0 is asked of the whole batch; `heun` itself had this fault until a check found it"
    claims = Heun.claims

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Cond) -> Tensor:
        if bool((sigmas[-1] > 0).all()) or bool((sigmas[-1] == 0).all()):
            return Heun().sample(denoiser, x, sigmas, generator, cond)
        x = Heun().sample(denoiser, x, sigmas[:-1], generator, cond) if len(sigmas) > 2 else x
        slope = (x - denoiser(x, sigmas[-2], **cond)) / per_row(sigmas[-2], x)
        return x + per_row(sigmas[-1] - sigmas[-2], x) * slope


MUTANTS: list[type[Mutant]] = [
    *(EulersOrder, BackwardSlope, SumOfSlopes, SecondAtTheUpperLevel, SecondAtTheOldPoint, LastStepOfTheBatch),
    NoCorrectionAtLowLevels,
]
"""Registered by `ambientkit.builtin.plugin`."""
