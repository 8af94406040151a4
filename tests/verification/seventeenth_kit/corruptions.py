"""Wrong corruptions of rows that are seen whole."""

from __future__ import annotations

import torch

from ambientkit.batch import View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.maths.ambient import tweedie_mix
from ambientkit.maths.noise import highest_level, per_row, standard_normal, uniform


class Noisy(Gaussian):
    """A base: other noise in `observe`."""

    name = "kit17-base-noisy"

    def noise(self, x_0, generator):
        return standard_normal(x_0, generator)

    def scale(self, sigma_n):
        return sigma_n

    def observe(self, x_0, row, generator):
        plain = super().observe(x_0, row, generator)
        level = per_row(self.scale(plain.sigma_n), x_0)
        return plain._replace(x_n=x_0 + level * self.noise(x_0, generator))


class NoiseOfVariance(Noisy):
    """`observe` multiplies the noise by its variance."""

    name = "kit17-observes-by-the-variance"

    def scale(self, sigma_n):
        return sigma_n**2


class OtherUnits(Noisy):
    """`observe` takes sigma_n for a level on [0, 1]: the noise of rows on [-1, 1] is twice as strong."""

    name = "kit17-observes-in-other-units"

    def scale(self, sigma_n):
        return 2 * sigma_n


class ATwelfthLess(Noisy):
    """The noise of `observe` is a twelfth weaker than its level, as n - 1 was taken for n in a calibration."""

    name = "kit17-observes-a-twelfth-less"

    def scale(self, sigma_n):
        return sigma_n * 11 / 12


class StudentNoise(Noisy):
    """The noise of `observe` has heavy tails: a t law of 5 degrees, scaled to variance 1."""

    name = "kit17-observes-heavy-tails"

    def noise(self, x_0, generator):
        chi = sum(standard_normal(x_0, generator) ** 2 for _ in range(5)) / 5
        return standard_normal(x_0, generator) / chi.sqrt() * (3 / 5) ** 0.5


class SmoothNoise(Noisy):
    """The noise of `observe` was resized with the picture: neighbours share half of it."""

    name = "kit17-observes-resized-noise"

    def noise(self, x_0, generator):
        z = standard_normal(x_0, generator)
        return (z + z.roll(1, -1)) / 2**0.5


class NoiseOfAll(Noisy):
    """The channels of a picture get one draw of noise."""

    name = "kit17-observes-grey-noise"

    def noise(self, x_0, generator):
        z = standard_normal(x_0, generator)
        return z[:, :1].expand_as(z) if z.ndim > 2 else z


class FirstGenerator(Noisy):
    """Of a list of generators the first is used for all rows, so that a row depends on its batch."""

    name = "kit17-observes-by-the-first-generator"

    def noise(self, x_0, generator):
        return standard_normal(x_0, generator[0] if isinstance(generator, list | tuple) else generator)


class Clipped(Gaussian):
    """Observations are clipped to [-1, 1], the range of files."""

    name = "kit17-observes-clipped"

    def observe(self, x_0, row, generator):
        plain = super().observe(x_0, row, generator)
        return plain._replace(x_n=plain.x_n.clamp(-1, 1))


class EightBits(Gaussian):
    """Observations are stored with a step of 1/4, on which their noise is not normal."""

    name = "kit17-observes-in-steps"

    def observe(self, x_0, row, generator):
        plain = super().observe(x_0, row, generator)
        return plain._replace(x_n=(plain.x_n * 4).round() / 4)


class OwnLevels(Gaussian):
    """The level that a row states is drawn anew, and is not that of its noise."""

    name = "kit17-observes-at-another-level"

    sigma_n: float | tuple[float, float] = (0.1, 0.4)
    """Simulated noise std."""

    def observe(self, x_0, row, generator):
        plain = super().observe(x_0, row, generator)
        low, high = self.sigma_n if isinstance(self.sigma_n, tuple) else (self.sigma_n, self.sigma_n)
        again = uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        return plain._replace(sigma_n=low + (high - low) * again)


class CleanSaysNoisy(Gaussian):
    """Rows that stay clean state the level of the others."""

    name = "kit17-clean-rows-say-noisy"

    clean_share: float = 0.4
    """Simulated share of rows that stay clean."""

    def observe(self, x_0, row, generator):
        plain = super().observe(x_0, row, generator)
        level = self.sigma_n[1] if isinstance(self.sigma_n, tuple) else self.sigma_n
        return plain._replace(sigma_n=torch.full_like(plain.sigma_n, level))


class Degraded(Gaussian):
    """A base: other steps in `degrade`."""

    name = "kit17-base-degraded"

    def missing(self, sigma, sigma_n):
        return (sigma**2 - sigma_n**2).clamp(min=0).sqrt()

    def noise(self, batch, generator):
        return standard_normal(batch.x_n, generator)

    def level(self, batch):
        return per_row(batch.sigma_n, batch.x_n)

    def degrade(self, batch, sigma, generator):
        if bool((sigma < self.floor(batch)).any()):
            return super().degrade(batch, sigma, generator)
        std = self.missing(per_row(sigma, batch.x_n), self.level(batch)).to(batch.x_n)
        return View(batch.x_n + std * self.noise(batch, generator), sigma, batch.cond)


class AddsAll(Degraded):
    """`degrade` adds noise of std sigma, and forgets what is there already."""

    name = "kit17-adds-all-of-sigma"

    def missing(self, sigma, sigma_n):
        return sigma


class AddsDifference(Degraded):
    """`degrade` adds noise of std sigma - sigma_n."""

    name = "kit17-adds-sigma-less-sigma-n"

    def missing(self, sigma, sigma_n):
        return sigma - sigma_n


class AddsVariance(Degraded):
    """`degrade` adds noise of std sigma^2 - sigma_n^2: the root was lost."""

    name = "kit17-adds-without-the-root"

    def missing(self, sigma, sigma_n):
        return sigma**2 - sigma_n**2


class AddsAtMost(Degraded):
    """`degrade` adds noise up to std 10, and calls it sigma."""

    name = "kit17-adds-ten-at-most"

    def missing(self, sigma, sigma_n):
        return super().missing(sigma, sigma_n).clamp(max=10)


class AddsAtLeast(Degraded):
    """`degrade` adds noise of std 0.05 at least, against a division by 0 elsewhere."""

    name = "kit17-adds-a-twentieth-at-least"

    def missing(self, sigma, sigma_n):
        return super().missing(sigma, sigma_n).clamp(min=0.05)


class MeanLevel(Degraded):
    """Of noise by pixel `degrade` tops up from the mean level of the row."""

    name = "kit17-tops-up-from-the-mean"

    def level(self, batch):
        level = super().level(batch)
        return level.flatten(1).mean(1).reshape(-1, *[1] * (level.ndim - 1)) if level.ndim else level


class HighestLevel(Degraded):
    """Of noise by pixel `degrade` tops up all pixels from the highest level of the row."""

    name = "kit17-tops-up-from-the-highest"

    def level(self, batch):
        return per_row(highest_level(batch.sigma_n, batch.x_n).contiguous(), batch.x_n)


class FirstLevel(Degraded):
    """All rows are topped up as the first one is."""

    name = "kit17-tops-up-as-the-first-row"

    def level(self, batch):
        level = super().level(batch)
        return level[:1] if level.ndim else level


class UniformNoise(Degraded):
    """`degrade` adds uniform noise of the right variance."""

    name = "kit17-adds-uniform-noise"

    def noise(self, batch, generator):
        return (2 * uniform(batch.x_n, generator) - 1) * 3**0.5


class KeyedByRow(Degraded):
    """The noise of `degrade` is keyed by the row, and the same in each call."""

    name = "kit17-adds-the-row-s-own-noise"

    def noise(self, batch, generator):
        own = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        return standard_normal(batch.x_n, own) if own else batch.x_n


class GlobalNoise(Degraded):
    """The noise of `degrade` comes from torch's global generator."""

    name = "kit17-adds-noise-of-the-global-generator"

    def noise(self, batch, generator):
        return torch.randn_like(batch.x_n)


class FoldedNoise(Degraded):
    """`degrade` adds noise with a slope, half a normal on each side, of mean 0 and variance 1."""

    name = "kit17-adds-skewed-noise"

    def noise(self, batch, generator):
        z = standard_normal(batch.x_n, generator)
        return 0.9 * z + 0.19**0.5 * (standard_normal(batch.x_n, generator) ** 2 - 1) / 2**0.5


class AtTheFloor(Gaussian):
    """A level below a row's own noise is raised to it, and no error is given: the view is not at the level told."""

    name = "kit17-raises-a-level-to-the-floor"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, torch.maximum(sigma, self.floor(batch)), generator)
        return view._replace(sigma=sigma)


class LosesConditions(Gaussian):
    """The conditions of a batch are not in its views."""

    name = "kit17-views-without-conditions"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator)._replace(cond={})


class InPlace(Gaussian):
    """`degrade` adds its noise to the batch in place."""

    name = "kit17-adds-noise-in-place"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        batch.x_n.copy_(view.x)
        return view


class ExpectsByStd(Gaussian):
    """b = sigma_n / sigma, without the squares."""

    name = "kit17-expects-by-stds"

    def expect(self, x_0_hat, view, batch):
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x


class ExpectsByField(Gaussian):
    """b is made with the level of the configuration, where rows bring their own."""

    name = "kit17-expects-by-its-field"

    def expect(self, x_0_hat, view, batch):
        level = self.sigma_n[1] if isinstance(self.sigma_n, tuple) else self.sigma_n
        b = (level / per_row(view.sigma, view.x)).clamp(max=1) ** 2
        return (1 - b) * x_0_hat + b * view.x


class ExpectsByFloor(Gaussian):
    """b is made with the highest level of a row, where noise is known by pixel."""

    name = "kit17-expects-by-the-floor"

    def expect(self, x_0_hat, view, batch):
        return tweedie_mix(x_0_hat, view.x, view.sigma, self.floor(batch).contiguous())


class ExpectsTheMirror(Gaussian):
    """a and b are exchanged."""

    name = "kit17-expects-with-a-and-b-exchanged"

    def expect(self, x_0_hat, view, batch):
        return tweedie_mix(view.x, x_0_hat, view.sigma, batch.sigma_n)


BASES = (Degraded, Gaussian, Noisy)
WRONG = [
    value()
    for value in list(globals().values())
    if isinstance(value, type) and issubclass(value, Gaussian) and value not in BASES
]
