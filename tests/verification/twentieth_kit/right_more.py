"""Right corruptions and samplers."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian, Level
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import ClaimsWhen, Sampler
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_moments, reverse_step

from .samplers import FLOW, FlowSteps, Steps


class Backwards(Gaussian):
    """Noise of views is mirrored along the last axis and has the other sign: it is white all the same."""

    name = "kit20-right-noise-mirrored"

    def degrade(self, batch, sigma, generator):
        mirrored = batch._replace(x_n=batch.x_n.flip(-1), sigma_n=self.flipped(batch))
        view = super().degrade(mirrored, sigma, generator)
        z = (view.x - mirrored.x_n).flip(-1)
        return view._replace(x=batch.x_n - z, cond=batch.cond)

    def flipped(self, batch):
        return batch.sigma_n.flip(-1) if batch.sigma_n.ndim == batch.x_n.ndim > 1 else batch.sigma_n


class RandomAngle(Gaussian):
    """The noise of rows is cos(a) z + sin(a) z' at a random angle for each row."""

    name = "kit20-right-noise-at-a-random-angle"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        level = per_row(batch.sigma_n, x_0)
        angle = per_row(2 * math.pi * uniform(batch.sigma_n.unsqueeze(1), generator).squeeze(1), x_0)
        z = torch.cos(angle) * standard_normal(x_0, generator) + torch.sin(angle) * standard_normal(x_0, generator)
        return batch._replace(x_n=x_0 + level * z)


class Chequered(Gaussian):
    """Noise by pixel: every second value along the last axis has a third of the level of the others."""

    name = "kit20-right-every-second-value-is-quiet"

    strong: float = Field(0.3, ge=0)
    """Std of the others."""

    def observe(self, x_0, row, generator):
        level = torch.full_like(x_0, self.strong)
        level[..., 1::2] /= 3
        return Batch(x_0 + level * standard_normal(x_0, generator), level, row, {})


class RootUniform(Gaussian):
    """Levels of rows with a variance that is uniform up to a highest one."""

    name = "kit20-right-uniform-variances"

    high: float = Field(0.4, gt=0)
    """Highest level."""

    def observe(self, x_0, row, generator):
        one_each = x_0.new_empty(len(x_0), 1)
        sigma_n = self.high * (0.05 + 0.95 * uniform(one_each, generator)).sqrt().squeeze(1)
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})


class ByChannel(Gaussian):
    """Noise by pixel: the level grows from channel to channel, or along rows of one axis."""

    name = "kit20-right-levels-by-channel"

    low: float = Field(0.1, gt=0)
    """Std of the first one."""

    def observe(self, x_0, row, generator):
        ramp = self.low * (1 + torch.arange(x_0.shape[1], dtype=x_0.dtype, device=x_0.device) / x_0.shape[1])
        level = ramp.reshape(1, -1, *[1] * (x_0.ndim - 2)).expand_as(x_0)
        return Batch(x_0 + level * standard_normal(x_0, generator), level, row, {})


class InFloat64(Gaussian):
    """Views are made in float64, with fewer claims: pairs are not drawn for it."""

    name = "kit20-right-tops-up-in-float64"
    claims = frozenset({"gaussian-noise", "row-generators"})

    def degrade(self, batch, sigma, generator):
        wide = batch._replace(x_n=batch.x_n.double(), sigma_n=batch.sigma_n.double())
        view = super().degrade(wide, sigma.double(), generator)
        return view._replace(x=view.x.to(batch.x_n.dtype), sigma=sigma)


class MissingRows(Mask):
    """Lines are missing but for those in the middle, and few are hidden by a step."""

    name = "kit20-right-missing-lines"

    kind: Literal["rows", "columns"] = "rows"
    missing: float = Field(0.3, ge=0, lt=1)
    drop: float = Field(0.3, gt=0, lt=1)
    centre: float = Field(0.2, ge=0, le=1)


class NoisyPixels(Mask):
    """A quarter of the pixels is missing, the others have noise of a level for each row."""

    name = "kit20-right-noisy-pixels"

    missing: float = Field(0.25, ge=0, lt=1)
    drop: float = Field(0.4, gt=0, lt=1)
    sigma_n: tuple[Level, Level] = (0.05, 0.3)


class StrongBlur(Linear):
    """A stronger blur with noise, of which single measurements are missing."""

    name = "kit20-right-half-of-a-blur"

    missing: float = Field(0.5, ge=0, lt=1)
    drop: float = Field(0.3, gt=0, lt=1)
    sigma_n: Level = 0.05
    allow_unseen: bool = True


class MixedRows(Gaussian):
    """Half of the rows are clean; the others have one of many levels."""

    name = "kit20-right-half-is-clean"

    sigma_n: tuple[Level, Level] = (0.1, 0.6)
    clean_share: float = Field(0.5, ge=0, le=1)


class ExponentialHeun(FlowSteps):
    """Heun's rule in the exponential form: x_s = r x + (1 - r) (D + D') / 2, r = sigma_s / sigma_t."""

    name = "kit20-right-exponential-heun"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        r, inside = per_row(sigma_s / sigma_t, x), sigma_s > 0
        ahead = r * x + (1 - r) * x_0_hat
        second = denoiser(ahead, torch.where(inside, sigma_s, sigma_t), **cond).to(x.dtype)
        corrected = ahead + (1 - r) * (second - x_0_hat) / 2
        return torch.where(per_row(inside.to(x.dtype), x) > 0, corrected, ahead), None


class Richardson(FlowSteps):
    """Euler's rule in one step and in two, from which the error of first order is extrapolated away."""

    name = "kit20-right-extrapolated-euler"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        slope, middle = self.slope(denoiser, x, sigma_t, cond), (sigma_t + sigma_s) / 2
        half = per_row(sigma_s - sigma_t, x) / 2
        once = x + 2 * half * slope
        twice = x + half * slope
        twice = twice + half * self.slope(denoiser, twice, middle, cond)
        inside = per_row((sigma_s > 0).to(x.dtype), x) > 0
        return torch.where(inside, 2 * twice - once, once), None


class AdamsBashforth(FlowSteps):
    """Adams and Bashforth's rule of second order on uneven steps; the first step is Euler's, and so is one to 0."""

    name = "kit20-right-adams-bashforth"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        slope, used = self.slope(denoiser, x, sigma_t, cond), None
        if before is not None:
            last, level = before
            share = (sigma_s - sigma_t) / (sigma_t - level) / 2
            used = slope + per_row(torch.where(sigma_s > 0, share, torch.zeros_like(share)), x) * (slope - last)
        return x + per_row(sigma_s - sigma_t, x) * (slope if used is None else used), (slope, sigma_t)


class OfEta(FlowSteps):
    """DDIM with a share eta of the noise: the flow to sigma_down, then noise of std sigma_up."""

    name = "kit20-right-ddim-of-eta"
    claims = ClaimsWhen(FLOW, {"reverse-kernel", "exact-for-points"}, lambda part: part.eta == 1)

    eta: float = Field(1.0, ge=0, le=1)
    """Share of the noise."""

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        up = self.eta * sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        down = (sigma_s**2 - up**2).clamp(min=0).sqrt()
        x = x + per_row(down - sigma_t, x) * self.slope(denoiser, x, sigma_t, cond)
        return x + per_row(up, x) * standard_normal(x, generator), None


class DdpmOfVp(Steps):
    """DDPM's step in variance-preserving variables, by alphas_cumprod = 1 / (1 + sigma^2)."""

    name = "kit20-right-ddpm-by-alphas-cumprod"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        wide = x.double()
        high, low = (per_row(1 / (1 + level.double() ** 2), wide) for level in (sigma_t, sigma_s))
        x_0_hat = denoiser(x, sigma_t, **cond).double()
        alpha = high / low
        mean = low.sqrt() * (1 - alpha) / (1 - high) * x_0_hat + alpha.sqrt() * (1 - low) / (1 - high) * (
            wide * high.sqrt()
        )
        std = ((1 - low) / (1 - high) * (1 - alpha)).clamp(min=0).sqrt()
        return ((mean + std * standard_normal(x, generator).double()) / low.sqrt()).to(x.dtype), None


class HeunThenKernel(Sampler):
    """`heun` in the first half of a grid, and `stochastic-heun` in the second one, by calls to both."""

    name = "kit20-right-heun-then-kernel"
    claims = Heun.claims

    share: float = Field(0.5, ge=0, le=1)
    """Of the steps that are `heun`'s."""

    def sample(self, denoiser, x, sigmas, generator, cond):
        middle = round(self.share * (len(sigmas) - 1))
        if middle >= 1:
            x = Heun().sample(denoiser, x, sigmas[: middle + 1], generator, cond)
        if middle < len(sigmas) - 1:
            x = StochasticHeun().sample(denoiser, x, sigmas[middle:], generator, cond)
        return x


class TwoNormals(Steps):
    """The step of `ancestral` with a sum of two normal draws, at three and four fifths."""

    name = "kit20-right-kernel-of-two-draws"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond, before):
        mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s)
        return mean + std.to(x.dtype) * (
            0.6 * standard_normal(x, generator) + 0.8 * standard_normal(x, generator)
        ), None


class ManySteps(Sampler):
    """Each hop of `ancestral` in several steps of equal ratio of sigma + 0.01."""

    name = "kit20-right-hops-in-many-steps"
    claims = Ancestral.claims

    steps: int = 3
    """In a hop."""

    def sample(self, denoiser, x, sigmas, generator, cond):
        for high, low in zip(sigmas[:-1], sigmas[1:], strict=True):
            levels = [
                (high + 0.01) ** (1 - i / self.steps) * (low + 0.01) ** (i / self.steps) - 0.01
                for i in range(1, self.steps)
            ]
            for sigma_t, sigma_s in zip([high, *levels], [*levels, low], strict=True):
                x = reverse_step(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s, generator)
        return x


RIGHT = [
    part()
    for part in (
        Backwards,
        RandomAngle,
        Chequered,
        RootUniform,
        ByChannel,
        InFloat64,
        MissingRows,
        NoisyPixels,
        StrongBlur,
        MixedRows,
        ExponentialHeun,
        Richardson,
        AdamsBashforth,
        OfEta,
        DdpmOfVp,
        HeunThenKernel,
        TwoNormals,
        ManySteps,
    )
]
