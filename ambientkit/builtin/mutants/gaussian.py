"""Wrong variants of the corruption `gaussian`: of `degrade`, `expect` and `floor`.

Each says what it does to one of the four methods; the others are the right part's.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.interfaces import Corruption, Mutant
from ambientkit.maths.ambient import tweedie_coefficients, tweedie_mix
from ambientkit.maths.noise import RandomSource, per_row, standard_normal, uniform

RIGHT = Gaussian(sigma_n=(0.1, 0.4))


class GaussianMutant(Mutant, Corruption, abc.ABC):
    """What these mutants share: the right part's claims, and its methods where nothing is wrong with them."""

    mutant_of = "gaussian"
    claims = Gaussian.claims

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The right part's."""
        return self.observed(x_0, RIGHT.observe(x_0, row, generator), generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The right part's."""
        return self.degraded(batch, sigma, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The right part's."""
        return self.expected(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The right part's."""
        return self.lowest(batch)

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        """What becomes of the right observations."""
        return batch

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_n to x_t."""
        return RIGHT.degrade(batch, sigma, generator)

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """E[x_n | x_t]."""
        return RIGHT.expect(x_0_hat, view, batch)

    def lowest(self, batch: Batch) -> Tensor:
        """The floor."""
        return RIGHT.floor(batch)


class Swapped(GaussianMutant):
    """Gaussian noise with a and b exchanged."""

    name = "gaussian-swapped"
    wrong = "E[x_n | x_t] = b x_0_hat + a x_t"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        a, b = tweedie_coefficients(per_row(view.sigma, view.x), per_row(batch.sigma_n, view.x))
        return b * x_0_hat + a * view.x


class NotSquared(GaussianMutant):
    """Gaussian noise with b = sigma_n / sigma."""

    name = "gaussian-not-squared"
    wrong = "b is a ratio of standard deviations in place of variances"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x


class ExpectsTheClean(GaussianMutant):
    """Gaussian noise that expects the clean row."""

    name = "gaussian-expects-the-clean"
    wrong = "E[x_n | x_t] = x_0_hat"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        return x_0_hat


class ExpectsWithTheMeanLevel(GaussianMutant):
    """Gaussian noise that mixes with the mean level of the batch."""

    name = "gaussian-expects-with-the-mean-level"
    wrong = "the mean sigma_n of the batch in place of that of the row"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        return tweedie_mix(x_0_hat, view.x, view.sigma, float(batch.sigma_n.mean()))


class ExpectsWithTheFloor(GaussianMutant):
    """Gaussian noise that mixes all pixels of a row with its largest level."""

    name = "gaussian-expects-with-the-floor"
    wrong = "the floor in place of the level of the pixel"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        return tweedie_mix(x_0_hat, view.x, view.sigma, RIGHT.floor(batch))


class DegradesByTheDifference(GaussianMutant):
    """A top-up by sigma - sigma_n."""

    name = "gaussian-degrades-by-the-difference"
    wrong = "x_t = x_n + (sigma - sigma_n) z"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        top, low = per_row(sigma, view.x), per_row(batch.sigma_n, view.x)
        return view._replace(x=batch.x_n + ((top - low) / (top + low)).sqrt() * (view.x - batch.x_n))


class DegradesFromZero(GaussianMutant):
    """A top-up by all of sigma."""

    name = "gaussian-degrades-from-zero"
    wrong = "x_t = x_n + sigma z: the noise that is there is not counted"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        return view._replace(x=batch.x_n + per_row(sigma, view.x) * standard_normal(view.x, generator))


class DegradesToTheMeanLevel(GaussianMutant):
    """A top-up of all rows to the largest level asked for."""

    name = "gaussian-degrades-to-one-level"
    wrong = "the largest sigma of the batch in place of that of the row"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT.degrade(batch, sigma.max().expand_as(sigma), generator)._replace(sigma=sigma)


class DegradesByTheFloor(GaussianMutant):
    """A top-up of all pixels by what the noisiest one lacks."""

    name = "gaussian-degrades-by-the-floor"
    wrong = "the floor in place of the level of the pixel"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT.degrade(batch._replace(sigma_n=RIGHT.floor(batch)), sigma, generator)


class SilentBelowTheFloor(GaussianMutant):
    """A top-up that takes levels below the floor for the floor."""

    name = "gaussian-silent-below-the-floor"
    wrong = "a level below the noise of the row is accepted"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT.degrade(batch, torch.maximum(sigma, RIGHT.floor(batch)), generator)._replace(sigma=sigma)


class LopsidedNoise(GaussianMutant):
    """A top-up with skewed noise of the right mean and variance."""

    name = "gaussian-lopsided-noise"
    wrong = "exponential in place of normal noise"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        missing = (per_row(sigma, view.x) ** 2 - per_row(batch.sigma_n, view.x) ** 2).sqrt()
        return view._replace(x=batch.x_n + missing * (-torch.log1p(-uniform(view.x, generator)) - 1))


class MeanFloor(GaussianMutant):
    """A floor that is the mean level of the pixels."""

    name = "gaussian-mean-floor"
    wrong = "noise per pixel is reduced by its mean in place of its largest"

    def lowest(self, batch: Batch) -> Tensor:
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)


MUTANTS: list[type[Mutant]] = [
    *(Swapped, NotSquared, ExpectsTheClean, ExpectsWithTheMeanLevel, ExpectsWithTheFloor, DegradesByTheDifference),
    *(DegradesFromZero, DegradesToTheMeanLevel, DegradesByTheFloor, SilentBelowTheFloor, LopsidedNoise, MeanFloor),
]
"""Registered by `ambientkit.builtin.plugin`."""
