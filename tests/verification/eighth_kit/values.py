"""Objectives above the noise of the data whose residual, weight or report is wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Tools
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import highest_level, per_row, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.eighth_kit.bases import LOOSE, Plain, rows_mean


class PseudoHuber(Plain):
    """Pseudo-Huber in place of the square, as consistency models take it: its minimum is not the mean."""

    name = "eight-pseudo-huber"
    claims = LOOSE

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        rho, c = self.rho(answer, view, batch, tools), 0.1
        return self.weight(view, batch, tools) * rows_mean((rho**2 + c**2).sqrt() - c)


class RootOfRow(Plain):
    """The root mean square of each row: rows with a large error count less, so the minimum moves to a median."""

    name = "eight-root-of-row"
    claims = LOOSE

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        return rows_mean(self.rho(answer, view, batch, tools) ** 2).add(1e-8).sqrt()


class Trimmed(Plain):
    """The tenth of the rows with the largest errors is left out as outliers."""

    name = "eight-trimmed"
    claims = LOOSE

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        error = rows_mean(self.rho(answer, view, batch, tools) ** 2 * self.factor(view, batch, tools))
        scaled = error / (view.sigma**2)
        keep = (scaled <= scaled.detach().quantile(0.9)).to(error.dtype)
        return self.weight(view, batch, tools) * error * keep


class PositivePart(Plain):
    """The value less its noise is clamped at 0, since a loss should not be negative: such rows lose their gradient."""

    name = "eight-positive-part"

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        rho = self.rho(answer, view, batch, tools)
        a = tools.corruption.slope(view, batch)
        vain = a * per_row(batch.sigma_n, rho) ** 2
        return self.weight(view, batch, tools) * rows_mean(capped_inverse_square(a, 25.0) * (rho**2 - vain)).clamp(
            min=0
        )


class SelfNormalised(Plain):
    """Each value is divided by its own detached size: rows that fit badly count less."""

    name = "eight-self-normalised"
    claims = LOOSE

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        value = super().value(answer, view, batch, tools)
        return value / (value.detach() + 1e-3)


class InverseOfA(Plain):
    """1/|a| in place of 1/a^2: an error next to sigma_n costs a part of what it says."""

    name = "eight-inverse-of-a"

    def factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        return capped_inverse_square(tools.corruption.slope(view, batch), 25.0).sqrt()


class HalfSquare(Plain):
    """Half the square, as in papers on scores, under the claim of the whole one."""

    name = "eight-half-square"

    def weight(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        return edm_weight(view.sigma, tools.signal.sigma_data) / 2


class HardSigmaData(Plain):
    """sigma_data 0.5, as in EDM's code, whatever the data."""

    name = "eight-hard-sigma-data"

    def weight(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        return edm_weight(view.sigma, 0.5)


class MixOfBatch(Plain):
    """b from the mean noise of the batch: right where all rows are alike, wrong for mixed noise."""

    name = "eight-mix-of-batch"

    def rho(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        b = batch.sigma_n.square().mean() / per_row(view.sigma, view.x) ** 2
        return (1 - b) * answer + b * view.x - batch.x_n


class MixOfRow(Plain):
    """b from the largest noise of a row, where the noise differs by pixel."""

    name = "eight-mix-of-row"

    def rho(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        b = (per_row(highest_level(batch.sigma_n, view.x), view.x) / per_row(view.sigma, view.x)) ** 2
        return (1 - b) * answer + b * view.x - batch.x_n


class NoMixAbove(Plain):
    """Above 2 sigma_n the mix is left out as negligible, and x_n is predicted: its noise is learnt there."""

    name = "eight-no-mix-above"

    def rho(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        high = per_row(view.sigma, view.x) > 2 * per_row(batch.sigma_n, view.x)
        return torch.where(high, answer, tools.corruption.expect(answer, view, batch)) - batch.x_n


class EpsOfAll(Plain):
    """The noise is compared: (x_t - D) / sigma with the z that was added, which is only a part of it."""

    name = "eight-eps-of-all"
    claims = LOOSE

    def rho(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        sigma = per_row(view.sigma, view.x)
        c = (sigma**2 - per_row(batch.sigma_n, view.x) ** 2).clamp(min=1e-6).sqrt()
        return (view.x - answer) / sigma - (view.x - batch.x_n) / c

    def factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        return torch.ones_like(view.x)


class TeacherMix(Plain):
    """Half of the target is the teacher's own answer, in the scale of x_0 where x_n's is meant."""

    name = "eight-teacher-mix"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict:
        view = self.view(batch, self.levels(batch, tools), tools)
        with torch.no_grad():
            taught = tools.teacher(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)
        own = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype)
        rho = tools.corruption.expect(own, view, batch) - (batch.x_n + taught) / 2
        value = self.weight(view, batch, tools) * rows_mean(rho**2 * self.factor(view, batch, tools))
        return {"loss": Term(value, view.sigma)}


class NoConditions(Plain):
    """The conditions of the rows never reach the denoiser."""

    name = "eight-no-conditions"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        return denoiser(view.x, view.sigma)


class TurnedConditions(Plain):
    """The rows are shuffled and their conditions are not."""

    name = "eight-turned-conditions"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict:
        order = uniform(torch.empty(len(batch.x_n)), tools.generator).argsort()
        shuffled = batch._replace(x_n=batch.x_n[order], sigma_n=batch.sigma_n[order], row=batch.row[order])
        return super().loss(denoiser, shuffled, tools)


class ZeroedLabels(Plain):
    """A tenth of the rows get label 0 for "no class", which is a class."""

    name = "eight-zeroed-labels"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        kept = uniform(torch.empty(len(view.x)), tools.generator) > 0.1
        cond = {name: value * per_row(kept.float(), value).to(value.dtype) for name, value in view.cond.items()}
        return denoiser(view.x, view.sigma, **cond)


class ReportsOwn(Plain):
    """Reports sigma_n of the rows as the level of the term."""

    name = "eight-reports-own"

    def reported(self, view: View, batch: Batch) -> Tensor:
        return highest_level(batch.sigma_n, batch.x_n)


class SharedValue(Plain):
    """Every row is given the mean of the batch, so that the loss by level says nothing."""

    name = "eight-shared-value"

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        value = super().value(answer, view, batch, tools)
        return value.mean().expand_as(value)


class CentredInPlace(Plain):
    """Subtracts the mean of each row from the batch itself and puts it back to the target alone."""

    name = "eight-centred-in-place"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict:
        batch.x_n.sub_(per_row(batch.x_n.flatten(1).mean(1), batch.x_n))
        return super().loss(denoiser, batch, tools)


class Squeezed(Plain):
    """Squeezes the levels, so that a batch of one row has none."""

    name = "eight-squeezed"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        return super().levels(batch, tools).squeeze()


class NoisyAsClean(Denoising):
    """Takes noisy rows as clean ones without a word."""

    name = "eight-noisy-as-clean"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        u = uniform(torch.empty(len(batch.x_n)).to(batch.x_n), tools.generator)
        sigma = truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, self.p_mean, self.p_std)
        clean = batch._replace(sigma_n=torch.zeros_like(batch.sigma_n))
        view = tools.corruption.degrade(clean, sigma, tools.generator)
        error = denoiser(view.x, sigma, **view.cond) - batch.x_n
        return {"denoising": Term(edm_weight(sigma, tools.signal.sigma_data) * rows_mean(error**2), sigma)}


class SplitBothWays(SplitLevels):
    """Clean rows are used at all levels, which is what `clean_below` was to prevent."""

    name = "eight-split-both-ways"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty(len(floor)).to(floor), tools.generator)
        return truncated_lognormal(u, floor, tools.levels.sigma_max, self.p_mean, self.p_std).to(floor.dtype)


class CapOfFour(Tweedie):
    """The factor 1/a^2 is bounded by 4 where the claim of its field says 25."""

    name = "eight-cap-of-four"

    def _views(self, batch: Batch, sigma: Tensor, draws, tools: Tools):
        view, cap = super()._views(batch, sigma, draws, tools)
        return view, cap.clamp(max=4.0)


PARTS = (
    PseudoHuber, RootOfRow, Trimmed, PositivePart, SelfNormalised, InverseOfA, HalfSquare,
    HardSigmaData, MixOfBatch, MixOfRow, NoMixAbove, EpsOfAll, TeacherMix, NoConditions,
    TurnedConditions, ZeroedLabels, ReportsOwn, SharedValue, CentredInPlace, Squeezed, NoisyAsClean, SplitBothWays,
    CapOfFour,
)  # fmt: skip
