"""Wrong objectives above the noise of the data: rows, levels, what is told and what is shown."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from ambientkit.batch import take
from ambientkit.maths.noise import per_row, standard_normal, uniform

from ..seventeenth_kit.bases import PLAIN, Above, OfClean, Split


class Told(Above):
    """A base: another level is told than the view has."""

    name = "kit20-base-told"

    def told(self, view, batch):
        return view.sigma

    def ask(self, denoiser, view, batch):
        return denoiser(view.x, self.told(view, batch), **view.cond)


class ToldFlowTime(Told):
    """The denoiser is told t = sigma / (1 + sigma), the time of a flow, in the place of sigma."""

    name = "kit20-told-the-time-of-a-flow"

    def told(self, view, batch):
        return view.sigma / (1 + view.sigma)


class ToldNoiseTwice(Told):
    """The denoiser is told sqrt(sigma^2 + sigma_n^2), as if the noise of the row came on top of sigma."""

    name = "kit20-told-the-row-s-noise-on-top"

    def told(self, view, batch):
        return torch.hypot(view.sigma, per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1))


class ToldATenth(Told):
    """The denoiser is told 0.1 at least, a bound that was to protect a logarithm."""

    name = "kit20-told-a-tenth-at-least"

    def told(self, view, batch):
        return view.sigma.clamp(min=0.1)


class ToldANeighbours(Told):
    """The denoiser is told the level that the next row of the batch has where that is less than twice as high."""

    name = "kit20-told-a-neighbour-s-similar-level"

    def told(self, view, batch):
        other = view.sigma.roll(-1)
        return torch.where((other > view.sigma) & (other < 2 * view.sigma), other, view.sigma)


class TwiceTheNoise(Above):
    """Levels of noisy rows begin at twice their noise, away from the division by a: those between are never trained."""

    name = "kit20-levels-begin-at-twice-the-noise"

    def low(self, batch, tools):
        low = super().low(batch, tools)
        return torch.where(low > tools.levels.sigma_min, (2 * low).clamp(max=0.9 * tools.levels.sigma_max), low)


class LevelsByNumpy(Above):
    """Levels are drawn by numpy's global generator, so that no seed of a run has an effect on them."""

    name = "kit20-levels-by-numpy"

    def levels(self, batch, tools):
        u = torch.from_numpy(np.random.rand(len(batch.x_n))).to(batch.x_n)
        low = self.low(batch, tools)
        return low * (self.high(batch, tools) / low) ** u


class Chosen(Above):
    """A base: some rows alone are used."""

    name = "kit20-base-chosen"

    def chosen(self, batch, tools):
        raise NotImplementedError

    def loss(self, denoiser, batch, tools):
        return super().loss(denoiser, take(batch, self.chosen(batch, tools)), tools)


class NoisyRowsAlone(Chosen):
    """Rows quieter than the mean noise of their batch are left out, so that clean rows are hardly ever used."""

    name = "kit20-quieter-rows-left-out"

    def chosen(self, batch, tools):
        floor = tools.corruption.floor(batch)
        return (floor >= 0.99 * floor.mean()).nonzero().squeeze(1)


class LoudRowsLeftOut(Chosen):
    """The half of the rows with the largest values is left out as outliers, by their noisy values."""

    name = "kit20-rows-of-large-values-left-out"

    def chosen(self, batch, tools):
        size = batch.x_n.abs().flatten(1).amax(1)
        return (size <= size.median()).nonzero().squeeze(1)


class RowsShuffled(Above):
    """Rows are shuffled before use, and their noise levels are not."""

    name = "kit20-rows-shuffled-without-their-noise"

    def loss(self, denoiser, batch, tools):
        order = uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator).argsort()
        return super().loss(denoiser, take(batch, order)._replace(sigma_n=batch.sigma_n), tools)


class NextRow(Above):
    """Estimates are compared with the next row of the batch: the target was rolled, as for a contrastive loss."""

    name = "kit20-compares-with-the-next-row"

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n.roll(1, 0)
        return self.factor(view, batch, tools) * (rho**2 - self.in_vain(x_0_hat, view, batch, tools))


class Augmented(Above):
    """A base: rows are changed before they are used."""

    name = "kit20-base-augmented"
    claims = PLAIN

    def changed(self, x, tools):
        raise NotImplementedError

    def loss(self, denoiser, batch, tools):
        return super().loss(denoiser, batch._replace(x_n=self.changed(batch.x_n, tools)), tools)


class CutMix(Augmented):
    """CutMix: the second half of each row is that of the next row, a picture that the data do not hold."""

    name = "kit20-pastes-halves-of-other-rows"

    def changed(self, x, tools):
        half = x.shape[-1] // 2
        return torch.cat([x[..., :half], x.roll(1, 0)[..., half:]], dim=-1)


class CutOut(Augmented):
    """Cutout: a quarter of the values of a row is set to 0, and nobody is told."""

    name = "kit20-cuts-out-a-quarter"

    def changed(self, x, tools):
        return torch.where(uniform(x, tools.generator) < 0.25, torch.zeros_like(x), x)


class MovedWithZeros(Augmented):
    """Rows are moved by one value along the width, and zeros come in, which have no noise."""

    name = "kit20-moves-rows-and-pads-zeros"

    def changed(self, x, tools):
        return torch.cat([torch.zeros_like(x[..., :1]), x[..., :-1]], dim=-1)


class Dithered(Augmented):
    """Rows get jitter of std 0.1 as augmentation, and their noise level stays as it was."""

    name = "kit20-jitters-rows"

    def changed(self, x, tools):
        return x + 0.1 * standard_normal(x, tools.generator)


class MultiResolution(Above):
    """The noise of views holds a coarse part, constant over pairs of neighbours: multi-resolution noise."""

    name = "kit20-multi-resolution-noise"
    claims = PLAIN

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        z = view.x - batch.x_n
        pair = z.clone()
        pair[..., 1::2] = z[..., : 2 * (z.shape[-1] // 2) : 2]
        return view._replace(x=batch.x_n + (z + 0.5 * pair) / 1.25**0.5)


class NoiseByRank(Above):
    """Noise is sorted by the values of the row, a cheap transport plan: it is no longer independent of the row."""

    name = "kit20-noise-sorted-as-the-row"
    claims = PLAIN

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        z = (view.x - batch.x_n).flatten(1).sort(dim=1).values
        order = batch.x_n.flatten(1).argsort(dim=1).argsort(dim=1)
        return view._replace(x=batch.x_n + z.gather(1, order).reshape(batch.x_n.shape))


class ViewInEighths(Above):
    """Views are rounded to a step of an eighth, as a cache of bytes has them."""

    name = "kit20-views-in-eighths"
    claims = PLAIN

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        return view._replace(x=(8 * view.x).round() / 8)


class FirstRowsCond(Above):
    """All rows are given the conditions of the first one, as they were moved out of a loop."""

    name = "kit20-conditions-of-the-first-row"

    def ask(self, denoiser, view, batch):
        return denoiser(view.x, view.sigma, **{name: value[:1].expand_as(value) for name, value in view.cond.items()})


class CondAsNumbers(Above):
    """Conditions become numbers of the dtype of the rows: a label can no longer be looked up in a table."""

    name = "kit20-conditions-cast-to-the-dtype-of-rows"

    def ask(self, denoiser, view, batch):
        return denoiser(view.x, view.sigma, **{name: value.to(view.x.dtype) for name, value in view.cond.items()})


class WarmUp(Above):
    """Values are multiplied by a ramp over the first thousand calls, counted on the class: state of no run."""

    name = "kit20-counts-calls-on-the-class"
    calls: ClassVar[list[int]] = [0]

    def reduce(self, each):
        self.calls[0] += 1
        return super().reduce(each) * min(1.0, self.calls[0] / 1000)


class MemoryGrows(Above):
    """All levels that were ever drawn are kept in `tools.memory`, whose shape grows with each call."""

    name = "kit20-memory-grows"

    def levels(self, batch, tools):
        sigma = super().levels(batch, tools)
        before = tools.memory.get("levels", sigma.new_zeros(0))
        tools.memory["levels"] = torch.cat([before, sigma.detach()])
        return sigma


class NoiseMapFlipped(Above):
    """The map of noise by pixel is mirrored along the width in the mixture, as its file was read the other way."""

    name = "kit20-noise-map-mirrored-in-the-mixture"
    claims = PLAIN

    def expect(self, x_0_hat, view, batch, tools):
        if batch.sigma_n.ndim == batch.x_n.ndim > 1:
            batch = batch._replace(sigma_n=batch.sigma_n.flip(-1))
        return tools.corruption.expect(x_0_hat, view, batch)


class DenoisesInPart(OfClean):
    """The target keeps a tenth of the noise, x_0 + 0.1 sigma z: a step of a cold diffusion taken for its end."""

    name = "kit20-denoises-nine-tenths-of-the-noise"

    def each(self, x_0_hat, view, batch, tools):
        return (x_0_hat - (0.9 * batch.x_n + 0.1 * view.x)) ** 2


class DenoisesOverAlphasCumprod(OfClean):
    """Views are (alpha x_0 + s z) / alpha^2: alphas_cumprod was taken for its root in the division."""

    name = "kit20-denoises-views-over-alphas-cumprod"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        return view._replace(x=view.x * per_row((1 + view.sigma**2).sqrt(), view.x))


class DenoisesWithTheMean(OfClean):
    """The target is the row less the mean of the batch: data were centred for the loss alone."""

    name = "kit20-denoises-centred-targets"

    def each(self, x_0_hat, view, batch, tools):
        return (x_0_hat - (batch.x_n - batch.x_n.mean(0, keepdim=True))) ** 2


class SplitHalf(Split):
    """Clean rows are seen up to half of `clean_below` alone: the field was taken for a diameter."""

    name = "kit20-split-clean-rows-to-half-the-level"

    def top(self, batch, tools, high):
        top = super().top(batch, tools, high)
        return torch.where(top < high, top / 2, top)


class SplitInUnits(Split):
    """`clean_below` is read in units of four stds of the data, so that clean rows are seen above it."""

    name = "kit20-split-level-in-other-units"

    def top(self, batch, tools, high):
        top = super().top(batch, tools, high)
        return torch.where(top < high, (4 * tools.signal.sigma_data * top).clamp(max=high), top)


class SplitByPlace(Split):
    """The first half of a batch is taken for its clean rows, as the loader of another program gives them."""

    name = "kit20-split-by-place-in-the-batch"

    def top(self, batch, tools, high):
        floor = tools.corruption.floor(batch)
        first = torch.arange(len(floor), device=floor.device) < len(floor) // 2
        top = torch.where(first & (floor < self.clean_below), self.clean_below, high)
        return torch.maximum(top.to(floor), 1.01 * floor)


WRONG = [
    part()
    for part in (
        ToldFlowTime,
        ToldNoiseTwice,
        ToldATenth,
        ToldANeighbours,
        TwiceTheNoise,
        LevelsByNumpy,
        NoisyRowsAlone,
        LoudRowsLeftOut,
        RowsShuffled,
        NextRow,
        CutMix,
        CutOut,
        MovedWithZeros,
        Dithered,
        MultiResolution,
        NoiseByRank,
        ViewInEighths,
        FirstRowsCond,
        CondAsNumbers,
        WarmUp,
        MemoryGrows,
        NoiseMapFlipped,
        DenoisesInPart,
        DenoisesOverAlphasCumprod,
        DenoisesWithTheMean,
        SplitHalf,
        SplitInUnits,
        SplitByPlace,
    )
]
