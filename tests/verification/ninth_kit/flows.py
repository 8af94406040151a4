"""Deterministic samplers, and stochastic ones of other families, that are wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ambientkit.interfaces import Denoiser, Sampler
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments
from tests.verification.ninth_kit.samplers import DRAWS, FLOW, SECOND


class Euler(Sampler):
    """The deterministic rule, in pieces."""

    name = "nine-euler-base"
    source = "arXiv 2206.00364, algorithm 1"
    claims = FLOW

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Level by level."""
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, t, s, cond)
        return x

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """x_s."""
        return x + per_row(s - t, x) * self.slope(denoiser, x, t, cond)

    def slope(self, denoiser: Denoiser, x: Tensor, t: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """(x - D) / sigma."""
        return (x - denoiser(x, t, **cond).to(x.dtype)) / per_row(t, x)


class AnyAtZero(Euler):
    """Where one row ends at 0 all rows are denoised."""

    name = "nine-any-row-at-zero"

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """D for the whole batch."""
        if bool((s == 0).any()):
            return denoiser(x, t, **cond).to(x.dtype)
        return super().step(denoiser, x, t, s, cond)


class StopsEarly(Euler):
    """Below 0.02 nothing is seen any more: the estimate is returned."""

    name = "nine-stops-early"
    claims = FLOW - {"grid-levels"}

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """D below 0.3."""
        done = per_row((s < 0.3).to(x.dtype), x) > 0
        answer = denoiser(x, t, **cond).to(x.dtype)
        return torch.where(done, answer, x + per_row((s - t) / t, x) * (x - answer))


class Adaptive(Euler):
    """A step is halved where the batch moves far."""

    name = "nine-adaptive-by-batch"

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """Two steps if the largest move is above a half."""
        move = per_row(s - t, x) * self.slope(denoiser, x, t, cond)
        if not move.numel() or float(move.detach().abs().max()) < 0.5:
            return x + move
        middle = (t + s) / 2
        x = x + move / 2
        return x + per_row(s - middle, x) * self.slope(denoiser, x, middle, cond)


class Narrow(Euler):
    """Points in float32 whatever comes in."""

    name = "nine-returns-float32"

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """In single precision."""
        return super().sample(denoiser, x.float(), sigmas.float(), generator, cond)


class CoinOrder(Euler):
    """Heun's correction in a random half of the steps, by Python's generator."""

    name = "nine-random-order"

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """Of first or second order."""
        slope = self.slope(denoiser, x, t, cond)
        ahead = x + per_row(s - t, x) * slope
        if random.random() < 0.5 or not bool((s > 0).all()):
            return ahead
        return x + per_row(s - t, x) * (slope + self.slope(denoiser, ahead, s, cond)) / 2


class HeunNan(Euler):
    """Heun's rule with what is not a number put to 0."""

    name = "nine-heun-nan-to-num"
    claims = SECOND

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """At 0 the second slope is taken for 0."""
        slope = self.slope(denoiser, x, t, cond)
        ahead = x + per_row(s - t, x) * slope
        inside = s > 0
        second = self.slope(denoiser, ahead, torch.where(inside, s, t), cond)
        second = torch.where(per_row(inside.to(x.dtype), x) > 0, second, torch.zeros_like(second))
        return x + per_row(s - t, x) * (slope + second) / 2


class HeunSameLevel(Euler):
    """Heun's second slope is asked for at the first level."""

    name = "nine-heun-told-first-level"
    claims = SECOND

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """D(x_s, sigma_t)."""
        slope = self.slope(denoiser, x, t, cond)
        ahead = x + per_row(s - t, x) * slope
        if not bool((s > 0).all()):
            return ahead
        answer = denoiser(ahead, t, **cond).to(x.dtype)
        return x + per_row(s - t, x) * (slope + (ahead - answer) / per_row(s, x)) / 2


class HeunNoConditions(Euler):
    """Heun's second call forgets the conditions."""

    name = "nine-heun-forgets-conditions"
    claims = SECOND

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """D(x_s, sigma_s) without conditions, but for the first label."""
        slope = self.slope(denoiser, x, t, cond)
        ahead = x + per_row(s - t, x) * slope
        if not bool((s > 0).all()):
            return ahead
        first = {name: value[:1].expand_as(value) for name, value in cond.items()}
        return x + per_row(s - t, x) * (slope + self.slope(denoiser, ahead, s, first)) / 2


class AdamsUniform(Sampler):
    """Two steps of Adams and Bashforth with the coefficients of equal steps."""

    name = "nine-adams-equal-steps"
    source = "Adams and Bashforth (1883)"
    claims = SECOND

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """3/2 of this slope, -1/2 of the last."""
        last = None
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, t, **cond).to(x.dtype)) / per_row(t, x)
            used = slope if last is None else 1.5 * slope - 0.5 * last
            x, last = x + per_row(s - t, x) * used, slope
        return x


_LAST: dict[str, Any] = {}


class MultistepKept(Sampler):
    """DPM-Solver++ (2M), whose last estimate outlives the call."""

    name = "nine-multistep-kept"
    source = "arXiv 2211.01095, algorithm 2"
    claims = FLOW

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The first step uses what the last call left, where its shape fits."""
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            answer = denoiser(x, t, **cond).to(x.dtype)
            old, used = _LAST.get("answer"), answer
            if old is not None and old.shape == x.shape and old.dtype == x.dtype and bool((s > 0).all()):
                used = 1.5 * answer - 0.5 * old
            ratio = per_row(s / t, x)
            x = ratio * x + (1 - ratio) * used
            _LAST["answer"] = answer.detach()
        return x


class MultistepInverted(Sampler):
    """DPM-Solver++ (2M) with the ratio of steps upside down."""

    name = "nine-multistep-inverted"
    source = "arXiv 2211.01095, algorithm 2"
    claims = SECOND

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """1 / (2 r) with r = h / h_last."""
        old, h_last = None, None
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            answer = denoiser(x, t, **cond).to(x.dtype)
            inside = s > 0
            h = torch.log(t / torch.where(inside, s, t / 2))
            used = answer
            if old is not None and h_last is not None:
                half = per_row(torch.where(inside, h_last / (2 * h), torch.zeros_like(h)).to(x.dtype), x)
                used = (1 + half) * answer - half * old
            ratio = per_row(s / t, x)
            x, old, h_last = ratio * x + (1 - ratio) * used, answer, h
        return x


class Churn(Sampler):
    """EDM's stochastic sampler: what is added has std sigma_hat - sigma."""

    name = "nine-churn-difference"
    source = "arXiv 2206.00364, algorithm 2"
    claims = frozenset({"order-1", "final-law", "row-generators"})

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """gamma = 0.4 a step."""
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            hat = 1.2 * t
            x = x + per_row(hat - t, x).to(x.dtype) * standard_normal(x, generator)
            slope = (x - denoiser(x, hat, **cond).to(x.dtype)) / per_row(hat, x)
            x = x + per_row(s - hat, x) * slope
        return x


class DdimEta(Sampler):
    """DDIM with eta 1, whose direction keeps its full length."""

    name = "nine-ddim-eta"
    source = "arXiv 2010.02502, eq. 12 and 16"
    claims = DRAWS

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """D + sigma_s eps + std z."""
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            answer = denoiser(x, t, **cond).to(x.dtype)
            eps = (x - answer) / per_row(t, x)
            std = reverse_moments(x, answer, t, s)[1].to(x.dtype)
            x = answer + per_row(s, x) * eps + std * standard_normal(x, generator)
        return x


PARTS: tuple[type[Sampler], ...] = (
    AnyAtZero,
    StopsEarly,
    Adaptive,
    Narrow,
    CoinOrder,
    HeunNan,
    HeunSameLevel,
    HeunNoConditions,
    AdamsUniform,
    MultistepKept,
    MultistepInverted,
    Churn,
    DdimEta,
)
