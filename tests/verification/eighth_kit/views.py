"""Objectives above the noise of the data whose levels or views are wrong."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Denoiser, Tools
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.randomness import keyed_generator
from tests.verification.eighth_kit.bases import LOOSE, Noised, Plain, missing


class NoisiestFloor(Plain):
    """All rows are seen above the noisiest row of the batch: clean rows teach nothing at low levels."""

    name = "eight-noisiest-floor"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).max().clamp(min=tools.levels.sigma_min).expand(len(batch.x_n))
        return log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)


class HardRange(Plain):
    """Levels up to 80, whatever the range of the run: the network is trained where it is never asked."""

    name = "eight-hard-range"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=0.002)
        return log_uniform(uniform(floor, tools.generator), floor, 80.0)


class LowOnly(Plain):
    """Levels up to 3 sigma_n: samples start where nothing was learnt."""

    name = "eight-low-only"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return log_uniform(uniform(floor, tools.generator), floor, (3 * floor).clamp(max=tools.levels.sigma_max))


class MarginFloor(Plain):
    """Levels from 1.5 sigma_n on, to keep away from a = 0: the levels next to sigma_n are never learnt."""

    name = "eight-margin-floor"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = (1.5 * tools.corruption.floor(batch)).clamp(min=tools.levels.sigma_min)
        return log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)


class Lifted(Plain):
    """EDM's lognormal, lifted to the floor by max: most draws of a noisy row lie on sigma_n, where a = 0."""

    name = "eight-lifted"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        z = standard_normal(floor, tools.generator)
        drawn = (1.2 * z - 1.2).exp().clamp(tools.levels.sigma_min, tools.levels.sigma_max)
        return torch.maximum(drawn, floor)


class Rounded(Plain):
    """The network is told the nearest of 30 tabulated levels, the view is made at the level drawn."""

    name = "eight-rounded-level"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        table = torch.logspace(-2.7, 1.9, 30).to(view.sigma)
        nearest = (view.sigma.log().unsqueeze(1) - table.log()).abs().argmin(1)
        return denoiser(view.x, table[nearest], **view.cond)


class NextIndex(Plain):
    """A table of 60 levels: the view is made at index i, the network is told index i + 1."""

    name = "eight-next-index"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        steps = (uniform(floor, tools.generator) * 60).floor()
        return floor * (tools.levels.sigma_max / floor) ** ((steps + 0.5) / 60)

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return denoiser(view.x, view.sigma * (tools.levels.sigma_max / floor) ** (1 / 60), **view.cond)


class FrozenNoise(Noised):
    """The noise of a view is keyed by its row: each row has one z for the whole run, which the network learns."""

    name = "eight-frozen-noise"

    def noise(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        return standard_normal(batch.x_n, [keyed_generator(0, "views", row=int(row)) for row in batch.row])


class OneSeed(Noised):
    """A generator of its own, seeded alike in each call: the same z at each place of each batch."""

    name = "eight-one-seed"

    def noise(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        return standard_normal(batch.x_n, torch.Generator().manual_seed(42))


class BatchNoise(Noised):
    """One z for the whole batch."""

    name = "eight-batch-noise"

    def noise(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        return standard_normal(batch.x_n[:1], tools.generator).expand_as(batch.x_n)


class ChannelNoise(Noised):
    """One z for all channels of a picture."""

    name = "eight-channel-noise"

    def noise(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        x = batch.x_n
        return standard_normal(x[:, :1] if x.ndim == 4 else x, tools.generator).expand_as(x)


class ClampedNoise(Noised):
    """z is clamped to 2 standard deviations, as truncated initialisers do: its variance is 0.92."""

    name = "eight-clamped-noise"

    def noise(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        return standard_normal(batch.x_n, tools.generator).clamp(-2, 2)


class WhitenedNoise(Noised):
    """z is standardised row by row, so that no row has more or less noise than it says: not normal in few values."""

    name = "eight-whitened-noise"

    def noise(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        z = standard_normal(batch.x_n, tools.generator)
        return z / per_row(z.flatten(1).square().mean(1).sqrt(), z)


class LevelOfFirst(Noised):
    """What is missing is taken from the first row's own noise: wrong for every other row of mixed noise."""

    name = "eight-level-of-first"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        first = batch._replace(sigma_n=batch.sigma_n[:1].expand_as(batch.sigma_n).contiguous())
        z = self.noise(batch, sigma, tools)
        return View(batch.x_n + missing(first, sigma) * z, sigma, batch.cond)


class MeanOfPixels(Noised):
    """Noise by pixel is topped up as its mean over the row would be: too much here, too little there."""

    name = "eight-mean-of-pixels"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        own = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n)
        mean = batch._replace(sigma_n=own.flatten(1).mean(1))
        return View(batch.x_n + missing(mean, sigma) * self.noise(batch, sigma, tools), sigma, batch.cond)


class Flipped(Plain):
    """Half of the rows are reversed as augmentation, while sigma_n by pixel stays: the law of the data changes too."""

    name = "eight-flipped"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict:
        turn = per_row(uniform(batch.x_n.flatten(1)[:, 0], tools.generator), batch.x_n) < 0.5
        turned = batch._replace(x_n=torch.where(turn, batch.x_n.flip(-1), batch.x_n))
        return super().loss(denoiser, turned, tools)


class Clipped(Plain):
    """Observations are clipped to [-1, 1] before they are used, which cuts their noise off."""

    name = "eight-clipped"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        return super().view(batch._replace(x_n=batch.x_n.clamp(-1, 1)), sigma, tools)


class PairOfOthers(Plain):
    """Antithetic pairs that are mirrored about the row before: 2 x_n - x_t with the wrong x_n."""

    name = "eight-pair-of-others"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        view = super().view(batch, sigma, tools)
        odd = per_row((torch.arange(len(sigma)) % 2 == 1).to(view.x), view.x) > 0
        mirrored = 2 * batch.x_n.roll(1, 0) - view.x
        return view._replace(x=torch.where(odd, mirrored, view.x))


class StaleLevel(Plain):
    """Keeps the levels of the first call in its memory and uses them for good."""

    name = "eight-stale-levels"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        fresh = super().levels(batch, tools)
        kept = tools.memory.setdefault("sigma", fresh.clone())
        return torch.maximum(kept, tools.corruption.floor(batch)) if len(kept) == len(fresh) else fresh


class Replayed(Plain):
    """A quarter of the rows come from the batch before, kept in memory, with this batch's noise levels."""

    name = "eight-replayed"
    share: ClassVar[int] = 4

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict:
        count = len(batch.x_n) // self.share
        old = tools.memory.get("x_n")
        tools.memory["x_n"] = batch.x_n[:count].clone()
        if old is not None and len(old) == count:
            batch = batch._replace(x_n=torch.cat([old, batch.x_n[count:]]))
        return super().loss(denoiser, batch, tools)


class StrataAlike(Plain):
    """Levels are the midpoints of as many strata as there are rows: a few fixed ones, and none below the first."""

    name = "eight-strata-in-order"
    claims = LOOSE

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        place = torch.arange(len(floor), device=floor.device, dtype=floor.dtype)
        u = (place + 0.5) / len(floor)
        return log_uniform(u, floor, tools.levels.sigma_max)


PARTS = (
    NoisiestFloor, HardRange, LowOnly, MarginFloor, Lifted, Rounded, NextIndex, FrozenNoise, OneSeed,
    BatchNoise, ChannelNoise, ClampedNoise, WhitenedNoise, LevelOfFirst, MeanOfPixels, Flipped, Clipped,
    PairOfOthers, StaleLevel, Replayed, StrataAlike,
)  # fmt: skip
