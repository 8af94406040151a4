"""Objectives that are right in a call by itself, or on rows of which some, or all, have noise."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, Term
from ambientkit.builtin.mutants.consistency import ConsistencyMutant
from ambientkit.builtin.mutants.tweedie import TweedieMutant, drawn_levels, squared
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Mutant, Tools
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight


class LevelsOfTheFirstCall(TweedieMutant):
    """Tweedie that draws its levels once in a run."""

    name = "tweedie-levels-of-the-first-call"
    wrong = "the levels of the first call are kept in memory, and used for good"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = tools.memory.setdefault("sigma", drawn_levels(batch, tools))
        sigma = torch.maximum(sigma, 1.001 * tools.corruption.floor(batch))
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        return squared(tools.corruption.expect(x_0_hat, view, batch) - batch.x_n, sigma, batch, tools)


class NoiseOfTheFirstCall(TweedieMutant):
    """Tweedie that draws its noise once in a run."""

    name = "tweedie-noise-of-the-first-call"
    wrong = "z of the first call is kept in memory, and added for good"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma, x = drawn_levels(batch, tools), batch.x_n
        z = tools.memory.setdefault("z", standard_normal(x, tools.generator))
        missing = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt()
        x_t = x + missing.to(x.dtype) * z
        view = tools.corruption.degrade(batch, sigma, tools.generator)._replace(x=x_t)
        x_0_hat = denoiser(x_t, sigma, **view.cond)
        return squared(tools.corruption.expect(x_0_hat, view, batch) - x, sigma, batch, tools)


class WeightsOfTheFirstCall(TweedieMutant):
    """Tweedie that works its weights out once in a run."""

    name = "tweedie-weights-of-the-first-call"
    wrong = "lambda of the levels of the first call is kept in memory, and used for good"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Tweedie().loss(denoiser, batch, tools)["tweedie"]
        weight = edm_weight(found.sigma, tools.signal.sigma_data)
        kept = tools.memory.setdefault("weight", weight)
        return {"tweedie": found._replace(value=found.value * kept / weight) if len(kept) == len(weight) else found}


class LevelsInStrata(TweedieMutant):
    """Tweedie at the midpoints of as many strata as the batch has rows."""

    name = "tweedie-levels-in-strata"
    wrong = "levels are the same few in each call, in another order: one for a row alone"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        order = torch.randperm(len(floor), generator=tools.generator)
        sigma = log_uniform((order.to(floor) + 0.5) / len(floor), floor, tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        return squared(tools.corruption.expect(x_0_hat, view, batch) - batch.x_n, sigma, batch, tools)


class LevelsByPlace(TweedieMutant):
    """Tweedie at a level from each of as many strata as the batch has rows, in the order of the rows."""

    name = "tweedie-levels-by-place"
    wrong = "the first rows of a batch have low levels, and the last ones high levels, in each call"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = (torch.arange(len(floor)).to(floor) + uniform(torch.empty_like(floor), tools.generator)) / len(floor)
        sigma = log_uniform(u.clamp(max=1 - 1e-6), floor, tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        return squared(tools.corruption.expect(x_0_hat, view, batch) - batch.x_n, sigma, batch, tools)


class OneSeedForBoth(TweedieMutant):
    """Tweedie that draws its noise by a second generator, with the seed of the first."""

    name = "tweedie-one-seed-for-levels-and-noise"
    wrong = "levels and noise come from two generators of one seed: a high level goes with large noise"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma, again = drawn_levels(batch, tools), torch.Generator().manual_seed(tools.generator.initial_seed())
        view = tools.corruption.degrade(batch, sigma, again)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        return squared(tools.corruption.expect(x_0_hat, view, batch) - batch.x_n, sigma, batch, tools)


class CleanRowsCostNothing(TweedieMutant):
    """Tweedie that leaves clean rows out, and keeps their places."""

    name = "tweedie-clean-rows-cost-nothing"
    wrong = "the values of clean rows are 0, and count in the mean"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        found = squared(tools.corruption.expect(x_0_hat, view, batch) - batch.x_n, sigma, batch, tools)
        noisy = (tools.corruption.floor(batch) > 0).to(sigma.dtype)
        return {name: Term(noisy * term.value, term.sigma) for name, term in found.items()}


class MeanOfNoRows(ConsistencyMutant):
    """Consistency that takes the mean of its values, of no rows too."""

    name = "consistency-mean-of-no-rows"
    wrong = "where all rows are clean, the value is the mean of none: nan"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Consistency().loss(denoiser, batch, tools)
        if any(len(term.value) for term in found.values()):
            return found
        return {name: Term(term.value.mean().reshape(1), batch.x_n.new_ones(1)) for name, term in found.items()}


MUTANTS: list[type[Mutant]] = [
    *(
        LevelsOfTheFirstCall,
        NoiseOfTheFirstCall,
        WeightsOfTheFirstCall,
        LevelsInStrata,
        LevelsByPlace,
        OneSeedForBoth,
        CleanRowsCostNothing,
        MeanOfNoRows,
    ),
]
"""Registered by `ambientkit.builtin.plugin`."""
