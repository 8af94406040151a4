"""Samplers that are wrong."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.interfaces import Denoiser, Sampler
from ambientkit.maths.noise import RandomSource, per_row, standard_normal

DRAWS = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})
FLOWS = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})


class Steps(Sampler):
    """`ancestral`, a step at a time."""

    name = "eight-steps-base"
    source = "arXiv 2006.11239, eq. 6-7"
    claims = DRAWS

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Level by level."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x

    def step(
        self,
        denoiser: Denoiser,
        x: Tensor,
        sigma_t: Tensor,
        sigma_s: Tensor,
        generator: RandomSource,
        cond: Mapping[str, Tensor],
    ) -> Tensor:
        """x_s."""
        answer = denoiser(x, sigma_t, **cond).to(x.dtype)
        t, s = per_row(sigma_t, x), per_row(sigma_s, x)
        return self.moved(x, answer, t.to(x.dtype), s.to(x.dtype), lambda: standard_normal(x, generator))

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        """Of x and D."""
        r = (s / t) ** 2
        return r * x + (1 - r) * answer + s * (1 - r).clamp(min=0).sqrt() * z()


class FullNoise(Steps):
    """Noise of std sigma_s after a full denoising, as if a step began anew: D + sigma_s z forgets x_t."""

    name = "eight-full-noise"

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        return answer + s * z()


class VarianceOfForward(Steps):
    """The forward variance sigma_t^2 - sigma_s^2 as that of the step: DDPM's larger choice, wrong for few steps."""

    name = "eight-larger-variance"

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        r = (s / t) ** 2
        last = (s > 0).to(x.dtype)
        return r * x + (1 - r) * answer + last * (t**2 - s**2).clamp(min=0).sqrt() * z()


class HalfEta(Steps):
    """DDIM with eta 1/2, under the claim of the reverse kernel."""

    name = "eight-half-eta"
    claims = DRAWS - {"exact-for-points"}

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        up = 0.5 * s * (1 - (s / t) ** 2).clamp(min=0).sqrt()
        down = (s**2 - up**2).clamp(min=0).sqrt()
        return answer + down / t * (x - answer) + up * z()


class DownNotLowered(Steps):
    """Adds noise without going further down for it: too much in each step."""

    name = "eight-down-not-lowered"

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        return answer + s / t * (x - answer) + s * (1 - (s / t) ** 2).clamp(min=0).sqrt() * z()


class ClipsAnswer(Steps):
    """Answers are clipped to [-1, 1], as diffusers' clip_sample does: data beyond it are folded in."""

    name = "eight-clips-answer"

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        return super().moved(x, answer.clamp(-1, 1), t, s, z)


class EndsDenoised(Steps):
    """Gives back D of the last point: rows at level 0 wherever the grid ends."""

    name = "eight-ends-denoised"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        x = super().sample(denoiser, x, sigmas, generator, cond)
        last = torch.where(sigmas[-1] > 0, sigmas[-1], sigmas[-2])
        return torch.where(per_row(sigmas[-1], x) > 0, denoiser(x, last, **cond).to(x.dtype), x)


class LastLeftOut(Steps):
    """The last step is left out."""

    name = "eight-last-left-out"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        return super().sample(denoiser, x, sigmas[:-1] if len(sigmas) > 2 else sigmas, generator, cond)


class StopsAtLeast(Steps):
    """Levels below a hundredth are left out: the result has that noise."""

    name = "eight-stops-at-least"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        return super().sample(denoiser, x, sigmas.clamp(min=0.03), generator, cond)


class GridOfFirst(Steps):
    """The first row's grid for all rows."""

    name = "eight-grid-of-first"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        return super().sample(denoiser, x, sigmas[:, :1].expand_as(sigmas), generator, cond)


class SameDraw(Steps):
    """One z for all steps."""

    name = "eight-same-draw"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        z = standard_normal(x, generator)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            answer = denoiser(x, sigma_t, **cond).to(x.dtype)
            x = self.moved(x, answer, per_row(sigma_t, x), per_row(sigma_s, x), lambda: z)
        return x


class MirroredRows(Steps):
    """The second half of the rows has the first half's noise mirrored: samples come in pairs."""

    name = "eight-mirrored-rows"
    claims = DRAWS - {"row-generators"}

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        def paired() -> Tensor:
            half = z()
            rows = (len(half) + 1) // 2
            return torch.cat([half[:rows], -half[:rows]])[: len(half)]

        return super().moved(x, answer, t, s, paired)


class SwitchesOff(Steps):
    """Switches gradients off, as k-diffusion's functions do: what trains through a sampler learns nothing."""

    name = "eight-switches-off"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        with torch.no_grad():
            return super().sample(denoiser, x, sigmas, generator, cond)


class Unconditional(Steps):
    """The first step has no conditions."""

    name = "eight-first-unconditional"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        x = super().sample(denoiser, x, sigmas[:2], generator, {})
        return super().sample(denoiser, x, sigmas[1:], generator, cond) if len(sigmas) > 2 else x


class StartScaled(Steps):
    """Scales its start to sigmas[0], as where a sampler is given unit noise: what comes at that level is blown up."""

    name = "eight-start-scaled"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        std = x.flatten(1).std(1).clamp(min=1e-3) if x[0].numel() > 1 else sigmas[0]
        return super().sample(denoiser, x * per_row(sigmas[0] / std, x).to(x.dtype), sigmas, generator, cond)


class Corrected(Steps):
    """A Langevin step after each level, with half of the noise it needs."""

    name = "eight-corrected"
    claims = DRAWS - {"exact-for-points", "order-1"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond) -> Tensor:
        x = super().step(denoiser, x, sigma_t, sigma_s, generator, cond)
        if not bool((sigma_s > 0).all()):
            return x
        s = per_row(sigma_s, x).to(x.dtype)
        score = (denoiser(x, sigma_s, **cond).to(x.dtype) - x) / s**2
        step = 0.1 * s**2
        return x + step * score + step.sqrt() * standard_normal(x, generator)


class Flow(Steps):
    """Euler's rule."""

    name = "eight-flow-base"
    source = "arXiv 2206.00364, algorithm 1"
    claims = FLOWS

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        return x + (s - t) * (x - answer) / t


class FlowAsKernel(Flow):
    """Deterministic, said to draw from the reverse kernel."""

    name = "eight-flow-as-kernel"
    claims = FLOWS | {"reverse-kernel"}


class SlopeOfStart(Flow):
    """Heun's rule whose second slope is divided by the first level."""

    name = "eight-slope-of-start"
    claims = FLOWS | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond) -> Tensor:
        t, s = per_row(sigma_t, x).to(x.dtype), per_row(sigma_s, x).to(x.dtype)
        slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / t
        ahead = x + (s - t) * slope
        if not bool((sigma_s > 0).all()):
            return ahead
        second = (ahead - denoiser(ahead, sigma_s, **cond).to(x.dtype)) / t
        return x + (s - t) * (slope + second) / 2


class BashforthEven(Flow):
    """Adams and Bashforth's rule of order 2 with the weights of even steps on a grid that is not even."""

    name = "eight-bashforth-even"
    claims = FLOWS | {"order-2"}

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        before = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x).to(x.dtype)
            used = slope if before is None else 2 * slope - before
            x, before = x + per_row(sigma_s - sigma_t, x).to(x.dtype) * used, slope
        return x


class AllOrNone(Flow):
    """Heun's rule that falls back to Euler's for all rows where any of them ends at 0."""

    name = "eight-all-or-none"
    claims = FLOWS | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond) -> Tensor:
        t, s = per_row(sigma_t, x).to(x.dtype), per_row(sigma_s, x).to(x.dtype)
        slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / t
        ahead = x + (s - t) * slope
        if not bool((sigma_s > 0).all()):
            return ahead
        return x + (s - t) * (slope + (ahead - denoiser(ahead, sigma_s, **cond).to(x.dtype)) / s) / 2


class LogOfZero(Flow):
    """DPM-Solver++ in log sigma, which is not finite at level 0."""

    name = "eight-log-of-zero"

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        h = t.log() - s.log()
        return (-h).exp() * x - torch.expm1(-h) * answer + h * 0


class KeptAnswer(Flow):
    """Keeps the answer of a step where the next level is near, to save calls: the level is not visited."""

    name = "eight-kept-answer"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        answer = None
        for i, (sigma_t, sigma_s) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            if answer is None or i % 3 != 2:
                answer = denoiser(x, sigma_t, **cond).to(x.dtype)
            x = self.moved(x, answer, per_row(sigma_t, x), per_row(sigma_s, x), None)
        return x


class SingleStep(Steps):
    """A grid of two levels is answered by D plus noise of sigma_s, as where one step means a whole generation."""

    name = "eight-single-step"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        if len(sigmas) > 2:
            return super().sample(denoiser, x, sigmas, generator, cond)
        answer = denoiser(x, sigmas[0], **cond).to(x.dtype)
        return answer + per_row(sigmas[1], x).to(x.dtype) * standard_normal(x, generator)


class SecondDraw(Steps):
    """Stochastic Heun whose second stage has noise of its own: it moves with the wrong noise."""

    name = "eight-second-draw"
    claims = DRAWS | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond) -> Tensor:
        answer = denoiser(x, sigma_t, **cond).to(x.dtype)
        t, s = per_row(sigma_t, x).to(x.dtype), per_row(sigma_s, x).to(x.dtype)
        ahead = self.moved(x, answer, t, s, lambda: standard_normal(x, generator))
        if not bool((sigma_s > 0).all()):
            return self.moved(x, answer, t, s, lambda: standard_normal(x, generator))
        second = denoiser(ahead, sigma_s, **cond).to(x.dtype)
        return self.moved(x, (answer + second) / 2, t, s, lambda: standard_normal(x, generator))


PARTS = (
    FullNoise, VarianceOfForward, HalfEta, DownNotLowered, ClipsAnswer, EndsDenoised, LastLeftOut, StopsAtLeast,
    GridOfFirst, SameDraw, MirroredRows, SwitchesOff, Unconditional, StartScaled, Corrected, FlowAsKernel,
    SlopeOfStart, BashforthEven, AllOrNone, LogOfZero, KeptAnswer, SingleStep, SecondDraw,
)  # fmt: skip
