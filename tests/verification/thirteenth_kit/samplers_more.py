"""Wrong samplers: noise, grids, ends, and what a caller gives."""

from __future__ import annotations

import torch

from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal

from .bases import made
from .samplers import COMMON, Flow, Reverse, Steps


class RatioNotSquared(Reverse):
    """r = sigma_s / sigma_t in the mean, the std of r^2. Breaks: the mean is r x_t + (1 - r) D with the squares."""

    name = "kit13-ratio-not-squared"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        r = per_row(sigma_s, x) / per_row(sigma_t, x)
        mean = r * x + (1 - r) * denoiser(x, sigma_t, **cond)
        return mean + per_row(sigma_s, x) * (1 - r**2).clamp(min=0).sqrt() * standard_normal(x, generator)


class ForwardVariance(Reverse):
    """The larger of DDPM's two variances, sigma_t^2 - sigma_s^2, but for the last step. Breaks: std sigma_s sqrt(1 -
    r)."""

    name = "kit13-forward-variance"

    def std(self, sigma_t, sigma_s, r):
        return torch.where(sigma_s > 0, sigma_t * (1 - r).clamp(min=0).sqrt(), torch.zeros_like(sigma_s))


class StdNotRooted(Reverse):
    """The noise is sigma_s (1 - r), a variance's factor. Breaks: std sigma_s sqrt(1 - r)."""

    name = "kit13-std-not-rooted"

    def std(self, sigma_t, sigma_s, r):
        return sigma_s * (1 - r)


class HalfNoise(Reverse):
    """The noise at eta = 0.9, with the mean of eta = 1. Breaks: std sigma_s sqrt(1 - r)."""

    name = "kit13-eta-in-noise-only"

    def std(self, sigma_t, sigma_s, r):
        return 0.9 * super().std(sigma_t, sigma_s, r)


class Thresholded(Reverse):
    """Clips x_0_hat to [-1, 1] in each step. Breaks: the mean is r x_t + (1 - r) D."""

    name = "kit13-thresholded"

    def answer(self, denoiser, x, sigma_t, cond):
        return denoiser(x, sigma_t, **cond).clamp(-1, 1)


class GlobalNoise(Reverse):
    """torch.randn_like in each step. Breaks: torch's global generator has no effect."""

    name = "kit13-randn-like"

    def drawn(self, x, generator):
        return torch.randn_like(x)


class NoiseOfBatch(Reverse):
    """One noise for all rows of a batch. Breaks: row i is the same alone and in another batch, rows are independent."""

    name = "kit13-noise-of-batch"

    def drawn(self, x, generator):
        first = generator[:1] if isinstance(generator, list | tuple) else generator
        if not isinstance(first, torch.Generator | list | tuple):
            return standard_normal(x, generator)
        return standard_normal(x[:1], first).expand_as(x)


class OneNoise(Sampler):
    """Draws noise once, and uses it in all steps. Breaks: each hop draws from its kernel, and the final law."""

    name = "kit13-one-noise-for-steps"
    claims = Reverse.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        z = standard_normal(x, generator)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            r = (per_row(sigma_s, x) / per_row(sigma_t, x)) ** 2
            x = r * x + (1 - r) * denoiser(x, sigma_t, **cond)
            x = x + per_row(sigma_s, x) * (1 - r).clamp(min=0).sqrt() * z
        return x


class ColumnOfFirst(Reverse):
    """Takes the grid of the first row for all. Breaks: sigmas (T, B), a grid for each row."""

    name = "kit13-grid-of-first-row"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[:, :1].expand_as(sigmas), generator, cond)


class EndsAtZero(Reverse):
    """Returns D of the last point in any case. Breaks: reaches points that follow the law at sigmas[-1]."""

    name = "kit13-answers-with-denoised"

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = super().sample(denoiser, x, sigmas, generator, cond)
        last = sigmas[-1]
        inside = last > 0
        level = torch.where(inside, last, torch.ones_like(last))
        return torch.where(per_row(inside.to(x.dtype), x) > 0, denoiser(x, level, **cond), x)


class OneStepShort(Reverse):
    """A range that ends one early: the last level is never reached. Breaks: carries x to sigmas[-1]."""

    name = "kit13-one-step-short"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for i in range(max(len(sigmas) - 2, 1)):
            x = self.step(denoiser, x, sigmas[i], sigmas[i + 1], generator, cond)
        return x


class FirstLevelSkipped(Flow):
    """Begins at the second level with the points of the first, rescaled by the ratio. Breaks: every level of the grid
    is visited, and the law."""

    name = "kit13-first-level-skipped"

    def sample(self, denoiser, x, sigmas, generator, cond):
        if len(sigmas) < 3:
            return super().sample(denoiser, x, sigmas, generator, cond)
        return super().sample(denoiser, x * per_row(sigmas[1] / sigmas[0], x), sigmas[1:], generator, cond)


class StopsSmall(Flow):
    """Goes to the end at once when the level is below 0.02. Breaks: every level of the grid is visited in each row."""

    name = "kit13-stops-when-small"

    def sample(self, denoiser, x, sigmas, generator, cond):
        small = (sigmas < 0.02).all(1).nonzero().flatten()
        if len(small) and int(small[0]) < len(sigmas) - 1 and int(small[0]) > 0:
            sigmas = torch.cat([sigmas[: int(small[0]) + 1], sigmas[-1:]])
        return super().sample(denoiser, x, sigmas, generator, cond)


class StopsTogether(Flow):
    """Stops all rows as soon as one has reached level 0. Breaks: row i is the same alone and in another batch."""

    name = "kit13-stops-together"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
            if bool((sigma_s == 0).any()):
                break
        return x


class EverySecondAnswer(Sampler):
    """Uses the answer of the step before in every second step, a cache of features. Breaks: D(x_t, sigma_t) at each
    level; every level is visited."""

    name = "kit13-every-second-answer"
    claims = COMMON | {"order-1"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        found = x
        for i, (sigma_t, sigma_s) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            if i % 2 == 0:
                found = denoiser(x, sigma_t, **cond)
            x = found + per_row(sigma_s / sigma_t, x) * (x - found)
        return x


class NoGradient(Flow):
    """Runs under no_grad. Breaks: never sets grad mode; a gradient passes to the denoiser's answers."""

    name = "kit13-no-gradient"

    @torch.no_grad()
    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas, generator, cond)


class Half(Flow):
    """Carries points in bfloat16 between the steps. Breaks: the law at sigmas[-1], to the precision of x."""

    name = "kit13-bfloat16-state"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return super().step(denoiser, x, sigma_t, sigma_s, generator, cond).to(torch.bfloat16).to(x.dtype)


class ChurnWithoutLevel(Steps):
    """Adds noise before each step and does not raise the level that it steps from. Breaks: the final law."""

    name = "kit13-churn-without-level"
    claims = COMMON | {"order-1"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x = x + 0.2 * per_row(sigma_t, x) * standard_normal(x, generator)
        found = denoiser(x, sigma_t, **cond)
        return found + per_row(sigma_s / sigma_t, x) * (x - found)


class FreshInCorrector(Steps):
    """A second stage with noise of its own, as p and x_s are drawn apart. Breaks: the difference of answers moves with
    the noise of p; second order."""

    name = "kit13-fresh-in-corrector"
    claims = COMMON | {"reverse-kernel", "exact-for-points", "order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        here = denoiser(x, sigma_t, **cond)
        r = (per_row(sigma_s, x) / per_row(sigma_t, x)) ** 2
        std = per_row(sigma_s, x) * (1 - r).clamp(min=0).sqrt()
        mean = r * x + (1 - r) * here
        inside = sigma_s > 0
        ahead = mean + std * standard_normal(x, generator)
        there = denoiser(ahead, torch.where(inside, sigma_s, sigma_t), **cond)
        changed = mean + std * standard_normal(x, generator) + (1 - r) / 2 * (there - here)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, changed, mean)


class InPlace(Flow):
    """Steps in place, on the caller's tensor. Breaks: returns carried points; x is the caller's, and used again."""

    name = "kit13-in-place"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        found = denoiser(x, sigma_t, **cond)
        return x.sub_(found).mul_(per_row(sigma_s / sigma_t, x).to(x.dtype)).add_(found)


WRONG = made(
    RatioNotSquared,
    ForwardVariance,
    StdNotRooted,
    HalfNoise,
    Thresholded,
    GlobalNoise,
    NoiseOfBatch,
    OneNoise,
    ColumnOfFirst,
    EndsAtZero,
    OneStepShort,
    FirstLevelSkipped,
    StopsSmall,
    StopsTogether,
    EverySecondAnswer,
    NoGradient,
    Half,
    ChurnWithoutLevel,
    FreshInCorrector,
    InPlace,
)
