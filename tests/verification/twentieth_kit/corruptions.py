"""Wrong corruptions."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.maths.noise import per_row, standard_normal, uniform


class Noisy(Gaussian):
    """A base: the noise of rows is made in another way, of z that is white and normal."""

    name = "kit20-base-noisy"

    def noise(self, z, x_0, generator):
        raise NotImplementedError

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        level = per_row(batch.sigma_n, x_0)
        z = (batch.x_n - x_0) / level.clamp(min=1e-9)
        return batch._replace(x_n=x_0 + level * self.noise(z, x_0, generator))


class Signs(Noisy):
    """The noise of rows is of random signs, whose mean and variance are right."""

    name = "kit20-observes-noise-of-signs"

    def noise(self, z, x_0, generator):
        return torch.where(z < 0, -torch.ones_like(z), torch.ones_like(z))


class Crosstalk(Noisy):
    """A quarter of the variance of noise is shared by the values of a place and its neighbour, as after demosaicing."""

    name = "kit20-observes-with-crosstalk"

    def noise(self, z, x_0, generator):
        pair = z.clone()
        pair[..., 1::2] = z[..., : 2 * (z.shape[-1] // 2) : 2]
        return 0.75**0.5 * standard_normal(x_0, generator) + 0.5 * pair


class Banding(Noisy):
    """A fifth of the variance of noise is an offset of each line, as of a sensor's amplifiers."""

    name = "kit20-observes-lines-with-an-offset"

    def noise(self, z, x_0, generator):
        offset = standard_normal(x_0, generator)[..., :1]
        return 0.8**0.5 * z + 0.2**0.5 * offset


class Opposite(Noisy):
    """Rows of a batch have opposite noise two by two, an antithetic trick that makes a row depend on its batch."""

    name = "kit20-observes-opposite-noise-in-pairs"

    def noise(self, z, x_0, generator):
        z = z.clone()
        z[1::2] = -z[: 2 * (len(z) // 2) : 2]
        return z


class Dark(Noisy):
    """Noise of dark values is weaker and that of bright ones stronger, by a fifth, and the level is a mean."""

    name = "kit20-observes-noise-by-brightness"

    def noise(self, z, x_0, generator):
        return z * (1 + 0.2 * x_0.clamp(-1, 1))


class States(Gaussian):
    """A base: the level that rows state is another one."""

    name = "kit20-base-states"

    def stated(self, level):
        raise NotImplementedError

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        return batch._replace(sigma_n=self.stated(batch.sigma_n))


class StatesVariance(States):
    """Rows state the variance of their noise."""

    name = "kit20-states-the-variance"

    def stated(self, level):
        return level**2


class StatesWidth(States):
    """Rows state the full width at half maximum, 2.355 stds."""

    name = "kit20-states-the-full-width"

    def stated(self, level):
        return 2.355 * level


class StatesMore(States):
    """Rows state a level that is a fifteenth too high, from a robust estimate on a few pixels."""

    name = "kit20-states-a-fifteenth-more"

    def stated(self, level):
        return 16 / 15 * level


class Added(Gaussian):
    """A base: the noise that a view adds is changed."""

    name = "kit20-base-added"

    def changed(self, z, batch):
        raise NotImplementedError

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(x=batch.x_n + self.changed(view.x - batch.x_n, batch))


class CutAtTwo(Added):
    """Noise of views is cut at 1.5 times its root mean square, as by an initialisation of weights."""

    name = "kit20-adds-noise-that-is-cut-off"

    def changed(self, z, batch):
        top = 1.5 * per_row(z.flatten(1).square().mean(1).sqrt(), z)
        return torch.minimum(torch.maximum(z, -top), top)


class GrowsWithValue(Added):
    """Noise of views grows with the value of the row, by three tenths of it."""

    name = "kit20-adds-noise-by-brightness"

    def changed(self, z, batch):
        return z * (1 + 0.3 * batch.x_n)


class HalvesMirrored(Added):
    """The second half of a batch has the noise of the first one, mirrored: rows depend on each other."""

    name = "kit20-adds-mirrored-noise-over-the-batch"

    def changed(self, z, batch):
        half = len(z) // 2
        return torch.cat([z[: len(z) - half], -z[:half]])


class ViewsClamped(Gaussian):
    """Views are clamped to [-3, 3], a range for files."""

    name = "kit20-views-clamped"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(x=view.x.clamp(-3, 3))


class Centred(Added):
    """Noise of views is centred over each row, which keeps the brightness of the row."""

    name = "kit20-adds-noise-of-mean-zero-per-row"

    def changed(self, z, batch):
        return z - per_row(z.flatten(1).mean(1), z)


class GeneratorsReversed(Gaussian):
    """A list of generators is used from its end, so that a row's noise depends on its place in the batch."""

    name = "kit20-generators-from-the-end"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator[::-1] if isinstance(generator, list | tuple) else generator)


class Ramped(Gaussian):
    """A base: noise by pixel, whose level grows from 0.1 to 0.3 along the last axis."""

    name = "kit20-base-ramped"

    def observe(self, x_0, row, generator):
        level = torch.linspace(0.1, 0.3, x_0.shape[-1], dtype=x_0.dtype, device=x_0.device).expand_as(x_0)
        return Batch(x_0 + level * standard_normal(x_0, generator), level, row, {})


class MapMirrored(Ramped):
    """Noise by pixel is topped up with its map mirrored along the width."""

    name = "kit20-tops-up-a-mirrored-noise-map"

    def degrade(self, batch, sigma, generator):
        if batch.sigma_n.ndim == batch.x_n.ndim > 1:
            batch = batch._replace(sigma_n=batch.sigma_n.flip(-1))
        return super().degrade(batch, sigma, generator)


class ExpectsOnTop(Gaussian):
    """b = sigma_n^2 / (sigma^2 + sigma_n^2): sigma is read as the noise on top."""

    name = "kit20-expects-as-for-noise-on-top"

    def expect(self, x_0_hat, view, batch):
        level = per_row(batch.sigma_n, view.x) ** 2
        b = level / (per_row(view.sigma, view.x) ** 2 + level)
        return (1 - b) * x_0_hat + b * view.x


class ExpectsByTheRow(Gaussian):
    """The mixture is made with x_n in the place of x_t, which the estimate is then compared with."""

    name = "kit20-expects-by-the-observation"

    def expect(self, x_0_hat, view, batch):
        return super().expect(x_0_hat, view._replace(x=batch.x_n), batch)


class ExpectsCleanAsNoisy(Gaussian):
    """Clean rows are expected to be x_t: b = 1 where a division by the level was guarded against 0."""

    name = "kit20-expects-x-t-of-clean-rows"

    clean_share: float = 0.3

    def expect(self, x_0_hat, view, batch):
        level = per_row(batch.sigma_n, view.x).expand_as(view.x)
        return torch.where(level > 0, super().expect(x_0_hat, view, batch), view.x)


class ExpectsFirst(Gaussian):
    """The mixture is made with the noise level of the first row for all rows."""

    name = "kit20-expects-by-the-first-row-s-noise"

    sigma_n: tuple[float, float] = (0.1, 0.4)

    def expect(self, x_0_hat, view, batch):
        level = per_row(batch.sigma_n, view.x)
        level = level[:1].expand_as(view.x) if level.ndim else level
        return super().expect(x_0_hat, view, batch._replace(sigma_n=level))


class FloorAbove(Gaussian):
    """The floor is a tenth above the noise of a row, a margin against rounding."""

    name = "kit20-floor-a-tenth-above"

    def floor(self, batch):
        return 1.1 * super().floor(batch)


class StdByDifference(Gaussian):
    """`clean_std` is the std of the rows less the std of their noise."""

    name = "kit20-clean-std-by-a-difference-of-stds"

    def clean_std(self, batch):
        return max(float(batch.x_n.double().std() - batch.sigma_n.double().mean()), 0.0)


class ForgetsClean(Gaussian):
    """With a share of clean rows the noise of the others is drawn before it is known which they are, and left in."""

    name = "kit20-clean-rows-keep-their-noise"

    clean_share: float = 0.3
    """Share of rows that are called clean."""

    def observe(self, x_0, row, generator):
        noisy = Gaussian(sigma_n=self.sigma_n).observe(x_0, row, generator)
        clean = uniform(noisy.sigma_n.unsqueeze(1), generator).squeeze(1) < self.clean_share
        return noisy._replace(sigma_n=torch.where(clean, torch.zeros_like(noisy.sigma_n), noisy.sigma_n))


WRONG = [
    part()
    for part in (
        Signs,
        Crosstalk,
        Banding,
        Opposite,
        Dark,
        StatesVariance,
        StatesWidth,
        StatesMore,
        CutAtTwo,
        GrowsWithValue,
        HalvesMirrored,
        ViewsClamped,
        Centred,
        GeneratorsReversed,
        MapMirrored,
        ExpectsOnTop,
        ExpectsByTheRow,
        ExpectsCleanAsNoisy,
        ExpectsFirst,
        FloorAbove,
        StdByDifference,
        ForgetsClean,
    )
]
