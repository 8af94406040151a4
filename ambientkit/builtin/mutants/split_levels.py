"""Wrong variants of the objective `split-levels`."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.interfaces import Denoiser, Mutant, Objective, Tools
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import uniform
from ambientkit.maths.weights import edm_weight


class SplitMutant(Mutant, Objective, abc.ABC):
    """What these mutants share: the claims of the right part, and the level up to which it sees clean rows."""

    mutant_of = "split-levels"
    claims = SplitLevels.claims

    clean_below: float = 0.4


class CleanEverywhere(SplitMutant):
    """Clean rows at all levels: ordinary training on clean rows and copies."""

    name = "split-levels-clean-everywhere"
    wrong = "clean rows are seen at high levels too"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return SplitLevels(clean_below=tools.levels.sigma_max).loss(denoiser, batch, tools)


class AHalfHigher(SplitMutant):
    """Clean rows up to a level half as high again."""

    name = "split-levels-half-higher"
    wrong = "clean rows are seen up to 1.5 clean_below"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return SplitLevels(clean_below=1.5 * self.clean_below).loss(denoiser, batch, tools)


class CleanRowsPileUp(SplitMutant):
    """Clean rows whose levels are cut off at the highest that they may have."""

    name = "split-levels-clean-rows-pile-up"
    wrong = "levels of clean rows above clean_below are clamped onto it"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        floor = tools.corruption.floor(batch)
        low = floor.clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty_like(floor), tools.generator)
        sigma = truncated_lognormal(u, low, tools.levels.sigma_max, -1.2, 1.2)
        sigma = torch.where(floor <= tools.levels.sigma_min, sigma.clamp(max=self.clean_below), sigma)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        factor = capped_inverse_square(tools.corruption.slope(view, batch), 25.0)
        value = (factor * rho**2).flatten(1).mean(1)
        return {"split": Term(edm_weight(sigma, tools.signal.sigma_data) * value, sigma)}


class LevelOfTheBatch(SplitMutant):
    """Clean rows that stand in a batch with copies take their levels from the range of the copies."""

    name = "split-levels-range-of-the-batch"
    wrong = "one noisy row lifts the upper end of the levels of all rows"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        noisy = bool((tools.corruption.floor(batch) > tools.levels.sigma_min).any())
        top = tools.levels.sigma_max if noisy else self.clean_below
        return SplitLevels(clean_below=top).loss(denoiser, batch, tools)


class CopiesForClean(SplitMutant):
    """Noisy copies as targets as they are: above clean_below the network learns E[x_n | x_t]."""

    name = "split-levels-copies-for-clean"
    wrong = "copies are denoised to x_n, without the Tweedie mix"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        floor = tools.corruption.floor(batch)
        top = torch.where(floor <= tools.levels.sigma_min, self.clean_below, tools.levels.sigma_max)
        u = uniform(torch.empty_like(floor), tools.generator)
        sigma = truncated_lognormal(u, floor.clamp(min=tools.levels.sigma_min), top, -1.2, 1.2)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        error = denoiser(view.x, sigma, **view.cond) - batch.x_n
        return {"split": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)}


class LevelTooHigh(SplitMutant):
    """Copies taken for 15 % noisier than they are."""

    name = "split-levels-level-too-high"
    wrong = "sigma_n is 15 % too large"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return SplitLevels(clean_below=self.clean_below).loss(
            denoiser, batch._replace(sigma_n=1.15 * batch.sigma_n), tools
        )


class MeanLevel(SplitMutant):
    """One level for the whole batch, the mean of clean rows and copies."""

    name = "split-levels-mean-level"
    wrong = "sigma_n of the batch in place of that of each row"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        level: Tensor = batch.sigma_n.mean().expand_as(batch.sigma_n)
        return SplitLevels(clean_below=self.clean_below).loss(denoiser, batch._replace(sigma_n=level), tools)


class WithoutFactor(SplitMutant):
    """The residual of Tweedie without 1/a^2: levels above sigma_n count a^2 as much."""

    name = "split-levels-without-factor"
    wrong = "the factor 1/a^2 is left out"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return SplitLevels.model_construct(clean_below=self.clean_below, cap=1.0).loss(denoiser, batch, tools)


class CopiesLeftOut(SplitMutant):
    """Copies are weighed by 0: nothing is learned above clean_below."""

    name = "split-levels-copies-left-out"
    wrong = "copies count nothing"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        (term,) = SplitLevels(clean_below=self.clean_below).loss(denoiser, batch, tools).values()
        clean = tools.corruption.floor(batch) <= tools.levels.sigma_min
        return {"split": Term(torch.where(clean, term.value, 0 * term.value), term.sigma)}


MUTANTS = [
    CleanEverywhere,
    AHalfHigher,
    CleanRowsPileUp,
    LevelOfTheBatch,
    CopiesForClean,
    LevelTooHigh,
    MeanLevel,
    WithoutFactor,
    CopiesLeftOut,
]
