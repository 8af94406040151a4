"""Wrong variants of the corruption `gaussian`: of what `observe` adds."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.mutants.gaussian import GaussianMutant
from ambientkit.interfaces import Mutant
from ambientkit.maths.noise import RandomSource, draw_levels, per_row, standard_normal, uniform


def noise(x_0: Tensor, batch: Batch) -> Tensor:
    """The standardised noise of an observation."""
    return (batch.x_n - x_0) / per_row(batch.sigma_n, x_0)


class VarianceForStd(GaussianMutant):
    """Gaussian noise whose std is the variance it states."""

    name = "gaussian-variance-for-std"
    wrong = "x_n = x_0 + sigma_n^2 z"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(x_n=x_0 + per_row(batch.sigma_n**2, x_0) * noise(x_0, batch))


class UniformNoise(GaussianMutant):
    """Uniform noise of the right variance."""

    name = "gaussian-uniform-noise"
    wrong = "uniform in place of normal noise, of the same variance"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        z = (2 * uniform(x_0, generator) - 1) * 3**0.5
        return batch._replace(x_n=x_0 + per_row(batch.sigma_n, x_0) * z)


class ShiftedMean(GaussianMutant):
    """Gaussian noise with a mean."""

    name = "gaussian-shifted-mean"
    wrong = "the noise has a mean of a tenth of its std"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(x_n=batch.x_n + 0.1 * per_row(batch.sigma_n, x_0))


class CorrelatedNoise(GaussianMutant):
    """Noise of the right variance that neighbouring pixels share."""

    name = "gaussian-correlated-noise"
    wrong = "the noise is not white: it has been resampled"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        z = noise(x_0, batch)
        return batch._replace(x_n=x_0 + per_row(batch.sigma_n, x_0) * (0.9 * z + (1 - 0.81) ** 0.5 * z.roll(1, -1)))


class SharedByRows(GaussianMutant):
    """Noise that all rows of a batch share."""

    name = "gaussian-shared-by-rows"
    wrong = "one noise picture for the whole batch"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(x_n=x_0 + per_row(batch.sigma_n, x_0) * noise(x_0, batch)[:1])


class SharedByChannels(GaussianMutant):
    """Noise that the channels of a picture share."""

    name = "gaussian-shared-by-channels"
    wrong = "grey noise on coloured pictures"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(x_n=x_0 + per_row(batch.sigma_n, x_0) * noise(x_0, batch)[:, :1])


class SignalDependent(GaussianMutant):
    """Noise that grows with the signal."""

    name = "gaussian-signal-dependent"
    wrong = "brighter pixels have more noise, as photon counts do"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(x_n=x_0 + (batch.x_n - x_0) * (1 + 0.3 * x_0))


class NotRescaled(GaussianMutant):
    """A variance-preserving observation that is not divided by alpha."""

    name = "gaussian-not-rescaled"
    wrong = "alpha x_0 + sigma z is handed on as x_0 + sigma z"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        alpha = (1 - per_row(batch.sigma_n, x_0) ** 2).sqrt()
        return batch._replace(x_n=alpha * x_0 + (batch.x_n - x_0))


class Clipped(GaussianMutant):
    """Observations clipped to the range of the data."""

    name = "gaussian-clipped"
    wrong = "x_n is clipped to [-1, 1], which makes the noise small and biased at the edges"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(x_n=batch.x_n.clamp(-1, 1))


class StatesTheMeanLevel(GaussianMutant):
    """Noise of one level per row that is stated as the mean of the batch."""

    name = "gaussian-states-the-mean-level"
    wrong = "sigma_n is the mean of the batch, the noise is of each row"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(sigma_n=batch.sigma_n.mean().expand_as(batch.sigma_n))


class FreshEachEpoch(GaussianMutant):
    """Noise that is another one each time a row is fetched."""

    name = "gaussian-fresh-each-epoch"
    wrong = "noise from the global generator, in place of the one that is keyed by the row"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        z = torch.randn(x_0.shape, generator=torch.default_generator, dtype=x_0.dtype)
        return batch._replace(x_n=x_0 + per_row(batch.sigma_n, x_0) * z)


class AlwaysTheSame(GaussianMutant):
    """Noise that does not depend on the generator."""

    name = "gaussian-always-the-same"
    wrong = "a fixed seed in place of the generator that is handed in"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(x_n=x_0 + per_row(batch.sigma_n, x_0) * standard_normal(x_0, Generator().manual_seed(0)))


class OfTheRowAlone(GaussianMutant):
    """Noise of each row that no seed of a run changes, at a level that the seed does."""

    name = "gaussian-of-the-row-alone"
    wrong = "the number of the row is the seed of its noise: in each run it has the same"

    sigma_n: tuple[float, float] = (0.1, 0.3)
    """Noise std, one level per row, uniform between both."""

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        level = draw_levels(x_0, self.sigma_n, generator)
        z = standard_normal(x_0, [Generator().manual_seed(number) for number in row.tolist()])
        return Batch(x_0 + per_row(level, x_0) * z, level, row, {})


class OtherWayRound(GaussianMutant):
    """Gaussian noise with -z in place of z."""

    name = "gaussian-other-way-round"
    wrong = "x_n = x_0 - sigma_n z"
    equivalent = "normal noise is symmetric: -z has the law of z"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(x_n=2 * x_0 - batch.x_n)


MUTANTS: list[type[Mutant]] = [
    *(VarianceForStd, UniformNoise, ShiftedMean, CorrelatedNoise, SharedByRows, SharedByChannels),
    *(SignalDependent, NotRescaled, Clipped, StatesTheMeanLevel, FreshEachEpoch, AlwaysTheSame),
    OfTheRowAlone,
    OtherWayRound,
]
"""Registered by `ambientkit.builtin.plugin`."""
