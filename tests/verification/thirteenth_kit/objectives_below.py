"""Wrong objectives below sigma_n: consistency along the reverse process."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, View, take
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.weights import edm_weight

from .bases import Carried, made


class _Free(Carried):
    """`Carried` whose target keeps its gradient; a class to build on."""

    def loss(self, denoiser, batch, tools):
        noisy = tools.corruption.floor(batch) > tools.levels.sigma_min
        if not noisy.any():
            return {"carried": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        batch = take(batch, noisy.nonzero().squeeze(1))
        with torch.no_grad():
            anchor = self.anchors(batch, tools)
        sigma_s = (anchor.sigma / 1.3).clamp(min=tools.levels.sigma_min)
        target = denoiser(anchor.x, anchor.sigma, **anchor.cond)
        ends = [self.pair(denoiser, anchor, sigma_s, tools) for _ in range(2)]
        first, second = (self.defect(denoiser, pair, sigma_s, anchor, target, tools) for pair in ends)
        return {"carried": Term(self.scale(sigma_s, anchor, tools) * self.product(first, second), sigma_s)}


class UpperLearns(_Free):
    """The anchor learns from its ends, which are held fixed. Breaks: no gradient at another level than Term.sigma."""

    name = "kit13-upper-learns"

    def defect(self, denoiser, ends, sigma_s, anchor, target, tools):
        with torch.no_grad():
            found = torch.stack([denoiser(x, sigma_s, **anchor.cond) for x in ends]).mean(0)
        return found - target


class BothLearn(_Free):
    """Neither end is held fixed. Breaks: no gradient at another level than Term.sigma."""

    name = "kit13-both-learn"


class OnePairSquared(Carried):
    """The square of one pair's defect, which adds its variance. Breaks: unbiased for the squared defect."""

    name = "kit13-one-pair-squared"

    def product(self, first, second):
        return (first * first).flatten(1).mean(1)


class SamePairTwice(Carried):
    """Both pairs hop with the same noise, as the generator is set back for the second. Breaks: the pairs are
    independent, so the value is no longer unbiased."""

    name = "kit13-same-noise-twice"

    def pair(self, denoiser, anchor, sigma_s, tools):
        state = tools.generator.get_state()
        ends = super().pair(denoiser, anchor, sigma_s, tools)
        tools.generator.set_state(state)
        return ends


class FirstPairLearns(Carried):
    """The gradient flows through the first pair alone. Breaks: the mean gradient is that of the product."""

    name = "kit13-first-pair-learns"

    def product(self, first, second):
        return (first * second.detach()).flatten(1).mean(1)


class LevelOfAnchor(Carried):
    """The ends are shown at the level of their anchor. Breaks: D(x_s, sigma_s), each point at its own level."""

    name = "kit13-ends-at-anchor-level"

    def defect(self, denoiser, ends, sigma_s, anchor, target, tools):
        return super().defect(denoiser, ends, anchor.sigma, anchor, target, tools)


class EulerHop(Carried):
    """The hop is a step of the probability flow, without noise. Breaks: E[D(x_s)] = D(x_t) holds under the reverse
    kernel only."""

    name = "kit13-flow-hop"

    def hop(self, denoiser, anchor, grid, tools):
        x = anchor.x
        ratio = per_row(grid[1] / grid[0], x)
        return ratio * x + (1 - ratio) * denoiser(x, grid[0], **anchor.cond)


class Renoised(Carried):
    """The hop adds fresh noise of sigma_s to D(x_t) and forgets x_t. Breaks: ends come from the reverse kernel."""

    name = "kit13-renoised-hop"

    def hop(self, denoiser, anchor, grid, tools):
        z = standard_normal(anchor.x, tools.generator)
        return denoiser(anchor.x, grid[0], **anchor.cond) + per_row(grid[1], z) * z


class EndsWithoutCond(Carried):
    """The conditions are handed on at the anchor and left out at the ends. Breaks: hands the row's conditions on."""

    name = "kit13-ends-without-cond"

    def defect(self, denoiser, ends, sigma_s, anchor, target, tools):
        told = {name: value for name, value in anchor.cond.items() if name in tools.corruption.carries}
        return super().defect(denoiser, ends, sigma_s, anchor._replace(cond=told), target, tools)


class TargetWithoutCond(Carried):
    """The conditions are left out at the anchor, where the target is taken. Breaks: hands the row's conditions on."""

    name = "kit13-target-without-cond"

    def target(self, denoiser, anchor, tools):
        told = {name: value for name, value in anchor.cond.items() if name in tools.corruption.carries}
        return denoiser(anchor.x, anchor.sigma, **told)


class CondInterleaved(Carried):
    """Both ends of a pair go through the denoiser at once, rows repeated one way and conditions the other. Breaks: the
    row's conditions."""

    name = "kit13-cond-interleaved"

    def defect(self, denoiser, ends, sigma_s, anchor, target, tools):
        cond = {name: value.repeat_interleave(2, 0) for name, value in anchor.cond.items()}
        both = denoiser(torch.cat(ends), sigma_s.repeat(2), **cond)
        return both.unflatten(0, (2, -1)).mean(0) - target


class EndsInterleaved(Carried):
    """The answers at both ends, asked at once in the order of ends, are averaged in the order of rows. Breaks: each
    defect is that of its own row."""

    name = "kit13-ends-interleaved"

    def defect(self, denoiser, ends, sigma_s, anchor, target, tools):
        cond = {name: value.repeat(2, *[1] * (value.ndim - 1)) for name, value in anchor.cond.items()}
        both = denoiser(torch.cat(ends), sigma_s.repeat(2), **cond)
        return both.unflatten(0, (-1, 2)).mean(1) - target


class AnchorNotToppedUp(Carried):
    """Anchors are x_n itself at the row's largest level, though noise per pixel is lower elsewhere. Breaks: every point
    is m + sigma e."""

    name = "kit13-anchor-not-topped-up"
    claims = Carried.claims - {"serves-masks"}
    first: float = 1.0

    def anchors(self, batch, tools):
        return View(batch.x_n, tools.corruption.floor(batch), batch.cond)


class AnchorBelowAtTop(Carried):
    """Anchors from chains are told the level at which their chain began. Breaks: each point at its own level."""

    name = "kit13-chain-at-its-start"

    def anchors(self, batch, tools):
        found = super().anchors(batch, tools)
        return found._replace(sigma=tools.corruption.floor(batch))


class ChainOneShort(Carried):
    """The teacher's chain stops one level before the anchor's: its grid loses the last entry. Breaks: each point at its
    own level."""

    name = "kit13-chain-one-short"

    def anchors(self, batch, tools):
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        grid = torch.stack([floor, floor * 0.8, floor * 0.6, floor * 0.5])
        x = tools.sampler.sample(tools.teacher, view.x, grid[:-1], tools.generator, view.cond)
        return View(x, grid[-1].clamp(min=tools.levels.sigma_min), view.cond)


class TeacherAtEnds(Carried):
    """The ends are asked of the EMA teacher, so that nothing learns. Breaks: a loss of the denoiser, whose mean
    gradient is that of the product."""

    name = "kit13-teacher-at-ends"

    def defect(self, denoiser, ends, sigma_s, anchor, target, tools):
        with torch.no_grad():
            still = super().defect(tools.teacher, ends, sigma_s, anchor, target, tools)
        return still + 0 * denoiser(ends[0], sigma_s, **anchor.cond)


class ProductOfMeans(Carried):
    """Multiplies the means over the pixels of the two defects. Breaks: mean(d' d'') value by value."""

    name = "kit13-product-of-means"

    def product(self, first, second):
        return first.flatten(1).mean(1) * second.flatten(1).mean(1)


class AbsoluteProduct(Carried):
    """The absolute value of the product, as a loss "must not be negative". Breaks: unbiased for the squared defect."""

    name = "kit13-product-not-negative"

    def product(self, first, second):
        return (first * second).flatten(1).mean(1).abs()


class Saturated(Carried):
    """The product goes through tanh, against outliers. Breaks: the mean value and gradient are those of the product."""

    name = "kit13-product-saturates"

    def product(self, first, second):
        return torch.tanh((first * second).flatten(1).mean(1))


class HopOfEarlier(Consistency):
    """Rows that hop are used whether they carry noise or not; clean ones hop from sigma_min to itself with log(0).
    Breaks: some of the rows are clean."""

    name = "kit13-clean-rows-hop"

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch)
        u = torch.rand(len(floor), generator=tools.generator)
        sigma_s = floor * torch.exp(-u * torch.log(floor / tools.levels.sigma_min).clamp(max=0.4))
        view = tools.corruption.degrade(batch, floor, tools.generator)
        with torch.no_grad():
            target = denoiser(view.x, floor, **view.cond)
            grid = torch.stack([floor, sigma_s])
            ends = [tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond) for _ in range(2)]
        first, second = (denoiser(x, sigma_s, **view.cond) - target for x in ends)
        weight = edm_weight(sigma_s.clamp(min=1e-6), tools.signal.sigma_data)
        return {"consistency": Term(weight * (first * second).flatten(1).mean(1), sigma_s)}


class AnySampler(Carried):
    """Takes any sampler, without a look at its claims. Breaks: objectives that need draws from the posterior refuse a
    sampler without "reverse-kernel"."""

    name = "kit13-takes-any-sampler"

    def loss(self, denoiser, batch, tools):
        noisy = tools.corruption.floor(batch) > tools.levels.sigma_min
        if not noisy.any():
            return {"carried": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        batch = take(batch, noisy.nonzero().squeeze(1))
        with torch.no_grad():
            anchor = self.anchors(batch, tools)
            sigma_s = (anchor.sigma / 1.3).clamp(min=tools.levels.sigma_min)
            target = self.target(denoiser, anchor, tools)
        ends = [self.pair(denoiser, anchor, sigma_s, tools) for _ in range(2)]
        first, second = (self.defect(denoiser, pair, sigma_s, anchor, target, tools) for pair in ends)
        return {"carried": Term(self.scale(sigma_s, anchor, tools) * self.product(first, second), sigma_s)}


WRONG = made(
    UpperLearns,
    BothLearn,
    OnePairSquared,
    SamePairTwice,
    FirstPairLearns,
    LevelOfAnchor,
    EulerHop,
    Renoised,
    EndsWithoutCond,
    TargetWithoutCond,
    CondInterleaved,
    EndsInterleaved,
    AnchorNotToppedUp,
    AnchorBelowAtTop,
    ChainOneShort,
    TeacherAtEnds,
    ProductOfMeans,
    AbsoluteProduct,
    Saturated,
    HopOfEarlier,
    AnySampler,
)
