"""Wrong objectives: the levels that are drawn, and the views that are asked about."""

from __future__ import annotations

import math

import torch

from ambientkit.batch import Batch
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal

from .bases import Above, ByHand, Mirror, OfClean, draws, made


class ClampedLevels(Above):
    """Levels of the usual log-normal, raised to the noise of the row where they lie below it."""

    name = "kit15-clamped-levels"

    def levels(self, batch, tools):
        z = standard_normal(batch.x_n.new_empty(len(batch.x_n)), tools.generator)
        sigma = torch.exp(1.3 * z - 1.0)
        return torch.minimum(torch.maximum(sigma, self.low(batch, tools)), sigma.new_tensor(tools.levels.sigma_max))


class RaisedWherePixelsDiffer(Above):
    """Levels above the root mean square of a row's noise, raised to the largest: right but where pixels differ."""

    name = "kit15-raised-where-pixels-differ"

    def levels(self, batch, tools):
        floor = self.low(batch, tools)
        power = per_row(batch.sigma_n, batch.x_n).square().expand_as(batch.x_n).flatten(1).mean(1).sqrt()
        low = torch.minimum(power.clamp(min=tools.levels.sigma_min), floor)
        sigma = truncated_lognormal(draws(batch.x_n, tools.generator), low, tools.levels.sigma_max, -1.0, 1.3)
        return torch.maximum(sigma, floor)


class LevelsAboveTheBatch(Above):
    """Levels of all rows above the largest noise in the batch: clean rows among noisy ones lose their low levels."""

    name = "kit15-levels-above-the-batch"

    def low(self, batch, tools):
        floor = super().low(batch, tools)
        return floor.max().expand_as(floor)


class RootOfTheFloor(Above):
    """The floor is taken for a variance, and its root for the lowest level."""

    name = "kit15-root-of-the-floor"

    def low(self, batch, tools):
        floor = super().low(batch, tools)
        return torch.where(floor < 1, floor.sqrt(), floor)


class RangeOfEDM(Above):
    """Levels between 0.002 and 80, as in EDM, in place of the range of the run."""

    name = "kit15-range-of-edm"

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=0.002)
        return truncated_lognormal(draws(batch.x_n, tools.generator), low, 80.0, -1.0, 1.3)


class SaysNoiseInput(Above):
    """`Term.sigma` holds c_noise = log(sigma) / 4, the network's input, in place of the level."""

    name = "kit15-says-c-noise"

    def said(self, view, batch):
        return view.sigma.log() / 4


class DifferenceOfStds(ByHand):
    """The noise that is missing is taken as sigma - sigma_n."""

    name = "kit15-difference-of-stds"

    def view(self, batch, sigma, tools):
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        missing = per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)
        return view._replace(x=batch.x_n + missing * self.noise(batch, sigma, tools))


class OneNoiseForChannels(ByHand):
    """One noise for all channels of a picture."""

    name = "kit15-one-noise-for-channels"

    def noise(self, batch, sigma, tools):
        x = batch.x_n
        return standard_normal(x[:, :1] if x.ndim == 4 else x, tools.generator).expand_as(x)


class OneNoiseForTheBatch(ByHand):
    """One noise for all rows of the batch, to save draws."""

    name = "kit15-one-noise-for-the-batch"

    def noise(self, batch, sigma, tools):
        return standard_normal(batch.x_n[:1], tools.generator).expand_as(batch.x_n)


class SharedBits(ByHand):
    """Levels come from a copy of the generator, so that levels and noise are made of the same bits."""

    name = "kit15-levels-and-noise-of-one-state"

    def levels(self, batch, tools):
        copy = torch.Generator(tools.generator.device)
        copy.set_state(tools.generator.get_state())
        low = self.low(batch, tools)
        z = torch.randn(batch.x_n.shape, generator=copy, dtype=batch.x_n.dtype, device=copy.device).to(batch.x_n)
        u = torch.special.ndtr(z.flatten(1)[:, 0]).clamp(max=1 - 1e-6)
        return truncated_lognormal(u, low, tools.levels.sigma_max, -1.0, 1.3)

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        x = batch.x_n + missing * self.noise(batch, sigma, tools)
        return tools.corruption.degrade(batch, sigma, tools.generator)._replace(x=x)


class GlobalNoise(ByHand):
    """The noise of a view is drawn with torch.randn_like, from torch's global generator."""

    name = "kit15-global-noise"

    def noise(self, batch, sigma, tools):
        return torch.randn_like(batch.x_n)


class NoiseKeyedByRow(ByHand):
    """The noise of a view is keyed by the row, so that a row meets the same noise in every epoch."""

    name = "kit15-noise-keyed-by-row"

    def noise(self, batch, sigma, tools):
        made_anew = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        return standard_normal(batch.x_n.cpu(), made_anew).to(batch.x_n)


class AsksInVP(ByHand):
    """The denoiser is asked about x_t / sqrt(1 + sigma^2), as a VP network is."""

    name = "kit15-asks-in-vp"

    def ask(self, denoiser, view, batch, tools):
        alpha = 1 / torch.hypot(torch.ones_like(view.sigma), view.sigma)
        return denoiser(per_row(alpha, view.x) * view.x, view.sigma, **view.cond)


class AsksInHalf(Above):
    """Views are cast to bfloat16 before the denoiser is asked: 8 bits of x_t, whose noise is small beside it."""

    name = "kit15-asks-in-half"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x.bfloat16().to(view.x.dtype), view.sigma, **view.cond)


class ClippedRows(Above):
    """Noisy rows are clipped to [-1, 1], as pictures are, before anything else."""

    name = "kit15-clipped-rows"

    def rows(self, batch, tools):
        return batch._replace(x_n=batch.x_n.clamp(-1, 1))


class FlippedRows(Above):
    """Half of the pictures are mirrored, their noise by pixel, masks and conditions are not."""

    name = "kit15-flipped-rows"

    def rows(self, batch, tools):
        if batch.x_n.ndim != 4:
            return batch
        flip = draws(batch.x_n, tools.generator) < 0.5
        return batch._replace(
            x_n=torch.where(per_row(flip.to(batch.x_n), batch.x_n) > 0, batch.x_n.flip(-1), batch.x_n)
        )


class CondsOfTheRows(Above):
    """The denoiser is given the conditions of the rows in place of those of the views: the wider mask."""

    name = "kit15-conditions-of-the-rows"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **{**view.cond, **batch.cond})


class CondsOfTheFirstHalf(Above):
    """The last half of the rows is used, with the conditions of the first half."""

    name = "kit15-last-rows-first-conditions"

    def rows(self, batch, tools):
        n = math.ceil(len(batch.x_n) / 2)
        sigma_n = batch.sigma_n[-n:] if batch.sigma_n.ndim and len(batch.sigma_n) == len(batch.x_n) else batch.sigma_n
        return Batch(batch.x_n[-n:], sigma_n, batch.row[-n:], {name: v[:n] for name, v in batch.cond.items()})


class LabelsFromOne(Above):
    """Labels are raised by one, as 0 stands for no class in the code that this comes from."""

    name = "kit15-labels-from-one"

    def ask(self, denoiser, view, batch, tools):
        whole = {n: v + 1 if not v.is_floating_point() and v.dtype != torch.bool else v for n, v in view.cond.items()}
        return denoiser(view.x, view.sigma, **whole)


class OddBatch(Above):
    """Levels of the second half of a batch mirror those of the first: fails on an odd number of rows."""

    name = "kit15-odd-batch"

    def levels(self, batch, tools):
        low = self.low(batch, tools)
        u = draws(batch.x_n[: len(low) // 2], tools.generator)
        return truncated_lognormal(torch.cat([u, 1 - u]), low, tools.levels.sigma_max, -1.0, 1.3)


class MirroredAboutZero(Mirror):
    """The second view of a pair is -x_t in place of 2 x_n - x_t."""

    name = "kit15-mirrored-about-zero"

    def other(self, view, batch):
        return -view.x


class MirrorsAnyCorruption(Mirror):
    """Pairs 2 x_n - x_t are made whether or not the corruption is symmetric: hidden values are given away."""

    name = "kit15-mirrors-any-corruption"

    def allowed(self, tools):
        return True

    def other(self, view, batch):
        return 2 * batch.x_n - view.x if view.x.shape == batch.x_n.shape else view.x


class AveragedBeforeSquared(Mirror):
    """The two residuals of a pair are averaged, then squared."""

    name = "kit15-averaged-before-squared"

    def both(self, denoiser, views, batch, tools):
        rho = [self.rho(self.ask(denoiser, v, batch, tools).to(v.x.dtype), v, batch, tools) for v in views]
        in_vain = self.in_vain(torch.zeros_like(views[0].x), views[0], batch, tools)
        return self.factor(views[0], batch, tools) * (torch.stack(rho).mean(0) ** 2 - in_vain)


class OffsetNoise(OfClean):
    """Offset noise: 0.1 of one more draw for each channel, which the level does not count."""

    name = "kit15-offset-noise"

    def noise(self, x_0, sigma, tools):
        z = standard_normal(x_0, tools.generator)
        shift = standard_normal(z[..., :1, :1] if z.ndim == 4 else z[:, :1], tools.generator)
        return z + 0.1 * shift


class NoisePairedWithRows(OfClean):
    """Noise is dealt to the rows that it lies near, as in optimal-transport flow matching."""

    name = "kit15-noise-paired-with-rows"

    def noise(self, x_0, sigma, tools):
        z = standard_normal(x_0, tools.generator)
        order_x, order_z = x_0.flatten(1).sum(1).argsort(), z.flatten(1).sum(1).argsort()
        dealt = torch.empty_like(z)
        dealt[order_x] = z[order_z]
        return dealt


WRONG = made(
    ClampedLevels,
    RaisedWherePixelsDiffer,
    LevelsAboveTheBatch,
    RootOfTheFloor,
    RangeOfEDM,
    SaysNoiseInput,
    DifferenceOfStds,
    OneNoiseForChannels,
    OneNoiseForTheBatch,
    SharedBits,
    GlobalNoise,
    NoiseKeyedByRow,
    AsksInVP,
    AsksInHalf,
    ClippedRows,
    FlippedRows,
    CondsOfTheRows,
    CondsOfTheFirstHalf,
    LabelsFromOne,
    OddBatch,
    MirroredAboutZero,
    MirrorsAnyCorruption,
    AveragedBeforeSquared,
    OffsetNoise,
    NoisePairedWithRows,
)
