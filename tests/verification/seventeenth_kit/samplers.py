"""Wrong samplers."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Sampler
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.noise import per_row, standard_normal

FIRST = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})


class Steps(Sampler):
    """A base: steps of the reverse kernel, in parts."""

    name = "kit17-base-steps"
    claims = Ancestral.claims

    def std(self, sigma_t, sigma_s):
        return sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()

    def ratio(self, sigma_t, sigma_s):
        return (sigma_s / sigma_t) ** 2

    def answer(self, denoiser, x, sigma_t, cond):
        return denoiser(x, sigma_t, **cond).to(x.dtype)

    def noise(self, x, generator):
        return standard_normal(x, generator)

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            r = per_row(self.ratio(sigma_t, sigma_s), x).to(x.dtype)
            std = per_row(self.std(sigma_t, sigma_s), x).to(x.dtype)
            x = r * x + (1 - r) * self.answer(denoiser, x, sigma_t, cond) + std * self.noise(x, generator)
        return x


class LargeVariance(Steps):
    """The variance of a step is sigma_t^2 - sigma_s^2, that of the forward process."""

    name = "kit17-steps-of-the-forward-variance"

    def std(self, sigma_t, sigma_s):
        return torch.where(sigma_s > 0, (sigma_t**2 - sigma_s**2).clamp(min=0).sqrt(), torch.zeros_like(sigma_s))


class RatioForRoot(Steps):
    """The noise of a step is sigma_s (1 - r), without the root."""

    name = "kit17-steps-without-the-root"

    def std(self, sigma_t, sigma_s):
        return sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0)


class RatioOfStds(Steps):
    """r is the ratio of the levels, not of their squares, as in a deterministic step."""

    name = "kit17-steps-by-the-ratio-of-stds"

    def ratio(self, sigma_t, sigma_s):
        return sigma_s / sigma_t

    def std(self, sigma_t, sigma_s):
        return sigma_s * (1 - sigma_s / sigma_t).clamp(min=0).sqrt()


class NoiseAtTheEnd(Steps):
    """The std of a step is 0.03 at least, against a logarithm of 0: the last step adds noise."""

    name = "kit17-noise-in-the-last-step"

    def std(self, sigma_t, sigma_s):
        return super().std(sigma_t, sigma_s).clamp(min=0.03)


class Cooler(Steps):
    """A temperature of 0.9 multiplies the noise of each step, for nicer pictures."""

    name = "kit17-steps-of-temperature-nine-tenths"

    def std(self, sigma_t, sigma_s):
        return 0.9 * super().std(sigma_t, sigma_s)


class ClipsAnswers(Steps):
    """Answers of the denoiser are clipped to [-1, 1]."""

    name = "kit17-clips-answers"

    def answer(self, denoiser, x, sigma_t, cond):
        return super().answer(denoiser, x, sigma_t, cond).clamp(-1, 1)


class Thresholds(Steps):
    """Dynamic thresholding by the largest value of the batch."""

    name = "kit17-thresholds-by-the-batch"

    def answer(self, denoiser, x, sigma_t, cond):
        found = super().answer(denoiser, x, sigma_t, cond)
        return found / torch.quantile(found.abs().flatten()[: 10**6], 0.95).clamp(min=1)


class LevelOfTheFirst(Steps):
    """The denoiser is asked at the level of the first row for all rows."""

    name = "kit17-asks-at-the-first-row-s-level"

    def answer(self, denoiser, x, sigma_t, cond):
        return super().answer(denoiser, x, sigma_t[:1].expand_as(sigma_t).contiguous(), cond)


class FirstCondition(Steps):
    """All rows have the conditions of the first."""

    name = "kit17-asks-with-the-first-row-s-conditions"

    def answer(self, denoiser, x, sigma_t, cond):
        return super().answer(denoiser, x, sigma_t, {name: value[:1].expand_as(value) for name, value in cond.items()})


class NoGradient(Steps):
    """Denoisers are called without gradients, whatever the caller wants."""

    name = "kit17-sets-grad-mode"

    def answer(self, denoiser, x, sigma_t, cond):
        with torch.no_grad():
            return super().answer(denoiser, x, sigma_t, cond)


class GlobalNoise(Steps):
    """Noise comes from torch's global generator."""

    name = "kit17-steps-by-the-global-generator"

    def noise(self, x, generator):
        return torch.randn_like(x)


class GreyNoise(Steps):
    """The channels of a picture share the noise of a step."""

    name = "kit17-steps-with-grey-noise"

    def noise(self, x, generator):
        z = super().noise(x, generator)
        return z[:, :1].expand_as(z) if z.ndim > 2 else z


class SameNoise(Sampler):
    """Noise is drawn once for all steps."""

    name = "kit17-one-noise-for-all-steps"
    claims = Ancestral.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        z = standard_normal(x, generator)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            r = per_row((sigma_s / sigma_t) ** 2, x).to(x.dtype)
            std = per_row(sigma_s, x) * (1 - r).clamp(min=0).sqrt()
            x = r * x + (1 - r) * denoiser(x, sigma_t, **cond).to(x.dtype) + std.to(x.dtype) * z
        return x


class SkipsTheFirst(Ancestral):
    """Off by one: the first level of the grid is skipped, and points at it are told the second."""

    name = "kit17-skips-the-first-level"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[1:] if len(sigmas) > 2 else sigmas, generator, cond)


class StopsBefore(Ancestral):
    """Off by one: the last step is left out, so that points stay at the level before the last."""

    name = "kit17-stops-one-level-early"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[:-1], generator, cond)


class OwnGrid(Heun):
    """The levels between the first and the last are made anew, with equal ratios."""

    name = "kit17-makes-its-own-grid"

    def sample(self, denoiser, x, sigmas, generator, cond):
        low = torch.where(sigmas[-1] > 0, sigmas[-1], sigmas[-2])
        grid = geometric_grid(sigmas[0], low, max(len(sigmas) - 1, 2))
        ends_at_0 = bool((sigmas[-1] <= 0).any())
        return super().sample(denoiser, x, torch.cat([grid, sigmas[-1:]]) if ends_at_0 else grid, generator, cond)


class Flow(Sampler):
    """A base: steps of the probability flow."""

    name = "kit17-base-flow"
    claims = FIRST

    def slope(self, denoiser, x, sigma, cond):
        return (x - denoiser(x, sigma, **cond).to(x.dtype)) / per_row(sigma, x)

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return x + per_row(sigma_s - sigma_t, x) * self.slope(denoiser, x, sigma_t, cond)

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x


class HalfTheSlope(Flow):
    """The slope of a variance-preserving flow, with its factor 1/2, in the variance-exploding one."""

    name = "kit17-half-the-slope"

    def slope(self, denoiser, x, sigma, cond):
        return super().slope(denoiser, x, sigma, cond) / 2


class SlopeOfTheNext(Flow):
    """The slope is divided by the lower level of the step, where that is above 0."""

    name = "kit17-slope-over-the-lower-level"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        lower = torch.where(sigma_s > 0, sigma_s, sigma_t)
        return x + per_row((sigma_s - sigma_t) * sigma_t / lower, x) * self.slope(denoiser, x, sigma_t, cond)


class EulerAsKernel(Flow):
    """A deterministic step that claims to draw from the reverse kernel."""

    name = "kit17-flow-claims-the-kernel"
    claims = FIRST | {"reverse-kernel"}


class AncestralWithoutDown(Flow):
    """Noise of an ancestral step is added to a flow step that goes all the way down."""

    name = "kit17-noise-on-a-whole-flow-step"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        up = sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        ahead = super().step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return ahead + per_row(up, x).to(x.dtype) * standard_normal(x, generator)


class Churned(Flow):
    """Churn adds noise of S_noise = 1.2 before each step, and tells a level made with 1."""

    name = "kit17-churn-with-too-much-noise"
    claims = FIRST - {"order-1", "grid-levels"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        high = 1.2 * sigma_t
        x = x + 1.2 * per_row((high**2 - sigma_t**2).sqrt(), x).to(x.dtype) * standard_normal(x, generator)
        return super().step(denoiser, x, high, sigma_s, generator, cond)


class HeunOfOneLevel(Flow):
    """Heun's correction asks the denoiser ahead at the level that the step comes from."""

    name = "kit17-correction-at-the-upper-level"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope, by = self.slope(denoiser, x, sigma_t, cond), per_row(sigma_s - sigma_t, x)
        again = self.slope(denoiser, x + by * slope, sigma_t, cond)
        return x + by * torch.where(per_row((sigma_s > 0).to(x.dtype), x) > 0, (slope + again) / 2, slope)


class HeunForTheBatch(Heun):
    """The correction is left out for all rows where one ends at 0."""

    name = "kit17-correction-for-the-batch"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            if bool((sigma_s > 0).all()):
                x = super().sample(denoiser, x, torch.stack([sigma_t, sigma_s]), generator, cond)
            else:
                x = Flow().step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x


class HeunTwoThirds(Flow):
    """The two slopes are weighed 2/3 and 1/3: first order, where the second is claimed."""

    name = "kit17-correction-of-a-third"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope, by = self.slope(denoiser, x, sigma_t, cond), per_row(sigma_s - sigma_t, x)
        inside = sigma_s > 0
        again = self.slope(denoiser, x + by * slope, torch.where(inside, sigma_s, sigma_t), cond)
        return x + by * torch.where(per_row(inside.to(x.dtype), x) > 0, (2 * slope + again) / 3, slope)


class Remembers(Flow):
    """A running mean of the slope, meant to damp it, which is kept from one call to the next."""

    name = "kit17-slope-kept-between-calls"

    kept: ClassVar[dict] = {}

    def slope(self, denoiser, x, sigma, cond):
        found = super().slope(denoiser, x, sigma, cond)
        old = self.kept.get("slope")
        self.kept["slope"] = found.detach()
        return 0.9 * found + 0.1 * old if old is not None and old.shape == found.shape else found


class Multistep(Sampler):
    """The second of DPM-Solver++(2M), with the sign of its correction lost."""

    name = "kit17-multistep-sign-lost"
    claims = Heun.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            found = denoiser(x, sigma_t, **cond).to(x.dtype)
            inside = per_row((sigma_s > 0).to(x.dtype), x)
            used = found if old is None else found - inside * (found - old) / 2
            x, old = used + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - used), found
        return x


class CorrectionReversed(StochasticHeun):
    """The correction of the step has the other sign, as the difference was taken the other way round."""

    name = "kit17-stochastic-correction-reversed"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            r = per_row((sigma_s / sigma_t) ** 2, x).to(x.dtype)
            found = denoiser(x, sigma_t, **cond).to(x.dtype)
            std = (per_row(sigma_s, x) * (1 - r).clamp(min=0).sqrt()).to(x.dtype)
            p = r * x + (1 - r) * found + std * standard_normal(x, generator)
            ahead = denoiser(p, torch.where(sigma_s > 0, sigma_s, sigma_t), **cond).to(x.dtype)
            x = torch.where(per_row((sigma_s > 0).to(x.dtype), x) > 0, p + (1 - r) / 2 * (found - ahead), p)
        return x


BASES = (Steps, Flow)
WRONG = [
    value()
    for value in list(globals().values())
    if isinstance(value, type) and value.__module__ == __name__ and value not in BASES
]
