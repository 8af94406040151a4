"""Objectives that are right for rows of usual size and noise, several in a batch, and wrong for others."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.builtin.mutants.coverage import LevelsMutant
from ambientkit.builtin.mutants.tweedie import TweedieMutant, drawn_levels, squared
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Mutant, Objective, Sampler, Tools
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, uniform


class LittleNoiseIsNone(TweedieMutant):
    """Tweedie that takes rows of little noise for clean ones."""

    name = "tweedie-little-noise-is-none"
    wrong = "sigma_n below 0.04 counts as 0 in the residual"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        taken = batch._replace(sigma_n=torch.where(batch.sigma_n < 0.04, 0.0, batch.sigma_n))
        rho = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, taken) - batch.x_n
        return squared(rho, sigma, batch, tools)


class ABoundedBelow(TweedieMutant):
    """Tweedie whose a is kept from 0 in the residual itself."""

    name = "tweedie-a-bounded-below"
    wrong = "max(a, 0.1) D + b x_t - x_n: biased next to sigma_n"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        b = (per_row(batch.sigma_n, view.x) / per_row(sigma, view.x)) ** 2
        x_0_hat = denoiser(view.x, sigma, **view.cond)
        return squared((1 - b).clamp(min=0.1) * x_0_hat + b * view.x - batch.x_n, sigma, batch, tools)


class NothingAbove10(LevelsMutant):
    """Tweedie that takes 10 for the highest level of rows that are no noisier."""

    name = "tweedie-nothing-above-10"
    wrong = "quiet rows are seen up to 10, in a run up to 80 too"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty_like(floor), tools.generator)
        return log_uniform(u, floor, (2 * floor).clamp(min=10.0).clamp(max=tools.levels.sigma_max))


class HalfOfTheRows(TweedieMutant):
    """Tweedie on half of the rows, which of one row is none."""

    name = "tweedie-half-of-the-rows"
    wrong = "the first B // 2 values: none of a batch of one"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        term = Tweedie(near=0).loss(denoiser, batch, tools)["tweedie"]
        half = len(batch.x_n) // 2
        return {"tweedie": Term(term.value[:half], term.sigma[:half])}


class SaysBelow(TweedieMutant):
    """Tweedie that says of itself that it trains low levels."""

    name = "tweedie-says-below"
    wrong = "a noisy row is never seen below its noise, though the model card says so"
    below_sigma_n = "by levels that reach below it"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, batch, tools)


class OtherDistance(TweedieMutant):
    """Tweedie with a choice of distances."""

    name = "tweedie-other-distance"
    wrong = "l1, which a field offers, learns the median"

    distance: Literal["l2", "l1"] = "l2"
    """Of the residual."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        rho = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        return squared(rho if self.distance == "l2" else rho.abs().sqrt(), sigma, batch, tools)


class WeighsValues(TweedieMutant, abc.ABC):
    """Tweedie whose values do not all count."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        rho = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        return squared(self.counted(rho), sigma, batch, tools)

    @abc.abstractmethod
    def counted(self, rho: Tensor) -> Tensor:
        """The residual, each value times the root of what it counts."""


class WithoutABorder(WeighsValues):
    """Tweedie that leaves a border of larger pictures out."""

    name = "tweedie-without-a-border"
    wrong = "a border of one pixel of pictures above 6 x 6 teaches nothing"

    def counted(self, rho: Tensor) -> Tensor:
        if rho.ndim != 4 or min(rho.shape[2:]) <= 6:
            return rho
        inside = torch.zeros_like(rho)
        inside[..., 1:-1, 1:-1] = 1
        return inside * rho


class Luminance(WeighsValues):
    """Tweedie that weighs three channels by what an eye sees of them."""

    name = "tweedie-luminance"
    wrong = "weights of channels whose mean is 1, and which are not 1"

    def counted(self, rho: Tensor) -> Tensor:
        if rho.ndim != 4 or rho.shape[1] != 3:
            return rho
        return rho * (3 * torch.tensor([0.299, 0.587, 0.114])).sqrt().to(rho).reshape(1, 3, 1, 1)


class ChangedView(TweedieMutant, abc.ABC):
    """Tweedie whose denoiser is shown something else than the view."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        def shown(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            seen = self.changed(View(x, sigma, cond), batch)
            return denoiser(seen.x, seen.sigma, **seen.cond)

        return Tweedie(near=0).loss(shown, batch, tools)

    @abc.abstractmethod
    def changed(self, view: View, batch: Batch) -> View:
        """The rows it is shown."""


class FloatMasks(ChangedView):
    """Tweedie that hands masks on as numbers."""

    name = "tweedie-float-masks"
    wrong = "the denoiser gets masks in the dtype of the rows"

    def changed(self, view: View, batch: Batch) -> View:
        mask = {name: value.to(view.x) for name, value in view.cond.items() if value.dtype == torch.bool}
        return view._replace(cond={**view.cond, **mask})


class FillsHoles(ChangedView):
    """Tweedie that fills what a view hides with the row."""

    name = "tweedie-fills-holes"
    wrong = "hidden values of the view are those of the observation"

    def changed(self, view: View, batch: Batch) -> View:
        if "mask" not in view.cond:
            return view
        return view._replace(x=torch.where(view.cond["mask"], view.x, batch.x_n))


class _Ending(Sampler):
    """Carries points by another sampler along a part of the grid, or to their mean."""

    name = "ending"
    claims = frozenset({"reverse-kernel", "row-generators"})

    inner: Sampler
    left_out: int
    """Levels at the end; 0 for the mean."""

    def sample(self, denoiser, x, sigmas, generator, cond):
        if not self.left_out:
            return denoiser(x, sigmas[0], **cond).to(x.dtype)
        return self.inner.sample(denoiser, x, sigmas[: -self.left_out], generator, cond)


class KeptMutant(Mutant, Objective, abc.ABC):
    """Posterior draws that are kept, and are none."""

    mutant_of = "posterior-buffer"
    claims = PosteriorBuffer.claims
    left_out: ClassVar[int] = 0

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        ending = _Ending.model_construct(inner=tools.sampler, left_out=self.left_out)
        own = PosteriorBuffer(refresh=0.25, keep=2)
        return own.loss(denoiser, batch, dataclasses.replace(tools, sampler=ending))


class KeepsMeans(KeptMutant):
    """A buffer of means."""

    name = "posterior-buffer-keeps-means"
    wrong = "D(x_n, sigma_n) is kept in place of a draw, and denoised in later calls"


class KeepsNoise(KeptMutant):
    """A buffer of draws that are not carried to the end."""

    name = "posterior-buffer-keeps-noise"
    wrong = "the last levels of the chain are left out, so that draws keep a little noise"
    left_out: ClassVar[int] = 4


MUTANTS: list[type[Mutant]] = [
    *(LittleNoiseIsNone, ABoundedBelow, NothingAbove10, HalfOfTheRows, SaysBelow, OtherDistance, WithoutABorder),
    *(Luminance, FloatMasks, FillsHoles, KeepsMeans, KeepsNoise),
]
"""Registered by `ambientkit.builtin.plugin`."""
