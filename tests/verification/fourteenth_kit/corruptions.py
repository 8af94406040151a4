"""Wrong corruptions of whole rows: Gaussian noise."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.ambient import top_up, tweedie_mix
from ambientkit.maths.noise import draw_levels, highest_level, per_row, standard_normal, uniform

from .bases import made


class White(Corruption):
    """White Gaussian noise of known level."""

    source = "arXiv 2404.10177, Lemma 3.1"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})
    sigma_n: float | tuple[float, float] = 0.2
    clean_share: float = 0.0

    def observe(self, x_0, row, generator):
        sigma_n = self.drawn(x_0, generator)
        if self.clean_share > 0:
            u = uniform(sigma_n.unsqueeze(1), generator).squeeze(1)
            sigma_n = torch.where(u < self.clean_share, torch.zeros_like(sigma_n), sigma_n)
        return self.kept(Batch(x_0 + per_row(sigma_n, x_0) * self.noise(x_0, generator), sigma_n, row, {}), generator)

    def drawn(self, x_0, generator):
        return draw_levels(x_0, self.sigma_n, generator)

    def noise(self, x, generator):
        return standard_normal(x, generator)

    def kept(self, batch, generator):
        return batch

    def degrade(self, batch, sigma, generator):
        below = (sigma < self.floor(batch)).nonzero()
        if len(below):
            raise ValueError(f"row {int(batch.row[int(below[0])])} cannot be seen below its own noise")
        return View(self.topped(batch, sigma, generator), sigma, batch.cond)

    def topped(self, batch, sigma, generator):
        return top_up(batch.x_n, batch.sigma_n, sigma, generator)

    def expect(self, x_0_hat, view, batch):
        return tweedie_mix(x_0_hat, view.x, view.sigma, batch.sigma_n)

    def floor(self, batch):
        return highest_level(batch.sigma_n, batch.x_n)


class AtLeastALittle(White):
    """The square under the root is kept above 1e-6, so that its gradient is finite. Breaks: at its own level a row is
    x_n itself."""

    name = "kit14-a-little-noise"

    def topped(self, batch, sigma, generator):
        x = batch.x_n
        missing = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=1e-6).sqrt()
        return x + missing.to(x.dtype) * standard_normal(x, generator)


class NinetyNine(White):
    """The floor is the level that 95 % of the pixels of a row do not exceed; hotter ones stay. Breaks: noise per pixel
    reduces to its maximum."""

    name = "kit14-hot-pixels-left"

    def floor(self, batch):
        level = per_row(batch.sigma_n, batch.x_n)
        own = level.flatten(1).quantile(0.95, dim=1) if level.ndim else level
        return own.expand(len(batch.x_n))

    def topped(self, batch, sigma, generator):
        x = batch.x_n
        missing = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt()
        return x + missing.to(x.dtype) * standard_normal(x, generator)


class GreyInColour(White):
    """Three channels get one noise. Breaks: white noise."""

    name = "kit14-grey-in-colour"

    def noise(self, x, generator):
        z = standard_normal(x, generator)
        return z[:, :1].expand_as(z) if x.ndim == 4 and x.shape[1] == 3 else z


class EightBits(White):
    """Observations are rounded to the 256 values of a file. Breaks: x_n - x_0 is Gaussian noise of the level told."""

    name = "kit14-eight-bits"

    def kept(self, batch, generator):
        return batch._replace(x_n=(batch.x_n * 127.5).round() / 127.5)


class Tiled(White):
    """Noise for pictures larger than 16 x 16 is one tile, repeated. Breaks: white noise."""

    name = "kit14-noise-in-tiles"

    def noise(self, x, generator):
        if x.ndim != 4 or max(x.shape[2:]) <= 16:
            return standard_normal(x, generator)
        tile = standard_normal(x[..., :16, :16], generator)
        high, wide = -(-x.shape[2] // tile.shape[2]), -(-x.shape[3] // tile.shape[3])
        return tile.repeat(1, 1, high, wide)[..., : x.shape[2], : x.shape[3]]


class ColdTail(White):
    """Noise beyond three stds is drawn in: hot pixels are not simulated. Breaks: Gaussian noise."""

    name = "kit14-no-tails"

    def noise(self, x, generator):
        return standard_normal(x, generator).clamp(-3, 3)


class WhollyMasked(White):
    """Of several channels the last is an opacity, and gets no noise. Breaks: white noise in all values."""

    name = "kit14-fourth-channel-clean"

    def noise(self, x, generator):
        z = standard_normal(x, generator)
        if x.ndim == 4 and x.shape[1] >= 4:
            z[:, 3:] = 0
        return z


class TenthBelow(White):
    """A level up to 2 % below the noise of a row passes, as rounding. Breaks: raises where sigma < floor."""

    name = "kit14-two-percent-below"

    def degrade(self, batch, sigma, generator):
        own = self.floor(batch)
        near = torch.where((sigma < own) & (sigma > 0.98 * own), own, sigma)
        return super().degrade(batch, near, generator)._replace(sigma=sigma)


class CleanStaysNoisy(White):
    """A share of the rows is told to be clean, and keeps its noise. Breaks: x_n = x_0 + sigma_n z with the sigma_n
    told."""

    name = "kit14-told-clean"
    clean_share: float = 0.3

    def observe(self, x_0, row, generator):
        sigma_n = self.drawn(x_0, generator)
        x_n = x_0 + per_row(sigma_n, x_0) * self.noise(x_0, generator)
        u = uniform(sigma_n.unsqueeze(1), generator).squeeze(1)
        return Batch(x_n, torch.where(u < self.clean_share, torch.zeros_like(sigma_n), sigma_n), row, {})


class SingleNoise(White):
    """Noise in single precision makes observations of doubles single. Breaks: x_n keeps the dtype of x_0."""

    name = "kit14-doubles-made-single"

    def kept(self, batch, generator):
        return batch._replace(x_n=batch.x_n.float())


class LevelsAlongWidth(White):
    """Levels of one axis are multiplied as they are where that fits. Breaks: a level per row; where there are as many
    rows as columns it is spread along the width."""

    name = "kit14-as-many-rows-as-columns"

    def topped(self, batch, sigma, generator):
        x, own = batch.x_n, batch.sigma_n
        if own.ndim == 1 and x.ndim > 1 and len(own) == x.shape[-1]:
            missing = (sigma**2 - own**2).clamp(min=0).sqrt()
            return x + missing * standard_normal(x, generator)
        return super().topped(batch, sigma, generator)


class MixWithEps(White):
    """b = sigma_n^2 / (sigma^2 + 1e-4), against division by 0, and a = 1 - b. Breaks: the exact E[x_n | x_t], at low
    levels."""

    name = "kit14-mix-with-eps"

    def expect(self, x_0_hat, view, batch):
        x = view.x
        b = per_row(batch.sigma_n, x) ** 2 / (per_row(view.sigma, x) ** 2 + 1e-4)
        return (1 - b) * x_0_hat + b * x


class MixByRow(White):
    """Noise per pixel is mixed by the mean of the row. Breaks: E[x_n | x_t] value by value."""

    name = "kit14-mix-by-mean-of-row"

    def expect(self, x_0_hat, view, batch):
        level = per_row(batch.sigma_n, view.x)
        if level.ndim:
            level = level.square().flatten(1).mean(1).sqrt()
        return tweedie_mix(x_0_hat, view.x, view.sigma, level.expand(len(view.x)))


class SlopeOfOne(White):
    """`slope` comes back with one value for each row. Breaks: (B, *S), value by value."""

    name = "kit14-slope-by-row"

    def slope(self, view, batch):
        return super().slope(view, batch).flatten(1).amax(1).reshape(-1, *[1] * (view.x.ndim - 1))


class OneCap(White):
    """The largest cap serves all rows. Breaks: min(1/a^2, cap), cap (B,)."""

    name = "kit14-one-cap"

    def weight(self, view, batch, cap, hidden):
        return super().weight(view, batch, cap.max().expand_as(cap), hidden)


class StdOfMean(White):
    """clean_std takes off the square of the mean level. Breaks: sqrt(var(x_n) - mean(sigma_n^2))."""

    name = "kit14-square-of-mean-level"

    def clean_std(self, batch):
        excess = batch.x_n.double().var(unbiased=False) - batch.sigma_n.double().mean() ** 2
        return float(excess.clamp(min=0).sqrt())


class ShownAsObserved(White):
    """`show` gives the observation at any level. Breaks: the rows at levels sigma."""

    name = "kit14-shown-as-observed"

    def show(self, batch, sigma, generator):
        return View(batch.x_n, sigma, batch.cond)


class LabelsLost(White):
    """A view carries conditions of more than one axis only. Breaks: conditions travel with the row."""

    name = "kit14-view-without-labels"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={name: value for name, value in view.cond.items() if value.ndim > 1})


class ByLowerHalf(White):
    """The noise of a view of clean rows is that of the row before, as their own is not needed. Breaks: independent
    noise, row by row."""

    name = "kit14-clean-rows-share-noise"

    def topped(self, batch, sigma, generator):
        x = batch.x_n
        z = standard_normal(x, generator)
        clean = per_row((highest_level(batch.sigma_n, x) == 0).to(x.dtype), x) > 0
        z = torch.where(clean, z.roll(1, 0), z)
        return x + (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).sqrt().to(x.dtype) * z


WRONG = made(
    AtLeastALittle,
    NinetyNine,
    GreyInColour,
    EightBits,
    Tiled,
    ColdTail,
    WhollyMasked,
    TenthBelow,
    CleanStaysNoisy,
    SingleNoise,
    LevelsAlongWidth,
    MixWithEps,
    MixByRow,
    SlopeOfOne,
    OneCap,
    StdOfMean,
    ShownAsObserved,
    LabelsLost,
    ByLowerHalf,
)
