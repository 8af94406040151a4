"""Corruptions, samplers, models and attacks that are wrong in one situation: many channels or rows, as many rows as
columns, levels next to a bound, single steps, fields that do not suit. What a stranger's kit had shown to pass."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.batch import Batch, View
from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Mask as MaskAttack
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants.ancestral import AncestralMutant, moments
from ambientkit.builtin.mutants.gaussian import RIGHT, GaussianMutant
from ambientkit.builtin.mutants.mask import RIGHT as RIGHT_MASK
from ambientkit.builtin.mutants.mask import MaskMutant
from ambientkit.builtin.mutants.memory import AttackMutant
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Model, Mutant, Sampler, Signal
from ambientkit.maths.noise import RandomSource, per_row, standard_normal, uniform
from ambientkit.memorisation_parts import Attempt, Target


class FourthChannelWhole(GaussianMutant):
    """Gaussian noise for colours, beside which a fourth channel is an opacity."""

    name = "gaussian-fourth-channel-whole"
    wrong = "channels after the third are given no noise"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        if x_0.ndim != 4 or x_0.shape[1] < 4:
            return batch
        return batch._replace(x_n=torch.cat([batch.x_n[:, :3], x_0[:, 3:]], 1))


class ColoursWeighed(GaussianMutant):
    """Gaussian noise that a camera's channels have more or less of, on average the level that is said."""

    name = "gaussian-colours-weighed"
    wrong = "of three channels each has noise of another level, and one level is said"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        if x_0.ndim != 4 or x_0.shape[1] != 3:
            return batch
        gains = x_0.new_tensor([1.2, 0.8, 1.0]).reshape(3, 1, 1)
        return batch._replace(x_n=x_0 + gains * (batch.x_n - x_0))


class NoneAddedBesideOne(GaussianMutant):
    """Gaussian noise that looks at one row to know whether there is any to add."""

    name = "gaussian-none-added-beside-one"
    wrong = "beside a row that stays at its own level no row is given noise"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        return view._replace(x=batch.x_n) if bool((sigma == RIGHT.floor(batch)).any()) else view


class ALittleBelow(GaussianMutant):
    """Gaussian noise that takes a level a little below a row's for its own."""

    name = "gaussian-a-little-below"
    wrong = "levels down to 0.98 sigma_n are not refused"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        own = RIGHT.floor(batch)
        near = torch.where((sigma < own) & (sigma > 0.98 * own), own, sigma)
        return RIGHT.degrade(batch, near, generator)._replace(sigma=sigma)


class LevelsOfColumns(GaussianMutant):
    """Gaussian noise whose levels are multiplied as they come, where they fit."""

    name = "gaussian-levels-of-columns"
    wrong = "of as many rows as columns each column is given the level of a row"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view, own, x = RIGHT.degrade(batch, sigma, generator), batch.sigma_n, batch.x_n
        if own.ndim != 1 or x.ndim < 2 or len(own) != x.shape[-1] or len(own) == 1:
            return view
        return view._replace(x=x + (sigma**2 - own**2).sqrt() * standard_normal(x, generator))


class LargestCap(GaussianMutant):
    """Gaussian noise under the largest bound of a batch."""

    name = "gaussian-largest-cap"
    wrong = "weight takes the largest cap for all rows"

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """The right part's, of one cap."""
        return RIGHT.weight(view, batch, cap.max().expand_as(cap), hidden)


class CleanRowsBorrowNoise(GaussianMutant):
    """Gaussian noise of which clean rows get that of the row before."""

    name = "gaussian-clean-rows-borrow-noise"
    wrong = "the view of a clean row has the noise of its neighbour"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view, x = RIGHT.degrade(batch, sigma, generator), batch.x_n
        missing = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).sqrt()
        z = ((view.x - x) / missing.clamp(min=1e-12)).roll(1, 0)
        clean = per_row((RIGHT.floor(batch) == 0).to(x.dtype), x) > 0
        return view._replace(x=torch.where(clean, x + missing * z, view.x))


class ChannelsApart(MaskMutant):
    """Masks that hide other pixels in each channel of a view, and mark those that are hidden in all."""

    name = "mask-channels-apart"
    wrong = "of several channels some are 0 where the mask shows the pixel"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT_MASK.degrade(batch, sigma, generator)
        if view.x.ndim != 4 or view.x.shape[1] == 1:
            return view
        return view._replace(x=torch.where(uniform(view.x, generator) < 0.1, 0.0, view.x))


class WholeRowsStayWhole(MaskMutant):
    """Masks that hide nothing of a row which brings none."""

    name = "mask-whole-rows-stay-whole"
    wrong = "rows without a mask are seen whole, and no mask is given"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        if "mask" in batch.cond:
            return RIGHT_MASK.degrade(batch, sigma, generator)
        view = RIGHT_MASK.show(batch, sigma, generator)
        return view._replace(cond={name: value for name, value in view.cond.items() if name != "mask"})


class AHairMoreNoise(AncestralMutant):
    """Ancestral steps with EDM's factor of noise."""

    name = "ancestral-a-hair-more-noise"
    wrong = "noise of std 1.004"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        return mean + 1.004 * std * standard_normal(x, generator)


class DrawnInAtAQuantile(AncestralMutant):
    """Ancestral steps with dynamic thresholding."""

    name = "ancestral-drawn-in-at-a-quantile"
    wrong = "answers of pictures beyond their 99 % quantile are drawn in to it"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        def answered(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            found = denoiser(x, sigma, **cond)
            if found.ndim != 4:
                return found
            bound = per_row(found.abs().flatten(1).quantile(0.99, dim=1).clamp(min=1), found)
            return torch.maximum(torch.minimum(found, bound), -bound)

        mean, std = moments(answered, x, sigma_t, sigma_s, cond)
        return mean + std * standard_normal(x, generator)


class ConditionsOfTheFirstChunk(AncestralMutant):
    """Ancestral steps that ask about 64 rows at a time."""

    name = "ancestral-conditions-of-the-first-chunk"
    wrong = "every chunk of 64 rows is asked about under the conditions of the first"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        def answered(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            parts = zip(x.split(64), sigma.split(64), strict=True)
            return torch.cat([denoiser(a, s, **{k: v[: len(a)] for k, v in cond.items()}) for a, s in parts])

        mean, std = moments(answered, x, sigma_t, sigma_s, cond)
        return mean + std * standard_normal(x, generator)


class GuidesByClass(AncestralMutant):
    """Ancestral steps that are guided towards a class, where there is one."""

    name = "ancestral-guides-by-class"
    wrong = "with class_cond the answer is pushed away from that of class 0"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        if "class_cond" in cond:
            bare, _ = moments(
                denoiser, x, sigma_t, sigma_s, {**cond, "class_cond": torch.zeros_like(cond["class_cond"])}
            )
            mean = mean + 0.5 * (mean - bare)
        return mean + std * standard_normal(x, generator)


class ShortStepsLeftOut(Mutant, Sampler):
    """Ancestral steps, but for very short ones."""

    name = "ancestral-short-steps-left-out"
    mutant_of = "ancestral"
    claims = Ancestral.claims
    wrong = "levels within 2 % of the one before are not visited"

    def sample(self, denoiser, x, sigmas, generator, cond):
        """The right part's, on a grid of fewer levels."""
        kept = [sigmas[0]]
        for level in sigmas[1:-1]:
            if not bool((level > 0.98 * kept[-1]).all()):
                kept.append(level)
        return Ancestral().sample(denoiser, x, torch.stack([*kept, sigmas[-1]]), generator, cond)


class SingleStepInPlace(Mutant, Sampler):
    """Heun's rule, which writes a single step into its points where no gradient is wanted."""

    name = "heun-single-step-in-place"
    mutant_of = "heun"
    claims = Heun.claims
    wrong = "the points of a grid of two levels are written over, without gradient"

    def sample(self, denoiser, x, sigmas, generator, cond):
        """The right part's."""
        found = Heun().sample(denoiser, x, sigmas, generator, cond)
        return found if len(sigmas) > 2 or torch.is_grad_enabled() else x.copy_(found)


class TimeShortOfOne(Mutant, Model):
    """A model of the flow's velocity that keeps its time from 1."""

    name = "mlp-time-short-of-one"
    mutant_of = "mlp"
    claims = frozenset({"denoiser-contract", "flow-form"})
    wrong = "(1 - t) x - t F with t up to 0.99: levels above 99 are taken for 99"

    def network(self, signal: Signal) -> nn.Module:
        """The right part's."""
        return MLP(width=32).network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """The mutant's."""

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            t = (sigma / (1 + sigma)).to(x.dtype).clamp(max=0.99)
            y = per_row((sigma.to(x.dtype) ** 2 + signal.sigma_data**2) ** -0.5, x) * x
            found = network(y.flatten(1), 2 * t - 1).reshape(x.shape)
            return per_row(1 - t, x) * x - per_row(t, x) * found

        return denoise


class OneDrawForAll(AttackMutant):
    """One draw in the place of all."""

    name = "noise-one-draw-for-all"
    mutant_of = "noise"
    wrong = "the first draw is given for each of those that were asked for"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Noise().attempt(x, keys, target)
        return found._replace(draws=found.draws[:, :1].expand_as(found.draws))


class RefusesLate(AttackMutant):
    """The loss, whose level is looked at last."""

    name = "loss-refuses-late"
    mutant_of = "loss"
    wrong = "a level above sigma_max is refused once the model was asked"

    level: float | None = Field(None, gt=0)
    """Std of the noise."""

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Loss().attempt(x, keys, target)
        if self.level is not None and self.level >= target.levels.sigma_max:
            raise InputError(f"level {self.level:g} is above sigma_max")
        return found


class ShownInFull(AttackMutant):
    """A masked row that is said to have been shown whole."""

    name = "mask-shown-in-full"
    mutant_of = "mask"
    wrong = "what was hidden stands in what the model is said to have been shown"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        return MaskAttack().attempt(x, keys, target)._replace(corrupted=x)


MUTANTS: list[type[Mutant]] = [
    *(
        FourthChannelWhole,
        ColoursWeighed,
        NoneAddedBesideOne,
        ALittleBelow,
        LevelsOfColumns,
        LargestCap,
        CleanRowsBorrowNoise,
    ),
    *(ChannelsApart, WholeRowsStayWhole),
    *(AHairMoreNoise, DrawnInAtAQuantile, ConditionsOfTheFirstChunk, GuidesByClass),
    *(ShortStepsLeftOut, SingleStepInPlace, TimeShortOfOne),
    *(OneDrawForAll, RefusesLate, ShownInFull),
]
"""Registered by `ambientkit.builtin.plugin`."""
