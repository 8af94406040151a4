"""Wrong variants of the objective `posterior-buffer`."""

from __future__ import annotations

import abc
import dataclasses
import math

import torch
from pydantic import InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.mutants.consistency import needs_draws
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.interfaces import Denoiser, Mutant, Objective, Sampler, Tools
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight


class PosteriorBufferMutant(Mutant, Objective, abc.ABC):
    """What these mutants share: the right part's claims, and a loss on draws that are made anew each time, wrong where
    they say.

    Without a memory the mean gradient is the same, and each call has more draws to show what is wrong with them.
    """

    mutant_of = "posterior-buffer"
    claims = PosteriorBuffer.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """lambda(sigma) mean((D(x~ + sigma z, sigma) - x~)^2), sigma_min <= sigma <= 2 sigma_n."""
        usable = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        batch = take(batch, usable[: math.ceil(len(batch.x_n) / 4)])
        top = tools.corruption.floor(batch)
        with torch.no_grad():
            view = tools.corruption.degrade(batch, top, tools.generator)
            x_0 = self.drawn(view, tools)
        sigma = truncated_lognormal(
            uniform(torch.empty_like(top), tools.generator), tools.levels.sigma_min, 2 * top, -1.2, 1.2
        )
        x_t = x_0 + per_row(sigma, x_0) * standard_normal(x_0, tools.generator)
        error = denoiser(x_t, self.told(sigma), **batch.cond) - self.target(x_0, x_t, view)
        return {
            "posterior": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)
        }

    def drawn(self, view: View, tools: Tools) -> Tensor:
        """x~; right is a draw from p(x_0 | x_n)."""
        return self.end(view, view.sigma, torch.zeros_like(view.sigma), tools)

    def end(self, view: View, start: Tensor, end: Tensor, tools: Tools) -> Tensor:
        """Where the reverse process leads from x_n, said to be at `start`. Raises InputError as `needs_draws`."""
        needs_draws(tools)
        grid = torch.stack([start, (start + end) / 2, end])  # the sampler of `verify` is exact in hops of any length
        return tools.sampler.sample(tools.teacher, view.x, grid, tools.generator, view.cond)

    def told(self, sigma: Tensor) -> Tensor:
        """The level the denoiser is given."""
        return sigma

    def target(self, x_0: Tensor, x_t: Tensor, view: View) -> Tensor:
        """What the denoiser is compared with."""
        return x_0


class Observed(PosteriorBufferMutant):
    """Denoising of the observations themselves."""

    name = "posterior-buffer-observations"
    wrong = "x_n in place of a draw: denoising towards noisy data, the fault of `naive`"

    def drawn(self, view, tools):
        return view.x


class PosteriorMean(PosteriorBufferMutant):
    """Denoising of posterior means."""

    name = "posterior-buffer-mean"
    wrong = "D(x_n, sigma_n) in place of a draw: the law of the means is too narrow"

    def drawn(self, view, tools):
        return tools.teacher(view.x, view.sigma, **view.cond)


class TargetIsTheInput(PosteriorBufferMutant):
    """Denoising whose target is its input."""

    name = "posterior-buffer-target-is-the-input"
    wrong = "the target is x_t in place of the draw: the identity is best"

    def target(self, x_0, x_t, view):
        return x_t


class TargetIsTheObservation(PosteriorBufferMutant):
    """Denoising of draws, compared with the observation they were drawn for."""

    name = "posterior-buffer-target-is-the-observation"
    wrong = "the target is x_n in place of the draw"
    equivalent = (
        "(draw, x_n) has the law of (x_0, x_n), so x_n is the draw and independent noise, of the same "
        "mean given x_t; only noisier"
    )

    def target(self, x_0, x_t, view):
        return view.x


class ToldAnotherLevel(PosteriorBufferMutant):
    """Denoising at a level that the denoiser is not given."""

    name = "posterior-buffer-told-another-level"
    wrong = "D(x_t, 1.3 sigma) in place of D(x_t, sigma)"

    def told(self, sigma):
        return 1.3 * sigma


class OneLevelForTheBatch(PosteriorBufferMutant):
    """Denoising that gives the denoiser the mean level of the batch."""

    name = "posterior-buffer-mean-level"
    wrong = "the mean sigma of the batch in place of that of the row"

    def told(self, sigma):
        return sigma.mean().expand_as(sigma)


class HalfWay(PosteriorBufferMutant):
    """Denoising of draws that still hold half of the noise."""

    name = "posterior-buffer-half-way"
    wrong = "the chain ends at sigma_n / 2 in place of 0"

    def drawn(self, view, tools):
        return self.end(view, view.sigma, view.sigma / 2, tools)


class LevelOfTheFirstRow(PosteriorBufferMutant):
    """Denoising of draws that all start at the level of the first row."""

    name = "posterior-buffer-level-of-the-first-row"
    wrong = "sigma_n of the first row in place of that of the row, where a chain starts"

    def drawn(self, view, tools):
        return self.end(view, view.sigma[:1].expand_as(view.sigma), torch.zeros_like(view.sigma), tools)


class _InOneStep(Sampler):
    """Another sampler, from the first level to the last in one step."""

    name = "in-one-step"
    claims = frozenset({"reverse-kernel"})

    inner: InstanceOf[Sampler]

    def sample(self, denoiser, x, sigmas, generator, cond):
        return self.inner.sample(denoiser, x, sigmas[[0, -1]], generator, cond)


class OneStepDraws(PosteriorBufferMutant):
    """Denoising of what one step of the sampler from the noise of the rows to 0 gives."""

    name = "posterior-buffer-one-step-draws"
    wrong = "a chain of one step to 0: of any sampler at hand that is the mean, and no draw"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        needs_draws(tools)
        return PosteriorBuffer().loss(
            denoiser, batch, dataclasses.replace(tools, sampler=_InOneStep(inner=tools.sampler))
        )


class AveragesDraws(PosteriorBufferMutant):
    """Denoising of the mean of a draw and of the one that was kept before it."""

    name = "posterior-buffer-averages-draws"
    wrong = "from the second call on, the mean of two draws in place of one: their law is too narrow"

    def drawn(self, view, tools):
        x_0 = super().drawn(view, tools)
        before = tools.memory.get("x_0", x_0)
        tools.memory["x_0"] = x_0
        return (x_0 + before) / 2 if before.shape == x_0.shape else x_0


class LightBelow(PosteriorBufferMutant):
    """Levels below the noise of the rows at half their weight."""

    name = "posterior-buffer-light-below"
    wrong = "below sigma_n an error costs half of what it does above"

    def loss(self, denoiser, batch, tools):
        (found,) = super().loss(denoiser, batch, tools).values()
        low = found.sigma < tools.corruption.floor(batch).max()
        return {"posterior": Term(torch.where(low, 0.5 * found.value, found.value), found.sigma)}


MUTANTS: list[type[Mutant]] = [
    *(Observed, PosteriorMean, TargetIsTheInput, TargetIsTheObservation, ToldAnotherLevel),
    *(OneLevelForTheBatch, HalfWay, LevelOfTheFirstRow, AveragesDraws, LightBelow, OneStepDraws),
]
"""Registered by `ambientkit.builtin.plugin`."""
