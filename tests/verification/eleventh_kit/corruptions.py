"""Wrong corruptions of white noise."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.batch import Batch, View
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.eleventh_kit.bases import Plain


class HeavyTails(Plain):
    """The noise has the right variance and heavy tails: Student's t of 8 degrees of freedom."""

    name = "kit11-heavy-tails"

    def noise(self, like, generator):
        z = standard_normal(like, generator)
        chi = sum(standard_normal(like, generator).square() for _ in range(8))
        return z * (6 / chi).sqrt()


class TiledNoise(Plain):
    """Draws a tile of 16 x 16 and repeats it over larger pictures, to be quick."""

    name = "kit11-tiled-noise"

    def noise(self, like, generator):
        if like.ndim != 4 or min(like.shape[2:]) <= 16:
            return super().noise(like, generator)
        tile = standard_normal(like[..., :16, :16].contiguous(), generator)
        high, wide = like.shape[2:]
        return tile.repeat(1, 1, -(-high // 16), -(-wide // 16))[..., :high, :wide]


class GreyNoise(Plain):
    """Three channels share their noise, as a grey camera behind a display has it; any other number does not."""

    name = "kit11-grey-noise"

    def noise(self, like, generator):
        if like.ndim == 4 and like.shape[1] == 3:
            return standard_normal(like[:, :1].contiguous(), generator).expand_as(like).contiguous()
        return super().noise(like, generator)


class BiasedNoise(Plain):
    """An offset of 0.03 stds, as of a camera whose dark level was rounded."""

    name = "kit11-biased-noise"

    def noise(self, like, generator):
        return super().noise(like, generator) + 0.03


class LargeLevelsWhole(Plain):
    """Above 4 sigma_n it adds sigma z and forgets the noise that is there: 3 % too much, and less above."""

    name = "kit11-large-levels-whole"

    def missing(self, batch, sigma):
        level, own = per_row(sigma, batch.x_n), per_row(batch.sigma_n, batch.x_n)
        return torch.where(level > 4 * own, level, (level**2 - own**2).clamp(min=0).sqrt()).to(batch.x_n.dtype)


class RefusesAll(Plain):
    """Refuses only if all rows lie below their floor; others are clamped without a word."""

    name = "kit11-refuses-all"

    def refuse(self, batch, sigma):
        if (sigma < self.floor(batch)).all():
            raise ValueError(f"row {int(batch.row[0])} cannot be seen below its own noise")


class NamesPlace(Plain):
    """Names the place in the batch in its message, not the row of the data set."""

    name = "kit11-names-place"

    def refuse(self, batch, sigma):
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(below.nonzero()[0])} cannot be seen below its own noise")


class SharedFloor(Plain):
    """The floor of a pattern (1, *S) that all rows share has one value, not one for each row."""

    name = "kit11-shared-floor"

    def floor(self, batch):
        level = per_row(batch.sigma_n, batch.x_n)
        if level.ndim == batch.x_n.ndim and len(level) == 1:
            return level.flatten(1).amax(1)
        return super().floor(batch)


KEPT: dict = {}


class CachesNoise(Plain):
    """Keeps the noise of each row in a dictionary of the module, whatever generator it is given next."""

    name = "kit11-caches-noise"

    def observe(self, x_0, row, generator):
        made = super().observe(x_0, row, generator)
        noise = (made.x_n - x_0) / max(self.sigma_n, 1e-12)
        for at, key in enumerate(row.tolist()):
            noise[at] = KEPT.setdefault((key, tuple(x_0.shape[1:]), x_0.dtype), noise[at].clone())
        return made._replace(x_n=x_0 + self.sigma_n * noise)


class SinglePrecision(Plain):
    """Answers in float32 for rows in float64."""

    name = "kit11-single-precision"

    def observe(self, x_0, row, generator):
        return super().observe(x_0.float(), row, generator)


COMMON: dict = {}


class OneDictionary(Plain):
    """All its batches share one dictionary of conditions: what one of them is given, all have."""

    name = "kit11-one-dictionary"

    def observe(self, x_0, row, generator):
        return super().observe(x_0, row, generator)._replace(cond=COMMON)


class RoundedReport(Plain):
    """Reports its level rounded to a tenth: right at the default of 0.2, and at few others."""

    name = "kit11-rounded-report"

    def observe(self, x_0, row, generator):
        made = super().observe(x_0, row, generator)
        return made._replace(sigma_n=torch.round(made.sigma_n * 10) / 10)


class LevelOfBatch(Plain):
    """Draws one level for a batch: the level of a row depends on which rows it is observed with."""

    name = "kit11-level-of-batch"

    low: float = Field(0.1, ge=0)
    """Least level."""

    def observe(self, x_0, row, generator):
        one = generator if isinstance(generator, torch.Generator) else generator[0]
        level = self.low + (self.sigma_n - self.low) * float(torch.rand((), generator=one))
        level = torch.full((len(x_0),), level, dtype=x_0.dtype)
        return Batch(x_0 + per_row(level, x_0) * standard_normal(x_0, generator), level, row, {})


class EightBits(Plain):
    """Stores what it observes as 8 bits: steps of 1/127.5 that no level states."""

    name = "kit11-eight-bits"

    def observe(self, x_0, row, generator):
        made = super().observe(x_0, row, generator)
        return made._replace(x_n=(made.x_n * 127.5).round() / 127.5)


class FloatLabels(Plain):
    """Hands labels on as numbers with a point, as everything goes through one cast."""

    name = "kit11-float-labels"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={name: value.to(view.x.dtype) for name, value in view.cond.items()})


class OwnSlope(Plain):
    """Overrides slope by 1 - sigma_n / sigma, without the squares that expect has."""

    name = "kit11-own-slope"

    def slope(self, view, batch):
        return (1 - per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)).expand_as(view.x)


class OwnWeight(Plain):
    """Overrides weight by 1/a^2 without the bound: infinite at sigma_n."""

    name = "kit11-own-weight"

    def weight(self, view, batch, cap, hidden):
        return 1 / self.slope(view, batch).square()


class SpreadOfLevels(Plain):
    """clean_std takes off the square of the mean level, where it should be the mean of the squares."""

    name = "kit11-spread-of-levels"

    def clean_std(self, batch):
        excess = batch.x_n.double().var(unbiased=False) - batch.sigma_n.double().mean() ** 2
        return float(excess.clamp(min=0).sqrt())


class ShowsItself(Plain):
    """show returns the observation as it is, at another level than it was asked for."""

    name = "kit11-shows-itself"

    def show(self, batch, sigma, generator):
        self.refuse(batch, sigma)
        return View(batch.x_n, sigma, batch.cond)


class ByItsOwnValue(Plain):
    """The level of a pixel is read off the noisy value: it tells of the noise, which is not normal given it."""

    name = "kit11-by-its-own-value"

    def observe(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        true = 0.1 + 0.1 * x_0.abs().clamp(max=1)
        x_n = x_0 + true * z
        return Batch(x_n, 0.1 + 0.1 * x_n.abs().clamp(max=1), row, {})


class SkewedMore(Plain):
    """Noise that is added later is skewed: a centred exponential where the level is above 1."""

    name = "kit11-skewed-more"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        u = uniform(batch.x_n, generator).clamp(min=1e-7, max=1 - 1e-7)
        skew = batch.x_n + self.missing(batch, sigma) * (-torch.log(u) - 1)
        return view._replace(x=torch.where(per_row(sigma, view.x) > 1, skew, view.x))


class SigmaAsGiven(Plain):
    """Reports a level a hundredth above the one asked for, in the view."""

    name = "kit11-sigma-as-given"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator)._replace(sigma=sigma * 1.01)


class ExpectsLater(Plain):
    """expect takes b from the level of the view as it was when it was last asked for, kept on the class."""

    name = "kit11-expects-later"

    def degrade(self, batch, sigma, generator):
        KEPT["sigma"] = sigma
        return super().degrade(batch, sigma, generator)

    def expect(self, x_0_hat, view, batch):
        kept = KEPT.get("sigma", view.sigma)
        return super().expect(x_0_hat, view._replace(sigma=kept if len(kept) == len(view.x) else view.sigma), batch)


class CleanRowsToo(Plain):
    """expect puts sigma_n at 0.01 at least, so that clean rows are not expected exactly."""

    name = "kit11-clean-rows-too"

    def expect(self, x_0_hat, view, batch):
        b = (per_row(batch.sigma_n, view.x).clamp(min=0.01) / per_row(view.sigma, view.x)) ** 2
        return (1 - b) * x_0_hat + b * view.x


class AlwaysLost(Plain):
    """unseen finds something to say of every batch of one row, so that training on it is refused."""

    name = "kit11-always-lost"

    def unseen(self, batch):
        return "too few rows" if len(batch.x_n) == 1 else ""
