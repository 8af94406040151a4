"""Wrong samplers that draw."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments, reverse_step
from tests.verification.seventh_kit.flows import Ask, Steps, slope

LAW = frozenset({"final-law", "row-generators"})


class OwnAncestral(Steps):
    """The reverse step in three parts. Right: parts below change them."""

    name = "seven-own-ancestral"
    claims = Ancestral.claims

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        x_0_hat = ask(x, sigma_t)
        mean, std = reverse_moments(x, x_0_hat, sigma_t, sigma_s)
        return mean + self._std(std, per_row(sigma_t, x), per_row(sigma_s, x)).to(x.dtype) * self._z(x, generator)

    def _std(self, std: Tensor, sigma_t: Tensor, sigma_s: Tensor) -> Tensor:
        return std

    def _z(self, x: Tensor, generator: RandomSource) -> Tensor:
        return standard_normal(x, generator)


class LargeVariance(OwnAncestral):
    """The noise of a step is that between the levels, sqrt(sigma_t^2 - sigma_s^2), DDPM's larger choice."""

    name = "seven-large-variance"

    def _std(self, std: Tensor, sigma_t: Tensor, sigma_s: Tensor) -> Tensor:
        return torch.where(sigma_s > 0, (sigma_t**2 - sigma_s**2).clamp(min=0).sqrt(), 0.0)


class LessNoise(OwnAncestral):
    """The noise of a step is multiplied by 0.85, for smoother pictures, and its mean is left as it was."""

    name = "seven-less-noise"

    def _std(self, std: Tensor, sigma_t: Tensor, sigma_s: Tensor) -> Tensor:
        return 0.85 * std


class QuietEnd(OwnAncestral):
    """The last steps, below the level 0.1, add no noise."""

    name = "seven-quiet-end"

    def _std(self, std: Tensor, sigma_t: Tensor, sigma_s: Tensor) -> Tensor:
        return torch.where(sigma_s < 0.1, 0.0, std)


class FirstGenerator(OwnAncestral):
    """Of a list of generators, one per row, the first one draws for all rows."""

    name = "seven-first-generator"

    def _z(self, x: Tensor, generator: RandomSource) -> Tensor:
        return standard_normal(x, generator[0] if isinstance(generator, list) else generator)


class GlobalNoise(OwnAncestral):
    """Noise comes from torch's global generator."""

    name = "seven-global-noise"

    def _z(self, x: Tensor, generator: RandomSource) -> Tensor:
        return torch.randn_like(x)


class StartedAnew(OwnAncestral):
    """Each step starts the generators anew from their seed, so that all steps add the same noise."""

    name = "seven-started-anew"

    def _z(self, x: Tensor, generator: RandomSource) -> Tensor:
        if isinstance(generator, Generator):
            return standard_normal(x, Generator(x.device).manual_seed(generator.initial_seed()))
        if isinstance(generator, list):
            return standard_normal(x, [Generator(x.device).manual_seed(g.initial_seed()) for g in generator])
        return standard_normal(x, generator)


class NextLevel(OwnAncestral):
    """The denoiser is told the level that the step leads to."""

    name = "seven-next-level"

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        x_0_hat = ask(x, torch.where(sigma_s > 0, sigma_s, sigma_t))
        return reverse_step(x, x_0_hat, sigma_t, sigma_s, generator)


class EtaOnTop(Steps):
    """Noise of std sigma_up is added after Euler's step to sigma_s, which should have led below it."""

    name = "seven-eta-on-top"
    claims = LAW | {"grid-levels", "order-1"}

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        x = x + per_row(sigma_s - sigma_t, x) * slope(ask, x, sigma_t)
        up = 0.5 * sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        return x + per_row(up, x) * standard_normal(x, generator)


class FlowDrift(Steps):
    """The noise of the reverse stochastic equation is added to the drift of the flow, which is half of its own."""

    name = "seven-flow-drift"
    claims = LAW | {"grid-levels", "reverse-kernel", "order-1"}

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        x = x + per_row(sigma_s - sigma_t, x) * slope(ask, x, sigma_t)
        std = torch.where(sigma_s > 0, (sigma_t**2 - sigma_s**2).clamp(min=0).sqrt(), 0.0)
        return x + per_row(std, x) * standard_normal(x, generator)


class FreshStage(Steps):
    """The second stage of `stochastic-heun` draws its noise anew, so that the covariance it is to bring in is lost."""

    name = "seven-fresh-stage"
    claims = StochasticHeun.claims

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        x_0_hat = ask(x, sigma_t)
        mean, std = reverse_moments(x, x_0_hat, sigma_t, sigma_s)
        ahead, inside = mean + std.to(x.dtype) * standard_normal(x, generator), sigma_s > 0
        level = torch.where(inside, sigma_s, sigma_t)
        c = (1 - (level / sigma_t) ** 2) / 2
        moved = per_row(c, x) * (ask(ahead, level) - x_0_hat)
        again = mean + std.to(x.dtype) * standard_normal(x, generator)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, again + moved, ahead)


class StageBackwards(Steps):
    """The second stage of `stochastic-heun` is taken off, not added."""

    name = "seven-stage-backwards"
    claims = StochasticHeun.claims

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        x_0_hat = ask(x, sigma_t)
        ahead, inside = reverse_step(x, x_0_hat, sigma_t, sigma_s, generator), sigma_s > 0
        level = torch.where(inside, sigma_s, sigma_t)
        c = (1 - (level / sigma_t) ** 2) / 2
        return ahead - per_row(torch.where(inside, c, 0.0 * c), x) * (ask(ahead, level) - x_0_hat)


class Churning(Steps):
    """EDM's stochastic sampler, with Euler's step. Right: parts below change its churn."""

    name = "seven-churning"
    source = "arXiv 2206.00364, algorithm 2"
    claims = LAW

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        up = 1.2 * sigma_t
        x = x + per_row(self._added(sigma_t, up), x) * standard_normal(x, generator)
        level = self._told(sigma_t, up)
        first = (x - ask(x, level)) / per_row(up, x)
        h, inside = per_row(sigma_s - up, x), sigma_s > 0
        ahead = x + h * first
        second = slope(ask, ahead, torch.where(inside, sigma_s, sigma_t))
        return torch.where(per_row(inside.to(x.dtype), x) > 0, x + h * (first + second) / 2, ahead)

    def _added(self, sigma_t: Tensor, up: Tensor) -> Tensor:
        return (up**2 - sigma_t**2).sqrt()

    def _told(self, sigma_t: Tensor, up: Tensor) -> Tensor:
        return up


class ChurnLinear(Churning):
    """Churn adds noise of std sigma_hat - sigma, not the root of the difference of squares."""

    name = "seven-churn-linear"

    def _added(self, sigma_t: Tensor, up: Tensor) -> Tensor:
        return up - sigma_t


class ChurnTold(Churning):
    """After churn the denoiser is told the level from before it."""

    name = "seven-churn-told"

    def _told(self, sigma_t: Tensor, up: Tensor) -> Tensor:
        return sigma_t


class ChurnInflated(Churning):
    """The noise of churn is multiplied by 1.15, against lost detail."""

    name = "seven-churn-inflated"

    def _added(self, sigma_t: Tensor, up: Tensor) -> Tensor:
        return 1.15 * super()._added(sigma_t, up)


class Corrected(Steps):
    """Euler's step and one of Langevin's at the level it leads to. Right: a part below changes it."""

    name = "seven-corrected"
    source = "arXiv 2011.13456, algorithm 4"
    claims = LAW | {"grid-levels"}

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        x = x + per_row(sigma_s - sigma_t, x) * slope(ask, x, sigma_t)
        inside = sigma_s > 0
        level = torch.where(inside, sigma_s, sigma_t)
        share = 0.04
        drift = share * (ask(x, level) - x)
        noise = self._noise(share) * per_row(level, x) * standard_normal(x, generator)
        return x + (drift + noise) * per_row(inside.to(x.dtype), x)

    def _noise(self, share: float) -> float:
        return (2 * share) ** 0.5


class CorrectorHalf(Corrected):
    """Langevin's step of size h adds noise of variance h, where 2 h keeps the law."""

    name = "seven-corrector-half"

    def _noise(self, share: float) -> float:
        return share**0.5


class AntitheticRows(OwnAncestral):
    """Rows of a batch come in pairs of opposite noise also where each has a generator of its own."""

    name = "seven-antithetic-rows"

    def _z(self, x: Tensor, generator: RandomSource) -> Tensor:
        z = standard_normal(x, generator)
        n = len(x) // 2
        return torch.cat([z[:n], -z[:n], z[2 * n :]])


class NoiseAtStart(OwnAncestral):
    """The first step also brings in fresh noise at its own level, as if the points it is given were without."""

    name = "seven-noise-at-start"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        noisy = x + 0.5 * per_row(sigmas[0], x) * standard_normal(x, generator)
        return super().sample(denoiser, noisy, sigmas, generator, cond)


PARTS = (
    LargeVariance,
    LessNoise,
    QuietEnd,
    FirstGenerator,
    GlobalNoise,
    StartedAnew,
    NextLevel,
    EtaOnTop,
    FlowDrift,
    FreshStage,
    StageBackwards,
    ChurnLinear,
    ChurnTold,
    ChurnInflated,
    CorrectorHalf,
    AntitheticRows,
    NoiseAtStart,
)
