"""Wrong corruptions by white noise."""

from __future__ import annotations

import numpy as np
import torch

from ambientkit.batch import Batch
from ambientkit.maths.noise import draw_levels, per_row, standard_normal

from .bases import made
from .bases_other import White

_KEPT: dict[tuple[int, ...], torch.Tensor] = {}


class VarianceForStd(White):
    """Rows are told the variance of their noise in place of its std."""

    name = "kit15-variance-for-std"

    def told(self, sigma_n, x_0):
        return sigma_n**2


class LevelsDrawnTwice(White):
    """One level for each row, drawn once for the noise and once more for what is told."""

    name = "kit15-levels-drawn-twice"

    sigma_n: float | tuple[float, float] = (0.1, 0.4)

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        return batch._replace(sigma_n=self.levels(x_0, row, generator))


class NoiseKept(White):
    """The noise of rows of one shape is kept from the first batch on, to save draws."""

    name = "kit15-noise-kept"

    def noise_of_rows(self, x_0, row, generator):
        key = tuple(x_0.shape)
        if key not in _KEPT:
            _KEPT[key] = standard_normal(x_0, generator)
        return _KEPT[key].to(x_0)


class KeyedByRowAlone(White):
    """The noise is keyed by the number of the row alone: the generator, and with it the run's seed, has no effect."""

    name = "kit15-keyed-by-row-alone"

    def noise_of_rows(self, x_0, row, generator):
        own = [torch.Generator().manual_seed(int(one)) for one in row]
        return standard_normal(x_0.cpu(), own).to(x_0)


class SmoothNoise(White):
    """The noise of pictures is averaged over neighbours and brought back to its std: it is not white."""

    name = "kit15-smooth-noise"

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        return (z + z.roll(1, -1)) / 2**0.5 if x_0.ndim == 4 else z


class WeightedChannels(White):
    """The noise of three channels is weighted as a camera's is, and told as one number."""

    name = "kit15-weighted-channels"

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        if x_0.ndim == 4 and x_0.shape[1] == 3:
            z = z * z.new_tensor([1.2, 0.8, 1.0]).reshape(1, 3, 1, 1)
        return z


class StdsSubtracted(White):
    """A view adds sigma - sigma_n."""

    name = "kit15-stds-subtracted"

    def missing(self, batch, sigma):
        return (per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)).clamp(min=0)


class MeanOverPixels(White):
    """A view adds what is missing to the mean noise power of the row, the same to each pixel."""

    name = "kit15-missing-by-the-mean"

    def missing(self, batch, sigma):
        power = (per_row(batch.sigma_n, batch.x_n) ** 2).expand_as(batch.x_n).flatten(1).mean(1)
        return per_row((sigma**2 - power).clamp(min=0).sqrt(), batch.x_n)


class FloorOfTheBatch(White):
    """The floor of each row is the largest noise in the batch."""

    name = "kit15-floor-of-the-batch"

    def floor(self, batch):
        own = super().floor(batch)
        return own.max().expand_as(own) if len(own) else own


class BelowInSilence(White):
    """A level below the noise of a row is raised to it in silence."""

    name = "kit15-below-in-silence"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, torch.maximum(sigma, self.floor(batch).to(sigma)), generator)


class OneNoiseForChannelsOfViews(White):
    """A view adds one noise to all channels of a pixel."""

    name = "kit15-grey-views"

    def noise_of_views(self, batch, generator):
        x = batch.x_n
        return standard_normal(x[:, :1] if x.ndim == 4 else x, generator).expand_as(x)


class SkewedViews(White):
    """A view adds noise of a skewed law (exponential, less its mean), as of a counter."""

    name = "kit15-skewed-views"

    def noise_of_views(self, batch, generator):
        z = standard_normal(batch.x_n, generator)
        return (-torch.log1p(-torch.special.ndtr(z.double()).clamp(max=1 - 1e-12)) - 1).to(z.dtype)


class OneAtItsFloor(White):
    """If any row is asked for at its own level, the whole batch is returned as it is."""

    name = "kit15-one-at-its-floor"

    def missing(self, batch, sigma):
        found = super().missing(batch, sigma)
        return torch.zeros_like(found) if bool((sigma == self.floor(batch)).any()) else found


class RootMix(White):
    """E[x_n | x_t] with a = sqrt(1 - b)."""

    name = "kit15-root-of-a"

    def mix(self, b, x_0_hat, x_t):
        return (1 - b).clamp(min=0).sqrt() * x_0_hat + b * x_t


class MixByTheLargest(White):
    """`expect` takes the largest noise of a row for all of its pixels."""

    name = "kit15-mix-by-the-largest"

    def of_rows(self, view, batch):
        return per_row(self.floor(batch), view.x)


class MixByTheField(White):
    """`expect` takes the level that is simulated in place of the batch's own."""

    name = "kit15-mix-by-the-field"

    def of_rows(self, view, batch):
        return per_row(torch.full_like(view.sigma, float(np.mean(self.sigma_n))), view.x)


class CondsLost(White):
    """A view does not hand on the conditions of its rows."""

    name = "kit15-conditions-lost"

    def conds(self, batch):
        return {}


class NumpyDoubles(White):
    """Noise comes from numpy, seeded by the generator, in float64: float32 rows become float64."""

    name = "kit15-numpy-doubles"
    claims = frozenset({"gaussian-noise", "symmetric-degrade"})

    def noise_of_rows(self, x_0, row, generator):
        one = generator if isinstance(generator, torch.Generator) else generator[0]
        seed = int(torch.randint(2**31, (), generator=one))
        return torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(x_0.shape)))


class FirstGenerator(White):
    """Of a list of generators the first draws for all rows."""

    name = "kit15-first-generator"

    def noise_of_views(self, batch, generator):
        one = generator if isinstance(generator, torch.Generator) or not isinstance(generator, list) else generator[0]
        return standard_normal(batch.x_n, one)


class LevelOfTheFirst(White):
    """With a level for each row, all rows of a batch get that of the first."""

    name = "kit15-level-of-the-first"

    sigma_n: float | tuple[float, float] = (0.1, 0.4)

    def levels(self, x_0, row, generator):
        return draw_levels(x_0, self.sigma_n, generator)[:1].expand(len(x_0)).clone()


class SlopeOfStds(White):
    """`slope` is given by a formula of its own, 1 - sigma_n / sigma."""

    name = "kit15-slope-of-stds"

    def slope(self, view, batch):
        return (1 - per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)).expand_as(view.x)


class StdOfDifference(White):
    """The std of the clean data is std(x_n) - mean(sigma_n)."""

    name = "kit15-std-less-std"

    def clean_std(self, batch):
        return max(0.0, float(batch.x_n.std() - batch.sigma_n.mean()))


class ViewsInPlace(White):
    """A view is made in the place of x_n, to save memory."""

    name = "kit15-views-in-place"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(x=batch.x_n.copy_(view.x))


class ScaledAsVP(White):
    """x_n is scaled by 1 / sqrt(1 + sigma_n^2), as a VP forward process does, and told sigma_n."""

    name = "kit15-scaled-as-vp"

    def observe(self, x_0, row, generator) -> Batch:
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=batch.x_n / per_row((1 + batch.sigma_n**2).sqrt(), batch.x_n))


WRONG = made(
    VarianceForStd,
    LevelsDrawnTwice,
    NoiseKept,
    KeyedByRowAlone,
    SmoothNoise,
    WeightedChannels,
    StdsSubtracted,
    MeanOverPixels,
    FloorOfTheBatch,
    BelowInSilence,
    OneNoiseForChannelsOfViews,
    SkewedViews,
    OneAtItsFloor,
    RootMix,
    MixByTheLargest,
    MixByTheField,
    CondsLost,
    NumpyDoubles,
    FirstGenerator,
    LevelOfTheFirst,
    SlopeOfStds,
    StdOfDifference,
    ViewsInPlace,
    ScaledAsVP,
)
