"""Wrong objectives below the noise of the data, and at it."""

from __future__ import annotations

import torch

from ambientkit.batch import Term
from ambientkit.builtin.hops import ENDS, repeated
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .bases import Below, Stein


class Square(Below):
    """The square of the mean defect of all four ends, which adds its variance and blurs."""

    name = "kit17-square-of-the-mean-defect"

    def product(self, first, second):
        return ((first + second) / 2).square().flatten(1).mean(1)


class OnePair(Below):
    """The second pair is the first again: a square by another name."""

    name = "kit17-both-pairs-alike"

    def defects(self, x_0_hat, target):
        first, _ = super().defects(x_0_hat, target)
        return first, first


class PairsByNeighbours(Below):
    """The ends of a pair are split between the two factors, which are no longer independent."""

    name = "kit17-pairs-cut-apart"

    def defects(self, x_0_hat, target):
        return x_0_hat.unflatten(0, (ENDS // 2, 2, -1)).mean(1) - target


class NotDetached(Below):
    """The target at the anchor has a gradient, which pulls the upper level to the lower one."""

    name = "kit17-anchor-with-gradient"

    def target(self, denoiser, anchor, batch, tools):
        return denoiser(anchor.x, anchor.sigma, **anchor.cond).to(batch.x_n.dtype)


class NoNoise(Below):
    """Hops go to the mean of the reverse kernel, without its noise."""

    name = "kit17-hops-to-the-mean"

    def ends(self, denoiser, anchor, sigma_s, target, tools):
        r = per_row((sigma_s / anchor.sigma) ** 2, anchor.x).to(anchor.x)
        return repeated(r * anchor.x + (1 - r) * target)


class ByHand(Below):
    """A base: hops with noise made by hand."""

    name = "kit17-base-hops-by-hand"

    def std(self, sigma_t, sigma_s):
        return sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()

    def ends(self, denoiser, anchor, sigma_s, target, tools):
        r = per_row((sigma_s / anchor.sigma) ** 2, anchor.x).to(anchor.x)
        x, std = r * anchor.x + (1 - r) * target, per_row(self.std(anchor.sigma, sigma_s), anchor.x).to(anchor.x)
        z = torch.stack([standard_normal(x, tools.generator) for _ in range(2)]).flatten(0, 1)
        return self.mirrored(repeated(x), repeated(std) if std.ndim else std, torch.cat([z, -z]), repeated(anchor.x))

    def mirrored(self, mean, std, z, x_t):
        return mean + std * z


class LargeVariance(ByHand):
    """The noise of a hop has the large variance of DDPM, sigma_t^2 - sigma_s^2, not the posterior one."""

    name = "kit17-hops-of-the-large-variance"

    def std(self, sigma_t, sigma_s):
        return (sigma_t**2 - sigma_s**2).clamp(min=0).sqrt()


class VarianceForStd(ByHand):
    """The noise of a hop is multiplied by its variance, not its std."""

    name = "kit17-hops-by-the-variance"

    def std(self, sigma_t, sigma_s):
        return super().std(sigma_t, sigma_s) ** 2


class MirroredAboutTheAnchor(ByHand):
    """The second end of a pair is the image of the first about the anchor, not about the mean of the hop."""

    name = "kit17-hops-mirrored-about-the-anchor"

    def mirrored(self, mean, std, z, x_t):
        first = (mean + std * z)[: len(z) // 2]
        return torch.cat([first, 2 * x_t[: len(z) // 2] - first])


class TermAtTheAnchor(Below):
    """`Term.sigma` is the level of the anchor, where no gradient goes."""

    name = "kit17-term-at-the-anchor-s-level"

    def term(self, value, anchor, sigma_s):
        return Term(value, anchor.sigma)


class ToldTheAnchor(Below):
    """At the ends of the hops the level of the anchor is told."""

    name = "kit17-ends-told-the-anchor-s-level"

    def ask(self, denoiser, ends, anchor, sigma_s, batch):
        return super().ask(denoiser, ends, anchor, anchor.sigma, batch)


class RepeatsByRow(Below):
    """Levels of the ends are repeated row by row, where the ends are repeated as a block."""

    name = "kit17-levels-of-ends-interleaved"

    def ask(self, denoiser, ends, anchor, sigma_s, batch):
        cond = {key: repeated(value) for key, value in anchor.cond.items()}
        return denoiser(ends, sigma_s.repeat_interleave(ENDS), **cond).to(batch.x_n.dtype)


class ObservationToldLower(Below):
    """An anchor below sigma_n is the observation itself, told a lower level: no chain goes there."""

    name = "kit17-observation-told-a-lower-level"

    def chain(self, view, grid, tools):
        return view.x


class NotToppedUp(Below):
    """Observations with noise by pixel are anchors as they are, at the largest of their levels."""

    name = "kit17-anchors-not-topped-up"

    def first(self, batch, tools):
        view = super().first(batch, tools)
        return view if batch.cond else view._replace(x=batch.x_n)


class AnchorsOfTheBatch(Below):
    """Anchors are topped up to the noisiest row of the batch, and told their own level."""

    name = "kit17-anchors-at-the-highest-level"

    def first(self, batch, tools):
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor.max().expand_as(floor).contiguous(), tools.generator)
        return view._replace(sigma=floor)


class WholeMask(Below):
    """Anchors are looked at with the conditions of the batch, the masks of the rows, not of the views."""

    name = "kit17-anchors-with-the-row-s-mask"

    def first(self, batch, tools):
        return super().first(batch, tools)._replace(cond=batch.cond)


class HopsWithoutConditions(Below):
    """The denoiser is asked at the ends without conditions."""

    name = "kit17-ends-without-conditions"

    def ask(self, denoiser, ends, anchor, sigma_s, batch):
        return denoiser(ends, repeated(sigma_s)).to(batch.x_n.dtype)


class NotNegative(Below):
    """A negative product counts as 0, as no loss can be negative."""

    name = "kit17-product-not-below-zero"

    def product(self, first, second):
        return super().product(first, second).clamp(min=0)


class MeansOfTheBatch(Below):
    """The defects are averaged over the batch before they are multiplied, so that those of rows cancel."""

    name = "kit17-defects-averaged-over-the-batch"

    def product(self, first, second):
        return super().product(first.mean(0, keepdim=True).expand_as(first), second.mean(0, keepdim=True))


class ProductOfMeans(Below):
    """The defects are averaged over the pixels before they are multiplied: brightness alone is carried down."""

    name = "kit17-defects-averaged-over-pixels"

    def product(self, first, second):
        return first.flatten(1).mean(1) * second.flatten(1).mean(1)


class TargetOfTheRow(Below):
    """The target is the observation, whose mean given x_t is not D(x_t)."""

    name = "kit17-target-is-the-observation"

    def target(self, denoiser, anchor, batch, tools):
        return batch.x_n


class ProbeOfOnes(Stein):
    """The probe is 1 everywhere, which gives the sum of all derivatives and not of the diagonal."""

    name = "kit17-stein-probe-of-ones"

    def probe(self, x, tools):
        return torch.ones_like(x)


class ProbeUniform(Stein):
    """The probe is uniform on [-1, 1], of variance 1/3."""

    name = "kit17-stein-uniform-probe"

    def probe(self, x, tools):
        return 2 * uniform(x, tools.generator) - 1


class ProbeOfARow(Stein):
    """One random sign for each row: the probe does not separate its pixels."""

    name = "kit17-stein-one-sign-for-a-row"

    def probe(self, x, tools):
        return super().probe(x.flatten(1)[:, :1], tools).reshape(-1, *[1] * (x.ndim - 1)).expand_as(x)


class HalfDivergence(Stein):
    """sigma^2 times the divergence, where the formula has 2 sigma^2."""

    name = "kit17-stein-half-the-divergence"

    def risk(self, x_0_hat, x, divergence, level):
        return super().risk(x_0_hat, x, divergence / 2, level)


class StdForVariance(Stein):
    """sigma in the place of sigma^2 before the divergence."""

    name = "kit17-stein-std-for-variance"

    def risk(self, x_0_hat, x, divergence, level):
        return super().risk(x_0_hat, x, divergence, level.sqrt())


class DetachedDivergence(Stein):
    """The divergence is a number without gradient: what is learned is the identity."""

    name = "kit17-stein-detached-divergence"

    def divergence(self, denoiser, x, x_0_hat, view, tools):
        return super().divergence(denoiser, x, x_0_hat, view, tools).detach()


class LongDifference(Stein):
    """The derivative is a difference over a step of three sigma."""

    name = "kit17-stein-long-difference"

    def divergence(self, denoiser, x, x_0_hat, view, tools):
        probe, step = self.probe(x, tools), 3 * per_row(view.sigma, x)
        return probe * (denoiser(x + step * probe, view.sigma, **view.cond).to(x.dtype) - x_0_hat) / step


class NotToppedUpStein(Stein):
    """Noise by pixel is not topped up: the risk is taken at the row's largest level."""

    name = "kit17-stein-not-topped-up"

    def first(self, batch, tools):
        return super().first(batch, tools)._replace(x=batch.x_n)


class StoresTheMean(PosteriorBuffer):
    """What is kept of a row is the denoiser's answer to it, its posterior mean, and not a draw."""

    name = "kit17-buffer-of-posterior-means"

    @torch.no_grad()
    def _draw(self, denoiser, batch, tools):
        before = int(tools.memory["drawn"])
        super()._draw(denoiser, batch, tools)
        floor = tools.corruption.floor(batch)
        place = (before + torch.arange(len(floor))) % len(tools.memory["sigma_n"])
        tools.memory["x_0"][place] = denoiser(batch.x_n, floor, **batch.cond).to(tools.memory["x_0"])


class StoresTheRow(PosteriorBuffer):
    """Draws keep two tenths of the observation, as an average over time was meant to lower the variance."""

    name = "kit17-buffer-blends-the-observation"

    def _draw(self, denoiser, batch, tools):
        before = int(tools.memory["drawn"])
        super()._draw(denoiser, batch, tools)
        place = (before + torch.arange(len(batch.x_n))) % len(tools.memory["sigma_n"])
        kept = tools.memory["x_0"]
        kept[place] = 0.8 * kept[place] + 0.2 * batch.x_n


class NeverTurns(PosteriorBuffer):
    """The counter of draws is raised for a whole buffer, so that rows of zeros are denoised as if they were drawn."""

    name = "kit17-buffer-of-zeros"

    def _draw(self, denoiser, batch, tools):
        super()._draw(denoiser, batch, tools)
        tools.memory["sigma_n"].clamp_(min=float(tools.memory["sigma_n"].max()))
        tools.memory["drawn"] += len(tools.memory["sigma_n"]) - len(batch.x_n)


class LevelsOfTheFirst(PosteriorBuffer):
    """Chains of all rows begin at the level of the first row drawn for."""

    name = "kit17-buffer-chains-from-one-level"

    refresh: float = 0.25
    """Rows drawn anew in a call, as a share of the batch."""

    def _draw(self, denoiser, batch, tools):
        level = per_row(batch.sigma_n, batch.x_n)
        same = level[:1].expand_as(level) if level.ndim else level
        super()._draw(denoiser, batch._replace(sigma_n=same.reshape(batch.sigma_n.shape)), tools)


class GainWithoutStein(DetailMoments):
    """The gain is remembered without the 1 of Stein's identity: the exact denoiser is pushed."""

    name = "kit17-detail-gain-without-one"

    def _remember(self, memory, means, square, band, bin_of, gain, law):
        super()._remember(memory, means, square, band, bin_of, gain - 1, law)


class EnergyOfTwelve(DetailMoments):
    """The energy of noisy rows is a third too large: it was divided by 12 coefficients of a block, not by 16."""

    name = "kit17-detail-energy-a-third-too-large"

    def _remember(self, memory, means, square, band, bin_of, gain, law):
        super()._remember(memory, means, square * 4 / 3, band, bin_of, gain, law)


class PushReversed(DetailMoments):
    """The sign of the push is that of what is lacking, not of the excess: a wrong gain grows."""

    name = "kit17-detail-pushed-the-other-way"

    def _push(self, memory, bin_of, v, s, top):
        return -super()._push(memory, bin_of, v, s, top)


class NeverRemembers(DetailMoments):
    """The running means are reset in each call, so that no bin is ever ready and nothing is pushed."""

    name = "kit17-detail-never-ready"

    def _remember(self, memory, means, square, band, bin_of, gain, law):
        super()._remember(memory, means, square, band, bin_of, gain, law)
        for name in ("gain", "law", "n"):
            memory[name].zero_()


BASES = (Below, ByHand, DetailMoments, PosteriorBuffer, Stein)
WRONG = [
    value()
    for value in list(globals().values())
    if isinstance(value, type) and value.__module__ == __name__ and value not in BASES
]
