"""Wrong variants of the objective `tweedie`."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Mutant, Objective, Tools
from ambientkit.maths.ambient import inverse_square_of_a, tweedie_coefficients, tweedie_mix
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight


class TweedieMutant(Mutant, Objective, abc.ABC):
    """What these mutants share: the right part's claims."""

    mutant_of = "tweedie"
    claims = Tweedie.claims


def drawn_levels(batch: Batch, tools: Tools) -> Tensor:
    """Levels above each row's floor, as `tweedie` draws them without pairs."""
    floor = tools.corruption.floor(batch)
    u = uniform(torch.empty_like(floor), tools.generator)
    return truncated_lognormal(u, floor.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max, -1.2, 1.2)


def squared(residual: Tensor, sigma: Tensor, batch: Batch, tools: Tools) -> dict[str, Term]:
    """The term lambda(sigma) min(1/a^2, 25) mean(residual^2)."""
    factor = inverse_square_of_a(per_row(sigma, batch.x_n), per_row(batch.sigma_n, batch.x_n), 25.0)
    value = edm_weight(sigma, tools.signal.sigma_data) * (factor * residual.square()).flatten(1).mean(1)
    return {"tweedie": Term(value, sigma)}


class LevelTooHigh(TweedieMutant):
    """Tweedie that takes the data for 15 % noisier than they are."""

    name = "tweedie-level-too-high"
    wrong = "sigma_n is 15 % too large"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, batch._replace(sigma_n=1.15 * batch.sigma_n), tools)


class LevelTooLow(TweedieMutant):
    """Tweedie that takes the data for 15 % less noisy than they are."""

    name = "tweedie-level-too-low"
    wrong = "sigma_n is 15 % too small"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, batch._replace(sigma_n=0.85 * batch.sigma_n), tools)


class SigmaSquaredTwice(TweedieMutant):
    """Tweedie that is handed variances and squares them once more."""

    name = "tweedie-sigma-squared-twice"
    wrong = "sigma_n^2 in place of sigma_n, so that b = sigma_n^4 / sigma^2"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, batch._replace(sigma_n=batch.sigma_n**2), tools)


class OneLevelForTheBatch(TweedieMutant):
    """Tweedie with the mean noise level of the batch for every row."""

    name = "tweedie-one-level-for-the-batch"
    wrong = "sigma_n of the batch in place of that of each row"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, batch._replace(sigma_n=batch.sigma_n.mean().expand_as(batch.sigma_n)), tools)


class LargestLevelOfTheRow(TweedieMutant):
    """Tweedie with the largest level of a row for all its pixels."""

    name = "tweedie-largest-level-of-the-row"
    wrong = "the floor of the row in place of sigma_n of the pixel"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, batch._replace(sigma_n=tools.corruption.floor(batch)), tools)


class NoFactor(TweedieMutant):
    """Tweedie without the factor 1/a^2 that it claims."""

    name = "tweedie-no-factor"
    wrong = "1/a^2 is missing, so that levels just above sigma_n are hardly learnt"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie(cap=1).loss(denoiser, batch, tools)


class WeightOfTheVariance(TweedieMutant):
    """Tweedie whose weight is that of sigma^2 in place of sigma."""

    name = "tweedie-weight-of-the-variance"
    wrong = "lambda(sigma^2) in place of lambda(sigma)"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        data = tools.signal.sigma_data
        found = Tweedie().loss(denoiser, batch, tools)
        return {name: Term(v * edm_weight(s**2, data) / edm_weight(s, data), s) for name, (v, s) in found.items()}


class ClampedLevels(TweedieMutant):
    """Tweedie whose levels are drawn from all of the range, and clamped onto sigma_n."""

    name = "tweedie-clamped-levels"
    wrong = "draws below sigma_n are put on sigma_n, where the gradient is zero"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        floor = tools.corruption.floor(batch)
        sigma = torch.exp(-1.2 + 1.2 * standard_normal(floor, tools.generator)).clamp(max=tools.levels.sigma_max)
        sigma = torch.maximum(sigma, floor)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        return squared(
            tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n, sigma, batch, tools
        )


class FloorOfTheBatch(TweedieMutant):
    """Tweedie whose levels all lie above the noisiest row of the batch."""

    name = "tweedie-floor-of-the-batch"
    wrong = "levels truncated at the largest sigma_n of the batch"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        floor = tools.corruption.floor(batch).max().expand(len(batch.x_n))
        sigma = truncated_lognormal(
            uniform(torch.empty_like(floor), tools.generator), floor, tools.levels.sigma_max, -1.2, 1.2
        )
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        return squared(
            tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n, sigma, batch, tools
        )


class EpsWithoutC(TweedieMutant):
    """Tweedie in its epsilon form without the factor c / sigma."""

    name = "tweedie-eps-without-c"
    wrong = "mean((eps_hat - z)^2) in place of mean((c / sigma eps_hat - z)^2)"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        level, z = per_row(sigma, batch.x_n), standard_normal(batch.x_n, tools.generator)
        x_t = batch.x_n + (level**2 - per_row(batch.sigma_n, batch.x_n) ** 2).sqrt() * z
        eps_hat = (x_t - denoiser(x_t, sigma, **batch.cond)) / level
        return squared(level * (eps_hat - z), sigma, batch, tools)


class TakesNoisyForClean(TweedieMutant):
    """Tweedie that compares D with x_n as if it were x_0."""

    name = "tweedie-takes-noisy-for-clean"
    wrong = "x_n in place of x_0: the residual is D - x_n"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        return squared(denoiser(view.x, sigma, **view.cond) - batch.x_n, sigma, batch, tools)


class ViewDoesNotStartAtTheData(TweedieMutant):
    """Tweedie whose x_t has all of its noise on top of that of x_n."""

    name = "tweedie-noise-on-top"
    wrong = "x_t = x_n + sigma z: the noise of the data is counted twice"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        x_t = batch.x_n + per_row(sigma, batch.x_n) * standard_normal(batch.x_n, tools.generator)
        mix = tweedie_mix(denoiser(x_t, sigma, **batch.cond), x_t, sigma, batch.sigma_n)
        return squared(mix - batch.x_n, sigma, batch, tools)


class SignOfB(TweedieMutant):
    """Tweedie with the wrong sign in its mix."""

    name = "tweedie-sign-of-b"
    wrong = "a h - b x_t in place of a h + b x_t"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        a, b = tweedie_coefficients(per_row(sigma, batch.x_n), per_row(batch.sigma_n, batch.x_n))
        return squared(a * denoiser(view.x, sigma, **view.cond) - b * view.x - batch.x_n, sigma, batch, tools)


class NoGradient(TweedieMutant):
    """Tweedie whose estimate is detached from the network."""

    name = "tweedie-no-gradient"
    wrong = "the answer of the denoiser is detached: nothing is learnt"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(lambda x, sigma, /, **cond: denoiser(x, sigma, **cond).detach(), batch, tools)


class TurnedSign(TweedieMutant):
    """Tweedie whose loss is returned with the wrong sign."""

    name = "tweedie-turned-sign"
    wrong = "the loss is to be raised, not lowered"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return {name: Term(-value, sigma) for name, (value, sigma) in Tweedie().loss(denoiser, batch, tools).items()}


class AbsoluteError(TweedieMutant):
    """Tweedie with the absolute error, whose minimum is a median."""

    name = "tweedie-absolute-error"
    wrong = "|residual| in place of residual^2"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        residual = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        return squared((residual.abs() + 1e-9).sqrt(), sigma, batch, tools)


class VarianceToTheNetwork(TweedieMutant):
    """Tweedie that gives the denoiser the variance of the noise."""

    name = "tweedie-variance-to-the-network"
    wrong = "D(x_t, sigma^2) in place of D(x_t, sigma)"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(lambda x, sigma, /, **cond: denoiser(x, sigma**2, **cond), batch, tools)


class MeanLevelToTheNetwork(TweedieMutant):
    """Tweedie that gives the denoiser one level for the whole batch."""

    name = "tweedie-mean-level-to-the-network"
    wrong = "D(x_t, mean sigma) in place of D(x_t, sigma) of the row"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(
            lambda x, sigma, /, **cond: denoiser(x, sigma.mean().expand_as(sigma), **cond), batch, tools
        )


class InputOfAnotherForm(TweedieMutant):
    """Tweedie that hands the denoiser a variance-preserving input."""

    name = "tweedie-input-of-another-form"
    wrong = "x_t / sqrt(1 + sigma^2) goes into a denoiser of the variance-exploding form"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(
            lambda x, sigma, /, **cond: denoiser(x / per_row((1 + sigma**2).sqrt(), x), sigma, **cond), batch, tools
        )


class DifferenceOfLevels(TweedieMutant):
    """Tweedie that adds sigma - sigma_n in place of the root of the difference of squares."""

    name = "tweedie-difference-of-levels"
    wrong = "x_t = x_n + (sigma - sigma_n) z"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        missing = per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)
        view = View(batch.x_n + missing * standard_normal(batch.x_n, tools.generator), sigma, batch.cond)
        return squared(
            tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n, sigma, batch, tools
        )


class PositiveNoise(TweedieMutant):
    """Tweedie whose added noise is only ever positive."""

    name = "tweedie-positive-noise"
    wrong = "x_t = x_n + c |z|"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        view = view._replace(x=batch.x_n + (view.x - batch.x_n).abs())
        return squared(
            tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n, sigma, batch, tools
        )


class Unpaired(TweedieMutant):
    """Tweedie whose levels near sigma_n are no antithetic pairs."""

    name = "tweedie-unpaired"
    wrong = "no antithetic pairs near sigma_n"
    equivalent = (
        "only the variance of the gradient is larger: its mean is the same, whichever rows the levels are drawn for"
    )

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie(near=0).loss(denoiser, batch, tools)


MUTANTS: list[type[Mutant]] = [
    *(
        LevelTooHigh,
        LevelTooLow,
        SigmaSquaredTwice,
        OneLevelForTheBatch,
        LargestLevelOfTheRow,
        NoFactor,
        WeightOfTheVariance,
    ),
    *(
        ClampedLevels,
        FloorOfTheBatch,
        EpsWithoutC,
        TakesNoisyForClean,
        ViewDoesNotStartAtTheData,
        SignOfB,
        NoGradient,
        TurnedSign,
    ),
    *(
        AbsoluteError,
        VarianceToTheNetwork,
        MeanLevelToTheNetwork,
        InputOfAnotherForm,
        DifferenceOfLevels,
        PositiveNoise,
        Unpaired,
    ),
]
"""Registered by `ambientkit.builtin.plugin`."""
