"""Parts that do one thing to all rows of a call, or to an axis of one channel: what a stranger's kit had shown to
pass."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.mutants.ancestral import AncestralMutant, moments
from ambientkit.builtin.mutants.gaussian import RIGHT, GaussianMutant
from ambientkit.builtin.mutants.sure import SureMutant
from ambientkit.builtin.mutants.tweedie import TweedieMutant, drawn_levels, squared
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Mutant, Tools
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import RandomSource, per_row, standard_normal, uniform


class MirroredBatches(TweedieMutant):
    """Tweedie that mirrors the pictures of every other call."""

    name = "tweedie-mirrored-batches"
    wrong = "pictures are mirrored by one coin for a call: the law is that of the pictures and their mirror images"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        if batch.x_n.ndim == 4 and float(uniform(torch.empty(1), tools.generator)) < 0.5:
            batch = batch._replace(x_n=batch.x_n.flip(2))
        return Tweedie().loss(denoiser, batch, tools)


class LevelsOfExchangedSides(TweedieMutant):
    """Tweedie that takes levels per pixel for those of the picture on its side, where it can."""

    name = "tweedie-levels-of-exchanged-sides"
    wrong = "the levels of pixels come as (W, H), which no square picture refuses"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        level = batch.sigma_n
        if level.ndim == 4 and level.shape[-1] == level.shape[-2]:
            batch = batch._replace(sigma_n=level.transpose(-1, -2))
        return Tweedie().loss(denoiser, batch, tools)


class QuietRowsLeftOut(TweedieMutant):
    """Tweedie that uses the noisier rows of a batch alone."""

    name = "tweedie-quiet-rows-left-out"
    wrong = "rows quieter than the mean of their batch are left out, so that clean ones are hardly ever used"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        floor = tools.corruption.floor(batch)
        return Tweedie().loss(denoiser, take(batch, (floor >= 0.99 * floor.mean()).nonzero().squeeze(1)), tools)


class SumOverChannels(TweedieMutant):
    """Tweedie that counts a picture once for each channel."""

    name = "tweedie-sum-over-channels"
    wrong = "the error is summed over channels: a picture of two costs twice lambda delta^2"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Tweedie().loss(denoiser, batch, tools)
        channels = batch.x_n.shape[1] if batch.x_n.ndim > 2 else 1
        return {name: Term(channels * term.value, term.sigma) for name, term in found.items()}


class LevelsOfTheNoise(TweedieMutant):
    """Tweedie whose noise begins with the bits of its levels."""

    name = "tweedie-levels-of-the-noise"
    wrong = "levels and noise come from copies of one generator: the first value of a row alone goes with its level"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        copied = torch.Generator().set_state(tools.generator.get_state())
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        sigma = log_uniform(uniform(floor, copied), floor, tools.levels.sigma_max)
        z = torch.special.ndtri(uniform(batch.x_n, tools.generator).clamp(1e-6, 1 - 1e-6))
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        view = View(batch.x_n + missing * z, sigma, batch.cond)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        return squared(tools.corruption.expect(x_0_hat, view, batch) - batch.x_n, sigma, batch, tools)


class SqueezedAnswers(TweedieMutant):
    """Tweedie that loses an axis of one channel."""

    name = "tweedie-squeezed-answers"
    claims = Tweedie.claims - {"serves-masks", "scale-under-masks"}
    wrong = "the answer loses its channel where there is one, and is compared with every row"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        x_0_hat = x_0_hat.squeeze(1) if x_0_hat.ndim == 4 else x_0_hat
        return squared(tools.corruption.expect(x_0_hat, view, batch) - batch.x_n, sigma, batch, tools)


class SqueezedSteps(AncestralMutant):
    """Ancestral steps that lose an axis of one channel."""

    name = "ancestral-squeezed-steps"
    wrong = "the mean loses its channel where there is one, and meets the noise of every row"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return (mean.squeeze(1) if x.ndim == 4 else mean) + std * standard_normal(x, generator)


class SqueezedViews(GaussianMutant):
    """A corruption that loses an axis of one channel."""

    name = "gaussian-squeezed-views"
    wrong = "a view loses its channel where there is one"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        return view._replace(x=view.x.squeeze(1) if view.x.ndim == 4 else view.x)


class OneProbe(SureMutant):
    """Stein's estimate with one probe for all rows of a call."""

    name = "sure-one-probe"
    wrong = "the rows of a call share their random direction"
    equivalent = "E[v v^T] = 1 for each row: that rows share v changes no mean, and only its spread"

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        return super().probe(x[:1], tools).expand_as(x)

    def factor(self, sigma: Tensor) -> Tensor:
        return 2 * sigma**2


MUTANTS: list[type[Mutant]] = [
    MirroredBatches,
    LevelsOfExchangedSides,
    QuietRowsLeftOut,
    SumOverChannels,
    LevelsOfTheNoise,
    SqueezedAnswers,
    SqueezedSteps,
    SqueezedViews,
    OneProbe,
]
"""Registered by `ambientkit.builtin.plugin`."""
