"""Wrong objectives at and below the noise of the data."""

from __future__ import annotations

import torch

from ambientkit.maths.noise import Mirrored, per_row, standard_normal, uniform

from .bases import draws, made
from .bases_below import Below, Split, Stein, Store, twice


class AnchorLearns(Below):
    """The target at the anchor is not detached."""

    name = "kit15-anchor-learns"

    def known(self, denoiser, anchor, tools):
        return denoiser(anchor.x, anchor.sigma, **anchor.cond).to(anchor.x.dtype)


class PairsOfOneDraw(Below):
    """The second pair is the first one in the other order, to save a call of the sampler."""

    name = "kit15-pairs-of-one-draw"

    def ends(self, denoiser, anchor, sigma_s, tools):
        pair = self.pair(denoiser, anchor, sigma_s, tools)
        return [pair, pair.unflatten(0, (2, -1)).flip(0).flatten(0, 1)]


class HopWithoutNoise(Below):
    """Hops follow the probability flow, x_s = x_t + (sigma_s / sigma_t - 1) (x_t - D), without noise."""

    name = "kit15-hop-without-noise"

    def pair(self, denoiser, anchor, sigma_s, tools):
        ratio = per_row(sigma_s / anchor.sigma, anchor.x)
        x_0_hat = denoiser(anchor.x, anchor.sigma, **anchor.cond).to(anchor.x.dtype)
        x_s = x_0_hat + ratio * (anchor.x - x_0_hat)
        return torch.cat([x_s, x_s])


class HopRenoised(Below):
    """Hops go to D + sigma_s z: the point is denoised whole and made noisy afresh."""

    name = "kit15-hop-renoised"

    def pair(self, denoiser, anchor, sigma_s, tools):
        x = torch.cat([anchor.x, anchor.x])
        x_0_hat = denoiser(x, anchor.sigma.repeat(2), **twice(anchor.cond)).to(x.dtype)
        return x_0_hat + per_row(sigma_s.repeat(2), x) * standard_normal(x, Mirrored(tools.generator))


class AnchorNotMoved(Below):
    """Anchors below the noise are observations that are told a lower level."""

    name = "kit15-anchor-not-moved"

    def chain(self, view, floor, sigma, moved, tools):
        return view.x[moved]


class HopBelowTheRange(Below):
    """Hops are not bounded by sigma_min: the denoiser is asked below the levels of the run."""

    name = "kit15-hop-below-the-range"

    def lower(self, anchor, tools):
        return anchor.sigma * torch.exp(-0.4 * draws(anchor.x, tools.generator).to(anchor.sigma))


class PairsOfNeighbours(Below):
    """The ends of neighbouring rows are averaged in place of the two ends of a row."""

    name = "kit15-pairs-of-neighbours"

    def at_ends(self, denoiser, ends, sigma_s, anchor):
        found = denoiser(ends, sigma_s.repeat(2), **twice(anchor.cond)).to(ends.dtype)
        return found.unflatten(0, (-1, 2)).mean(1)


class HopsLearn(Below):
    """Hops are made with gradients, which reach the denoiser at the anchor through the sampler."""

    name = "kit15-hops-learn"

    def pair(self, denoiser, anchor, sigma_s, tools):
        with torch.enable_grad():
            return super().pair(denoiser, anchor, sigma_s, tools)


class ChainWithoutConds(Below):
    """The chain of the teacher is not given the conditions of the rows."""

    name = "kit15-chain-without-conditions"

    def chain(self, view, floor, sigma, moved, tools):
        return super().chain(view._replace(cond={}), floor, sigma, moved, tools)


class NeverNegative(Below):
    """A negative product is set to 0, as a loss is never negative."""

    name = "kit15-never-negative"

    def product(self, first, second):
        return super().product(first, second).clamp(min=0)


class ProductOfMeans(Below):
    """The product of the mean defects of a row in place of the mean of the products."""

    name = "kit15-product-of-means"

    def product(self, first, second):
        return first.flatten(1).mean(1) * second.flatten(1).mean(1)


class DefectOfTheTeacher(Below):
    """The second defect is that of the teacher, without gradient, to save a backward pass."""

    name = "kit15-second-defect-of-the-teacher"

    def loss(self, denoiser, batch, tools):
        calls = []

        def turns(x, sigma, /, **cond):
            calls.append(torch.is_grad_enabled())
            if sum(calls) == 2:
                with torch.no_grad():
                    return tools.teacher(x, sigma, **cond)
            return denoiser(x, sigma, **cond)

        return super().loss(turns, batch, tools)


class SplitByTheBatch(Split):
    """Rows are held low only where the whole batch is clean."""

    name = "kit15-split-by-the-batch"

    def clean(self, floor, tools):
        return (floor <= tools.levels.sigma_min).all().expand_as(floor)


class SplitByTheBound(Split):
    """Rows count as clean where their noise lies below `clean_below`: noisy rows stay out of the upper levels."""

    name = "kit15-split-by-the-bound"

    def clean(self, floor, tools):
        return floor < self.clean_below


class UniformProbe(Stein):
    """The probe is uniform on [0, 1), of mean 1/2 and second moment 1/3."""

    name = "kit15-uniform-probe"

    def probe(self, x, tools):
        return uniform(x, tools.generator)


class DivergenceForgotten(Stein):
    """The derivative is taken without its graph, so that the divergence has no gradient."""

    name = "kit15-divergence-without-graph"

    def slope(self, x_0_hat, x, probe):
        return torch.autograd.grad((x_0_hat * probe).sum(), x, retain_graph=True)[0].detach()


class StoresMeans(Store):
    """E[x_0 | x_n] is kept in place of a draw."""

    name = "kit15-stores-means"

    def draw(self, denoiser, view, top, tools):
        return denoiser(view.x, top, **view.cond)


class StoresConditionsOfNow(Store):
    """Stored rows are denoised under the conditions of the batch at hand."""

    name = "kit15-stored-rows-conditions-of-now"

    def conds(self, memory, which, batch):
        return batch.cond


WRONG = made(
    AnchorLearns,
    PairsOfOneDraw,
    HopWithoutNoise,
    HopRenoised,
    AnchorNotMoved,
    HopBelowTheRange,
    PairsOfNeighbours,
    HopsLearn,
    ChainWithoutConds,
    NeverNegative,
    ProductOfMeans,
    DefectOfTheTeacher,
    SplitByTheBatch,
    SplitByTheBound,
    UniformProbe,
    DivergenceForgotten,
    StoresMeans,
    StoresConditionsOfNow,
)
