"""Wrong corruptions of white noise."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Batch
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.fifteenth_kit.bases import made
from tests.verification.fifteenth_kit.bases_other import White


class LevelAsMeasured(White):
    """The level that is told is the std of the very noise that was drawn, not of its law: it knows of the noise."""

    name = "kit16-level-of-the-noise-drawn"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        return found._replace(sigma_n=(found.x_n - x_0).flatten(1).std(1))


class FourUniforms(White):
    """Noise as the sum of four uniforms, "near enough to a normal": its fourth moment is 2.7."""

    name = "kit16-sum-of-four-uniforms"

    def noise_of_rows(self, x_0, row, generator):
        return sum(uniform(x_0, generator) - 0.5 for _ in range(4)) * 3**0.5


class TailsCut(White):
    """Noise of views beyond 2.5 standard deviations is put back to 2.5."""

    name = "kit16-views-without-tails"

    def noise_of_views(self, batch, generator):
        return standard_normal(batch.x_n, generator).clamp(-2.5, 2.5)


class OneChannelMore(White):
    """The noise of colour channels is drawn in another basis, of which one vector is too long by a tenth."""

    name = "kit16-last-channel-a-tenth-too-loud"

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        return torch.cat([z[:, :-1], 1.1 * z[:, -1:]], 1) if z.ndim == 4 and z.shape[1] > 1 else z


class LinesShareNoise(White):
    """Read noise: a share of each line's noise is common to the line; the variance of a value is right."""

    name = "kit16-noise-common-to-lines"

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        if z.ndim < 4:
            return z
        return 0.95**0.5 * z + 0.05**0.5 * standard_normal(z[..., :1], generator)


class NextRowsNoise(White):
    """Noise of views with a share of the row before it in the batch: rows are not independent."""

    name = "kit16-noise-of-the-row-before"

    def noise_of_views(self, batch, generator):
        z = standard_normal(batch.x_n, generator)
        return 0.8 * z + 0.6 * z.roll(1, 0)


class OneGeneratorForAll(White):
    """With a list of generators the first draws for all rows."""

    name = "kit16-first-generator-for-all-rows"

    def noise_of_rows(self, x_0, row, generator):
        first = generator[0] if isinstance(generator, list | tuple) else generator
        return standard_normal(x_0, first)


class KeepsNoise(White):
    """The noise of observations is kept by row, and a row asked again under another seed gets it again."""

    name = "kit16-keeps-the-noise-of-rows"
    kept: ClassVar[dict] = {}

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        found = [self.kept.setdefault((int(r), tuple(own.shape)), own) for r, own in zip(row, z, strict=True)]
        return torch.stack(found).to(z)


class SameForBoth(White):
    """The noise of views goes the way that the observation already has: signs of x_n times |z|."""

    name = "kit16-noise-with-the-sign-of-values"

    def noise_of_views(self, batch, generator):
        z = standard_normal(batch.x_n, generator)
        return torch.where(uniform(z, generator) < 0.1, z.abs() * batch.x_n.sign(), z)


class LouderWhereBright(White):
    """The noise of views grows with brightness, as that of counts."""

    name = "kit16-views-noisier-where-bright"

    def noise_of_views(self, batch, generator):
        z = standard_normal(batch.x_n, generator)
        return z * (1 + 0.15 * batch.x_n.clamp(-1, 1))


class MissingOfTheMean(White):
    """What is missing is computed with the mean sigma_n of the batch."""

    name = "kit16-missing-by-the-batch-s-mean"

    def missing(self, batch, sigma):
        level = per_row(batch.sigma_n, batch.x_n)
        return (per_row(sigma, batch.x_n) ** 2 - level.mean() ** 2).clamp(min=0).sqrt()


class MissingPlusATrifle(White):
    """sqrt(sigma^2 - sigma_n^2 + 0.003) "for the gradient of the root": too noisy next to sigma_n."""

    name = "kit16-root-with-an-epsilon"

    def missing(self, batch, sigma):
        return (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2 + 3e-3).clamp(min=0).sqrt()


class ToleratesBelow(White):
    """Levels up to a twentieth below the floor are taken as the floor, without a word."""

    name = "kit16-a-twentieth-below-the-floor"

    def degrade(self, batch, sigma, generator):
        floor = self.floor(batch)
        return super().degrade(batch, torch.where(sigma > 0.95 * floor, sigma.maximum(floor), sigma), generator)


class FloorOfFirstChannel(White):
    """The floor is the highest level of the first channel."""

    name = "kit16-floor-of-the-first-channel"

    def floor(self, batch):
        level = per_row(batch.sigma_n, batch.x_n)
        if level.ndim < 4:
            return super().floor(batch)
        return level[:, 0].flatten(1).amax(1).expand(len(batch.x_n))


class FloorOfAllRows(White):
    """The floor of a row with noise per pixel is the ninth decile of its levels, "without hot pixels"."""

    name = "kit16-floor-by-the-ninth-decile"

    def floor(self, batch):
        level = per_row(batch.sigma_n, batch.x_n)
        if level.ndim < 2 or level[0].numel() == 1:
            return super().floor(batch)
        return torch.quantile(level.flatten(1), 0.9, dim=1).expand(len(batch.x_n))


class ShareAtMean(White):
    """b with the mean level of the batch in place of each row's sigma."""

    name = "kit16-mix-at-the-batch-s-mean-level"

    def expect(self, x_0_hat, view, batch):
        return super().expect(x_0_hat, view._replace(sigma=view.sigma.mean().expand_as(view.sigma)), batch)


class ShareOfHighest(White):
    """b with the highest sigma_n of the row, not that of each pixel."""

    name = "kit16-mix-by-the-floor"

    def of_rows(self, view, batch):
        return per_row(self.floor(batch), view.x)


class SlopeOfLevels(White):
    """`slope` is overridden by 1 - sigma_n / sigma, where `expect` has the squares."""

    name = "kit16-slope-without-squares"

    def slope(self, view, batch):
        level = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - level).expand_as(view.x).to(view.x.dtype)


class OwnCap(White):
    """`weight` has a cap of its own, 5, and does not read the one it is given."""

    name = "kit16-weight-with-a-cap-of-its-own"

    def weight(self, view, batch, cap, hidden):
        return capped_inverse_square(self.slope(view, batch), 5.0)


class CapOfTheFirst(White):
    """`weight` takes the cap of the first row for all."""

    name = "kit16-weight-with-the-first-row-s-cap"

    def weight(self, view, batch, cap, hidden):
        return capped_inverse_square(self.slope(view, batch), cap[0])


class StdByMeanLevel(White):
    """`clean_std` subtracts the square of the mean level in place of the mean square, and takes no level per pixel."""

    name = "kit16-clean-std-by-the-mean-level"

    def clean_std(self, batch):
        level = per_row(batch.sigma_n.double(), batch.x_n).expand_as(batch.x_n)
        return float((batch.x_n.double().var() - level.mean() ** 2).clamp(min=0).sqrt())


class StdOfNoisy(White):
    """`clean_std` is the std of the noisy rows."""

    name = "kit16-clean-std-with-the-noise"

    def clean_std(self, batch):
        return float(batch.x_n.double().std())


class ShowsAtHalf(White):
    """`show` adds no noise, and tells the level asked for: restored rows are taken for noisier than they are."""

    name = "kit16-shows-the-row-as-it-is"

    def show(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator)._replace(x=batch.x_n)


class RoundsLevels(White):
    """The level of a row is rounded to tenths after its noise is drawn, as it is written in a header."""

    name = "kit16-levels-rounded-to-a-tenth"
    sigma_n: float | tuple[float, float] = (0.15, 0.35)

    def told(self, sigma_n, x_0):
        return (10 * sigma_n).round() / 10


class OrderOfRows(White):
    """Levels are drawn for the rows and sorted, as the loader goes by level; the noise was drawn in the other order."""

    name = "kit16-levels-sorted-after-the-noise"
    sigma_n: float | tuple[float, float] = (0.1, 0.4)

    def told(self, sigma_n, x_0):
        return sigma_n.sort().values


class NumbersRows(White):
    """`row` of an observation counts from 0 within its batch."""

    name = "kit16-rows-numbered-in-the-batch"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        return Batch(found.x_n, found.sigma_n, torch.arange(len(x_0), device=row.device), found.cond)


WRONG = made(
    LevelAsMeasured,
    FourUniforms,
    TailsCut,
    OneChannelMore,
    LinesShareNoise,
    NextRowsNoise,
    OneGeneratorForAll,
    KeepsNoise,
    SameForBoth,
    LouderWhereBright,
    MissingOfTheMean,
    MissingPlusATrifle,
    ToleratesBelow,
    FloorOfFirstChannel,
    FloorOfAllRows,
    ShareAtMean,
    ShareOfHighest,
    SlopeOfLevels,
    OwnCap,
    CapOfTheFirst,
    StdByMeanLevel,
    StdOfNoisy,
    ShowsAtHalf,
    RoundsLevels,
    OrderOfRows,
    NumbersRows,
)
