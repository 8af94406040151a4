"""Wrong variants of the objective `consistency`, and of `denoising`."""

from __future__ import annotations

import abc
import math
from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, take
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Mutant, Objective, Tools
from ambientkit.maths.noise import Mirrored, per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight


class ConsistencyMutant(Mutant, Objective, abc.ABC):
    """What these mutants share: the right part's claims."""

    mutant_of = "consistency"
    claims = Consistency.claims


class Hop(NamedTuple):
    """An anchor at the floor of its row, two independent ends of a hop from it, and their levels."""

    x_t: Tensor
    sigma_t: Tensor
    first: Tensor
    second: Tensor
    sigma_s: Tensor


def needs_draws(tools: Tools) -> None:
    """As the right part: raises InputError for a sampler that is not one of the reverse kernel."""
    if "reverse-kernel" not in tools.sampler.claims:
        raise InputError(f"a sampler that draws from the reverse kernel is needed, not {tools.sampler.name!r}")


def hop(
    denoiser: Denoiser,
    batch: Batch,
    tools: Tools,
    *,
    shared: bool = False,
    level: float = 1.0,
    flow: bool = False,
    refuses: bool = True,
) -> Hop:
    """A hop from observations at their floor. Mutations: one end for both; an anchor given `level` times its level; no
    noise; any sampler."""
    if refuses:
        needs_draws(tools)
    with torch.no_grad():
        sigma_t = tools.corruption.floor(batch)
        x_t = tools.corruption.degrade(batch, sigma_t, tools.generator).x
        sigma_t = level * sigma_t
        sigma_s = sigma_t * torch.exp(-0.3 * uniform(sigma_t, tools.generator))
        grid, sampler = torch.stack([sigma_t, sigma_s]), Heun() if flow else tools.sampler
        first = sampler.sample(denoiser, x_t, grid, tools.generator, batch.cond)
        second = first if shared else sampler.sample(denoiser, x_t, grid, tools.generator, batch.cond)
    return Hop(x_t, sigma_t, first, second, sigma_s)


def used(batch: Batch) -> Batch:
    """The first eighth of the rows that carry noise."""
    noisy = (per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1) > 0).nonzero().squeeze(1)
    return take(batch, noisy[: math.ceil(len(batch.x_n) / 8)])


def term(value: Tensor, h: Hop, tools: Tools) -> dict[str, Term]:
    """lambda(sigma_s) times the mean over a row."""
    return {"consistency": Term(edm_weight(h.sigma_s, tools.signal.sigma_data) * value.flatten(1).mean(1), h.sigma_s)}


def half(first: Tensor, second: Tensor) -> Tensor:
    """The product of two defects, whose gradient flows through the first only, doubled."""
    product = first * second.detach()
    return 2 * product - product.detach()


class OneDrawSquare(ConsistencyMutant):
    """Consistency with the square of one draw."""

    name = "consistency-one-draw-square"
    wrong = "|d|^2 of one draw, which adds its variance: it blurs"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond).detach()
        return term((denoiser(h.first, h.sigma_s, **batch.cond) - target).square(), h, tools)


class MeanOfTwoSquared(ConsistencyMutant):
    """Consistency with the square of the mean of two draws."""

    name = "consistency-mean-squared"
    wrong = "|(d' + d'') / 2|^2 in place of d' d''"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(((first + second) / 2).square(), h, tools)


class SharedNoise(ConsistencyMutant):
    """Consistency whose two ends are one."""

    name = "consistency-shared-noise"
    wrong = "the two ends of a hop share their noise"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools, shared=True)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class TargetAtTheWrongLevel(ConsistencyMutant):
    """Consistency whose target is asked for at 1.2 times the anchor's level."""

    name = "consistency-target-at-the-wrong-level"
    wrong = "D(x_t, 1.2 sigma_t) in place of D(x_t, sigma_t)"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools)
        target = denoiser(h.x_t, 1.2 * h.sigma_t, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class AnchorAtTheWrongLevel(ConsistencyMutant):
    """Consistency whose anchor is taken for a point at 1.2 times its level."""

    name = "consistency-anchor-at-the-wrong-level"
    wrong = (
        "x_n stands at sigma_n and is taken for a point at 1.2 sigma_n: the property holds there too, but no "
        "sample ever passes such points"
    )

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools, level=1.2)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class TargetAtTheLowerLevel(ConsistencyMutant):
    """Consistency whose target is D at the anchor's point and the lower level."""

    name = "consistency-target-at-the-lower-level"
    wrong = "D(x_t, sigma_s) in place of D(x_t, sigma_t)"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools)
        target = denoiser(h.x_t, h.sigma_s, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class GradientThroughTheAnchor(ConsistencyMutant):
    """Consistency whose anchor is moved towards the ends."""

    name = "consistency-gradient-through-the-anchor"
    wrong = "the anchor is not detached"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond)
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class HalfOfTheGradient(ConsistencyMutant):
    """Consistency with half of the backward, not doubled."""

    name = "consistency-half-of-the-gradient"
    wrong = "one end detached without the factor 2"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Consistency().loss(denoiser, batch, tools)
        return {name: Term((value + value.detach()) / 2, sigma) for name, (value, sigma) in found.items()}


class NeverNegative(ConsistencyMutant):
    """Consistency whose single values are clamped at zero."""

    name = "consistency-never-negative"
    wrong = "negative values are clamped"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Consistency().loss(denoiser, batch, tools)
        return {name: Term(value.clamp(min=0), sigma) for name, (value, sigma) in found.items()}


class EndsOfTheTeacher(ConsistencyMutant):
    """Consistency that asks the teacher at the lower level."""

    name = "consistency-ends-of-the-teacher"
    wrong = "the teacher answers where the network should, so that nothing is learnt"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Consistency().loss(tools.teacher, batch, tools)


class DeterministicHop(ConsistencyMutant):
    """Consistency along the probability-flow equation."""

    name = "consistency-deterministic-hop"
    wrong = "the hop is deterministic, so that E[D(x_s) | x_t] is not D(x_t)"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools, flow=True)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class TakesTheEndForTheAnchor(ConsistencyMutant):
    """Consistency whose ends are compared with the point x_t itself."""

    name = "consistency-target-is-the-point"
    wrong = "x_t in place of D(x_t)"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools)
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - h.x_t for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class ProductWithinAPair(ConsistencyMutant):
    """Consistency whose two ends are mirror images of each other."""

    name = "consistency-product-within-a-pair"
    wrong = "the product is that of the two ends of a mirrored pair, which are not independent"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        batch = used(batch)
        with torch.no_grad():
            sigma_t = tools.corruption.floor(batch)
            x_t = tools.corruption.degrade(batch, sigma_t, tools.generator).x
            sigma_s = sigma_t * torch.exp(-0.3 * uniform(sigma_t, tools.generator))
            target = denoiser(x_t, sigma_t, **batch.cond)
            grid = torch.stack([sigma_t, sigma_s]).repeat(1, 2)
            ends = tools.sampler.sample(
                denoiser, x_t.repeat(2, *[1] * (x_t.ndim - 1)), grid, Mirrored(tools.generator), {}
            )
        h = Hop(x_t, sigma_t, ends[: len(x_t)], ends[len(x_t) :], sigma_s)
        first, second = (denoiser(x, sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class AnySampler(ConsistencyMutant):
    """Consistency that takes a sampler which draws nothing."""

    name = "consistency-any-sampler"
    wrong = "a sampler that draws nothing is taken, by which D is no martingale"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools, refuses=False)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class OtherEnd(ConsistencyMutant):
    """Consistency whose gradient flows through the second of the two ends."""

    name = "consistency-other-end"
    wrong = "the gradient flows through the other end"
    equivalent = "the two ends of a hop are exchangeable"
    claims = Consistency.claims - {"serves-masks"}  # it is the formula alone, for rows with noise

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        h = hop(denoiser, batch := used(batch), tools)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(second, first), h, tools)


class DenoisingVariance(Mutant, Objective):
    """Denoising that adds noise of std sigma^2 and gives the denoiser sigma."""

    name = "denoising-variance"
    mutant_of = "denoising"
    wrong = "sigma^2 z in place of sigma z"
    claims = Denoising.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = torch.exp(-1.2 + 1.2 * standard_normal(batch.x_n[:, 0], tools.generator))
        x_t = batch.x_n + per_row(sigma**2, batch.x_n) * standard_normal(batch.x_n, tools.generator)
        error = denoiser(x_t, sigma, **batch.cond) - batch.x_n
        return {
            "denoising": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)
        }


class DenoisingUnweighted(Mutant, Objective):
    """Denoising without the weight it claims."""

    name = "denoising-unweighted"
    mutant_of = "denoising"
    wrong = "lambda(sigma) is missing"
    claims = Denoising.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Denoising().loss(denoiser, batch, tools)
        return {
            name: Term(value / edm_weight(sigma, tools.signal.sigma_data), sigma)
            for name, (value, sigma) in found.items()
        }


MUTANTS: list[type[Mutant]] = [
    *(
        OneDrawSquare,
        AnySampler,
        MeanOfTwoSquared,
        SharedNoise,
        TargetAtTheWrongLevel,
        AnchorAtTheWrongLevel,
        TargetAtTheLowerLevel,
        GradientThroughTheAnchor,
    ),
    *(
        HalfOfTheGradient,
        NeverNegative,
        EndsOfTheTeacher,
        DeterministicHop,
        TakesTheEndForTheAnchor,
        ProductWithinAPair,
        OtherEnd,
    ),
    *(DenoisingVariance, DenoisingUnweighted),
]
"""Registered by `ambientkit.builtin.plugin`."""
