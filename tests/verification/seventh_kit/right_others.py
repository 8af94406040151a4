"""Right samplers, corruptions, models and similarities, done in other ways."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.interfaces import Signal
from ambientkit.maths.noise import RandomSource, per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_step
from ambientkit.memorisation_parts import Similarity
from tests.verification.seventh_kit.draws import LAW, Churning, Corrected, OwnAncestral
from tests.verification.seventh_kit.flows import FLOW, Ask, Multistep, Steps, TwoStages, slope
from tests.verification.seventh_kit.networks import Eps, Small


class Ralston(Steps):
    """Ralston's rule of second order, with its second stage at two thirds of the step."""

    name = "seven-ralston"
    claims = FLOW | {"order-2"}

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        first, h = slope(ask, x, sigma_t), per_row(sigma_s - sigma_t, x)
        level = sigma_t + (sigma_s - sigma_t) * 2 / 3
        second = slope(ask, x + h * first * 2 / 3, level)
        inside = per_row((sigma_s > 0).to(x.dtype), x) > 0
        return x + h * torch.where(inside, (first + 3 * second) / 4, first)


class VariancePreserving(Steps):
    """DDIM in variance-preserving variables."""

    name = "seven-variance-preserving"
    claims = FLOW | {"order-1"}

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        (a_t, s_t), (a_s, s_s) = (self._schedule(per_row(level, x)) for level in (sigma_t, sigma_s))
        x_0_hat = ask(x, sigma_t)
        z = (a_t * x - a_t * x_0_hat) / s_t
        return (a_s * x_0_hat + s_s * z) / a_s

    def _schedule(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        alpha = (1 + sigma**2) ** -0.5
        return alpha, sigma * alpha


class TwoSubsteps(Ancestral):
    """Two reverse steps between levels, by way of their geometric mean."""

    name = "seven-two-substeps"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """Carry x from sigmas[0] to sigmas[-1]."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            middle = torch.where(sigma_s > 0, (sigma_t * sigma_s).sqrt(), sigma_t / 2)
            x = reverse_step(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, middle, generator)
            x = reverse_step(x, denoiser(x, middle, **cond).to(x.dtype), middle, sigma_s, generator)
        return x


class Restarting(TwoStages):
    """Goes back from the middle of the grid to its first third once, with the noise between the two levels."""

    name = "seven-restarting"
    source = "arXiv 2306.14878, algorithm 1"
    claims = LAW | {"grid-levels"}

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """Carry x from sigmas[0] to sigmas[-1]."""
        n = len(sigmas)
        high, low = n // 3, n // 2
        if not 0 < high < low < n - 1:
            return super().sample(denoiser, x, sigmas, generator, cond)
        x = super().sample(denoiser, x, sigmas[: low + 1], generator, cond)
        added = (sigmas[high] ** 2 - sigmas[low] ** 2).sqrt()
        x = x + per_row(added, x) * standard_normal(x, generator)
        return super().sample(denoiser, x, sigmas[high:], generator, cond)


class LogLevels(Gaussian):
    """Levels are drawn log-uniform between two."""

    name = "seven-log-levels"
    sigma_n: tuple[float, float] = (0.05, 0.4)

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        low, high = self.sigma_n
        sigma_n = low * (high / low) ** uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})


class ByChannel(Gaussian):
    """The last channel (or value) of a row has twice the noise of the others, and says so."""

    name = "seven-by-channel"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        level = self.sigma_n[0] if isinstance(self.sigma_n, tuple) else self.sigma_n
        sigma_n = torch.full_like(x_0, level)
        sigma_n[:, -1] = 2 * level
        return Batch(x_0 + sigma_n * standard_normal(x_0, generator), sigma_n, row, {})


class TwoDraws(Gaussian):
    """The noise is the sum of two independent ones, of 0.6 and 0.8 of its std."""

    name = "seven-two-draws"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        batch = super().observe(x_0, row, generator)
        z = (batch.x_n - x_0) * 0.6 + 0.8 * per_row(batch.sigma_n, x_0) * standard_normal(x_0, generator)
        return batch._replace(x_n=x_0 + z)


class WiderBlur(Linear):
    """Noisy measurements of which a third is missing."""

    name = "seven-wider-blur"
    missing: float = 0.3
    sigma_n: float = 0.1


class Angle(Eps):
    """Tells the network the angle of the level."""

    name = "seven-angle"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        c_in = 1 / (sigma.to(x.dtype) ** 2 + signal.sigma_data**2).sqrt()
        output = network(per_row(c_in, x) * x, sigma.to(x.dtype).atan() * (4 / math.pi) - 1).to(x.dtype)
        return x - per_row(sigma.to(x.dtype), x) * output


class FlowDouble(Eps):
    """The velocity of a flow, put together in double precision."""

    name = "seven-flow-double"
    source = "arXiv 2210.02747, eq. 20-23"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def _x_0(self, x: Tensor, output: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        sigma = sigma.double()
        return ((x.double() - sigma * output.double()) / (1 + sigma)).to(x.dtype)


class Slopes(Similarity):
    """Differences of neighbouring values, and the mean."""

    name = "seven-slopes"
    source = "the definition"
    claims = frozenset({"row-by-row"})

    def view(self, rows: Tensor) -> Tensor:
        """(N, d)."""
        flat = rows.flatten(1)
        return torch.cat([flat.diff(dim=1), flat.mean(1, keepdim=True)], dim=1)


PARTS = (
    TwoStages,
    Multistep,
    OwnAncestral,
    Churning,
    Corrected,
    Ralston,
    VariancePreserving,
    TwoSubsteps,
    Restarting,
    LogLevels,
    ByChannel,
    TwoDraws,
    WiderBlur,
    Small,
    Eps,
    Angle,
    FlowDouble,
    Slopes,
)
