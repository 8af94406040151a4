"""Wrong objectives above the noise of the data: which levels are drawn, what is told, and what is shown."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, View, take
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .bases import PLAIN, Above, OfClean, Split, numbers


class Clamped(Above):
    """Levels of the whole log-normal, raised to the floor of the row where they fall below it."""

    name = "kit17-levels-raised-to-the-floor"

    def levels(self, batch, tools):
        sigma = truncated_lognormal(numbers(batch, tools), tools.levels.sigma_min, self.high(batch, tools), -1.0, 1.4)
        return torch.maximum(sigma, self.low(batch, tools))


class DrawnAgainOnce(Above):
    """Levels below the floor are drawn again once, and what is still below it is put onto the floor."""

    name = "kit17-levels-drawn-again-once"

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), self.high(batch, tools)
        first, again = (
            truncated_lognormal(numbers(batch, tools), tools.levels.sigma_min, high, -1.0, 1.4) for _ in range(2)
        )
        return torch.maximum(torch.where(first > low, first, again), low)


class FloorOfTheBatch(Above):
    """Levels of all rows begin at the noisiest row of the batch, as one number was handed on."""

    name = "kit17-floor-of-the-batch"

    def low(self, batch, tools):
        low = super().low(batch, tools)
        return low.max().expand_as(low) if len(low) else low


class HardCodedTop(Above):
    """Levels end at 3, whatever the highest level of the run."""

    name = "kit17-levels-end-at-three"

    def high(self, batch, tools):
        high = super().high(batch, tools)
        return torch.maximum(1.5 * self.low(batch, tools), torch.full_like(self.low(batch, tools), 3.0)).clamp(max=high)


class MeanOfPixels(Above):
    """Of noise by pixel the mean level counts: pixels above it stay as they are, at a level lower than their noise."""

    name = "kit17-mean-level-of-the-pixels"

    def levels(self, batch, tools):
        self.high(batch, tools)
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)
        return log_uniform(numbers(batch, tools), level.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max)

    def view(self, batch, sigma, tools):
        if batch.sigma_n.ndim == 1 or batch.cond:
            return super().view(batch, torch.maximum(sigma, tools.corruption.floor(batch)), tools)
        missing = (per_row(sigma, batch.x_n) ** 2 - batch.sigma_n**2).clamp(min=0).sqrt()
        return View(batch.x_n + missing * standard_normal(batch.x_n, tools.generator), sigma, batch.cond)


class Told(Above):
    """A base: another level is told than the view has."""

    name = "kit17-base-told"

    def told(self, view, batch):
        return view.sigma

    def ask(self, denoiser, view, batch):
        return denoiser(view.x, self.told(view, batch), **view.cond)


class ToldTheAdded(Told):
    """The denoiser is told the std of the noise that was added, not that of all the noise."""

    name = "kit17-told-the-added-noise"

    def told(self, view, batch):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1)
        return (view.sigma**2 - level**2).clamp(min=1e-6).sqrt()


class ToldTheLog(Told):
    """The denoiser is told the fourth root of sigma: log(sigma) / 4 of the network was undone by exp alone."""

    name = "kit17-told-the-fourth-root"

    def told(self, view, batch):
        return (view.sigma.log() / 4).exp()


class ToldATable(Told):
    """The level told is the nearest of a table of 48 steps; the view is at the level that was drawn."""

    name = "kit17-told-a-step-of-a-table"

    def told(self, view, batch):
        step = torch.log(view.sigma / 0.002) / torch.log(torch.tensor(80 / 0.002)) * 47
        return 0.002 * (80 / 0.002) ** (step.round() / 47)


class ToldTheVariance(Told):
    """The variance is told in the place of the standard deviation."""

    name = "kit17-told-the-variance"

    def told(self, view, batch):
        return view.sigma**2


class ToldTheFirst(Told):
    """One level is told for the batch, that of its first row."""

    name = "kit17-told-the-first-row-s-level"

    def told(self, view, batch):
        return view.sigma[:1].expand_as(view.sigma).contiguous()


class ToldEightPercentMore(Told):
    """The level told is 8 % too high, by a constant meant for the sampler."""

    name = "kit17-told-eight-percent-more"

    def told(self, view, batch):
        return 1.08 * view.sigma


class TermOfTheAdded(Above):
    """`Term.sigma` is the std of the added noise: the loss by level shows levels that no row was at."""

    name = "kit17-term-at-the-added-noise"

    def term(self, value, sigma, batch):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1)
        return Term(value, (sigma**2 - level**2).clamp(min=1e-8).sqrt())


class TermInOrder(Above):
    """`Term.sigma` is sorted for a plot, the values are not."""

    name = "kit17-term-with-sorted-levels"

    def term(self, value, sigma, batch):
        return Term(value, sigma.sort().values)


class GlobalNoise(Above):
    """Noise comes from torch's global generator, so that a resumed run goes on differently."""

    name = "kit17-noise-of-the-global-generator"

    def view(self, batch, sigma, tools):
        own = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        return tools.corruption.degrade(batch, sigma, own)


class SameNoiseInEachEpoch(Above):
    """The noise of a view is keyed by the row alone, and so the same in each epoch."""

    name = "kit17-noise-keyed-by-the-row"

    def view(self, batch, sigma, tools):
        own = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        if "row-generators" not in tools.corruption.claims or not own:
            return super().view(batch, sigma, tools)
        return tools.corruption.degrade(batch, sigma, own)


class ByHand(Above):
    """A base: views of Gaussian noise made by hand."""

    name = "kit17-base-by-hand"
    claims = PLAIN

    def noise(self, x, tools):
        return standard_normal(x, tools.generator)

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        return View(batch.x_n + missing.to(batch.x_n) * self.noise(batch.x_n, tools), sigma, batch.cond)


class OneNoiseForAll(ByHand):
    """One draw of noise is broadcast over the rows of the batch."""

    name = "kit17-one-noise-for-the-batch"

    def noise(self, x, tools):
        return super().noise(x[:1], tools).expand_as(x)


class NoiseOfAChannel(ByHand):
    """The channels of a picture share their noise."""

    name = "kit17-noise-shared-by-channels"

    def noise(self, x, tools):
        return super().noise(x[:, :1], tools).expand_as(x) if x.ndim > 2 else super().noise(x, tools)


class OffsetNoise(ByHand):
    """Offset noise: a tenth of the noise is one number for each channel, which no formula here knows."""

    name = "kit17-offset-noise"

    def noise(self, x, tools):
        one = super().noise(x.flatten(2)[..., :1] if x.ndim > 2 else x[:, :1], tools)
        return super().noise(x, tools) + 0.1 * one.reshape(*one.shape[:2], *[1] * (x.ndim - 2))


class AddsTheDifference(ByHand):
    """The noise added has std sigma - sigma_n, not the root of the difference of squares."""

    name = "kit17-adds-the-difference-of-stds"

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)).clamp(min=0)
        return View(batch.x_n + missing.to(batch.x_n) * self.noise(batch.x_n, tools), sigma, batch.cond)


class Paired(Tweedie):
    """The mirror image of a view is taken about 0, not about the observation."""

    name = "kit17-pair-mirrored-about-zero"

    def _views(self, batch, sigma, draws, tools):
        view, cap = super()._views(batch, sigma, draws, tools)
        second = per_row((draws.paired & (draws.here % 2 == 1)).to(batch.x_n.dtype), batch.x_n) > 0
        return view._replace(x=torch.where(second, -view.x[draws.couple], view.x)), cap


class OwnLevels(Tweedie):
    """The second of a pair has its own level, but the mirrored view of the first."""

    name = "kit17-pair-with-two-levels"

    def _drawn(self, batch, tools):
        draws = super()._drawn(batch, tools)
        return draws._replace(u=uniform(torch.empty_like(draws.u), tools.generator))


class MirrorsTheNext(Tweedie):
    """Off by one: the second of a pair is the mirror image of the row after it."""

    name = "kit17-pair-off-by-one"

    def _views(self, batch, sigma, draws, tools):
        return super()._views(
            batch, sigma, draws._replace(couple=(draws.couple + 2) % max(len(draws.couple), 1)), tools
        )


class RowsMoved(Above):
    """A random share of the rows is taken, and their conditions are those of the first rows."""

    name = "kit17-conditions-of-other-rows"

    def loss(self, denoiser, batch, tools):
        order = numbers(batch, tools).argsort()
        return super().loss(denoiser, take(batch, order)._replace(cond=batch.cond), tools)


class VariancePreserving(OfClean):
    """The view is sqrt(1 - sigma^2) x_0 + sigma z for levels below 1, as in code that preserves variance."""

    name = "kit17-denoises-vp-views"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        alpha = (1 - sigma**2).clamp(min=0.04).sqrt()
        return view._replace(x=view.x - per_row(1 - alpha, batch.x_n) * batch.x_n)


class FlowView(OfClean):
    """The view is (1 - t) x_0 + t z with t = sigma / (1 + sigma), and sigma is told: the scale is never undone."""

    name = "kit17-denoises-flow-views"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        return view._replace(x=view.x / (1 + per_row(sigma, view.x)))


class Perturbed(OfClean):
    """Input perturbation: three tenths more noise on the view, of which the level told knows nothing."""

    name = "kit17-denoises-perturbed-views"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        more = 0.3 * per_row(sigma, view.x) * standard_normal(view.x, tools.generator)
        return view._replace(x=view.x + more)


class Matched(OfClean):
    """Noise is given to the rows that it lies near to, so that it is not independent of the pictures."""

    name = "kit17-denoises-matched-noise"

    def view(self, batch, sigma, tools):
        z = standard_normal(batch.x_n, tools.generator)
        order = z.flatten(1).mean(1).argsort()[batch.x_n.flatten(1).mean(1).argsort().argsort()]
        return View(batch.x_n + per_row(sigma, z) * z[order], sigma, batch.cond)


class TakesNoisyRows(OfClean):
    """Noisy rows are not refused but denoised as if they were clean."""

    name = "kit17-denoises-noisy-rows-too"

    def high(self, batch, tools):
        return tools.levels.sigma_max

    def loss(self, denoiser, batch, tools):
        return super().loss(denoiser, batch._replace(sigma_n=torch.zeros_like(batch.sigma_n)), tools)


class SplitForgotten(Split):
    """Clean rows are seen at all levels, as the highest one is that of the run."""

    name = "kit17-split-clean-rows-anywhere"

    def top(self, batch, tools, high):
        return torch.full_like(tools.corruption.floor(batch), high)


class SplitByTheFirst(Split):
    """Whether rows are clean is asked of the first row of the batch alone."""

    name = "kit17-split-by-the-first-row"

    def top(self, batch, tools, high):
        top = super().top(batch, tools, high)
        return torch.maximum(top[:1].expand_as(top), 1.2 * self.low(batch, tools)).clamp(max=high)


class SplitTwice(Split):
    """The bound of clean rows is a variance: they are seen up to its root."""

    name = "kit17-split-below-the-root"

    def top(self, batch, tools, high):
        top = super().top(batch, tools, high)
        return torch.where(top < high, top.sqrt(), top)


WRONG = [
    Clamped(),
    DrawnAgainOnce(),
    FloorOfTheBatch(),
    HardCodedTop(),
    MeanOfPixels(),
    ToldTheAdded(),
    ToldTheLog(),
    ToldATable(),
    ToldTheVariance(),
    ToldTheFirst(),
    ToldEightPercentMore(),
    TermOfTheAdded(),
    TermInOrder(),
    GlobalNoise(),
    SameNoiseInEachEpoch(),
    OneNoiseForAll(),
    NoiseOfAChannel(),
    OffsetNoise(),
    AddsTheDifference(),
    Paired(),
    OwnLevels(),
    MirrorsTheNext(),
    RowsMoved(),
    VariancePreserving(),
    FlowView(),
    Perturbed(),
    Matched(),
    TakesNoisyRows(),
    SplitForgotten(),
    SplitByTheFirst(),
    SplitTwice(),
]
