"""Wrong variants of the sampler `ancestral`."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.interfaces import Denoiser, Mutant, Sampler
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments

Cond = Mapping[str, Tensor]


class SteppingMutant(Mutant, Sampler, abc.ABC):
    """What these mutants share: one step from each level to the next, which is where they are wrong."""

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Cond) -> Tensor:
        """Step by step."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x

    @abc.abstractmethod
    def step(
        self, denoiser: Denoiser, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource, cond: Cond
    ) -> Tensor:
        """One step."""


class AncestralMutant(SteppingMutant, abc.ABC):
    """What these mutants share: the right part's claims."""

    mutant_of = "ancestral"
    claims = Ancestral.claims


def moments(denoiser: Denoiser, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, cond: Cond) -> tuple[Tensor, Tensor]:
    """Mean and std of the right step."""
    return reverse_moments(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s)


class NoNoise(AncestralMutant):
    """Ancestral steps without noise."""

    name = "ancestral-no-noise"
    wrong = "x_s is the mean of the kernel"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return moments(denoiser, x, sigma_t, sigma_s, cond)[0]


class TooMuchNoise(AncestralMutant):
    """Ancestral steps with a tenth too much noise."""

    name = "ancestral-too-much-noise"
    wrong = "the std of each step is 10 % too large"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + 1.1 * std * standard_normal(x, generator)


class TooLittleNoise(AncestralMutant):
    """Ancestral steps with a tenth too little noise."""

    name = "ancestral-too-little-noise"
    wrong = "the std of each step is 10 % too small"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + 0.9 * std * standard_normal(x, generator)


class VarianceForStd(AncestralMutant):
    """Ancestral steps whose std is the variance."""

    name = "ancestral-variance-for-std"
    wrong = "sigma_s^2 (1 - r) z in place of its root"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + std**2 * standard_normal(x, generator)


class NoiseOfTheUpperLevel(AncestralMutant):
    """Ancestral steps with the noise of Euler-Maruyama."""

    name = "ancestral-noise-of-the-upper-level"
    wrong = (
        "sigma_t sqrt(1 - r) z in place of sigma_s sqrt(1 - r) z: a right rule of first order, but not the "
        "posterior it claims to be"
    )

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, _ = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + per_row((sigma_t**2 - sigma_s**2).sqrt(), x) * standard_normal(x, generator)


class RatioNotSquared(AncestralMutant):
    """Ancestral steps with r = sigma_s / sigma_t."""

    name = "ancestral-ratio-not-squared"
    wrong = "r is a ratio of standard deviations in place of variances"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        r = per_row(sigma_s / sigma_t, x)
        return (
            r * x
            + (1 - r) * denoiser(x, sigma_t, **cond)
            + per_row(sigma_s, x) * (1 - r).sqrt() * standard_normal(x, generator)
        )


class SwappedMean(AncestralMutant):
    """Ancestral steps with r and 1 - r exchanged."""

    name = "ancestral-swapped-mean"
    wrong = "(1 - r) x_t + r D in place of r x_t + (1 - r) D"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return x + denoiser(x, sigma_t, **cond) - mean + std * standard_normal(x, generator)


class SharedByRows(AncestralMutant):
    """Ancestral steps whose noise all rows share."""

    name = "ancestral-shared-by-rows"
    wrong = "one noise for the whole batch"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + std * standard_normal(x, generator)[:1]


class GlobalGenerator(AncestralMutant):
    """Ancestral steps with noise from torch's global generator."""

    name = "ancestral-global-generator"
    wrong = "the generator that is handed in is not used"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + std * torch.randn(x.shape, generator=torch.default_generator, dtype=x.dtype)


class FixedSeed(AncestralMutant):
    """Ancestral steps that draw the same noise every time."""

    name = "ancestral-fixed-seed"
    wrong = "a generator of its own, with the same seed in each step"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + std * standard_normal(x, Generator().manual_seed(0))


class OneGeneratorForAll(AncestralMutant):
    """Ancestral steps that draw for all rows from the first row's generator."""

    name = "ancestral-one-generator-for-all"
    wrong = "of a list of generators the first serves the whole batch"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + std * standard_normal(x, generator if isinstance(generator, Generator) else generator[0])


class AskedAtTheLowerLevel(AncestralMutant):
    """Ancestral steps that ask the denoiser at the next level."""

    name = "ancestral-asked-at-the-lower-level"
    wrong = "off by one: D(x_t, sigma_s) in place of D(x_t, sigma_t)"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = reverse_moments(x, denoiser(x, sigma_s.clamp(min=1e-3), **cond), sigma_t, sigma_s)
        return mean + std * standard_normal(x, generator)


class MeanLevel(AncestralMutant):
    """Ancestral steps with the mean level of the batch."""

    name = "ancestral-mean-level"
    wrong = "the mean sigma of the batch in place of that of the row"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return Ancestral().sample(
            denoiser, x, torch.stack([s.mean().expand_as(s) for s in (sigma_t, sigma_s)]), generator, cond
        )


class NoisyEnd(AncestralMutant):
    """Ancestral steps that add noise in the step to level 0 as well."""

    name = "ancestral-noisy-end"
    wrong = "the last step, to level 0, adds noise"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        last = per_row(torch.where(sigma_s == 0, 0.3 * sigma_t, 0.0), x)
        return mean + (std + last) * standard_normal(x, generator)


class WithoutGradient(AncestralMutant):
    """Ancestral steps that switch gradients off."""

    name = "ancestral-without-gradient"
    wrong = "it sets the grad mode, which is its caller's"

    @torch.no_grad()
    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return Ancestral().sample(denoiser, x, torch.stack([sigma_t, sigma_s]), generator, cond)


class ForgetsTheCondition(AncestralMutant):
    """Ancestral steps that do not hand on the conditions."""

    name = "ancestral-forgets-the-condition"
    wrong = "the denoiser is asked without the conditions"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return Ancestral().sample(denoiser, x, torch.stack([sigma_t, sigma_s]), generator, {})


class WholeGridMutant(Mutant, Sampler, abc.ABC):
    """What these mutants share: they are wrong in the grid."""

    mutant_of = "ancestral"
    claims = Ancestral.claims


class StopsEarly(WholeGridMutant):
    """Ancestral steps that leave out the last one."""

    name = "ancestral-stops-early"
    wrong = "off by one: the last level is not reached"

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Cond) -> Tensor:
        return Ancestral().sample(denoiser, x, sigmas[:-1], generator, cond) if len(sigmas) > 2 else x


class StartsLate(WholeGridMutant):
    """Ancestral steps that leave out the first one."""

    name = "ancestral-starts-late"
    wrong = "off by one: x is taken for a point at the second level"

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Cond) -> Tensor:
        return Ancestral().sample(denoiser, x, sigmas[1:], generator, cond) if len(sigmas) > 2 else x


class GridOfTheFirstRow(WholeGridMutant):
    """Ancestral steps on one grid for the whole batch."""

    name = "ancestral-grid-of-the-first-row"
    wrong = "the grid of the first row serves all rows"

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Cond) -> Tensor:
        return Ancestral().sample(denoiser, x, sigmas[:, :1].expand_as(sigmas), generator, cond)


MUTANTS: list[type[Mutant]] = [
    *(NoNoise, TooMuchNoise, TooLittleNoise, VarianceForStd, NoiseOfTheUpperLevel, RatioNotSquared),
    *(SwappedMean, SharedByRows, GlobalGenerator, FixedSeed, OneGeneratorForAll, AskedAtTheLowerLevel),
    *(MeanLevel, NoisyEnd, WithoutGradient, ForgetsTheCondition, StopsEarly, StartsLate),
    GridOfTheFirstRow,
]
"""Registered by `ambientkit.builtin.plugin`."""
