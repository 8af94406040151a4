"""Wrong objectives at and below the noise of the data: consistency, Stein's estimate, posterior draws."""

from __future__ import annotations

import torch

from ambientkit.builtin.hops import repeated
from ambientkit.builtin.objectives.posterior_buffer import COND, PosteriorBuffer
from ambientkit.maths.levels import geometric_grid

from ..seventeenth_kit.bases import Below, Stein


class Norms(Below):
    """The product of the norms of the two defects in the place of their scalar product: it is never negative."""

    name = "kit20-product-of-norms"

    def product(self, first, second):
        one, two = ((x.flatten(1).square().mean(1) + 1e-12).sqrt() for x in (first, second))
        return one * two


class SecondLessFirst(Below):
    """The second factor is the difference of the two defects, after a reordering of brackets."""

    name = "kit20-second-defect-less-the-first"

    def product(self, first, second):
        return super().product(first, second - first)


class TargetTowardsAnchor(Below):
    """The target holds a tenth of the noisy anchor, a skip connection that the denoiser has already."""

    name = "kit20-target-with-a-tenth-of-the-anchor"

    def target(self, denoiser, anchor, batch, tools):
        return 0.9 * super().target(denoiser, anchor, batch, tools) + 0.1 * anchor.x


class TargetAtALowerLevel(Below):
    """The target is asked at eight tenths of the anchor's level, at the anchor's point."""

    name = "kit20-target-told-a-lower-level"

    def target(self, denoiser, anchor, batch, tools):
        low = (0.8 * anchor.sigma).clamp(min=tools.levels.sigma_min)
        return super().target(denoiser, anchor._replace(sigma=low), batch, tools)


class OneFactorFixed(Below):
    """One of the two defects is held fixed and the gradient is not doubled: half of the pull."""

    name = "kit20-one-defect-held-fixed"

    def product(self, first, second):
        return super().product(first, second.detach())


class ChangedEnds(Below):
    """A base: ends are changed before the denoiser is asked."""

    name = "kit20-base-changed-ends"

    def changed(self, x, anchor):
        raise NotImplementedError

    def ends(self, denoiser, anchor, sigma_s, target, tools):
        return self.changed(super().ends(denoiser, anchor, sigma_s, target, tools), anchor)


class EndsClipped(ChangedEnds):
    """The ends of hops are clipped to [-1, 1]."""

    name = "kit20-ends-clipped"

    def changed(self, x, anchor):
        return x.clamp(-1, 1)


class EndsInHalf(ChangedEnds):
    """The ends of hops are bfloat16, whose steps are wider than the noise of low levels."""

    name = "kit20-ends-in-bfloat16"

    def changed(self, x, anchor):
        return x.bfloat16().to(x.dtype)


class EndsWithAnchor(ChangedEnds):
    """A tenth of the anchor is left in the ends, an average of points along the chain."""

    name = "kit20-ends-with-a-tenth-of-the-anchor"

    def changed(self, x, anchor):
        return 0.9 * x + 0.1 * repeated(anchor.x)


class EndsOfOtherRows(Below):
    """The ends of hops are unfolded with rows first, where they lie one copy of the batch after another."""

    name = "kit20-ends-unfolded-with-rows-first"

    def defects(self, x_0_hat, target):
        return x_0_hat.unflatten(0, (len(target), 2, -1)).mean(2).transpose(0, 1) - target


class ChainsFromOneLevel(Below):
    """Chains to the anchors begin at the level of the first row, whatever the noise of a row is."""

    name = "kit20-chains-from-the-first-row-s-noise"

    def chain(self, view, grid, tools):
        return super().chain(view, geometric_grid(grid[0, :1].expand_as(grid[0]), grid[-1], len(grid)), tools)


class SteinWeakDivergence(Stein):
    """The divergence counts nine tenths, after a factor (n - 1) / n for groups of ten values."""

    name = "kit20-stein-nine-tenths-of-the-divergence"

    def risk(self, x_0_hat, x, divergence, level):
        return super().risk(x_0_hat, x, 0.9 * divergence, level)


class SteinClipped(Stein):
    """The squared part is made of the clipped estimate, and the divergence of the other one."""

    name = "kit20-stein-of-the-clipped-estimate"

    def risk(self, x_0_hat, x, divergence, level):
        return super().risk(x_0_hat.clamp(-1, 1), x, divergence, level)


class SteinOfTheRow(Stein):
    """The probe is the sign of the noisy value itself, to save random numbers."""

    name = "kit20-stein-probe-of-the-row-s-signs"

    def probe(self, x, tools):
        return torch.where(x < 0, -torch.ones_like(x), torch.ones_like(x)).detach()


class SteinPaired(Stein):
    """Neighbours along the width share the sign of a probe, drawn at half the width and repeated."""

    name = "kit20-stein-neighbours-share-a-sign"

    def probe(self, x, tools):
        probe = super().probe(x, tools).clone()
        probe[..., 1::2] = probe[..., : 2 * (x.shape[-1] // 2) : 2]
        return probe


class BufferShuffledConds(PosteriorBuffer):
    """Kept draws are put under the conditions of the draw before: one index was moved on too early."""

    name = "kit20-buffer-conditions-of-the-draw-before"

    def _draw(self, denoiser, batch, tools):
        super()._draw(denoiser, batch, tools)
        for name, value in tools.memory.items():
            if name.startswith(COND):
                value.copy_(value.roll(1, 0))


class BufferOfMixtures(PosteriorBuffer):
    """A new draw is mixed with the one that it replaces, as by an average of weights: pictures of two rows."""

    name = "kit20-buffer-mixes-with-the-old-draw"

    def _draw(self, denoiser, batch, tools):
        before, drawn = tools.memory["x_0"].clone(), int(tools.memory["drawn"])
        super()._draw(denoiser, batch, tools)
        if drawn >= len(before):
            tools.memory["x_0"].mul_(0.7).add_(0.3 * before)
        elif drawn:
            tools.memory["x_0"].mul_(0.7).add_(0.3 * before[:1])


WRONG = [
    part()
    for part in (
        Norms,
        SecondLessFirst,
        TargetTowardsAnchor,
        TargetAtALowerLevel,
        OneFactorFixed,
        EndsClipped,
        EndsInHalf,
        EndsWithAnchor,
        EndsOfOtherRows,
        ChainsFromOneLevel,
        SteinWeakDivergence,
        SteinClipped,
        SteinOfTheRow,
        SteinPaired,
        BufferShuffledConds,
        BufferOfMixtures,
    )
]
