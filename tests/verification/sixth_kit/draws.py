"""Samplers that draw, and samplers of second order: the wrong ones."""

from __future__ import annotations

import torch

from ambientkit.maths.noise import per_row, standard_normal
from tests.verification.sixth_kit.marks import Marked, marked
from tests.verification.sixth_kit.samplers import FLOW, Ancestor, Multistep, Stepwise, TwoStage

WRONG: Marked = []
RIGHT: Marked = []


@marked(WRONG, "r is the ratio of the levels, not of their squares, in the noise")
class RatioOfLevels(Ancestor):
    name = "six-ratio-of-levels"

    def levels(self, sigma_t, sigma_s):
        up = sigma_s * (1 - sigma_s / sigma_t).clamp(min=0).sqrt()
        return (sigma_s**2 - up**2).clamp(min=0).sqrt(), up


@marked(WRONG, "the variance of the noise is taken for its std")
class VarianceForStd(Ancestor):
    name = "six-variance-for-std"

    def levels(self, sigma_t, sigma_s):
        down, up = super().levels(sigma_t, sigma_s)
        return down, up**2


@marked(WRONG, "noise is added, but the step goes down no further than without it")
class NotFurtherDown(Ancestor):
    name = "six-not-further-down"

    def levels(self, sigma_t, sigma_s):
        return sigma_s, super().levels(sigma_t, sigma_s)[1]


@marked(WRONG, "noise of std sqrt(sigma_t^2 - sigma_s^2), as the score-SDE predictor has it, even in the last step")
class Predictor(Ancestor):
    name = "six-predictor"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = self.ask(denoiser, x, sigma_t, cond)
        share = per_row(1 - (sigma_s / sigma_t) ** 2, x)
        noise = per_row((sigma_t**2 - sigma_s**2).sqrt(), x) * self.noise(x, generator)
        return x + share * (x_0_hat - x) + noise


@marked(WRONG, "one draw of noise for all rows")
class OneForAll(Ancestor):
    name = "six-one-for-all"

    def noise(self, x, generator):
        first = generator if isinstance(generator, torch.Generator) else generator[0]
        return torch.randn(x.shape[1:], generator=first, dtype=x.dtype).expand_as(x)


@marked(WRONG, "torch's global generator")
class GlobalDraws(Ancestor):
    name = "six-global-draws"

    def noise(self, x, generator):
        return torch.randn_like(x)


@marked(WRONG, "one draw of noise serves all steps")
class OneForAllSteps(Ancestor):
    name = "six-one-for-all-steps"

    def sample(self, denoiser, x, sigmas, generator, cond):
        z = standard_normal(x, generator)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            down, up = self.levels(sigma_t, sigma_s)
            x = Stepwise.step(self, denoiser, x, sigma_t, down, generator, cond) + per_row(up, x) * z
        return x


@marked(WRONG, "the noise is that of a generator seeded anew in each step")
class SeededAnew(Ancestor):
    name = "six-seeded-anew"

    def noise(self, x, generator):
        return standard_normal(x, torch.Generator().manual_seed(1234))


@marked(WRONG, "two draws are averaged, and the noise has lost half of its variance")
class AveragedDraws(Ancestor):
    name = "six-averaged-draws"

    def noise(self, x, generator):
        return (standard_normal(x, generator) + standard_normal(x, generator)) / 2


@marked(WRONG, "temperature 0.95: the noise is scaled down for cleaner pictures")
class Temperature(Ancestor):
    name = "six-temperature"

    def noise(self, x, generator):
        return 0.95 * standard_normal(x, generator)


@marked(WRONG, "a step of the flow said to be a draw from the reverse kernel")
class FlowForKernel(Stepwise):
    name = "six-flow-for-kernel"
    claims = FLOW | {"reverse-kernel"}


@marked(WRONG, "the ends are x_0_hat with fresh noise: multistep sampling of consistency models")
class Renoised(Ancestor):
    name = "six-renoising"

    def levels(self, sigma_t, sigma_s):
        return torch.zeros_like(sigma_s), sigma_s


@marked(WRONG, "churn: noise is added, and the denoiser told the level before it")
class ChurnUntold(Ancestor):
    name = "six-churn-untold"
    claims = FLOW

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x = x + per_row(0.3 * sigma_t, x) * self.noise(x, generator)
        return Stepwise.step(self, denoiser, x, sigma_t, sigma_s, generator, cond)


@marked(WRONG, "churn above the first level of the grid, though none above it is claimed")
class ChurnAbove(Ancestor):
    name = "six-churn-above"
    claims = FLOW

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        raised = 1.1 * sigma_t
        x = x + per_row((raised**2 - sigma_t**2).sqrt(), x) * self.noise(x, generator)
        return Stepwise.step(self, denoiser, x, raised, sigma_s, generator, cond)


@marked(WRONG, "the second slope is taken at the level of the first")
class SecondAtFirst(TwoStage):
    name = "six-second-at-first"

    def second(self, denoiser, ahead, sigma_t, sigma_s, cond):
        return (ahead - self.ask(denoiser, ahead, sigma_t, cond)) / per_row(sigma_t, ahead)


@marked(WRONG, "the second slope alone: no mean of both, first order")
class SecondAlone(TwoStage):
    name = "six-second-alone"

    def joined(self, first, second):
        return second


@marked(WRONG, "whether a row ends at 0 is read off the first row")
class EndOfFirst(TwoStage):
    name = "six-end-of-first"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - self.ask(denoiser, x, sigma_t, cond)) / per_row(sigma_t, x)
        step = per_row(sigma_s - sigma_t, x)
        ahead = x + step * slope
        if sigma_s[0] == 0:
            return ahead
        second = (ahead - self.ask(denoiser, ahead, sigma_s, cond)) / per_row(sigma_s, x)
        return x + step * (slope + second) / 2


@marked(WRONG, "the step to 0 divides by it")
class DividesByZero(TwoStage):
    name = "six-divides-by-0"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - self.ask(denoiser, x, sigma_t, cond)) / per_row(sigma_t, x)
        step = per_row(sigma_s - sigma_t, x)
        ahead = x + step * slope
        second = (ahead - self.ask(denoiser, ahead, sigma_s, cond)) / per_row(sigma_s, x)
        return x + step * (slope + second) / 2


@marked(WRONG, "the ratio of the steps is turned round in the extrapolation")
class TurnedRatio(Multistep):
    name = "six-turned-ratio"

    def extrapolated(self, now, before, h, last):
        r = h / last
        return (1 + 1 / (2 * r)) * now - 1 / (2 * r) * before


@marked(WRONG, "the sign of the extrapolation: towards the estimate before")
class TowardsBefore(Multistep):
    name = "six-towards-before"

    def extrapolated(self, now, before, h, last):
        r = last / h
        return (1 - 1 / (2 * r)) * now + 1 / (2 * r) * before


LAST: dict[tuple[int, ...], torch.Tensor] = {}


@marked(WRONG, "the estimate before is kept between calls: the first step extrapolates from another run")
class KeptBetweenCalls(Multistep):
    name = "six-kept-between-calls"

    def sample(self, denoiser, x, sigmas, generator, cond):
        before = LAST.get(tuple(x.shape))
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            now = self.ask(denoiser, x, sigma_t, cond)
            d = now if before is None else 1.5 * now - 0.5 * before
            ratio = per_row(sigma_s / sigma_t, x)
            x = ratio * x + (1 - ratio) * torch.where(per_row((sigma_s > 0).to(x), x) > 0, d, now)
            before = now
        LAST[tuple(x.shape)] = before.detach()
        return x
