"""Wrong samplers."""

from __future__ import annotations

import torch

from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_moments, reverse_step

FLOW = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})


class Steps(Sampler):
    """A base: one step after another, each in a method, and what is remembered of the one before."""

    name = "kit20-base-steps"
    claims = Ancestral.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        """The next points, and what the next step is given of this one."""
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        return reverse_step(x, x_0_hat, sigma_t, sigma_s, generator), None

    def sample(self, denoiser, x, sigmas, generator, cond):
        before = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x, before = self.step(denoiser, x, sigma_t, sigma_s, generator, cond, before)
        return x


class RatioOfVp(Steps):
    """r is a ratio of VP variances, s^2 over 1 + s^2 at each level, in the step of the variance-exploding form."""

    name = "kit20-ratio-of-vp-variances"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        low, high = (level / torch.hypot(torch.ones_like(level), level) for level in (sigma_s, sigma_t))
        return reverse_step(x, x_0_hat, high, low, generator), None


class AnswersSmoothed(Steps):
    """Three tenths of the last step's answer are kept in each answer, for smooth paths."""

    name = "kit20-answers-averaged-with-the-last"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        x_0_hat = x_0_hat if before is None else 0.7 * x_0_hat + 0.3 * before
        return reverse_step(x, x_0_hat, sigma_t, sigma_s, generator), x_0_hat


class NoiseOfSeedZero(Steps):
    """Noise comes from a new generator of seed 0 in each call, for samples that can be compared."""

    name = "kit20-noise-of-seed-zero"

    def sample(self, denoiser, x, sigmas, generator, cond):
        own = torch.Generator(x.device).manual_seed(0)
        return super().sample(denoiser, x, sigmas, own, cond)


class UniformNoise(Steps):
    """The noise of steps is uniform, of the right variance."""

    name = "kit20-uniform-noise-of-steps"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s)
        return mean + std.to(x.dtype) * 12**0.5 * (uniform(x, generator) - 0.5), None


class AntitheticRows(Steps):
    """Noise is drawn for half of the rows, and mirrored for the others, in each call: rows depend on their batch."""

    name = "kit20-half-of-the-rows-mirrored"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s)
        z, half = standard_normal(x, generator), len(x) // 2
        z = torch.cat([z[: len(z) - half], -z[:half]])
        return mean + std.to(x.dtype) * z, None


class MiddleLevel(Steps):
    """The denoiser is told the geometric mean of the two levels of a step, at the point of the upper one."""

    name = "kit20-tells-the-middle-of-the-step"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        told = torch.where(sigma_s > 0, (sigma_s * sigma_t).sqrt(), sigma_t)
        return reverse_step(x, denoiser(x, told, **cond).to(x.dtype), sigma_t, sigma_s, generator), None


class LangevinWithoutDrift(Steps):
    """A corrector adds a fifth of the level as noise after each step, without the drift that would balance it."""

    name = "kit20-corrector-without-drift"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        x, _ = super().step(denoiser, x, sigma_t, sigma_s, generator, cond, before)
        return x + 0.2 * per_row(sigma_s, x) * standard_normal(x, generator), None


class NoiseFades(Steps):
    """The noise of steps fades with the level, to half at the lowest, for pictures with less grain."""

    name = "kit20-noise-fades-at-low-levels"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s)
        fade = 1 - 0.5 / (1 + 4 * per_row(sigma_s, x))
        return mean + fade * std.to(x.dtype) * standard_normal(x, generator), None


class Detached(Steps):
    """Answers are detached from the graph, so that no gradient passes from the result to the denoiser."""

    name = "kit20-answers-detached"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype).detach()
        return reverse_step(x, x_0_hat, sigma_t, sigma_s, generator), None


class InPlace(Steps):
    """The first step is made in place, in the points of the caller."""

    name = "kit20-steps-in-place"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        new = super().step(denoiser, x, sigma_t, sigma_s, generator, cond, before)[0]
        if before is None:
            x.data.copy_(new.detach())
        return new, True


class EndsWithNoise(Steps):
    """A step to 0 ends at three tenths of the level before it, whose noise is left."""

    name = "kit20-last-step-to-three-tenths"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        low = torch.where(sigma_s > 0, sigma_s, 0.3 * sigma_t)
        return super().step(denoiser, x, sigma_t, low, generator, cond, before)


class ConditionsOfNextRow(Steps):
    """Conditions are rolled by one row in each step, as they come from an iterator that goes on."""

    name = "kit20-conditions-move-on-with-steps"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        own = cond if before is None else before
        x, _ = super().step(denoiser, x, sigma_t, sigma_s, generator, own, None)
        return x, {name: value.roll(1, 0) for name, value in own.items()}


class FlowSteps(Steps):
    """A base: Euler's rule on the flow."""

    name = "kit20-base-flow"
    claims = FLOW

    def slope(self, denoiser, x, sigma, cond):
        return (x - denoiser(x, sigma, **cond).to(x.dtype)) / per_row(sigma, x)

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        return x + per_row(sigma_s - sigma_t, x) * self.slope(denoiser, x, sigma_t, cond), None


class ChurnWithoutNoise(FlowSteps):
    """A step begins at a level that is a twentieth higher, as by churn, and its noise is not added."""

    name = "kit20-churn-without-its-noise"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        first = before is None
        up = sigma_t if first else 1.05 * sigma_t
        return super().step(denoiser, x, up, sigma_s, generator, cond, before)[0], True


class SameSlopes(FlowSteps):
    """Heun's second slope is taken at the first point, told the lower level, not at the end of the step."""

    name = "kit20-second-slope-at-the-first-point"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        one = self.slope(denoiser, x, sigma_t, cond)
        inside = per_row((sigma_s > 0).to(x.dtype), x)
        two = self.slope(denoiser, x, torch.where(sigma_s > 0, sigma_s, sigma_t), cond)
        return x + per_row(sigma_s - sigma_t, x) * (one + inside * (two - one) / 2), None


class SharesOfThirds(FlowSteps):
    """Heun's slopes count a third and two thirds."""

    name = "kit20-slopes-a-third-and-two-thirds"
    claims = Heun.claims
    share: float = 2 / 3
    """Of the second slope."""

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        one, step = self.slope(denoiser, x, sigma_t, cond), per_row(sigma_s - sigma_t, x)
        inside = per_row((sigma_s > 0).to(x.dtype), x)
        two = self.slope(denoiser, x + step * one, torch.where(sigma_s > 0, sigma_s, sigma_t), cond)
        return x + step * (one + self.share * inside * (two - one)), None


class EvenSteps(FlowSteps):
    """Adams and Bashforth's rule with 3/2 and -1/2, as for even steps, on a grid whose steps are not."""

    name = "kit20-adams-bashforth-of-even-steps"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        slope = self.slope(denoiser, x, sigma_t, cond)
        inside = per_row((sigma_s > 0).to(x.dtype), x)
        used = slope if before is None else slope + inside * (slope - before) / 2
        return x + per_row(sigma_s - sigma_t, x) * used, slope


class RatioInverted(FlowSteps):
    """DPM-Solver++(2M) whose ratio of steps is inverted in the correction."""

    name = "kit20-multistep-ratio-inverted"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        used, ratio = x_0_hat, per_row(sigma_s / sigma_t, x)
        if before is not None:
            last, level = before
            h, h_last = -torch.log(sigma_s.clamp(min=1e-9) / sigma_t), torch.log(level / sigma_t)
            share = per_row(torch.where(sigma_s > 0, h_last / h.clamp(min=1e-9) / 2, torch.zeros_like(h)), x)
            used = x_0_hat + share * (x_0_hat - last)
        return ratio * x + (1 - ratio) * used, (x_0_hat, sigma_t)


class EtaBySubtraction(FlowSteps):
    """Half of the noise of `ancestral` is added after a step of the flow to sigma_s itself, so that it is too much."""

    name = "kit20-noise-added-after-a-whole-step"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        x, _ = super().step(denoiser, x, sigma_t, sigma_s, generator, cond, before)
        up = 0.5 * sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        return x + per_row(up, x) * standard_normal(x, generator), None


class FreshSecondNoise(StochasticHeun):
    """The second stage is at a point with noise of its own: its difference does not move with that of the step."""

    name = "kit20-fresh-noise-in-the-second-stage"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            ends = [reverse_step(x, x_0_hat, sigma_t, sigma_s, generator) for _ in range(2)]
            inside = sigma_s > 0
            ahead = denoiser(ends[1], torch.where(inside, sigma_s, sigma_t), **cond).to(x.dtype)
            ratio = per_row(sigma_s / sigma_t, x)
            c = 0.15 * (1 - ratio**2) + 0.7 * (1 / ratio.clamp(min=1e-6) - 1)
            x = torch.where(per_row(inside.to(x.dtype), x) > 0, ends[0] + c * (ahead - x_0_hat), ends[0])
        return x


WRONG = [
    part()
    for part in (
        RatioOfVp,
        AnswersSmoothed,
        NoiseOfSeedZero,
        UniformNoise,
        AntitheticRows,
        MiddleLevel,
        LangevinWithoutDrift,
        NoiseFades,
        Detached,
        InPlace,
        EndsWithNoise,
        ConditionsOfNextRow,
        ChurnWithoutNoise,
        SameSlopes,
        SharesOfThirds,
        EvenSteps,
        RatioInverted,
        EtaBySubtraction,
        FreshSecondNoise,
    )
]
