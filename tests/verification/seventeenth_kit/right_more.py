"""Right corruptions and samplers that look unusual."""

from __future__ import annotations

import math

import torch

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Sampler
from ambientkit.maths.masks import Kind
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .samplers import FIRST, Flow, Steps


class Chequered(Gaussian):
    """Noise by pixel: every second value has half the level."""

    name = "kit17-right-noise-of-two-levels"

    def observe(self, x_0, row, generator):
        level = self.sigma_n if isinstance(self.sigma_n, float) else self.sigma_n[1]
        odd = torch.arange(x_0[0].numel(), device=x_0.device).reshape(x_0.shape[1:]) % 2
        sigma_n = (level * (1 - 0.5 * odd.to(x_0))).expand_as(x_0).contiguous()
        return Batch(x_0 + sigma_n * standard_normal(x_0, generator), sigma_n, row, {})


class LogUniformRows(Gaussian):
    """The level of a row is log-uniform between two."""

    name = "kit17-right-log-uniform-rows"

    def observe(self, x_0, row, generator):
        u = uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        sigma_n = 0.05 * (0.4 / 0.05) ** u
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})


class BoxMuller(Gaussian):
    """Normal noise by the formula of Box and Muller."""

    name = "kit17-right-box-muller"

    def degrade(self, batch, sigma, generator):
        super().degrade(batch, sigma, generator)
        x = batch.x_n.double()
        missing = (per_row(sigma.double(), x) ** 2 - per_row(batch.sigma_n.double(), x) ** 2).clamp(min=0).sqrt()
        radius = (-2 * (1 - uniform(x, generator)).log()).sqrt()
        z = radius * (2 * math.pi * uniform(x, generator)).cos()
        return View((x + missing * z).to(batch.x_n.dtype), sigma, batch.cond)


class TwoDraws(Gaussian):
    """The noise that is added is made of two independent draws, 0.6 and 0.8."""

    name = "kit17-right-noise-in-two-parts"

    def degrade(self, batch, sigma, generator):
        first, second = (super(TwoDraws, self).degrade(batch, sigma, generator).x - batch.x_n for _ in range(2))
        return View(batch.x_n + 0.6 * first - 0.8 * second, sigma, batch.cond)


class OneGenerator(Gaussian):
    """Noise is drawn by torch from one generator, so that rows are called one by one."""

    name = "kit17-right-one-generator"
    claims = frozenset({"gaussian-noise", "symmetric-degrade"})

    def observe(self, x_0, row, generator):
        sigma_n = x_0.new_full((len(x_0),), self.sigma_n if isinstance(self.sigma_n, float) else self.sigma_n[1])
        own = generator[0] if isinstance(generator, list | tuple) and len(generator) == 1 else generator
        z = torch.randn(x_0.shape, generator=own, dtype=torch.float64, device=x_0.device).to(x_0)
        return Batch(x_0 + per_row(sigma_n, x_0) * z, sigma_n, row, {})


class SmallSteps(Gaussian):
    """Noise is added in two steps, by way of a level between."""

    name = "kit17-right-noise-by-way-of-a-level"

    def degrade(self, batch, sigma, generator):
        half = ((sigma**2 + self.floor(batch) ** 2) / 2).sqrt().clamp(min=self.floor(batch)).minimum(sigma)
        super().degrade(batch, sigma, generator)
        first = super().degrade(batch, torch.maximum(half, self.floor(batch)), generator)
        again = batch._replace(x_n=first.x, sigma_n=first.sigma)
        return super().degrade(again, sigma, generator)._replace(cond=batch.cond)


class Boxes(Mask):
    """Boxes that are missing, with noise on the rest."""

    name = "kit17-right-boxes"

    kind: Kind = "boxes"
    """What is hidden together."""
    missing: float = 0.2
    """Share that is missing."""
    drop: float = 0.2
    """Share that a step hides."""
    sigma_n: float = 0.1
    """Noise of what is there."""


class Sparse(Mask):
    """Single values, most of which are hidden in each step."""

    name = "kit17-right-most-are-hidden"

    missing: float = 0.25
    """Share that is missing."""
    drop: float = 0.6
    """Share that a step hides."""


class BlurOfSome(Linear):
    """A blur that was measured in part, with noise."""

    name = "kit17-right-blur-in-part"

    missing: float = 0.25
    """Share of measurements that is missing."""
    drop: float = 0.4
    """Share that a step hides."""
    sigma_n: float = 0.1
    """Noise of measurements."""


class HalfEta(Flow):
    """DDIM with eta = 1/2, in variance-exploding form."""

    name = "kit17-right-eta-one-half"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        up = 0.5 * sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        down = (sigma_s**2 - up**2).clamp(min=0).sqrt()
        ahead = super().step(denoiser, x, sigma_t, down, generator, cond)
        return ahead + per_row(up, x).to(x.dtype) * standard_normal(x, generator)


class MultistepRatio(Sampler):
    """DPM-Solver++(2M): the last answers by the lengths of the steps in log sigma."""

    name = "kit17-right-multistep"
    claims = Heun.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = by_old = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            found = denoiser(x, sigma_t, **cond).to(x.dtype)
            inside = sigma_s > 0
            by = (sigma_t / torch.where(inside, sigma_s, sigma_t)).log()
            share = torch.zeros_like(by) if old is None else torch.where(by_old > 0, by / (2 * by_old), 0.0 * by)
            used = found if old is None else found + per_row(share * inside, x).to(x.dtype) * (found - old)
            x = used + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - used)
            old, by_old = found, by
        return x


class GeometricMiddle(Flow):
    """DPM-Solver-2: the answer at the geometric middle of a step serves the whole of it."""

    name = "kit17-right-geometric-middle"
    claims = Heun.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        inside = sigma_s > 0
        middle = torch.where(inside, (sigma_t * torch.where(inside, sigma_s, sigma_t)).sqrt(), sigma_t)
        half = super().step(denoiser, x, sigma_t, middle, generator, cond)
        again = denoiser(half, middle, **cond).to(x.dtype)
        return again + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - again)


class SecondOrderSde(Steps):
    """SDE-DPM-Solver++(2M): a step of the reverse kernel, with the last answers extrapolated."""

    name = "kit17-right-multistep-with-noise"
    claims = Ancestral.claims - {"order-1"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = by_old = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            found, inside = self.answer(denoiser, x, sigma_t, cond), sigma_s > 0
            by = (sigma_t / torch.where(inside, sigma_s, sigma_t)).log()
            r = per_row(self.ratio(sigma_t, sigma_s), x).to(x.dtype)
            std = per_row(self.std(sigma_t, sigma_s), x).to(x.dtype)
            used = found
            if old is not None:
                share = torch.where(inside & (by_old > 0), by / (2 * by_old.clamp(min=1e-6)), 0.0 * by)
                used = found + per_row(share, x).to(x.dtype) * (found - old)
            x, old, by_old = r * x + (1 - r) * used + std * self.noise(x, generator), found, by
        return x


class CutInTwo(Steps):
    """Each step of the reverse kernel is cut in two at the geometric middle; a row that ends at 0 waits there."""

    name = "kit17-right-steps-cut-in-two"

    def sample(self, denoiser, x, sigmas, generator, cond):
        finer = [sigmas[0]]
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            finer += [torch.where(sigma_s > 0, (sigma_t * sigma_s).sqrt(), sigma_t), sigma_s]
        return super().sample(denoiser, x, torch.stack(finer), generator, cond)


class WideHeun(Heun):
    """Heun's method with points in float64; the denoiser is asked in their own dtype."""

    name = "kit17-right-heun-in-float64"

    def sample(self, denoiser, x, sigmas, generator, cond):
        def wide(y, sigma, /, **given):
            return denoiser(y.to(x.dtype), sigma.to(sigmas.dtype), **given).double()

        return super().sample(wide, x.double(), sigmas.double(), generator, cond).to(x.dtype)


class Churn(Flow):
    """EDM's churn: a tenth more noise before each step, at the level that it leads to."""

    name = "kit17-right-churn"
    claims = FIRST - {"order-1", "grid-levels"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        high = 1.1 * sigma_t
        x = x + per_row((high**2 - sigma_t**2).sqrt(), x).to(x.dtype) * standard_normal(x, generator)
        return super().step(denoiser, x, high, sigma_s, generator, cond)


class InChunks(StochasticHeun):
    """`stochastic-heun`, three rows at a time where there is a generator for each."""

    name = "kit17-right-rows-three-by-three"

    def sample(self, denoiser, x, sigmas, generator, cond):
        if not isinstance(generator, list | tuple) or len(x) <= 3:
            return super().sample(denoiser, x, sigmas, generator, cond)
        parts = []
        for first in range(0, len(x), 3):
            own = slice(first, first + 3)
            given = {name: value[own] for name, value in cond.items()}
            parts.append(super().sample(denoiser, x[own], sigmas[:, own], generator[own], given))
        return torch.cat(parts)


CORRUPTIONS = [
    Chequered(),
    LogUniformRows(),
    BoxMuller(),
    TwoDraws(),
    OneGenerator(),
    SmallSteps(),
    Boxes(),
    Sparse(),
    BlurOfSome(),
]
SAMPLERS = [
    HalfEta(),
    MultistepRatio(),
    GeometricMiddle(),
    SecondOrderSde(),
    CutInTwo(),
    WideHeun(),
    Churn(),
    InChunks(),
]
RIGHT = [*CORRUPTIONS, *SAMPLERS]
