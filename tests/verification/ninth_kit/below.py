"""Objectives below the noise of the data that teach something else."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import power_grid, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_moments
from ambientkit.maths.weights import edm_weight
from tests.verification.ninth_kit.bases import Own, Under, lacking, row_means


class FlowHop(Under):
    """Hops along the deterministic flow."""

    name = "nine-hop-by-flow"

    def end(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, target: Tensor, tools: Tools) -> Tensor:
        """x_s of the probability flow."""
        ratio = per_row(sigma_s / anchor.sigma, anchor.x)
        return ratio * anchor.x + (1 - ratio) * target


class MeanHop(Under):
    """Hops to the mean of the kernel."""

    name = "nine-hop-to-mean"

    def end(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, target: Tensor, tools: Tools) -> Tensor:
        """No noise."""
        return reverse_moments(anchor.x, target, anchor.sigma, sigma_s)[0]


class ForwardHop(Under):
    """x_s is the clean estimate with fresh noise of level sigma_s."""

    name = "nine-hop-renoised"

    def end(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, target: Tensor, tools: Tools) -> Tensor:
        """D + sigma_s z."""
        return target + per_row(sigma_s, anchor.x) * standard_normal(anchor.x, tools.generator)


class TwiceTheSame(Under):
    """Both ends of an anchor are one."""

    name = "nine-one-end-twice"

    def ends(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, target: Tensor, tools: Tools) -> tuple:
        """The square in disguise."""
        end = self.end(denoiser, anchor, sigma_s, target, tools)
        return end, end.clone()


class MirrorOfPoint(Under):
    """The second end is the first one mirrored about x_t."""

    name = "nine-mirrored-about-anchor"

    def ends(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, target: Tensor, tools: Tools) -> tuple:
        """x_s and 2 x_t - x_s."""
        end = self.end(denoiser, anchor, sigma_s, target, tools)
        return end, 2 * anchor.x - end


class Relabelled(Under):
    """Anchors below sigma_n are the observations, told a lower level."""

    name = "nine-anchors-relabelled"

    def carried(self, view: View, sigma: Tensor, tools: Tools) -> View:
        """x_n at sigma."""
        return View(view.x, sigma, view.cond)


class Interpolated(Under):
    """Anchors below sigma_n lie on the line from x_n to the teacher's estimate."""

    name = "nine-anchors-interpolated"

    def carried(self, view: View, sigma: Tensor, tools: Tools) -> View:
        """D + (sigma / sigma_n) (x_n - D)."""
        clean = tools.teacher(view.x, view.sigma, **view.cond).to(view.x.dtype)
        return View(clean + per_row(sigma / view.sigma, view.x) * (view.x - clean), sigma, view.cond)


class LevelOfAnchor(Under):
    """The ends are told the level of their anchor."""

    name = "nine-ends-at-anchor-level"

    def value(
        self, denoiser: Denoiser, ends: tuple, sigma_s: Tensor, target: Tensor, anchor: View, tools: Tools
    ) -> Tensor:
        """D(x_s, sigma_t)."""
        first, second = (denoiser(x, anchor.sigma, **anchor.cond).to(target.dtype) - target for x in ends)
        return edm_weight(sigma_s, tools.signal.sigma_data) * row_means(first * second)


class SquareOfOne(Under):
    """The mean of both ends, squared."""

    name = "nine-square-of-ends"

    def value(
        self, denoiser: Denoiser, ends: tuple, sigma_s: Tensor, target: Tensor, anchor: View, tools: Tools
    ) -> Tensor:
        """|mean d|^2, with its variance."""
        first, second = (denoiser(x, sigma_s, **anchor.cond).to(target.dtype) - target for x in ends)
        return edm_weight(sigma_s, tools.signal.sigma_data) * row_means(((first + second) / 2) ** 2)


class PositivePart(Under):
    """Negative values of the product are put to 0, as a loss should not be negative."""

    name = "nine-positive-part"

    def value(
        self, denoiser: Denoiser, ends: tuple, sigma_s: Tensor, target: Tensor, anchor: View, tools: Tools
    ) -> Tensor:
        """max(0, d' d'')."""
        return super().value(denoiser, ends, sigma_s, target, anchor, tools).clamp(min=0)


class ConsistencyModel(Own):
    """The loss of consistency models: neighbouring levels of one noise agree."""

    name = "nine-consistency-model"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """|D(x_n + c_t z) - sg D(x_n + c_s z)|^2."""
        low = self.levels(batch, tools)
        high = (1.3 * low).clamp(max=tools.levels.sigma_max)
        z = standard_normal(batch.x_n, tools.generator)
        with torch.no_grad():
            target = tools.teacher(batch.x_n + lacking(batch, low) * z, low, **batch.cond)
        answer = denoiser(batch.x_n + lacking(batch, high) * z, high, **batch.cond)
        value = edm_weight(high, tools.signal.sigma_data) * row_means((answer - target).to(batch.x_n.dtype) ** 2)
        return {"loss": Term(value, high)}


class FromDraws(Objective):
    """Denoises what a chain from the rows ends in."""

    name = "nine-draws-base"
    source = "arXiv 2405.13712, algorithm 1"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})
    below_sigma_n = "from whole rows that the network itself drew"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One value for a row with noise."""
        rows = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        if len(rows) == 0:
            return {"loss": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        from ambientkit.batch import take

        batch = take(batch, rows)
        top = tools.corruption.floor(batch)
        with torch.no_grad():
            view = tools.corruption.degrade(batch, top, tools.generator)
            x_0 = self.clean(view, top, tools)
        low = tools.levels.sigma_min
        sigma = truncated_lognormal(
            uniform(torch.empty_like(top), tools.generator), low, (2 * top).clamp(min=1.01 * low), -1.2, 1.2
        )
        x_t = x_0 + per_row(sigma, x_0) * standard_normal(x_0, tools.generator)
        error = denoiser(x_t, sigma, **view.cond).to(x_0.dtype) - x_0
        return {"loss": Term(edm_weight(sigma, tools.signal.sigma_data) * row_means(error**2), sigma)}

    def clean(self, view: View, top: Tensor, tools: Tools) -> Tensor:
        """Ends of chains."""
        low = torch.minimum((0.03 * top).clamp(min=tools.levels.sigma_min), top)
        grid = torch.cat([power_grid(top, low, 8, 3.0), torch.zeros_like(top).unsqueeze(0)])
        return tools.sampler.sample(tools.teacher, view.x, grid, tools.generator, view.cond)


class FromMeans(FromDraws):
    """Denoises the posterior mean, taken for a clean row."""

    name = "nine-draws-are-means"

    def clean(self, view: View, top: Tensor, tools: Tools) -> Tensor:
        """D(x_n, sigma_n)."""
        return tools.teacher(view.x, top, **view.cond).to(view.x.dtype)


class FromShort(FromDraws):
    """Chains that stop at half of the noise, and are taken for clean."""

    name = "nine-draws-half-way"

    def clean(self, view: View, top: Tensor, tools: Tools) -> Tensor:
        """At a third of sigma_n."""
        grid = power_grid(top, top / 3, 5, 3.0)
        return tools.sampler.sample(tools.teacher, view.x, grid, tools.generator, view.cond)


PARTS: tuple[type[Objective], ...] = (
    FlowHop,
    MeanHop,
    ForwardHop,
    TwiceTheSame,
    MirrorOfPoint,
    Relabelled,
    Interpolated,
    LevelOfAnchor,
    SquareOfOne,
    PositivePart,
    ConsistencyModel,
    FromMeans,
    FromShort,
)
