"""Objectives that are right in unusual forms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import highest_level, per_row, standard_normal, uniform
from tests.verification.eighth_kit.bases import LOOSE, Plain, missing, rows_mean
from tests.verification.eighth_kit.below import TwoEnds
from tests.verification.eighth_kit.risks import RISK, Recorrupted, Risk


class LinearLevels(Plain):
    """Levels uniform in sigma^(1/7), as the grid of EDM is."""

    name = "eight-right-power-levels"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min) ** (1 / 7)
        high = tools.levels.sigma_max ** (1 / 7)
        drawn = (low + uniform(low, tools.generator) * (high - low)) ** 7
        return torch.maximum(drawn, tools.corruption.floor(batch))


class HeavyLevels(Plain):
    """Levels of a log-Cauchy density, restricted to the row's range by its distribution function."""

    name = "eight-right-heavy-levels"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        low, high = ((edge.log() + 1.0).atan() for edge in (floor, torch.full_like(floor, tools.levels.sigma_max)))
        u = uniform(floor, tools.generator)
        drawn = ((low + u * (high - low)).tan() - 1.0).exp()
        return drawn.clamp(max=tools.levels.sigma_max).maximum(floor)


class OneLevel(Plain):
    """One draw for the levels of a call, placed in each row's own range."""

    name = "eight-right-one-draw"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(floor[:1], tools.generator).expand_as(floor)
        return log_uniform(u, floor, tools.levels.sigma_max)


class Stratified(Plain):
    """Levels stratified over the batch, in a random order and shifted at random."""

    name = "eight-right-stratified"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        order = uniform(floor, tools.generator).argsort().to(floor.dtype)
        u = (order / len(floor) + uniform(floor[:1], tools.generator)) % 1
        return log_uniform(u, floor, tools.levels.sigma_max)


class InEps(Plain):
    """The noise that was added is predicted: c (x_t - D) / sigma^2 against z of the top-up, with the weight of eps."""

    name = "eight-right-eps"
    claims = LOOSE

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        c, sigma = missing(batch, view.sigma), per_row(view.sigma, view.x)
        z = torch.where(c > 0, (view.x - batch.x_n) / c.clamp(min=1e-12), torch.zeros_like(view.x))
        return rows_mean((c * (view.x - answer) / sigma**2 - z) ** 2)


class Telescoped(Plain):
    """The square spread out: a^2 D^2 + 2 a D (b x_t - x_n), without what no network changes."""

    name = "eight-right-spread-out"

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        a, at_0 = tools.corruption.slope(view, batch), self.rho(torch.zeros_like(answer), view, batch, tools)
        inner = (a * answer) ** 2 + 2 * a * answer * at_0
        return self.weight(view, batch, tools) * rows_mean(inner * self.factor(view, batch, tools))


class TwoViews(Plain):
    """Two views of each row at one level, and the product of their residuals' means with the answer."""

    name = "eight-right-two-views"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = self.levels(batch, tools)
        values = []
        for _ in range(2):
            view = self.view(batch, sigma, tools)
            answer = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype)
            values.append(self.value(answer, view, batch, tools))
        return {"loss": Term(sum(values) / 2, sigma)}


class OneCall(Plain):
    """Two views in one call of a batch of twice the size."""

    name = "eight-right-one-call"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        n = len(batch.x_n)
        twice = take(batch, torch.arange(2 * n) % n)
        sigma = self.levels(batch, tools).repeat(2)
        view = self.view(twice, sigma, tools)
        answer = self.ask(denoiser, view, twice, tools).to(batch.x_n.dtype)
        return {"loss": Term(self.value(answer, view, twice, tools).reshape(2, n).mean(0), sigma[:n])}


class Chunked(Plain):
    """The batch in chunks of 61 rows, a call each."""

    name = "eight-right-chunks"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        parts = [slice(i, i + 61) for i in range(0, len(view.x), 61)]
        return torch.cat([denoiser(view.x[p], view.sigma[p], **{k: v[p] for k, v in view.cond.items()}) for p in parts])


class ShuffledRows(Plain):
    """Rows in another order, with all that belongs to them."""

    name = "eight-right-other-order"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        order = uniform(torch.empty(len(batch.x_n)), tools.generator).argsort()
        return super().loss(denoiser, take(batch, order), tools)


class ControlVariate(Plain):
    """The teacher's own residual is taken off, with its gradient none: less variance, the same gradient."""

    name = "eight-right-control-variate"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        view = self.view(batch, self.levels(batch, tools), tools)
        with torch.no_grad():
            taught = tools.teacher(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)
        own = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype)
        value = self.value(own, view, batch, tools) - self.value(taught, view, batch, tools)
        return {"loss": Term(value, view.sigma)}


class Moved(Tweedie):
    """`tweedie` with levels of log-sigma about 0 and three quarters of the rows."""

    name = "eight-right-moved"
    p_mean: float = 0.0
    fraction: float = 0.75
    near: float = 0.2
    weighting: str = "min-snr"


class WeightOfBatch(Plain):
    """Importance weights: levels log-uniform, values weighted by a lognormal density over the log-uniform one."""

    name = "eight-right-importance"
    claims = LOOSE

    def weight(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        density = torch.exp(-((view.sigma.log() + 1.2) ** 2) / (2 * 1.2**2))
        return (density + 0.05) * (1 / view.sigma**2 + 1)


class RightRisk(Risk):
    """SURE as it is, with one probe."""

    name = "eight-right-risk"


class NormalProbe(Risk):
    """SURE with a normal probe."""

    name = "eight-right-normal-probe"

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        return standard_normal(x, tools.generator)


class FineDifference(Risk):
    """SURE by a symmetric difference over a hundredth of the level."""

    name = "eight-right-difference"

    def answers(self, denoiser: Denoiser, view: View, probe: Tensor) -> tuple[Tensor, Tensor]:
        step = 0.01 * per_row(view.sigma, view.x)
        n, cond = len(view.x), {k: torch.cat([v] * 3) for k, v in view.cond.items()}
        points = torch.cat([view.x, view.x + step * probe, view.x - step * probe])
        answer, ahead, behind = (
            denoiser(points, view.sigma.repeat(3), **cond).to(view.x.dtype).reshape(3, n, *view.x.shape[1:])
        )
        return answer, probe * (ahead - behind) / (2 * step)


class RightPair(Recorrupted):
    """Recorrupted to recorrupted, as published, with a factor drawn for each row."""

    name = "eight-right-recorrupted"


class NoisierToNoisy(Objective):
    """Noisier to noisy: ((1 + k^2) E[x_n | x_t] - x_t) / k^2, solved for x_n, so that nothing is divided by k."""

    name = "eight-right-noisier"
    source = "arXiv 1910.11908, eq. 9"
    claims = RISK

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """For each row with noise."""
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        floor = tools.corruption.floor(batch)
        if len(floor) == 0:
            return {"noisier": Term(batch.x_n.new_zeros(0), floor)}
        x_n = tools.corruption.degrade(batch, floor, tools.generator)
        square = per_row(0.25 + uniform(floor, tools.generator), x_n.x)
        x_t = x_n.x + square.sqrt() * per_row(floor, x_n.x) * standard_normal(x_n.x, tools.generator)
        sigma = floor * (1 + square.flatten()).sqrt()
        answer = denoiser(x_t, sigma, **x_n.cond).to(x_t.dtype)
        return {"noisier": Term(rows_mean(((square * answer + x_t) - (1 + square) * x_n.x) ** 2), sigma)}


class RightEnds(TwoEnds):
    """Consistency by two single hops."""

    name = "eight-right-two-ends"


class ThreeEnds(TwoEnds):
    """Consistency against the teacher's value at the anchor, which is as fixed."""

    name = "eight-right-taught-anchor"
    claims = TwoEnds.claims - {"half-backward", "value-unbiased"}

    def target(self, denoiser: Denoiser, anchor: View, tools: Tools) -> Tensor:
        with torch.no_grad():
            return tools.teacher(anchor.x, anchor.sigma, **anchor.cond)


class Refined(Plain):
    """Clean rows at EDM's levels, noisy ones at log-uniform ones: two densities in one call."""

    name = "eight-right-two-densities"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = highest_level(batch.sigma_n, batch.x_n).clamp(min=tools.levels.sigma_min)
        u = uniform(floor, tools.generator)
        edm = truncated_lognormal(u, floor, tools.levels.sigma_max, -1.2, 1.2)
        even = log_uniform(u, floor, tools.levels.sigma_max)
        return torch.where(floor <= tools.levels.sigma_min * math.exp(1e-3), edm, even)


PARTS = (
    LinearLevels, HeavyLevels, OneLevel, Stratified, InEps, Telescoped, TwoViews, OneCall, Chunked, ShuffledRows,
    ControlVariate, Moved, WeightOfBatch, RightRisk, NormalProbe, FineDifference, RightPair, NoisierToNoisy, RightEnds,
    ThreeEnds, Refined,
)  # fmt: skip
