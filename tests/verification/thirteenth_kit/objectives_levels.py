"""Wrong objectives: levels, and what is told of them."""

from __future__ import annotations

import torch

from ambientkit.batch import View, take
from ambientkit.maths.levels import truncated_lognormal

from .bases import Ambient, draws, made


class ClampedAfterRetry(Ambient):
    """Draws again once where a level is below the row's noise, then clamps. Breaks: never clamped onto sigma_n."""

    name = "kit13-clamped-after-retry"

    def levels(self, batch, tools):
        floor = tools.corruption.floor(batch)
        sigma, again = (
            truncated_lognormal(draws(batch, tools), tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2)
            for _ in range(2)
        )
        return torch.maximum(torch.where(sigma < floor, again, sigma), floor)


class NoisiestRow(Ambient):
    """Takes the largest noise of the batch as the lower end for all rows. Breaks: levels from (sigma_n, sigma_max] of
    each row."""

    name = "kit13-noisiest-row"

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).amax().expand(len(batch.x_n)).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(draws(batch, tools), low, tools.levels.sigma_max, -1.2, 1.2)


class FixedCeiling(Ambient):
    """Draws up to 20, as the training script that it is ported from, whatever sigma_max is. Breaks: a density on
    (sigma_n, sigma_max]."""

    name = "kit13-fixed-ceiling"

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(draws(batch, tools), low, 20.0, -1.2, 1.2)


class SortedFloors(Ambient):
    """Floors come back from a sort, so that rows draw by another row's noise, and are then clamped. Breaks: the floor
    of each row, and never clamped."""

    name = "kit13-sorted-floors"

    def levels(self, batch, tools):
        floor = tools.corruption.floor(batch)
        low = floor.sort().values.clamp(min=tools.levels.sigma_min)
        sigma = truncated_lognormal(draws(batch, tools), low, tools.levels.sigma_max, -1.2, 1.2)
        return torch.maximum(sigma, floor)


class CleanAtTheEnd(Ambient):
    """Clean rows are all seen at sigma_min, as sigma = max(sigma_n, ...) of 0. Breaks: levels from (0, sigma_max]."""

    name = "kit13-clean-at-sigma-min"

    def levels(self, batch, tools):
        sigma = super().levels(batch, tools)
        clean = tools.corruption.floor(batch) == 0
        return torch.where(clean, torch.full_like(sigma, tools.levels.sigma_min), sigma)


class Margin(Ambient):
    """Leaves out 20 % above sigma_n, where 1/a^2 is large. Breaks: the density reaches down to sigma_n."""

    name = "kit13-margin-above-noise"

    def levels(self, batch, tools):
        low = (1.2 * tools.corruption.floor(batch)).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(draws(batch, tools), low, tools.levels.sigma_max, -1.2, 1.2)


class StrayLevels(Ambient):
    """A tenth of the rows is seen at exactly sigma_n "to anchor it". Breaks: never clamped onto sigma_n."""

    name = "kit13-tenth-on-floor"

    def levels(self, batch, tools):
        sigma = super().levels(batch, tools)
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return torch.where(draws(batch, tools) < 0.1, low, sigma)


class TermInLog(Ambient):
    """Term.sigma is log sigma. Breaks: Term.sigma is the level at which each value was taken."""

    name = "kit13-term-in-log"

    def told(self, view):
        return view.sigma.log()


class TermSorted(Ambient):
    """Term.sigma is sorted for a plot by level, the values are not. Breaks: the level each value was taken at."""

    name = "kit13-term-sorted"

    def told(self, view):
        return view.sigma.sort().values


class PairOwnLevel(Ambient):
    """Of an antithetic pair the second is told a level of its own, while its view lies at the first one's. Breaks:
    x_t = x_0 + sigma z at the level told."""

    name = "kit13-pair-own-level"

    def loss(self, denoiser, batch, tools):
        here = torch.arange(len(batch.x_n)) // 2 * 2
        return super().loss(denoiser, take(batch, here), tools)

    def seen(self, batch, sigma, tools):
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        here = torch.arange(len(sigma))
        second = (here % 2 == 1).reshape(-1, *[1] * (batch.x_n.ndim - 1))
        return view._replace(x=torch.where(second, 2 * batch.x_n - view.x[here // 2 * 2], view.x))


class LevelOfNeighbours(Ambient):
    """Two neighbouring rows are told the larger of their levels, for one embedding, after the noise was drawn. Breaks:
    x_t = x_0 + sigma z at the level told."""

    name = "kit13-level-of-neighbours"

    def seen(self, batch, sigma, tools):
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        return View(view.x, torch.maximum(sigma, sigma.roll(1)), view.cond)


WRONG = made(
    ClampedAfterRetry,
    NoisiestRow,
    FixedCeiling,
    SortedFloors,
    CleanAtTheEnd,
    Margin,
    StrayLevels,
    TermInLog,
    TermSorted,
    PairOwnLevel,
    LevelOfNeighbours,
)
