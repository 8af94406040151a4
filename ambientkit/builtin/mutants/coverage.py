"""Objectives that are right where they look, and look at some levels or values only."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, take
from ambientkit.builtin.mutants.consistency import ConsistencyMutant, hop, term, used
from ambientkit.builtin.mutants.tweedie import TweedieMutant, drawn_levels, squared
from ambientkit.interfaces import Denoiser, Mutant, Tools
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, uniform


class LevelsMutant(TweedieMutant, abc.ABC):
    """Tweedie with other levels."""

    @abc.abstractmethod
    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """(B,), above the floor of each row."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = self.levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        return squared(tools.corruption.expect(x_0_hat, view, batch) - batch.x_n, sigma, batch, tools)


class HoleInLevels(LevelsMutant):
    """Tweedie that leaves out levels from 0.5 to 1.5, as two ranges that do not meet."""

    name = "tweedie-hole-in-levels"
    wrong = "levels from 0.5 to 1.5 are left out"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        sigma = drawn_levels(batch, tools)
        return torch.where((sigma > 0.5) & (sigma < 1.5), 3 * sigma, sigma)


class RaisedToTheNoisiestPixel(LevelsMutant):
    """Tweedie that draws levels above the mean noise power of a row, and raises those that no view can have."""

    name = "tweedie-raised-to-the-noisiest-pixel"
    wrong = "where the pixels of a row are of unlike noise, levels are clamped onto the floor"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        power = per_row(batch.sigma_n, batch.x_n).square().expand_as(batch.x_n).flatten(1).mean(1)
        low = power.sqrt().clamp(min=tools.levels.sigma_min).minimum(floor.clamp(min=tools.levels.sigma_min))
        u = uniform(torch.empty_like(floor), tools.generator)
        return truncated_lognormal(u, low, tools.levels.sigma_max, -1.2, 1.2).maximum(floor)


class StopsShort(LevelsMutant):
    """Tweedie that takes 2 for the highest level."""

    name = "tweedie-stops-short"
    wrong = "no level above 2 is trained, unless a row is noisier"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty_like(floor), tools.generator)
        return log_uniform(u, floor, (1.5 * floor).clamp(min=2.0))


class NothingAbove20(LevelsMutant):
    """Tweedie that takes 20 for the highest level, and leaves noisier rows out."""

    name = "tweedie-nothing-above-20"
    wrong = "no level above 20 is trained, in a run up to 80 either"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        quiet = tools.corruption.floor(batch) < 20
        return super().loss(denoiser, take(batch, quiet.nonzero().squeeze(1)), tools)

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty_like(floor), tools.generator)
        return truncated_lognormal(u, floor, min(20.0, tools.levels.sigma_max), -1.2, 1.2)


class RoundedShare(TweedieMutant):
    """Tweedie whose b comes from a table in steps of 0.02."""

    name = "tweedie-rounded-share"
    wrong = "b = sigma_n^2 / sigma^2 is rounded to 0.02, and a is 1 - b"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        b = ((per_row(batch.sigma_n, batch.x_n) / per_row(sigma, batch.x_n)) ** 2 * 50).round() / 50
        rho = (1 - b) * denoiser(view.x, sigma, **view.cond) + b * view.x - batch.x_n
        return squared(rho, sigma, batch, tools)


class CleanRowsHigh(LevelsMutant):
    """Tweedie that gives clean rows the levels of noisy ones."""

    name = "tweedie-clean-rows-high"
    wrong = "clean rows are never seen below 0.3, though they alone can be"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        raised = torch.where(floor > 0, floor, 0.3)
        return log_uniform(uniform(torch.empty_like(floor), tools.generator), raised, tools.levels.sigma_max)


class OwnRange(LevelsMutant):
    """Tweedie with the usual range of levels written into it."""

    name = "tweedie-own-range"
    wrong = "0.002 to 80, in any range"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=0.002)
        return log_uniform(uniform(torch.empty_like(floor), tools.generator), floor, 80.0)


class SmallValuesLeftOut(TweedieMutant):
    """Tweedie whose residuals below 0.02 teach nothing, as with a loss that is insensitive near 0."""

    name = "tweedie-small-values-left-out"
    wrong = "residuals of less than 0.02 are set to 0"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        rho = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        return squared(torch.where(rho.abs() < 0.02, torch.zeros_like(rho), rho), sigma, batch, tools)


class FirstHopOnly(ConsistencyMutant):
    """Consistency between sigma_n and the levels next to it: nothing is carried further down."""

    name = "consistency-first-hop-only"
    wrong = "anchors are observations alone, so that no level below 0.74 sigma_n is ever trained"
    below_sigma_n = "by consistency"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        batch = used(batch)
        if not len(batch.x_n):
            return {"consistency": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        h = hop(denoiser, batch, tools)
        with torch.no_grad():
            centre = denoiser(h.x_t, h.sigma_t, **batch.cond)
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - centre for x in (h.first, h.second))
        return term(first * second, h, tools)


MUTANTS: list[type[Mutant]] = [
    HoleInLevels,
    RaisedToTheNoisiestPixel,
    StopsShort,
    NothingAbove20,
    RoundedShare,
    CleanRowsHigh,
    OwnRange,
    SmallValuesLeftOut,
    FirstHopOnly,
]
"""Registered by `ambientkit.builtin.plugin`."""
