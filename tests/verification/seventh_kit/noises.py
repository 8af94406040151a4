"""Wrong corruptions of Gaussian noise."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian, Level
from ambientkit.maths.ambient import top_up, tweedie_mix
from ambientkit.maths.noise import RandomSource, draw_levels, per_row, standard_normal, uniform


def mean_level(batch: Batch) -> Tensor:
    """(B,), mean of sigma_n over the values of each row."""
    return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)


class LevelOfPair(Gaussian):
    """Levels are drawn row by row between the two of a pair, and all rows say the middle of it."""

    name = "seven-level-of-pair"
    sigma_n: Level | tuple[Level, Level] = (0.1, 0.3)

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        batch = super().observe(x_0, row, generator)
        pair = self.sigma_n if isinstance(self.sigma_n, tuple) else (self.sigma_n, self.sigma_n)
        return batch._replace(sigma_n=torch.full_like(batch.sigma_n, sum(pair) / 2))


class ClippedRows(Gaussian):
    """Observations are clipped to [-1, 1], as files of whole numbers are, and are no longer x_0 + sigma_n z."""

    name = "seven-clipped-rows"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=batch.x_n.clamp(-1, 1))


class OwnSeed(Gaussian):
    """The noise of a row is keyed by its number alone, so that the seed of a run changes nothing."""

    name = "seven-own-seed"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        sources = [Generator(x_0.device).manual_seed(1000 + int(number)) for number in row]
        return super().observe(x_0, row, sources)


class DegradeFrozen(Gaussian):
    """What a view adds is keyed by the row, the same in all epochs."""

    name = "seven-degrade-frozen"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        sources = [Generator(batch.x_n.device).manual_seed(7 + int(number)) for number in batch.row]
        return super().degrade(batch, sigma, sources)


class Correlated(Gaussian):
    """The noise of neighbouring values is correlated by a fifth, as after demosaicing, with the right std."""

    name = "seven-correlated"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        sigma_n = draw_levels(x_0, self.sigma_n, generator)
        z = standard_normal(x_0, generator)
        z = (z + 0.2 * z.roll(1, -1)) / (1 + 0.2**2) ** 0.5
        return Batch(x_0 + per_row(sigma_n, x_0) * z, sigma_n, row, {})


class GreyRows(Gaussian):
    """The channels of a picture share their noise."""

    name = "seven-grey-rows"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        sigma_n = draw_levels(x_0, self.sigma_n, generator)
        z = standard_normal(x_0, generator)
        return Batch(x_0 + per_row(sigma_n, x_0) * (z[:, :1] if z.ndim > 2 else z), sigma_n, row, {})


class HeavyTails(Gaussian):
    """One value in fifty has three times the noise, as of hot pixels, and the std is made up for in the others."""

    name = "seven-heavy-tails"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        sigma_n = draw_levels(x_0, self.sigma_n, generator)
        hot = uniform(x_0, generator) < 0.02
        z = standard_normal(x_0, generator) * torch.where(hot, 3.0, 1.0) / (0.98 + 0.02 * 9) ** 0.5
        return Batch(x_0 + per_row(sigma_n, x_0) * z, sigma_n, row, {})


class ShotNoise(Gaussian):
    """The noise grows with the brightness, and its level is told pixel by pixel as computed from the noisy values."""

    name = "seven-shot-noise"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        level = draw_levels(x_0, self.sigma_n, generator)

        def at(x: Tensor) -> Tensor:
            return per_row(level, x) * (1 + 0.5 * x.clamp(-1, 1)).sqrt()

        x_n = x_0 + at(x_0) * standard_normal(x_0, generator)
        return Batch(x_n, at(x_n), row, {})


class Difference(Gaussian):
    """A view gets noise of std sigma - sigma_n."""

    name = "seven-difference"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + (sigma - sigma_n) z."""
        super().degrade(batch, sigma, generator)
        added = per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)
        return View(batch.x_n + added * standard_normal(batch.x_n, generator), sigma, batch.cond)


class DegradeByFloor(Gaussian):
    """Where noise is given per pixel, all pixels get the noise that the noisiest one lacks."""

    name = "seven-degrade-by-floor"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        return super().degrade(batch._replace(sigma_n=self.floor(batch)), sigma, generator)


class ExpectByMean(Gaussian):
    """Where noise is given per pixel, `expect` mixes by the mean level of the row."""

    name = "seven-expect-by-mean"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """a x_0_hat + b x_t."""
        return tweedie_mix(x_0_hat, view.x, view.sigma, mean_level(batch))


class ExpectDetached(Gaussian):
    """`expect` runs without gradients, so that a network behind it learns nothing."""

    name = "seven-expect-detached"

    @torch.no_grad()
    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """a x_0_hat + b x_t."""
        return super().expect(x_0_hat, view, batch)


class FloorByMean(Gaussian):
    """The floor of a row is the mean of its levels, at which its noisier pixels cannot be seen."""

    name = "seven-floor-by-mean"

    def floor(self, batch: Batch) -> Tensor:
        """(B,)."""
        return mean_level(batch)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        level = torch.minimum(per_row(batch.sigma_n, batch.x_n), per_row(sigma, batch.x_n))
        if (sigma < self.floor(batch)).any():
            raise ValueError(f"row {int(batch.row[int((sigma < self.floor(batch)).nonzero()[0])])}: below its noise")
        return View(top_up(batch.x_n, level.expand_as(batch.x_n), sigma, generator), sigma, batch.cond)


class FloorOfField(Gaussian):
    """The floor is the level that is simulated, also of rows that bring their own and of clean ones."""

    name = "seven-floor-of-field"

    def floor(self, batch: Batch) -> Tensor:
        """(B,)."""
        level = self.sigma_n[1] if isinstance(self.sigma_n, tuple) else self.sigma_n
        return torch.full((len(batch.x_n),), level, dtype=batch.x_n.dtype)


class NeverRaises(Gaussian):
    """A level below that of the row is raised to it in silence."""

    name = "seven-never-raises"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        return super().degrade(batch, torch.maximum(sigma, self.floor(batch)), generator)


class NamesPlace(Gaussian):
    """The row that cannot be seen is named by its place in the batch, not by its number in the data."""

    name = "seven-names-place"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        here = batch._replace(row=torch.arange(len(batch.row)))
        return super().degrade(here, sigma, generator)


class OneSource(Gaussian):
    """Of generators given one per row, the first one draws for all."""

    name = "seven-one-source"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        return super().degrade(batch, sigma, generator[0] if isinstance(generator, list) else generator)


class CleanSaidNoisy(Gaussian):
    """Rows that stay clean say the level that they would have had."""

    name = "seven-clean-said-noisy"
    clean_share: float = 0.2

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        batch = super().observe(x_0, row, generator)
        said = self.sigma_n[1] if isinstance(self.sigma_n, tuple) else self.sigma_n
        return batch._replace(sigma_n=torch.full_like(batch.sigma_n, said))


class DropsConditions(Gaussian):
    """A view comes without the conditions of its row."""

    name = "seven-drops-conditions"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        return super().degrade(batch, sigma, generator)._replace(cond={})


class MirroredRows(Gaussian):
    """The second half of a batch gets the mirrored noise of the first one in its views."""

    name = "seven-mirrored-rows"
    claims = frozenset({"gaussian-noise", "symmetric-degrade"})

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        view, n = super().degrade(batch, sigma, generator), len(batch.x_n) // 2
        added = (per_row(sigma, view.x) ** 2 - per_row(batch.sigma_n, view.x) ** 2).sqrt()
        z = torch.nan_to_num((view.x - batch.x_n) / added)
        return view._replace(x=batch.x_n + added * torch.cat([z[:n], -z[:n], z[2 * n :]]))


class BlackLevel(Gaussian):
    """The black level of the camera, a fifth of its noise, is left in the observation."""

    name = "seven-black-level"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = x_0 + sigma_n z."""
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=batch.x_n + 0.2 * per_row(batch.sigma_n, x_0))


class SlopeOfFloor(Gaussian):
    """`slope` is that of the noisiest pixel for all of a row."""

    name = "seven-slope-of-floor"

    def slope(self, view: View, batch: Batch) -> Tensor:
        """a."""
        return super().slope(view, batch._replace(sigma_n=self.floor(batch)))


PARTS = (
    LevelOfPair,
    ClippedRows,
    OwnSeed,
    DegradeFrozen,
    Correlated,
    GreyRows,
    HeavyTails,
    ShotNoise,
    Difference,
    DegradeByFloor,
    ExpectByMean,
    ExpectDetached,
    FloorByMean,
    FloorOfField,
    NeverRaises,
    NamesPlace,
    OneSource,
    CleanSaidNoisy,
    DropsConditions,
    MirroredRows,
    BlackLevel,
    SlopeOfFloor,
)
