"""Right objectives, attacks, similarities and measures that look unusual."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from ambientkit.batch import Term
from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.memory_measures.shares import Ratio
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.builtin.similarities.pixels import PixelValues
from ambientkit.errors import InputError
from ambientkit.maths import copying
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.memorisation_parts import Attempt
from tests.verification.nineteenth_kit.bases import PIXELS, Above, listed, pictured
from tests.verification.seventeenth_kit.bases import WHOLE, Below, OfClean, Split, Stein, numbers


class InNoise(Above):
    """The residual by the noise that the estimate implies: x_t - a sigma eps - x_n, which is the same number."""

    name = "kit19-right-residual-by-the-noise"
    claims = PIXELS

    def expect(self, x_0_hat, view, batch, tools):
        level = per_row(view.sigma, view.x)
        return view.x - tools.corruption.slope(view, batch) * level * ((view.x - x_0_hat) / level)


class VanDerCorput(Above):
    """Levels by the van der Corput sequence, moved by one random number, in a random order of the rows."""

    name = "kit19-right-van-der-corput-levels"

    def levels(self, batch, tools):
        place = numbers(batch, tools).argsort()
        bits = sum(((place >> bit) & 1).double() / 2 ** (bit + 1) for bit in range(16))
        u = (bits + float(uniform(batch.x_n.new_empty(1), tools.generator))) % 1
        return truncated_lognormal(u.clamp(max=1 - 1e-9), self.low(batch, tools), self.high(batch, tools), -0.9, 1.3)


class AntitheticLevels(Above):
    """Every second row has the level of 1 - u, where the row before has that of u."""

    name = "kit19-right-levels-in-antithetic-pairs"

    def levels(self, batch, tools):
        here = torch.arange(len(batch.x_n), device=batch.x_n.device)
        u = numbers(batch, tools)[here - here % 2]
        u = torch.where(here % 2 == 1, 1 - u, u).clamp(1e-6, 1 - 1e-6)
        return truncated_lognormal(u, self.low(batch, tools), self.high(batch, tools), -1.2, 1.2)


class TwoLaws(Above):
    """Levels of two laws at random: half of them log-uniform, half log-normal at high levels."""

    name = "kit19-right-levels-of-two-laws"

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), self.high(batch, tools)
        one = log_uniform(numbers(batch, tools), low, torch.full_like(low, high))
        two = truncated_lognormal(numbers(batch, tools), low, high, 0.5, 1.0).to(one.dtype)
        return torch.where(numbers(batch, tools) < 0.5, one, two)


class AgainstTheAverage(Above):
    """The averaged network's loss is taken off as a control variate: no gradient goes through it."""

    name = "kit19-right-less-the-average-s-loss"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}  # the value is a difference, and moves with the average

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools).to(tools.corruption.floor(batch).dtype)
        view = self.view(batch, sigma, tools)
        own = self.ask(denoiser, view, batch).to(batch.x_n.dtype)
        with torch.no_grad():
            other = self.ask(tools.teacher, view, batch).to(batch.x_n.dtype)
        rho, its = (self.expect(one, view, batch, tools) - batch.x_n for one in (own, other))
        each = self.factor(view, batch, tools) * (rho**2 - its**2)
        return {"above": Term(self.weigh(sigma, batch, tools) * self.reduce(each), sigma)}


class Surrogate(Above):
    """The value, with a gradient of its own: 2 w rho a (D - sg[D]), which is that of the square."""

    name = "kit19-right-gradient-by-hand"

    def each(self, x_0_hat, view, batch, tools):
        with torch.no_grad():
            fixed = super().each(x_0_hat, view, batch, tools)
            rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
            pull = 2 * self.factor(view, batch, tools) * rho
        mixed = self.expect(x_0_hat, view, batch, tools)
        return fixed + pull * (mixed - mixed.detach())


class TwoViews(Above):
    """Each row is seen twice at its level, with independent noise, and the two values are averaged."""

    name = "kit19-right-two-views-of-a-row"

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools).to(tools.corruption.floor(batch).dtype)
        values = []
        for _ in range(2):
            view = self.view(batch, sigma, tools)
            x_0_hat = self.ask(denoiser, view, batch).to(batch.x_n.dtype)
            values.append(self.weigh(sigma, batch, tools) * self.reduce(self.each(x_0_hat, view, batch, tools)))
        return {"above": Term(torch.stack(values).mean(0), sigma)}


class TwoScales(Above):
    """The residual in full, and with half the weight that of its means over pairs of neighbours."""

    name = "kit19-right-at-two-scales"
    claims = PIXELS - {"x_0-scale"}

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        return self.factor(view, batch, tools) * rho**2 + 0.5 * ((rho + rho.roll(1, -1)) / 2) ** 2


class ByEinsum(OfClean):
    """Denoising whose error is summed by einsum, at levels of equal strata in a random order."""

    name = "kit19-right-denoises-by-einsum"

    def levels(self, batch, tools):
        u = (numbers(batch, tools).argsort() + numbers(batch, tools)) / max(len(batch.x_n), 1)
        u = u.clamp(max=1 - 1e-6)
        return truncated_lognormal(u, self.low(batch, tools), self.high(batch, tools), -1.2, 1.2)

    def reduce(self, each):
        flat = each.flatten(1)
        return torch.einsum("bi,i->b", flat, flat.new_full(flat.shape[1:], 1 / flat.shape[1]))


class SplitWide(Split):
    """Clean rows up to twice the level, with log-uniform levels on both sides."""

    name = "kit19-right-split-up-to-0.8"

    clean_below: float = 0.8

    def levels(self, batch, tools):
        refused = super().levels(batch, tools)
        top = self.top(batch, tools, self.high(batch, tools)).to(refused.dtype)
        return log_uniform(numbers(batch, tools), self.low(batch, tools), top)


class SparseProbe(Stein):
    """Probes that are 0 at a random half of the values and sqrt 2 times a sign at the others."""

    name = "kit19-right-stein-sparse-probe"

    def probe(self, x, tools):
        keep = (uniform(x, tools.generator) < 0.5).to(x.dtype)
        return math.sqrt(2) * keep * super().probe(x, tools)


class FourFreeEnds(Below):
    """The four ends of an anchor are independent draws: no pair is mirrored."""

    name = "kit19-right-ends-without-mirrors"

    def source(self, tools):
        return tools.generator


class SymmetricProduct(Below):
    """The product as the difference of two squares, ((d' + d'') / 2)^2 - ((d' - d'') / 2)^2."""

    name = "kit19-right-product-by-two-squares"

    def product(self, first, second):
        return (((first + second) / 2) ** 2 - ((first - second) / 2) ** 2).flatten(1).mean(1)


class NoisedEstimates(Below):
    """Anchors below are the teacher's estimates with fresh noise: the martingale holds from any point."""

    name = "kit19-right-anchors-of-noised-estimates"

    def chain(self, view, grid, tools):
        estimate = tools.teacher(view.x, view.sigma, **view.cond).to(view.x.dtype)
        return estimate + per_row(grid[-1], view.x) * standard_normal(view.x, tools.generator)


class LongerBuffer(PosteriorBuffer):
    """Posterior draws of twelve steps, which are kept for four calls and denoised up to the noise alone."""

    name = "kit19-right-buffer-of-four-calls"

    refresh: float = 0.25
    keep: int = 4
    steps: int = 12
    reach: float = 1.0


class MostlyNear(Tweedie):
    """`tweedie` with nearly all levels in pairs next to the noise, and no bound to speak of."""

    name = "kit19-right-mostly-in-pairs"

    near: float = 0.9
    near_ratio: float = 2.5
    cap: float = 400.0


class TwoLevels(Loss):
    """The error of the denoiser at two levels, averaged: half of the draws at each."""

    name = "kit19-right-loss-at-two-levels"

    def attempt(self, x, keys, target):
        high = target.sigma_data if self.level is None else self.level
        low, generators = (high + max(target.levels.sigma_min, target.sigma_n)) / 2, target.generators("two", keys)
        if not target.sigma_n < low < high < target.levels.sigma_max:
            raise InputError(f"--level {high:g}: should be above the noise of the rows, and below sigma_max")
        noisy, draws = [], []
        for draw in range(target.draws):
            level = low if draw % 2 else high
            missing = (level**2 - target.sigma_n**2) ** 0.5
            noisy.append(x + missing * standard_normal(x, generators))
            draws.append(target.denoised(noisy[-1], torch.full((len(x),), level)))
        answers = torch.stack(draws, 1)
        error = (answers - x.unsqueeze(1)).flatten(2).double().square().mean(2).sqrt()
        return Attempt(noisy[0], answers, error.mean(1))


class Spectrum(PixelValues):
    """Absolute values of the discrete Fourier transform of each row, of unit scale: where things lie is not seen."""

    name = "kit19-right-absolute-spectrum"
    moves = False

    def view(self, rows):
        return torch.fft.fft(rows.flatten(1), norm="ortho").abs()


class CoarseCorrelation(Correlation):
    """Pictures are reduced to means over 2 x 2, and compared without brightness and contrast."""

    name = "kit19-right-coarse-correlation"

    def view(self, rows):
        small = functional.avg_pool2d(rows, 2) if pictured(rows) and min(rows.shape[2:]) >= 4 else rows
        return super().view(small)


class RankOfTheRatio(Ratio):
    """The z-score of the ratios of samples among those of held-out rows (Mann and Whitney)."""

    name = "kit19-right-rank-of-the-ratio"
    title = "rank of d_1 / d_2"
    means = "standard deviations by which the ratios of samples exceed those of held-out rows; far below 0: copies"
    claims = frozenset({"sees-copies"})

    def value(self, judged, null, train):
        return copying.mann_whitney_z(judged[:, 0], null[:, 0]) if len(judged) and len(null) else float("nan")


class BelowTwoFifths(Ratio):
    """The share of samples at less than 0.4 of the distance to the second row."""

    name = "kit19-right-ratio-below-two-fifths"
    title = "ratio below 2/5"
    means = "share of samples at less than 2/5 of the distance to the second nearest training row"

    def value(self, judged, null, train):
        return float((judged[:, 0] < 0.4).double().mean())


RIGHT = listed(globals())
