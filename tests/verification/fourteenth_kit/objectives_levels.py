"""Wrong objectives: levels, and what is told of them."""

from __future__ import annotations

import torch

from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .bases import OfClean, TopUp, made, numbers

KEPT: dict[tuple[int, ...], torch.Tensor] = {}


class FloorOfBatch(TopUp):
    """One lowest level for the batch, that of its noisiest row. Breaks: truncated to (sigma_n, sigma_max] of each
    row."""

    name = "kit14-floor-of-batch"

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).max().clamp(min=tools.levels.sigma_min).expand(len(batch.x_n))
        return truncated_lognormal(numbers(batch.x_n, tools.generator), low, tools.levels.sigma_max, -1.2, 1.2)


class TriedEightTimes(TopUp):
    """Draws a level again where it lies below the noise, eight times, and puts what is left onto the noise. Breaks:
    never clamped onto sigma_n."""

    name = "kit14-tried-eight-times"

    def levels(self, batch, tools):
        low, high = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min), tools.levels.sigma_max
        sigma = torch.zeros_like(low)
        for _ in range(8):
            fresh = (1.2 * standard_normal(low, tools.generator) - 1.2).exp().to(low.dtype)
            sigma = torch.where((sigma > low) & (sigma <= high), sigma, fresh)
        return torch.minimum(torch.maximum(sigma, low), torch.full_like(low, high))


class MedianOfOne(TopUp):
    """A batch of one row takes the median level: no spread is needed of one. Breaks: levels are drawn from a
    density."""

    name = "kit14-median-of-one"

    def levels(self, batch, tools):
        sigma = super().levels(batch, tools)
        if len(sigma) > 1:
            return sigma
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(torch.full_like(low, 0.5), low, tools.levels.sigma_max, -1.2, 1.2)


class HalfLevels(TopUp):
    """The level is handed over in bfloat16, as under autocast. Breaks: the view's level is the one told: x_t = m +
    sigma e."""

    name = "kit14-levels-in-half"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma.to(torch.bfloat16).to(view.sigma.dtype), **view.cond)


class CleanLow(TopUp):
    """Clean rows among noisy ones are seen up to 0.4 only. Breaks: up to sigma_max, as "clean-rows-low" is not
    claimed."""

    name = "kit14-clean-rows-held-low"

    def levels(self, batch, tools):
        sigma, floor = super().levels(batch, tools), tools.corruption.floor(batch)
        if not bool((floor > 0).any()):
            return sigma
        return torch.where(floor > 0, sigma, sigma.clamp(max=0.4))


class MeanOfPixels(TopUp):
    """The lowest level of a row is the mean of its pixels' noise; noisier pixels stay as they are. Breaks:
    noise-by-pixel: one level for a view."""

    name = "kit14-mean-of-pixels"

    def levels(self, batch, tools):
        level = per_row(batch.sigma_n, batch.x_n)
        low = level.expand_as(batch.x_n).flatten(1).mean(1) if level.ndim else level.expand(len(batch.x_n))
        low = low.clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(numbers(batch.x_n, tools.generator), low, tools.levels.sigma_max, -1.2, 1.2)

    def view(self, batch, sigma, tools):
        level = per_row(sigma, batch.x_n).expand_as(batch.x_n)
        own = torch.minimum(per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n), level)
        return super().view(batch._replace(sigma_n=own), sigma, tools)


class OneState(TopUp):
    """Levels come from a copy of the generator, so that they use the numbers that the noise is made of. Breaks: z is
    independent of the level."""

    name = "kit14-levels-of-noise-state"

    def levels(self, batch, tools):
        copy = torch.Generator(device=tools.generator.device)
        copy.set_state(tools.generator.get_state())
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(batch.x_n, copy).flatten(1)[:, 0]
        return truncated_lognormal(u, low, tools.levels.sigma_max, -1.2, 1.2)


class KeptNumbers(TopUp):
    """The uniform numbers are drawn once for each shape, and kept in the module. Breaks: a part is stateless; each
    call draws levels."""

    name = "kit14-numbers-kept"

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = KEPT.setdefault(tuple(batch.x_n.shape), numbers(batch.x_n, tools.generator))
        return truncated_lognormal(u.to(low.dtype), low, tools.levels.sigma_max, -1.2, 1.2)


class LevelsInMemory(TopUp):
    """The levels of the first call are kept in the memory and used in all. Breaks: levels are drawn from a density in
    each call."""

    name = "kit14-levels-in-memory"

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        if "u" not in tools.memory:
            tools.memory["u"] = numbers(batch.x_n, tools.generator)
        u = tools.memory["u"]
        u = u[torch.arange(len(low)) % len(u)].to(low.dtype)
        return truncated_lognormal(u, low, tools.levels.sigma_max, -1.2, 1.2)


class SaidUpTo(TopUp):
    """Levels above 5 are said to be 5, as the plot ends there. Breaks: Term.sigma is the level of each value."""

    name = "kit14-said-up-to-five"

    def said(self, view):
        return view.sigma.clamp(max=5.0)


class TableOfSteps(OfClean):
    """The denoiser is told the nearest of the 1,000 levels of DDPM's linear schedule; the noise is not of it. Breaks:
    x_t = m + sigma e."""

    name = "kit14-nearest-ddpm-level"

    def ask(self, denoiser, x_t, sigma, batch, tools):
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        table = ((1 - alpha_bar) / alpha_bar).sqrt().to(sigma)
        near = (sigma.log().unsqueeze(1) - table.log()).abs().argmin(1)
        return denoiser(x_t, table[near], **batch.cond)


class ClampedBelow(OfClean):
    """Levels are drawn log-normal and clamped into the range from 0.02 on, but the noise is of what was drawn. Breaks:
    x_t = m + sigma e, at small levels."""

    name = "kit14-told-at-least"

    def ask(self, denoiser, x_t, sigma, batch, tools):
        return denoiser(x_t, sigma.clamp(min=0.02), **batch.cond)


class NowAndThenHigh(SplitLevels):
    """One clean row in twenty is seen at any level, to keep the average right. Breaks: clean rows are seen up to
    `clean_below`, and no higher."""

    name = "kit14-clean-now-and-then-high"

    def _levels(self, batch, tools):
        sigma, floor = super()._levels(batch, tools), tools.corruption.floor(batch)
        u = numbers(batch.x_n, tools.generator)
        other = truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2)
        rarely = numbers(batch.x_n, tools.generator) < 0.05
        return torch.where((floor <= tools.levels.sigma_min) & rarely, other.to(sigma.dtype), sigma)


class PairsOfNeighbours(Tweedie):
    """The second of a pair keeps its own row but takes the level of the first. Breaks: levels above the noise of each
    row; a pair is one row."""

    name = "kit14-pairs-of-neighbours"

    def _drawn(self, batch, tools):
        draws = super()._drawn(batch, tools)
        return draws._replace(row=draws.here)


class MirroredUnderMasks(Tweedie):
    """Pairs are mirrored about x_n under any corruption. Breaks: only with "symmetric-degrade" is 2 x_n - x_t as good a
    draw; under a mask it shows what is hidden."""

    name = "kit14-mirrored-under-masks"

    def _views(self, batch, sigma, draws, tools):
        view, cap = super()._views(batch, sigma, draws, tools)
        if "symmetric-degrade" in tools.corruption.claims or batch.x_n.shape != view.x.shape:
            return view, cap
        second = per_row((draws.paired & (draws.here % 2 == 1)).to(batch.x_n.dtype), batch.x_n) > 0
        return view._replace(x=torch.where(second, 2 * batch.x_n - view.x[draws.couple], view.x)), cap


WRONG = made(
    FloorOfBatch,
    TriedEightTimes,
    MedianOfOne,
    HalfLevels,
    CleanLow,
    MeanOfPixels,
    OneState,
    KeptNumbers,
    LevelsInMemory,
    SaidUpTo,
    TableOfSteps,
    ClampedBelow,
    NowAndThenHigh,
    PairsOfNeighbours,
    MirroredUnderMasks,
)
