"""Corruptions by noise that are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.maths.ambient import top_up
from ambientkit.maths.noise import RandomSource, per_row, standard_normal, uniform
from ambientkit.maths.randomness import keyed_generator


class MixWithRow(Gaussian):
    """a D + b x_n: the observation itself in the place of its view."""

    name = "eight-mix-with-row"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        return super().expect(x_0_hat, view._replace(x=batch.x_n), batch)


class MeanFloor(Gaussian):
    """The floor of noise by pixel is its mean: half of the pixels cannot be placed there."""

    name = "eight-mean-floor"

    def floor(self, batch: Batch) -> Tensor:
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        if (sigma < self.floor(batch)).any():
            raise ValueError(f"row {int(batch.row[0])} cannot be seen below its own noise")
        x = batch.x_n
        gap = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt().to(x.dtype)
        return View(x + gap * standard_normal(x, generator), sigma, batch.cond)


class BatchFloor(Gaussian):
    """The floor is the largest noise of the batch, for every row."""

    name = "eight-batch-floor"

    def floor(self, batch: Batch) -> Tensor:
        return super().floor(batch).max().expand(len(batch.x_n))

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        if (sigma < super().floor(batch)).any():
            raise ValueError(f"row {int(batch.row[0])} cannot be seen below its own noise")
        return View(top_up(batch.x_n, batch.sigma_n, sigma, generator), sigma, batch.cond)


class QuietBelow(Gaussian):
    """A level below the row's own is answered with the row as it is, under the level asked for."""

    name = "eight-quiet-below"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        x = batch.x_n
        gap = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt().to(x.dtype)
        return View(x + gap * standard_normal(x, generator), sigma, batch.cond)


class RaisedBelow(Gaussian):
    """A level below the row's own is raised to it without a word."""

    name = "eight-raised-below"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return super().degrade(batch, torch.maximum(sigma, self.floor(batch).to(sigma.dtype)), generator)


class PlaceForRow(Gaussian):
    """Its error names the place in the batch for the row of the data set."""

    name = "eight-place-for-row"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return super().degrade(batch._replace(row=torch.arange(len(batch.row))), sigma, generator)


class VarianceForStd(Gaussian):
    """Reports the variance of its noise as sigma_n."""

    name = "eight-variance-for-std"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        batch = super().observe(x_0, row, generator)
        return batch._replace(sigma_n=batch.sigma_n**2)


class MiddleReported(Gaussian):
    """Levels are drawn row by row, and the middle of their range is reported for all."""

    name = "eight-middle-reported"
    sigma_n: tuple[float, float] = (0.1, 0.4)

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        batch = super().observe(x_0, row, generator)
        return batch._replace(sigma_n=torch.full_like(batch.sigma_n, sum(self.sigma_n) / 2))


class NoisyClean(Gaussian):
    """Rows that should stay clean are reported so, and have noise."""

    name = "eight-noisy-clean"
    clean_share: float = 0.3

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        batch = Gaussian(sigma_n=self.sigma_n).observe(x_0, row, generator)
        clean = uniform(batch.sigma_n.unsqueeze(1), generator).squeeze(1) < self.clean_share
        return batch._replace(sigma_n=torch.where(clean, torch.zeros_like(batch.sigma_n), batch.sigma_n))


class EightBits(Gaussian):
    """Observations pass through 8 bits, which clips them to [-1, 1]."""

    name = "eight-eight-bits"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=((batch.x_n.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1)


class ForgetsConditions(Gaussian):
    """Views have no conditions."""

    name = "eight-forgets-conditions"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return super().degrade(batch, sigma, generator)._replace(cond={})


class AgainTheSame(Gaussian):
    """Views draw from a generator that is keyed by the row: the same noise in each epoch."""

    name = "eight-again-the-same"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return super().degrade(batch, sigma, [keyed_generator(1, "degrade", row=int(row)) for row in batch.row])


class NoiseOfObservation(Gaussian):
    """Observes with noise keyed by the place in the batch: another noise in another order."""

    name = "eight-noise-of-place"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        return super().observe(x_0, row, [keyed_generator(0, "observe", row=place) for place in range(len(x_0))])


class Smoothed(Gaussian):
    """The noise of views is averaged with its neighbour's and scaled back to unit variance: not white."""

    name = "eight-smoothed"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = super().degrade(batch, sigma, generator)
        noise = view.x - batch.x_n
        return view._replace(x=batch.x_n + (0.96 * noise + 0.28 * noise.roll(1, -1)))


class Skewed(Gaussian):
    """The noise of views is exponential less its mean: not symmetric, not normal."""

    name = "eight-skewed"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        x = batch.x_n
        gap = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt().to(x.dtype)
        if (sigma < self.floor(batch)).any():
            return super().degrade(batch, sigma, generator)
        return View(x + gap * (-(1 - uniform(x, generator)).log() - 1), sigma, batch.cond)


class FirstGenerator(Gaussian):
    """Draws for all rows from the first of their generators."""

    name = "eight-first-generator"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        return super().observe(x_0, row, generator if isinstance(generator, torch.Generator) else generator[0])


class AddsInPlace(Gaussian):
    """Adds the noise of a view to the observation itself."""

    name = "eight-adds-in-place"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = super().degrade(batch, sigma, generator)
        batch.x_n.copy_(view.x)
        return view


class SlopeSquared(Gaussian):
    """Its own `slope` is a^2."""

    name = "eight-slope-squared"

    def slope(self, view: View, batch: Batch) -> Tensor:
        return super().slope(view, batch) ** 2


class SpreadWithNoise(Gaussian):
    """Its own `clean_std` forgets to take the noise off: sigma_data is too large."""

    name = "eight-spread-with-noise"

    def clean_std(self, batch: Batch) -> float:
        return float(batch.x_n.double().std(unbiased=False))


class NoCap(Gaussian):
    """Its own `weight` is 1/a^2 without the bound, infinite at sigma_n."""

    name = "eight-no-cap"

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        return 1 / self.slope(view, batch) ** 2


class ShowsAsIs(Gaussian):
    """`show` gives x_n as it is, at any level: rows to restore have less noise than is said."""

    name = "eight-shows-as-is"

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return View(batch.x_n, sigma, batch.cond)


PARTS = (
    MixWithRow, MeanFloor, BatchFloor, QuietBelow, RaisedBelow, PlaceForRow,
    VarianceForStd, MiddleReported, NoisyClean, EightBits, ForgetsConditions, AgainTheSame,
    NoiseOfObservation, Smoothed, Skewed, FirstGenerator, AddsInPlace, SlopeSquared, SpreadWithNoise, NoCap, ShowsAsIs,
)  # fmt: skip
