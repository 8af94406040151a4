"""Wrong samplers of the probability-flow equation."""

from __future__ import annotations

import torch

from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row

from .bases import made

FLOW_1 = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})
FLOW_2 = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})
KERNEL = Ancestral.claims


class Steps(Sampler):
    """Euler's rule; `hop` is one step."""

    claims = FLOW_1

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        """x at sigma_s."""
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        return x_0_hat + per_row(sigma_s / sigma_t, x) * (x - x_0_hat)

    def sample(self, denoiser, x, sigmas, generator, cond):
        """Carry x from sigmas[0] to sigmas[-1]."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.hop(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x


def inside(x, ahead, corrected, sigma_s):
    """The corrected point where the step ends above 0."""
    return torch.where(per_row((sigma_s > 0).to(x.dtype), x) > 0, corrected, ahead)


class OtherDenominator(Steps):
    """Divides the slope by the lower level."""

    name = "kit12-other-denominator"

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, sigma_t, **cond)
        below = torch.where(sigma_s > 0, sigma_s, sigma_t)
        return x + per_row((sigma_s - sigma_t) / below, x) * (x - x_0_hat)


class OldLevelAhead(Steps):
    """Heun whose second slope is divided by the level of the first."""

    name = "kit12-old-level-ahead"
    claims = FLOW_2

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        step = per_row(sigma_s - sigma_t, x)
        ahead = x + step * slope
        level = torch.where(sigma_s > 0, sigma_s, sigma_t)
        second = (ahead - denoiser(ahead, level, **cond)) / per_row(sigma_t, x)
        return inside(x, ahead, x + step * (slope + second) / 2, sigma_s)


class SecondSlopeAlone(Steps):
    """Steps by the slope at the end alone, and calls it of second order."""

    name = "kit12-second-slope-alone"
    claims = FLOW_2

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        ahead = super().hop(denoiser, x, sigma_t, sigma_s, generator, cond)
        level = torch.where(sigma_s > 0, sigma_s, sigma_t)
        second = (ahead - denoiser(ahead, level, **cond)) / per_row(level, x)
        return inside(x, ahead, x + per_row(sigma_s - sigma_t, x) * second, sigma_s)


class AllOrNone(Steps):
    """Heun that leaves the correction out for all rows where one of them ends at 0."""

    name = "kit12-all-or-none"
    claims = FLOW_2

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        step = per_row(sigma_s - sigma_t, x)
        ahead = x + step * slope
        if bool((sigma_s == 0).any()):
            return ahead
        second = (ahead - denoiser(ahead, sigma_s, **cond)) / per_row(sigma_s, x)
        return x + step * (slope + second) / 2


class MidpointOfOther(Steps):
    """Midpoint rule that asks at the geometric mean and steps there by half of the arithmetic way."""

    name = "kit12-midpoint-of-other"
    claims = FLOW_2

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        ahead = super().hop(denoiser, x, sigma_t, sigma_s, generator, cond)
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        middle = torch.where(sigma_s > 0, (sigma_t * sigma_s).sqrt(), sigma_t)
        halfway = x + per_row(sigma_s - sigma_t, x) / 2 * slope
        second = (halfway - denoiser(halfway, middle, **cond)) / per_row(middle, x)
        return inside(x, ahead, x + per_row(sigma_s - sigma_t, x) * second, sigma_s)


class BlindCorrector(Steps):
    """Heun whose second call lacks the conditions."""

    name = "kit12-blind-corrector"
    claims = FLOW_2

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        step = per_row(sigma_s - sigma_t, x)
        ahead = x + step * slope
        level = torch.where(sigma_s > 0, sigma_s, sigma_t)
        second = (ahead - denoiser(ahead, level)) / per_row(level, x)
        return inside(x, ahead, x + step * (slope + second) / 2, sigma_s)


class NearZero(Steps):
    """Heun that corrects the last step to 0 as well, at the level 1e-3."""

    name = "kit12-near-zero"
    claims = FLOW_2

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        sigma_s = sigma_s.clamp(min=1e-3)
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        step = per_row(sigma_s - sigma_t, x)
        ahead = x + step * slope
        second = (ahead - denoiser(ahead, sigma_s, **cond)) / per_row(sigma_s, x)
        return x + step * (slope + second) / 2


class LogSteps(Steps):
    """Euler's rule in log sigma, whose last step to 0 is cut at 1e-5 of the level."""

    name = "kit12-log-steps"

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        ratio = (sigma_s / sigma_t).clamp(min=1e-5)
        return x + per_row(ratio.log(), x) * (x - denoiser(x, sigma_t, **cond))


WRONG = made(globals())
