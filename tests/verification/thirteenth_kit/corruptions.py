"""Wrong corruptions: noise of known level."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.interfaces import Corruption
from ambientkit.maths.noise import draw_levels, highest_level, per_row, standard_normal, uniform

from .bases import made, missing


class Plain(Corruption):
    """Gaussian noise in small steps that a mistake may replace."""

    source = "arXiv 2404.10177, Lemma 3.1"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})

    sigma_n: tuple[float, float] = (0.1, 0.3)

    def observe(self, x_0, row, generator):
        sigma_n = draw_levels(x_0, self.sigma_n, generator)
        return Batch(self.noisy(x_0, sigma_n, row, generator), self.stated(sigma_n), row, {})

    def noisy(self, x_0, sigma_n, row, generator):
        return x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator)

    def stated(self, sigma_n):
        return sigma_n

    def degrade(self, batch, sigma, generator):
        self.refuse(batch, sigma)
        x = batch.x_n + self.added(batch, sigma) * self.drawn(batch.x_n, generator)
        return View(x, sigma, batch.cond)

    def refuse(self, batch, sigma):
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} cannot be seen below its own noise level")

    def added(self, batch, sigma):
        return missing(batch, sigma)

    def drawn(self, x, generator):
        return standard_normal(x, generator)

    def expect(self, x_0_hat, view, batch):
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        return (1 - b) * x_0_hat + b * view.x

    def floor(self, batch):
        return highest_level(batch.sigma_n, batch.x_n)


class MiddleStated(Plain):
    """Draws a level for each row and states the middle of the range. Breaks: sigma_n is the known std of the noise."""

    name = "kit13-middle-stated"

    def stated(self, sigma_n):
        return torch.full_like(sigma_n, sum(self.sigma_n) / 2)


class ClippedPictures(Plain):
    """Clips observations to [-1, 1], as a file of bytes does. Breaks: x_n = x_0 + sigma_n z, white and normal."""

    name = "kit13-clipped-observations"

    def noisy(self, x_0, sigma_n, row, generator):
        return super().noisy(x_0, sigma_n, row, generator).clamp(-1, 1)


class Bytes(Plain):
    """Rounds observations to steps of 1/8, a camera of few bits. Breaks: x_n = x_0 + sigma_n z; its std is larger."""

    name = "kit13-coarse-bytes"

    def noisy(self, x_0, sigma_n, row, generator):
        return (super().noisy(x_0, sigma_n, row, generator) * 8).round() / 8


class Smoothed(Plain):
    """The noise of neighbouring values is alike, as after a demosaic, at the stated std. Breaks: white noise."""

    name = "kit13-correlated-noise"

    def noisy(self, x_0, sigma_n, row, generator):
        z = standard_normal(x_0, generator)
        return x_0 + per_row(sigma_n, x_0) * (z + 0.5 * z.roll(1, -1)) / 1.25**0.5


class GreyNoise(Plain):
    """One noise picture for all channels. Breaks: independent noise in each value."""

    name = "kit13-grey-noise"

    def noisy(self, x_0, sigma_n, row, generator):
        one = x_0[:, :1] if x_0.ndim > 2 else x_0
        return x_0 + per_row(sigma_n, x_0) * standard_normal(one, generator).expand_as(x_0)


class Heavy(Plain):
    """Laplace noise of the stated std. Breaks: Gaussian noise."""

    name = "kit13-laplace-noise"

    def noisy(self, x_0, sigma_n, row, generator):
        u = uniform(x_0, generator) - 0.5
        z = -u.sign() * torch.log((1 - 2 * u.abs()).clamp(min=1e-9)) / 2**0.5
        return x_0 + per_row(sigma_n, x_0) * z


class BySignal(Plain):
    """The noise grows with the signal, and the std is stated for the signal 0. Breaks: noise independent of x_0 at the
    stated std."""

    name = "kit13-noise-by-signal"

    def noisy(self, x_0, sigma_n, row, generator):
        return x_0 + per_row(sigma_n, x_0) * (1 + 0.3 * x_0).clamp(min=0.1) * standard_normal(x_0, generator)


class SeededByRow(Plain):
    """Seeds the noise by the row's number and leaves the generator alone. Breaks: noise is keyed by the run's seed and
    the row."""

    name = "kit13-seeded-by-row"

    def noisy(self, x_0, sigma_n, row, generator):
        return super().noisy(x_0, sigma_n, row, [torch.Generator().manual_seed(int(one)) for one in row])


class LinearGap(Plain):
    """Adds noise of std sigma - sigma_n. Breaks: sqrt(sigma^2 - sigma_n^2)."""

    name = "kit13-linear-gap"

    def added(self, batch, sigma):
        return per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)


class GapOfFloor(Plain):
    """Noise is topped up from the row's largest level. Breaks: sqrt(sigma^2 - sigma_n^2), elementwise."""

    name = "kit13-gap-of-floor"

    def added(self, batch, sigma):
        return missing(batch._replace(sigma_n=self.floor(batch)), sigma)


class GapOfMean(Plain):
    """The noise that is missing is taken from the row's root mean square level. Breaks: elementwise."""

    name = "kit13-gap-of-mean"

    def added(self, batch, sigma):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).square().mean(1).sqrt()
        return missing(batch._replace(sigma_n=level), sigma)


class MixOfFloor(Plain):
    """b is taken of the row's largest level. Breaks: E[x_n | x_t] elementwise in sigma_n."""

    name = "kit13-mix-of-floor"

    def expect(self, x_0_hat, view, batch):
        return super().expect(x_0_hat, view, batch._replace(sigma_n=self.floor(batch)))


class MixOfRatio(Plain):
    """b = sigma_n / sigma. Breaks: b = sigma_n^2 / sigma^2."""

    name = "kit13-mix-of-ratio"

    def expect(self, x_0_hat, view, batch):
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x


class FloorOfMean(Plain):
    """The floor of noise per pixel is its mean. Breaks: noise per pixel reduces to its maximum."""

    name = "kit13-floor-of-mean"

    def floor(self, batch):
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)


class NeverRefuses(Plain):
    """Leaves rows as they are where the level is below their noise. Breaks: raises ValueError naming the row."""

    name = "kit13-never-refuses"

    def refuse(self, batch, sigma):
        pass


class RefusesUnnamed(Plain):
    """Raises with the place in the batch in place of the row's number. Breaks: raises ValueError naming the row."""

    name = "kit13-refuses-by-place"

    def refuse(self, batch, sigma):
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(below.nonzero()[0])} cannot be seen below its own noise level")


class RefusesAtFloor(Plain):
    """Refuses the floor itself. Breaks: the floor is the lowest level at which a row can be placed."""

    name = "kit13-refuses-the-floor"

    def refuse(self, batch, sigma):
        below = (sigma <= self.floor(batch)) & (sigma > 0)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} cannot be seen below its own noise level")


class ForgetsCond(Plain):
    """Views come without the row's conditions. Breaks: with the batch's conditions."""

    name = "kit13-forgets-cond"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator)._replace(cond={})


class OneForAll(Plain):
    """With a list of generators the first draws for all rows. Breaks: row i is the same alone and in another batch."""

    name = "kit13-first-generator"

    def drawn(self, x, generator):
        return standard_normal(x, generator[0] if isinstance(generator, list | tuple) else generator)


class Skewed(Plain):
    """Added noise is exponential, less its mean, of the right std. Breaks: x_t - x_n is symmetric and normal."""

    name = "kit13-skewed-top-up"

    def drawn(self, x, generator):
        return -torch.log((1 - uniform(x, generator)).clamp(min=1e-9)) - 1


class CleanShareSwapped(Gaussian):
    """Rows drawn to stay clean get the noise, and are stated clean. Breaks: sigma_n is the known std of the noise."""

    name = "kit13-clean-share-stated"
    clean_share: float = 0.3

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        clean = found.sigma_n == 0
        extra = 0.2 * standard_normal(x_0, generator)
        return found._replace(x_n=torch.where(per_row(clean.to(x_0.dtype), x_0) > 0, x_0 + extra, found.x_n))


class SlopeOfMean(Plain):
    """Overrides `slope` by b. Breaks: slope is a, the derivative of `expect`."""

    name = "kit13-slope-is-b"

    def slope(self, view, batch):
        return 1 - super().slope(view, batch)


class StdMinus(Plain):
    """clean_std subtracts the level and not its square. Breaks: sqrt(var(x_n) - mean(sigma_n^2))."""

    name = "kit13-std-minus-level"

    def clean_std(self, batch):
        return max(float(batch.x_n.std()) - float(batch.sigma_n.mean()), 0.0)


class CapOfA(Plain):
    """Overrides `weight` by 1/a, capped. Breaks: min(1/a^2, cap)."""

    name = "kit13-weight-of-a"

    def weight(self, view, batch, cap, hidden):
        return torch.minimum(1 / self.slope(view, batch).clamp(min=1e-6), per_row(cap, batch.x_n))


WRONG = made(
    MiddleStated,
    ClippedPictures,
    Bytes,
    Smoothed,
    GreyNoise,
    Heavy,
    BySignal,
    SeededByRow,
    LinearGap,
    GapOfFloor,
    GapOfMean,
    MixOfFloor,
    MixOfRatio,
    FloorOfMean,
    NeverRefuses,
    RefusesUnnamed,
    RefusesAtFloor,
    ForgetsCond,
    OneForAll,
    Skewed,
    CleanShareSwapped,
    SlopeOfMean,
    StdMinus,
    CapOfA,
)
