"""Wrong samplers of the probability flow, and right ones in small steps that a mistake may replace."""

from __future__ import annotations

import torch

from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal

from .bases import made

COMMON = frozenset({"final-law", "grid-levels", "row-generators"})


class Steps(Sampler):
    """One step per pair of levels, in a method of its own."""

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        raise NotImplementedError


class Flow(Steps):
    """Euler's rule on the probability flow."""

    source = "arXiv 2206.00364, algorithm 1 without its correction"
    claims = COMMON | {"order-1"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
        return x + per_row(sigma_s - sigma_t, x) * slope


class Twice(Steps):
    """Heun's rule on the probability flow, row by row Euler's where a row ends at 0."""

    source = "arXiv 2206.00364, algorithm 1"
    claims = COMMON | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
        step = per_row(sigma_s - sigma_t, x)
        ahead = x + step * slope
        inside = self.inside(sigma_s)
        level = torch.where(inside, sigma_s, sigma_t)
        there = self.ahead(denoiser, ahead, level, sigma_t, cond)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, x + step * (slope + there) / 2, ahead)

    def inside(self, sigma_s):
        return sigma_s > 0

    def ahead(self, denoiser, x, sigma_s, sigma_t, cond):
        return (x - denoiser(x, sigma_s, **cond).to(x.dtype)) / per_row(sigma_s, x)


class Reverse(Steps):
    """The reverse kernel with x_0 replaced by its posterior mean."""

    source = "arXiv 2006.11239, eq. 6-7"
    claims = COMMON | {"reverse-kernel", "exact-for-points", "order-1"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        r = (per_row(sigma_s, x) / per_row(sigma_t, x)) ** 2
        mean = r * x + (1 - r) * self.answer(denoiser, x, sigma_t, cond)
        return mean + self.std(per_row(sigma_t, x), per_row(sigma_s, x), r) * self.drawn(x, generator)

    def answer(self, denoiser, x, sigma_t, cond):
        return denoiser(x, sigma_t, **cond).to(x.dtype)

    def std(self, sigma_t, sigma_s, r):
        return sigma_s * (1 - r).clamp(min=0).sqrt()

    def drawn(self, x, generator):
        return standard_normal(x, generator)


class SlopeOfNext(Flow):
    """Divides the slope by the next level. Breaks: dx/dsigma = (x - D(x, sigma)) / sigma."""

    name = "kit13-slope-of-next"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(torch.where(sigma_s > 0, sigma_s, sigma_t), x)
        return x + per_row(sigma_s - sigma_t, x) * slope


class AskedAhead(Flow):
    """Asks the denoiser at the next level for the point of this one, an index off by one. Breaks: D(x_t, sigma_t)."""

    name = "kit13-asked-ahead"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, torch.where(sigma_s > 0, sigma_s, sigma_t), **cond)
        return x_0_hat + per_row(sigma_s / sigma_t, x) * (x - x_0_hat)


class HeunOldLevel(Twice):
    """Divides the slope ahead by the level behind. Breaks: a sampler of second order."""

    name = "kit13-heun-old-level"

    def ahead(self, denoiser, x, sigma_s, sigma_t, cond):
        return (x - denoiser(x, sigma_s, **cond)) / per_row(sigma_t, x)


class HeunForAllOrNone(Twice):
    """Corrects only where no row of the batch ends at 0. Breaks: row i is the same alone and in another batch."""

    name = "kit13-heun-all-or-none"

    def inside(self, sigma_s):
        return (sigma_s > 0) & bool((sigma_s > 0).all())


class HeunWithoutCond(Twice):
    """The correction asks without conditions. Breaks: samples p(x_0 | cond), the final law."""

    name = "kit13-heun-without-cond"

    def ahead(self, denoiser, x, sigma_s, sigma_t, cond):
        return (x - denoiser(x, sigma_s)) / per_row(sigma_s, x)


class HeunSkips(Twice):
    """Leaves the correction out below level 0.1 "where it makes no difference". Breaks: a sampler of second order."""

    name = "kit13-heun-stops-correcting"

    def inside(self, sigma_s):
        return sigma_s > 0.1


class MidpointFromMiddle(Steps):
    """The midpoint rule goes the second half from the middle with a whole step. Breaks: a sampler of second order that
    reaches the law at sigma_s."""

    name = "kit13-midpoint-from-middle"
    claims = COMMON | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        middle = (sigma_t + sigma_s) / 2
        half = x + per_row(middle - sigma_t, x) * (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        slope = (half - denoiser(half, middle, **cond)) / per_row(middle, x)
        return half + per_row(sigma_s - sigma_t, x) * slope


class Bashforth(Sampler):
    """Adams-Bashforth of two steps with the weights 3/2 and -1/2 of an even grid, on any grid. Breaks: a sampler of
    second order."""

    name = "kit13-bashforth-even"
    claims = COMMON | {"order-2"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
            used = slope if old is None else 1.5 * slope - 0.5 * old
            x, old = x + per_row(sigma_s - sigma_t, x) * used, slope
        return x


class MultistepSwapped(Sampler):
    """DPM-Solver++(2M) with the ratio of steps upside down. Breaks: a sampler of second order."""

    name = "kit13-2m-ratio-swapped"
    claims = COMMON | {"order-2"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        old, before = None, None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            found = denoiser(x, sigma_t, **cond)
            ratio = per_row(sigma_s / sigma_t, x)
            used = found
            if old is not None:
                last = torch.log(before / sigma_t)
                now = torch.log(sigma_t / sigma_s.clamp(min=1e-30))
                weight = per_row(torch.where(sigma_s > 0, last / now, torch.zeros_like(last)) / 2, x)
                used = found + weight * (found - old)
            x, old, before = ratio * x + (1 - ratio) * used, found, sigma_t
        return x


WRONG = made(
    SlopeOfNext,
    AskedAhead,
    HeunOldLevel,
    HeunForAllOrNone,
    HeunWithoutCond,
    HeunSkips,
    MidpointFromMiddle,
    Bashforth,
    MultistepSwapped,
)
