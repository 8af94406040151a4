"""Wrong objectives above the noise of the data: draws, levels, and what the denoiser is asked."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Term, take
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.fifteenth_kit.bases import PLAIN, Above, ByHand, Mirror, OfClean, draws, made


class SeededByContent(ByHand):
    """z comes from a generator seeded by the row's own values, "to be reproducible": a row meets the same z in each
    epoch, and x_t is a function of x_n."""

    name = "kit16-noise-seeded-by-content"

    def noise(self, batch, sigma, tools):
        seeds = (batch.x_n.double().flatten(1).sum(1) * 1e6).round().long().abs()
        found = [torch.randn(batch.x_n.shape[1:], generator=torch.Generator().manual_seed(int(s))) for s in seeds]
        return torch.stack(found).to(batch.x_n)


class NoiseKeptByShape(ByHand):
    """The buffer of z is allocated and filled once for each shape of batch; later calls add the same noise again."""

    name = "kit16-noise-kept-by-shape"
    buffers: ClassVar[dict] = {}

    def noise(self, batch, sigma, tools):
        key = (tuple(batch.x_n.shape), batch.x_n.dtype)
        if key not in self.buffers:
            self.buffers[key] = standard_normal(batch.x_n, tools.generator)
        return self.buffers[key]


class FirstChannelsNoise(ByHand):
    """One z for the picture, expanded over its channels: they do not have independent noise."""

    name = "kit16-one-z-for-all-channels"

    def noise(self, batch, sigma, tools):
        z = standard_normal(batch.x_n, tools.generator)
        return z[:, :1].expand_as(z) if z.ndim == 4 else z


class NoiseOfHalfTheRows(ByHand):
    """z is drawn for half of the batch and used again for the other half with the rows in reverse, and rows of one
    batch share their noise."""

    name = "kit16-noise-of-half-the-batch"

    def noise(self, batch, sigma, tools):
        half = (len(batch.x_n) + 1) // 2
        z = standard_normal(batch.x_n[:half], tools.generator)
        return torch.cat([z, z.flip(0)])[: len(batch.x_n)]


class MissingByMeanSquare(ByHand):
    """What is missing to sigma is taken from the mean square of sigma_n over the row: with noise per pixel x_t is not
    white."""

    name = "kit16-missing-by-mean-square"

    def view(self, batch, sigma, tools):
        own = per_row(batch.sigma_n, batch.x_n)
        own = own.square().flatten(1).mean(1) if own.ndim else own.square()
        missing = per_row((sigma**2 - own).clamp(min=0).sqrt(), batch.x_n)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        return view._replace(x=batch.x_n + missing * self.noise(batch, sigma, tools))


class ShareByFloor(ByHand):
    """b = floor^2 / sigma^2, one for the row, where sigma_n differs from pixel to pixel."""

    name = "kit16-share-by-floor"

    def rho(self, x_0_hat, view, batch, tools):
        b = per_row(tools.corruption.floor(batch) / view.sigma, view.x) ** 2
        return (1 - b) * x_0_hat + b * view.x - batch.x_n


class FlipsOnlyPictures(ByHand):
    """Mirrors half of the rows left to right, but not their map of sigma_n, which no longer fits."""

    name = "kit16-flips-without-the-map"

    def rows(self, batch, tools):
        if batch.x_n.ndim < 3:
            return batch
        turned = draws(batch.x_n, tools.generator) < 0.5
        return batch._replace(
            x_n=torch.where(per_row(turned.to(batch.x_n), batch.x_n) > 0, batch.x_n.flip(-1), batch.x_n)
        )


class TransposesSquares(Above):
    """Square pictures are transposed now and then as an augmentation, which the law of the data does not allow."""

    name = "kit16-transposes-squares"
    claims = PLAIN

    def rows(self, batch, tools):
        x = batch.x_n
        if x.ndim < 4 or x.shape[-1] != x.shape[-2]:
            return batch
        turned = per_row((draws(x, tools.generator) < 0.1).to(x), x) > 0
        level = batch.sigma_n
        if level.ndim == x.ndim:
            level = level.expand_as(x)
            level = torch.where(turned, level.transpose(-1, -2), level)
        return batch._replace(x_n=torch.where(turned, x.transpose(-1, -2), x), sigma_n=level)


class MixesNeighbours(Above):
    """Mixup now and then: one row in sixteen is the mean of itself and the next one, with its noise told as it
    would be. The mean of two clean rows is no row of the data."""

    name = "kit16-mixup-now-and-then"
    claims = PLAIN

    def rows(self, batch, tools):
        if batch.sigma_n.ndim == 0 or len(batch.sigma_n) != len(batch.x_n):
            return batch
        mixed = per_row((draws(batch.x_n, tools.generator) < 1 / 16).to(batch.x_n), batch.x_n) > 0
        x = torch.where(mixed, (batch.x_n + batch.x_n.roll(1, 0)) / 2, batch.x_n)
        a, b = per_row(batch.sigma_n, batch.x_n), per_row(batch.sigma_n.roll(1, 0), batch.x_n)
        level = torch.where(mixed, (a**2 + b**2).sqrt() / 2, a)
        return batch._replace(x_n=x, sigma_n=level.reshape(batch.sigma_n.shape))


class RejectsThenClamps(Above):
    """Levels below the floor are drawn again three times; what is left is put onto the floor, an atom."""

    name = "kit16-rejects-three-times-then-clamps"

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), tools.levels.sigma_max
        sigma = torch.zeros_like(low)
        for _ in range(4):
            again = torch.exp(1.3 * standard_normal(low.unsqueeze(1), tools.generator).squeeze(1) - 1.0)
            sigma = torch.where(sigma > low, sigma, again)
        return sigma.maximum(low).clamp(max=high)


class RoundedToTable(Above):
    """Levels come from a table of 32, of which the nearest one above is taken for x_t, while the denoiser is told the
    draw itself."""

    name = "kit16-told-the-draw-seen-at-the-table"

    def view(self, batch, sigma, tools):
        rounded = torch.exp((sigma.log() * 4).ceil() / 4).clamp(max=tools.levels.sigma_max).maximum(sigma)
        return tools.corruption.degrade(batch, rounded, tools.generator)._replace(sigma=sigma)


class JittersInput(Above):
    """Input noise as a regulariser, a quarter of the level, and the level is not told of it."""

    name = "kit16-jitters-the-input"

    def ask(self, denoiser, view, batch, tools):
        jitter = 0.25 * per_row(view.sigma, view.x) * standard_normal(view.x, tools.generator)
        return denoiser(torch.where(view.x == 0, view.x, view.x + jitter.to(view.x)), view.sigma, **view.cond)


class OwnSigmaMin(Above):
    """The lowest level is 0.002, whatever the run's."""

    name = "kit16-sigma-min-of-its-own"

    def low(self, batch, tools):
        return tools.corruption.floor(batch).clamp(min=0.002)


class TopOfTheBatch(Above):
    """Levels up to twelve times the floor of the row, "where the method is needed": sigma_max is never seen, from which
    samples start."""

    name = "kit16-ceiling-of-twelve-floors"

    def levels(self, batch, tools):
        low = self.low(batch, tools)
        high = (12 * low).clamp(max=tools.levels.sigma_max)
        return truncated_lognormal(draws(batch.x_n, tools.generator), low, high, -1.0, 1.3)


class UnderTheFloorForPixels(ByHand):
    """The floor of a row is its mean noise; pixels above it get nothing on top and stand above sigma."""

    name = "kit16-floor-by-mean-of-pixels"

    def view(self, batch, sigma, tools):
        own = per_row(batch.sigma_n, batch.x_n)
        missing = (per_row(sigma, batch.x_n) ** 2 - own**2).clamp(min=0).sqrt()
        x = batch.x_n + missing * standard_normal(batch.x_n, tools.generator)
        view = tools.corruption.degrade(batch, sigma.maximum(tools.corruption.floor(batch)), tools.generator)
        return view._replace(x=x, sigma=sigma)

    def low(self, batch, tools):
        own = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)
        return own.clamp(min=tools.levels.sigma_min)


class LevelOfOneForAll(Above):
    """The level of the first row, for those rows that it suits: a batch has one level, drawn above the noise of its
    first row alone."""

    name = "kit16-first-row-s-level-for-all"

    def levels(self, batch, tools):
        sigma, low = super().levels(batch, tools), self.low(batch, tools)
        return torch.where(sigma[:1] >= low, sigma[:1].expand_as(sigma), low)


class MirrorsMasks(Mirror):
    """Antithetic views for every corruption: 2 x_n - x_t shows a row's values where the view has hidden them."""

    name = "kit16-mirrors-what-is-hidden"

    def allowed(self, tools):
        return True


class MeanOfThePair(Mirror):
    """The two answers of a pair are averaged before they are compared with x_n: the square of a mean."""

    name = "kit16-square-of-the-pair-s-mean"

    def both(self, denoiser, views, batch, tools):
        mean = torch.stack([self.ask(denoiser, view, batch, tools) for view in views]).mean(0)
        middle = views[0]._replace(x=torch.stack([view.x for view in views]).mean(0))
        return self.each(mean, middle, batch, tools)


class PairAskedAtOneEnd(Mirror):
    """The answer at x_t + is compared in the mix of x_t -: the views of a pair were swapped."""

    name = "kit16-mix-of-the-other-of-the-pair"

    def both(self, denoiser, views, batch, tools):
        found = [
            self.each(self.ask(denoiser, a, batch, tools), b, batch, tools)
            for a, b in zip(views, views[::-1], strict=True)
        ]
        return torch.stack(found).mean(0)


class DropsTheLastChunk(Above):
    """The denoiser is called on chunks of eight rows; rows of a chunk that is not full are given back as 0 and never
    taught."""

    name = "kit16-drops-the-last-chunk"
    claims = PLAIN

    def last(self, value, tools):
        whole = len(value) // 8 * 8
        return value if whole == 0 else torch.cat([value[:whole], 0 * value[whole:]])


class NoGradientAtHighLevels(Above):
    """Answers at levels above 10 are detached: "nothing is learned there". The levels that decide which picture is
    drawn are not trained."""

    name = "kit16-no-gradient-at-high-levels"

    def ask(self, denoiser, view, batch, tools):
        answer = super().ask(denoiser, view, batch, tools)
        return torch.where(per_row((view.sigma < 10).to(answer), answer) > 0, answer, answer.detach())


class GradientsClipped(Above):
    """Each value's gradient is clipped by a hook, which makes a median of the mean."""

    name = "kit16-clips-the-gradient-by-value"

    def ask(self, denoiser, view, batch, tools):
        answer = super().ask(denoiser, view, batch, tools)
        if answer.requires_grad:
            answer.register_hook(lambda g: g.clamp(-3e-3, 3e-3))
        return answer


class TeachersOwn(Above):
    """rho of the network times rho of the teacher, "half the variance": linear in D, and so without a minimum."""

    name = "kit16-residual-times-the-teacher-s"

    def each(self, x_0_hat, view, batch, tools):
        with torch.no_grad():
            old = self.rho(self.ask(tools.teacher, view, batch, tools).to(batch.x_n.dtype), view, batch, tools)
        return self.factor(view, batch, tools) * (self.rho(x_0_hat, view, batch, tools) * old)


class RowsByEnergy(Above):
    """Rows of high contrast are taken twice as often, chosen by their x_n: given x_t the clean row is then no longer
    what the data have."""

    name = "kit16-bright-rows-more-often"
    claims = PLAIN

    def rows(self, batch, tools):
        energy = batch.x_n.detach().flatten(1).mean(1)
        kept = (energy > energy.median()) | (draws(batch.x_n, tools.generator) < 0.5)
        return take(batch, kept.nonzero().squeeze(1)) if bool(kept.any()) else batch


class ChecksTheFirstRow(OfClean):
    """Refuses noisy rows by a look at the first one."""

    name = "kit16-looks-at-the-first-row-alone"

    def noisy(self, floor):
        return bool(floor[:1].gt(0).any())


class CleanOnAverage(OfClean):
    """Takes rows whose noise is 0.01 or less, as "clean": naive training on them."""

    name = "kit16-clean-up-to-a-hundredth"

    def noisy(self, floor):
        return bool((floor > 0.01).any())


class CleanAtLevelsTwice(OfClean):
    """Dequantises: uniform noise of 1/16 is added to the clean rows, and learned with them."""

    name = "kit16-dequantises-clean-rows"

    def rows(self, batch, tools):
        return batch.x_n + (uniform(batch.x_n, tools.generator) - 0.5) / 8


class GrowsMemory(Above):
    """Keeps the mean loss of each call under a name of its own: memory grows, and its names change."""

    name = "kit16-memory-grows-by-a-name-a-call"

    def last(self, value, tools):
        tools.memory[f"loss.{len(tools.memory)}"] = value.detach().mean()
        return value


class MemoryOfTheBatch(Above):
    """Keeps the levels of the last call for a look at their law: as many as the batch had rows, from call to call."""

    name = "kit16-memory-of-the-batch-s-size"

    def said(self, view, batch):
        return view.sigma

    def loss(self, denoiser, batch, tools):
        found = super().loss(denoiser, batch, tools)
        tools.memory["levels"] = found["above"].sigma.detach().clone()
        return found


class OneValue(Above):
    """One value for the whole batch, its mean, with the mean level."""

    name = "kit16-one-value-for-the-batch"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["above"]
        return {"above": Term(term.value.mean().unsqueeze(0), term.sigma.mean().unsqueeze(0))}


WRONG = made(
    SeededByContent,
    NoiseKeptByShape,
    FirstChannelsNoise,
    NoiseOfHalfTheRows,
    MissingByMeanSquare,
    ShareByFloor,
    FlipsOnlyPictures,
    TransposesSquares,
    MixesNeighbours,
    RejectsThenClamps,
    RoundedToTable,
    JittersInput,
    OwnSigmaMin,
    TopOfTheBatch,
    UnderTheFloorForPixels,
    LevelOfOneForAll,
    MirrorsMasks,
    MeanOfThePair,
    PairAskedAtOneEnd,
    DropsTheLastChunk,
    NoGradientAtHighLevels,
    GradientsClipped,
    TeachersOwn,
    RowsByEnergy,
    ChecksTheFirstRow,
    CleanOnAverage,
    CleanAtLevelsTwice,
    GrowsMemory,
    MemoryOfTheBatch,
    OneValue,
)
