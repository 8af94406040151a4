"""Samplers."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []
FLOW = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})
DRAWS = FLOW | {"reverse-kernel", "exact-for-points"}
HEUN = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})


class Stepwise(Sampler):
    """One step after another, which the others define."""

    source = "arXiv 2206.00364, algorithm 1"
    claims = FLOW

    def ask(self, denoiser, x, sigma, cond):
        return denoiser(x, sigma, **cond).to(x.dtype)

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        ratio = per_row(sigma_s / sigma_t, x)
        return ratio * x + (1 - ratio) * self.ask(denoiser, x, sigma_t, cond)

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x


@marked(RIGHT, "Euler's step written as an average of x and the estimate")
class Average(Stepwise):
    name = "six-average"


class Ancestor(Stepwise):
    """A step down and noise up, as in k-diffusion."""

    claims = DRAWS

    def levels(self, sigma_t, sigma_s):
        up = sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        return (sigma_s**2 - up**2).clamp(min=0).sqrt(), up

    def noise(self, x, generator):
        return standard_normal(x, generator)

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        down, up = self.levels(sigma_t, sigma_s)
        x = super().step(denoiser, x, sigma_t, down, generator, cond)
        return x + per_row(up, x) * self.noise(x, generator)


@marked(RIGHT, "ancestral steps as k-diffusion writes them: down, then noise up")
class DownUp(Ancestor):
    name = "six-down-up"


@marked(RIGHT, "DDIM with half of the noise: the law is kept, the reverse kernel not claimed")
class HalfNoise(Ancestor):
    name = "six-half-eta"
    claims = FLOW
    eta: float = Field(0.5, ge=0, le=1)
    """Share of the std of the ancestral noise."""

    def levels(self, sigma_t, sigma_s):
        up = self.eta * sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        return (sigma_s**2 - up**2).clamp(min=0).sqrt(), up


@marked(RIGHT, "Euler in float64, its coefficients by numpy, returned in the dtype of x")
class ByNumpy(Stepwise):
    name = "six-by-numpy"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = self.ask(denoiser, x, sigma_t, cond)
        levels = (one.double().cpu().numpy() for one in (sigma_s, sigma_t))
        ratio = per_row(torch.from_numpy(np.divide(*levels)), x)
        return (ratio * x.double() + (1 - ratio) * x_0_hat.double()).to(x)


class TwoStage(Stepwise):
    """Heun's rule in steps."""

    claims = HEUN

    def second(self, denoiser, ahead, sigma_t, sigma_s, cond):
        return (ahead - self.ask(denoiser, ahead, sigma_s, cond)) / per_row(sigma_s, ahead)

    def joined(self, first, second):
        return (first + second) / 2

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - self.ask(denoiser, x, sigma_t, cond)) / per_row(sigma_t, x)
        step = per_row(sigma_s - sigma_t, x)
        ahead = x + step * slope
        inside = sigma_s > 0
        if not bool(inside.any()):
            return ahead
        second = self.second(denoiser, ahead, sigma_t, torch.where(inside, sigma_s, sigma_t), cond)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, x + step * self.joined(slope, second), ahead)


@marked(RIGHT, "the midpoint rule at the geometric mean of the levels, Euler to 0")
class Midpoint(TwoStage):
    name = "six-midpoint"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        inside = sigma_s > 0
        middle = torch.where(inside, (sigma_t * sigma_s).sqrt(), sigma_t)
        ahead = Stepwise.step(self, denoiser, x, sigma_t, middle, generator, cond)
        x_0_hat = self.ask(denoiser, ahead, middle, cond)
        ratio = per_row(sigma_s / sigma_t, x)
        return ratio * x + (1 - ratio) * x_0_hat


class Multistep(Stepwise):
    """DPM-Solver++ (2M), arXiv 2211.01095, algorithm 2."""

    claims = HEUN

    def extrapolated(self, now, before, h, last):
        r = last / h
        return (1 + 1 / (2 * r)) * now - 1 / (2 * r) * before

    def sample(self, denoiser, x, sigmas, generator, cond):
        before = h_before = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            now = self.ask(denoiser, x, sigma_t, cond)
            low = torch.where(sigma_s > 0, sigma_s, sigma_t / 2)
            h = per_row(torch.log(sigma_t / low), x)
            d = now
            if before is not None:
                d = torch.where(per_row((sigma_s > 0).to(x), x) > 0, self.extrapolated(now, before, h, h_before), now)
            ratio = per_row(sigma_s / sigma_t, x)
            x = ratio * x + (1 - ratio) * d
            before, h_before = now, h
        return x


@marked(RIGHT, "DPM-Solver++ (2M): one call a level, second order")
class TwoM(Multistep):
    name = "six-2m"


@marked(RIGHT, "a subclass of stochastic-heun that splits each step into two")
class Split(StochasticHeun):
    name = "six-split"

    def sample(self, denoiser, x, sigmas, generator, cond):
        finer = [sigmas[0]]
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            finer += [(sigma_t + sigma_s) / 2, sigma_s]
        return super().sample(denoiser, x, torch.stack(finer), generator, cond)


@marked(WRONG, "the denoiser is told the level of the end of the step")
class ToldEnd(Stepwise):
    name = "six-told-end"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        ratio = per_row(sigma_s / sigma_t, x)
        return ratio * x + (1 - ratio) * self.ask(denoiser, x, torch.where(sigma_s > 0, sigma_s, sigma_t), cond)


@marked(WRONG, "the denoiser is told the log of the level, as c_noise")
class ToldLog(Stepwise):
    name = "six-told-log"

    def ask(self, denoiser, x, sigma, cond):
        return denoiser(x, torch.exp(sigma.log() / 4), **cond)


@marked(WRONG, "the last step is left out")
class LastLeftOut(Stepwise):
    name = "six-last-left-out"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[:-1] if len(sigmas) > 2 else sigmas, generator, cond)


@marked(WRONG, "the first level is skipped: x is taken to be at the second")
class FirstSkipped(Stepwise):
    name = "six-first-skipped"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[1:] if len(sigmas) > 2 else sigmas, generator, cond)


@marked(WRONG, "every other level is skipped, and all are said to be visited")
class EveryOther(Stepwise):
    name = "six-every-other"

    def sample(self, denoiser, x, sigmas, generator, cond):
        kept = [i for i in range(len(sigmas)) if i % 2 == 0 or i == len(sigmas) - 1]
        return super().sample(denoiser, x, sigmas[kept], generator, cond)


@marked(WRONG, "a grid of its own between the first and the last level")
class OwnGrid(Stepwise):
    name = "six-own-grid"

    def sample(self, denoiser, x, sigmas, generator, cond):
        ramp = torch.linspace(0, 1, len(sigmas), dtype=sigmas.dtype).unsqueeze(1)
        grid = (sigmas[0] ** (1 / 7) + ramp * (sigmas[-1] ** (1 / 7) - sigmas[0] ** (1 / 7))) ** 7
        return super().sample(denoiser, x, torch.cat([sigmas[:1], grid[1:-1], sigmas[-1:]]), generator, cond)


@marked(WRONG, "the grid of the first row serves all")
class GridOfFirst(Stepwise):
    name = "six-grid-of-first"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[:, :1].expand_as(sigmas), generator, cond)


@marked(WRONG, "the order of the levels is mended by sorting over the rows, not over the steps")
class SortedRows(Stepwise):
    name = "six-sorted-rows"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas.sort(dim=1, descending=True).values, generator, cond)


@marked(WRONG, "conditions are dropped")
class DropsConditions(Stepwise):
    name = "six-drops-conditions"

    def ask(self, denoiser, x, sigma, cond):
        return denoiser(x, sigma)


@marked(WRONG, "x is changed in place")
class InPlace(Stepwise):
    name = "six-sampler-in-place"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = self.ask(denoiser, x, sigma_t, cond)
        ratio = per_row(sigma_s / sigma_t, x)
        return x.mul_(ratio).add_((1 - ratio) * x_0_hat)


@marked(WRONG, "the estimate is clipped to [-1, 1], as DDPM does")
class ClipsDenoised(Stepwise):
    name = "six-clips-denoised"

    def ask(self, denoiser, x, sigma, cond):
        return super().ask(denoiser, x, sigma, cond).clamp(-1, 1)


@marked(WRONG, "dynamic thresholds: a quantile over the batch bounds the estimate")
class DynamicThreshold(Stepwise):
    name = "six-dynamic-threshold"

    def ask(self, denoiser, x, sigma, cond):
        x_0_hat = super().ask(denoiser, x, sigma, cond)
        edge = torch.quantile(x_0_hat.abs().flatten().float(), 0.995).to(x)
        return x_0_hat.clamp(-edge, edge)


@marked(WRONG, "levels by their logarithm, to which 0 has none: a grid that ends in 0 gives nan")
class LogSteps(Stepwise):
    name = "six-log-steps"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = self.ask(denoiser, x, sigma_t, cond)
        return x + per_row(torch.log(sigma_s) - torch.log(sigma_t), x) * (x - x_0_hat)


@marked(WRONG, "computed in float32 and returned so, whatever x was")
class Float32(Stepwise):
    name = "six-float32"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x.float(), sigmas.float(), generator, cond)


@marked(WRONG, "x is kept in bfloat16 between steps")
class BetweenSteps(Stepwise):
    name = "six-between-steps"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return super().step(denoiser, x, sigma_t, sigma_s, generator, cond).bfloat16().to(x.dtype)


@marked(WRONG, "decorated by no_grad: it sets the grad mode")
class NoGrad(Stepwise):
    name = "six-no-grad"

    @torch.no_grad()
    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas, generator, cond)
