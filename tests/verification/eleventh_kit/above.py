"""Wrong objectives above the noise of the data; each says why in its docstring."""

from __future__ import annotations

import random
from typing import Literal

import torch
from pydantic import Field

from ambientkit.batch import Term
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.eleventh_kit.bases import ABOVE, Above


class BatchMeanLoss(Above):
    """Divides the loss by its own mean over the batch, so that rows weigh less where the batch fits badly."""

    name = "kit11-batch-mean-loss"

    def weigh(self, residual, view, batch, tools):
        value = super().weigh(residual, view, batch, tools)
        return value / value.detach().mean().clamp(min=1e-8)


class PseudoHuber(Above):
    """Pseudo-Huber distance, whose minimum is nearer to the median than to the mean."""

    name = "kit11-pseudo-huber"

    def weigh(self, residual, view, batch, tools):
        c = 0.03
        value = ((residual.square() + c * c).sqrt() - c).flatten(1).mean(1)
        return value * edm_weight(view.sigma, tools.signal.sigma_data).sqrt()


class HuberOne(Above):
    """Huber with a knee at 1: residuals beyond 1, which large levels have, count by their absolute value."""

    name = "kit11-huber-one"

    def weigh(self, residual, view, batch, tools):
        value = torch.nn.functional.huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=1.0)
        return edm_weight(view.sigma, tools.signal.sigma_data) * (2 * self.factor(view, batch, tools) * value).flatten(
            1
        ).mean(1)


class DropsWorst(Above):
    """Gives weight 0 to the row with the largest loss of a batch, as an outlier: a choice by the target."""

    name = "kit11-drops-worst"

    def weigh(self, residual, view, batch, tools):
        value = super().weigh(residual, view, batch, tools)
        if len(value) < 4:
            return value
        keep = torch.ones_like(value)
        keep[value.detach().argmax()] = 0
        return value * keep


class ClampsResidual(Above):
    """Clamps the residual to 3 of its expected stds, which is no square any more in the tails."""

    name = "kit11-clamps-residual"

    def residual(self, answer, view, batch, tools):
        found = super().residual(answer, view, batch, tools)
        bound = 3 * per_row(batch.sigma_n, found).clamp(min=0.05)
        return torch.minimum(torch.maximum(found, -bound), bound)


class Focal(Above):
    """Focal weight: each row counts by the root of its own loss."""

    name = "kit11-focal"

    def weigh(self, residual, view, batch, tools):
        value = super().weigh(residual, view, batch, tools)
        return value * value.detach().clamp(min=1e-8).sqrt()


class ByContrast(Above):
    """Divides the loss of a row by the variance of its observation, which the view does not determine."""

    name = "kit11-by-contrast"

    def weigh(self, residual, view, batch, tools):
        contrast = batch.x_n.flatten(1).var(1, unbiased=False)
        return super().weigh(residual, view, batch, tools) / (contrast + 0.05)


class RoundedLevel(Above):
    """Asks at the level in bfloat16, up to 0.4 % off that of the view."""

    name = "kit11-rounded-level"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma.bfloat16().to(view.sigma), **view.cond).to(batch.x_n.dtype)


class NextOfTable(Above):
    """Levels of a table of 500; the view is made at one and the denoiser asked at the next: off by one."""

    name = "kit11-next-of-table"

    def ask(self, denoiser, view, batch, tools):
        table = torch.logspace(-3, 2, 500).to(view.sigma)
        at = torch.searchsorted(table, view.sigma.contiguous()).clamp(max=498)
        return denoiser(view.x, view.sigma * table[at + 1] / table[at], **view.cond).to(batch.x_n.dtype)


class LoseCondition(Above):
    """Drops conditions of a tenth of the rows by itself, by a label 0 that is a class of its own."""

    name = "kit11-lose-condition"

    def ask(self, denoiser, view, batch, tools):
        lose = uniform(view.sigma, tools.generator) < 0.1
        cond = {
            name: torch.where(lose.reshape(-1, *[1] * (value.ndim - 1)), torch.zeros_like(value), value)
            for name, value in view.cond.items()
        }
        return denoiser(view.x, view.sigma, **cond).to(batch.x_n.dtype)


class FlipsRows(Above):
    """Mirrors half of the rows to have more, but not their levels per pixel or masks."""

    name = "kit11-flips-rows"

    def loss(self, denoiser, batch, tools):
        turn = uniform(batch.x_n[:, :1].flatten(1)[:, 0], tools.generator) < 0.5
        turn = turn.reshape(-1, *[1] * (batch.x_n.ndim - 1))
        return super().loss(denoiser, batch._replace(x_n=torch.where(turn, batch.x_n.flip(-1), batch.x_n)), tools)


SEEN: dict[str, float] = {}


class RunningMean(Above):
    """Divides by a running mean of the loss that a variable of the module keeps between calls and runs."""

    name = "kit11-running-mean"

    def weigh(self, residual, view, batch, tools):
        value = super().weigh(residual, view, batch, tools)
        mean = 0.9 * SEEN.get("mean", 1.0) + 0.1 * float(value.detach().mean())
        SEEN["mean"] = mean
        return value / max(mean, 1e-3)


class PythonCoin(Above):
    """Python's own coin decides about mirrored noise: a resumed run takes another course."""

    name = "kit11-python-coin"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        return view if random.random() < 0.5 else view._replace(x=2 * batch.x_n - view.x)


class TypingError(Above):
    """Claims the scale of x_0 with EDM's weight mistyped: (s^2 + d^2) / (s + d)^2."""

    name = "kit11-typing-error"
    claims = ABOVE | {"x_0-scale"}

    def weigh(self, residual, view, batch, tools):
        std = tools.signal.sigma_data
        weight = (view.sigma**2 + std**2) / (view.sigma + std) ** 2
        return weight * (self.factor(view, batch, tools) * residual.square()).flatten(1).mean(1)


class OffsetNoise(Above):
    """Offset noise: a constant of 0.1 sigma is added to every channel, so that the view is not white."""

    name = "kit11-offset-noise"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        if view.x.ndim < 3:
            return view
        offset = standard_normal(view.x.flatten(2)[:, :, :1].contiguous(), tools.generator)
        offset = offset.reshape(*view.x.shape[:2], *[1] * (view.x.ndim - 2))
        return view._replace(x=view.x + 0.1 * per_row(sigma, view.x) * offset)


class InputPerturbed(Above):
    """Perturbs the input by another 0.1 sigma z without saying so: the view is at 1.005 sigma."""

    name = "kit11-input-perturbed"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        more = 0.1 * per_row(sigma, view.x) * standard_normal(view.x, tools.generator)
        return view._replace(x=view.x + more.to(view.x.dtype))


class SmallNoiseIsNone(Above):
    """Takes rows with sigma_n below 0.06 for clean ones: a = 1, b = 0."""

    name = "kit11-small-noise-is-none"

    def residual(self, answer, view, batch, tools):
        level = per_row(batch.sigma_n, batch.x_n)
        b = torch.where(level < 0.06, torch.zeros_like(level), (level / per_row(view.sigma, view.x)) ** 2)
        return (1 - b) * answer + b * view.x - batch.x_n


class SafeA(Above):
    """Keeps a at 0.1 at least "for stability" in the residual itself, which is wrong next to sigma_n."""

    name = "kit11-safe-a"

    def residual(self, answer, view, batch, tools):
        b = (per_row(batch.sigma_n, batch.x_n) / per_row(view.sigma, view.x)) ** 2
        return (1 - b).clamp(min=0.1) * answer + b * view.x - batch.x_n


class NoiseOfRow(Above):
    """The noise of a view is keyed by the row alone, the same in every epoch: it is learned with the row."""

    name = "kit11-noise-of-row"

    def view(self, batch, sigma, tools):
        keys = [torch.Generator(batch.x_n.device).manual_seed(int(row)) for row in batch.row]
        return tools.corruption.degrade(batch, sigma, keys)


class DeafField(Above):
    """Its field p_mean changes nothing: the levels are drawn with the default."""

    name = "kit11-deaf-field"

    def levels(self, batch, tools):
        return Above(p_mean=-0.8, p_std=self.p_std).levels(batch, tools)


class OtherPower(Above):
    """Right at its default power 2; at any other power of the residual the minimum is not the mean."""

    name = "kit11-other-power"

    power: float = Field(2.0, ge=1, le=2)
    """Of the residual."""

    def weigh(self, residual, view, batch, tools):
        value = (residual.abs() + 1e-6) ** self.power
        return edm_weight(view.sigma, tools.signal.sigma_data) * (self.factor(view, batch, tools) * value).flatten(
            1
        ).mean(1)


class OtherDistance(Above):
    """Right with l2; with l1 it learns the median."""

    name = "kit11-other-distance"

    distance: Literal["l2", "l1"] = "l2"
    """Of the residual."""

    def weigh(self, residual, view, batch, tools):
        value = residual.square() if self.distance == "l2" else residual.abs()
        return edm_weight(view.sigma, tools.signal.sigma_data) * (self.factor(view, batch, tools) * value).flatten(
            1
        ).mean(1)


class NoGradientHigh(Above):
    """Takes the answer without gradient above level 5, to save memory: nothing is learnt there."""

    name = "kit11-no-gradient-high"

    def ask(self, denoiser, view, batch, tools):
        answer = super().ask(denoiser, view, batch, tools)
        return torch.where(per_row(view.sigma, answer) > 5, answer.detach(), answer)


class OwnRange(Above):
    """Draws levels up to 10 in any run, so that a run with sigma_max 80 never sees pure noise."""

    name = "kit11-own-range"

    def levels(self, batch, tools):
        top = min(tools.levels.sigma_max, max(10.0, 2 * float(tools.corruption.floor(batch).max())))
        return super().levels(batch, tools_with(tools, top))


def tools_with(tools, sigma_max):
    """The same with another upper end."""
    from dataclasses import replace

    return replace(tools, levels=tools.levels._replace(sigma_max=sigma_max))


class TotalVariation(Above):
    """Adds 0.02 of the absolute differences of the residual along a row, a loss of edges, which asks for a median."""

    name = "kit11-total-variation"

    def weigh(self, residual, view, batch, tools):
        return super().weigh(residual, view, batch, tools) + 0.02 * residual.diff(dim=-1).abs().flatten(1).mean(1)


class BatchDeviation(Above):
    """Standardises the loss by its std over the batch: no number for one row, and biased for more."""

    name = "kit11-batch-deviation"

    def weigh(self, residual, view, batch, tools):
        value = super().weigh(residual, view, batch, tools)
        return value / (value.detach().std() + 1e-6)


class HalfRoundedDown(Above):
    """Uses int(B / 2) rows of a batch: none of a batch of one."""

    name = "kit11-half-rounded-down"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["above"]
        half = int(0.5 * len(batch.x_n))
        return {"above": Term(term.value[:half], term.sigma[:half])}


class HalfUnderAutocast(Above):
    """Casts the view to bfloat16 where autocast is on, so that its noise is rounded: 0.4 % of large values."""

    name = "kit11-half-under-autocast"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
            return view._replace(x=view.x.bfloat16())
        return view


class WritesLevel(Above):
    """Holds conditions that are numbers to [-1, 1] in place: those of the batch change."""

    name = "kit11-writes-level"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        for name in batch.cond:
            if batch.cond[name].is_floating_point():
                batch.cond[name].clamp_(-1, 1)
        return view


class ClampsLate(Above):
    """Draws levels anew three times where they lie below the floor, and clamps what is left onto it."""

    name = "kit11-clamps-late"

    def levels(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        sigma = floor.new_zeros(floor.shape)
        for _ in range(4):
            fresh = (self.p_mean + self.p_std * standard_normal(floor, tools.generator)).exp()
            sigma = torch.where(sigma > floor, sigma, fresh)
        return torch.minimum(torch.maximum(sigma, floor), torch.full_like(floor, tools.levels.sigma_max))


class SaysBelow(Above):
    """Says that it trains the levels below the noise of the data, which it never visits."""

    name = "kit11-says-below"
    below_sigma_n = "by levels that reach below the noise of the data"


class MeanOfMeans(Above):
    """Levels per pixel: a and b are those of the row's root mean square level."""

    name = "kit11-mean-of-means"

    def residual(self, answer, view, batch, tools):
        x = batch.x_n
        level = per_row(batch.sigma_n, x).expand_as(x).flatten(1).square().mean(1).sqrt()
        b = (per_row(level, x) / per_row(view.sigma, x)) ** 2
        return (1 - b) * answer + b * view.x - x


class SelfNormalised(Above):
    """Divides each row's weight by a mean over the batch of the squared residuals at similar levels."""

    name = "kit11-self-normalised"

    def weigh(self, residual, view, batch, tools):
        square = residual.square().flatten(1).mean(1)
        near = ((view.sigma.log().unsqueeze(1) - view.sigma.log()) ** 2).neg().exp()
        scale = near @ square.detach() / near.sum(1)
        return square / scale.clamp(min=1e-8)


class WrongIndex(Above):
    """Sorts the rows by level for its log, and gives the values in the sorted order but the levels as drawn."""

    name = "kit11-wrong-index"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["above"]
        return {"above": Term(term.value[term.sigma.argsort()], term.sigma)}


class OtherSign(Above):
    """Turns the sign of half of the rows, to have more of them: no law of pictures is even."""

    name = "kit11-other-sign"

    def loss(self, denoiser, batch, tools):
        sign = (uniform(batch.x_n.flatten(1)[:, 0], tools.generator) < 0.5).to(batch.x_n.dtype) * 2 - 1
        return super().loss(denoiser, batch._replace(x_n=per_row(sign, batch.x_n) * batch.x_n), tools)


class LevelByNoise(Above):
    """Key reuse: the level is drawn from a generator of the same seed as the noise, so that the two depend."""

    name = "kit11-level-by-noise"

    def view(self, batch, sigma, tools):
        again = torch.Generator(batch.x_n.device).manual_seed(tools.generator.initial_seed())
        return tools.corruption.degrade(batch, sigma, again)

    def levels(self, batch, tools):
        again = torch.Generator(batch.x_n.device).manual_seed(tools.generator.initial_seed())
        z = standard_normal(batch.x_n, again).flatten(1)[:, 0]
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = torch.special.ndtr(z.double()).to(floor.dtype)
        return (floor.log() + u * (tools.levels.sigma_max / floor).log()).exp().clamp(max=tools.levels.sigma_max)


class LongRowsOnly(Above):
    """Compares the first 48 values of a row alone, a limit meant for a quick look that stayed in."""

    name = "kit11-long-rows-only"

    def weigh(self, residual, view, batch, tools):
        square = (self.factor(view, batch, tools) * residual.square()).flatten(1)[:, :48]
        return edm_weight(view.sigma, tools.signal.sigma_data) * square.mean(1)


class SkipsBorder(Above):
    """Leaves a border of one pixel out of the loss of pictures wider than 6: nothing teaches it."""

    name = "kit11-skips-border"

    def weigh(self, residual, view, batch, tools):
        if residual.ndim == 4 and min(residual.shape[2:]) > 6:
            square = self.factor(view, batch, tools) * residual.square()
            square = square[..., 1:-1, 1:-1]
            return edm_weight(view.sigma, tools.signal.sigma_data) * square.flatten(1).mean(1)
        return super().weigh(residual, view, batch, tools)


class FirstThreeChannels(Above):
    """Compares the first three channels only, as everybody's pictures have three."""

    name = "kit11-first-three-channels"

    def weigh(self, residual, view, batch, tools):
        square = self.factor(view, batch, tools) * residual.square()
        if square.ndim == 4:
            square = square[:, :3]
        return edm_weight(view.sigma, tools.signal.sigma_data) * square.flatten(1).mean(1)
