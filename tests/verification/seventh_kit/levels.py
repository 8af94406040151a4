"""Wrong objectives: at which levels rows are seen, and what a level is said to be."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Tools
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, uniform
from tests.verification.seventh_kit.bases import Plain


class FloorOfBatch(Plain):
    """The floor of the levels is that of the noisiest row of the batch, so that cleaner rows miss their low levels."""

    name = "seven-floor-of-batch"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        low = floor.max().clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(self._u(batch, tools), low, tools.levels.sigma_max, self.p_mean, self.p_std)


class PairOtherLevel(Tweedie):
    """The second view of an antithetic pair is the mirror of the first one, but is told a level of its own."""

    name = "seven-pair-other-level"

    def _views(self, batch, sigma, draws, tools):
        view, cap = super()._views(batch, sigma, draws, tools)
        again = self._levels(batch, draws._replace(u=1 - draws.u), tools)
        second = draws.paired & (draws.here % 2 == 1)
        return view._replace(sigma=torch.where(second, again, view.sigma)), cap


class SaysAdded(Plain):
    """The term says the level of the noise that was added, sqrt(sigma^2 - sigma_n^2), and not that of the view."""

    name = "seven-says-added"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        (term,) = super().loss(denoiser, batch, tools).values()
        floor = tools.corruption.floor(batch)
        return {self.name: Term(term.value, (term.sigma**2 - floor**2).clamp(min=1e-12).sqrt())}


class AskedAtAdded(Plain):
    """The denoiser is asked at the level of the noise that was added instead of the level of the view."""

    name = "seven-asked-at-added"

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        added = (view.sigma**2 - floor**2).clamp(min=tools.levels.sigma_min**2).sqrt()
        return denoiser(view.x, added, **view.cond).to(batch.x_n.dtype)


class HardCoded(Plain):
    """Levels run from 0.002 to 80 whatever the run's own range of levels is."""

    name = "seven-hard-coded"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        low = tools.corruption.floor(batch).clamp(min=0.002)
        return truncated_lognormal(self._u(batch, tools), low, 80.0, self.p_mean, self.p_std)


class StopsEarly(Plain):
    """No row is seen above twice its own floor, or 1 for clean rows, so that high levels are never learned."""

    name = "seven-stops-early"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return log_uniform(self._u(batch, tools).to(floor.dtype), floor, (2 * floor).clamp(min=1.0))


class CleanHigh(Plain):
    """Rows without noise are given the floor 0.1, so that they never teach the levels below."""

    name = "seven-clean-high"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        low = torch.where(floor > 0, floor, torch.full_like(floor, 0.1)).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(self._u(batch, tools), low, tools.levels.sigma_max, self.p_mean, self.p_std)


class FlowFloor(Plain):
    """Levels are uniform in the time of a flow above t = sigma_n, where sigma_n / (1 + sigma_n) is meant."""

    name = "seven-flow-floor"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        low = torch.where(floor < 0.5, floor, floor / (1 + floor))  # t = sigma_n is no time of a flow beyond 1
        top = tools.levels.sigma_max / (1 + tools.levels.sigma_max)
        t = low + (top - low) * self._u(batch, tools)
        return (t / (1 - t)).clamp(max=tools.levels.sigma_max)


class ShiftedFloor(Plain):
    """Levels start at 1.3 sigma_n to keep away from the weight's pole, and those in between are never learned."""

    name = "seven-shifted-floor"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        low = (1.3 * tools.corruption.floor(batch)).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(self._u(batch, tools), low, tools.levels.sigma_max, self.p_mean, self.p_std)


class FirstLevel(Plain):
    """The denoiser is told the level of the first row of the batch for all rows."""

    name = "seven-first-level"

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        return denoiser(view.x, view.sigma[:1].expand_as(view.sigma), **view.cond).to(batch.x_n.dtype)


class ClampedLevels(Plain):
    """Levels of the untruncated log-normal are clamped onto a tenth above the floor of the row."""

    name = "seven-clamped-levels"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        low = (1.1 * tools.corruption.floor(batch)).clamp(min=tools.levels.sigma_min)
        free = truncated_lognormal(
            self._u(batch, tools), tools.levels.sigma_min, tools.levels.sigma_max, self.p_mean, self.p_std
        )
        return torch.maximum(free.to(low.dtype), low)


class SplitEverywhere(SplitLevels):
    """Clean rows are seen at all levels, so that the picture that is drawn is decided by them after all."""

    name = "seven-split-everywhere"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty_like(floor), tools.generator)
        return truncated_lognormal(u, floor, tools.levels.sigma_max, self.p_mean, self.p_std).to(floor.dtype)


class SplitByBatch(SplitLevels):
    """A batch with a single noisy row is taken for one of copies, and its clean rows are seen above `clean_below`."""

    name = "seven-split-by-batch"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        clean = bool((floor <= tools.levels.sigma_min).all())
        top = self.clean_below if clean else tools.levels.sigma_max
        u = uniform(torch.empty_like(floor), tools.generator)
        low = floor.clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(u, low, top, self.p_mean, self.p_std).to(floor.dtype)


class SplitMean(SplitLevels):
    """Whether a row is clean is decided by the mean of its noise levels being below 0.1, not by there being none."""

    name = "seven-split-mean"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        mean = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)
        clean = (mean < 0.1) & (floor < self.clean_below)
        top = torch.where(clean, self.clean_below, tools.levels.sigma_max)
        u = uniform(torch.empty_like(floor), tools.generator)
        low = floor.clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(u, low, top, self.p_mean, self.p_std).to(floor.dtype)


PARTS = (
    FloorOfBatch,
    PairOtherLevel,
    SaysAdded,
    AskedAtAdded,
    HardCoded,
    StopsEarly,
    CleanHigh,
    FlowFloor,
    ShiftedFloor,
    FirstLevel,
    ClampedLevels,
    SplitEverywhere,
    SplitByBatch,
    SplitMean,
)
