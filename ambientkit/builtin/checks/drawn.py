"""A sampler that draws nothing, for objectives that take one: what of an objective needs draws shows in its mean
gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from pydantic import InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.probe import observations, terms
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Denoiser, Objective, Sampler
from ambientkit.maths.noise import RandomSource, per_row

SUBSTEPS = 3


class Flow(Sampler):
    """The probability flow, in `SUBSTEPS` steps of Heun's rule from level to level: points keep the law of their level,
    and are no draws given the points above."""

    name = "flow"
    source = "arXiv 2206.00364, algorithm 1"
    claims = frozenset({"final-law", "row-generators"})

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]."""

        def slope(x: Tensor, sigma: Tensor) -> Tensor:
            return (x - denoiser(x, sigma, **cond).to(x.dtype)) / per_row(sigma, x)

        for top, low in zip(sigmas[:-1], sigmas[1:], strict=True):
            low = torch.maximum(low, 0.01 * top)  # from there the denoiser's answer is the clean point
            for step in range(SUBSTEPS):
                sigma_t, sigma_s = (top * (low / top) ** (at / SUBSTEPS) for at in (step, step + 1))
                first, h = slope(x, sigma_t), per_row(sigma_s - sigma_t, x)
                x = x + h * (first + slope(x + h * first, sigma_s)) / 2
        if bool((sigmas[-1] == 0).any()):
            x = torch.where(per_row(sigmas[-1], x) == 0, denoiser(x, low, **cond).to(x.dtype), x)
        return x


class _Asked(Exception):
    """A sampler was asked."""


class _Asking(Sampler):
    """Says that it draws from the reverse kernel, and only shows that it was asked."""

    name = "asking"
    claims = frozenset({"reverse-kernel", "row-generators"})

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Raises."""
        raise _Asked


def without_draws(part: Objective, case: Case) -> Case | None:
    """The case whose sampler draws nothing; None where the objective asks no sampler, or refuses this one."""
    batch = observations(case, 8, 0)
    try:
        terms(part, case.oracle, batch, _lent(case, _Asking()), 0)
        return None
    except _Asked:
        pass
    try:
        terms(part, case.oracle, batch, _lent(case, Flow()), 0)
    except InputError:
        return None
    return _lent(case, Flow())


class _MeanAtLast(Sampler):
    """Another sampler, whose step to 0 gives the denoiser's answer."""

    name = "mean-at-last"
    source = "arXiv 2006.11239, algorithm 2, last step"
    claims = frozenset({"reverse-kernel", "row-generators"})

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points down to the last level but one."""
        if not bool((sigmas[-1] == 0).any()):
            return self.inner.sample(denoiser, x, sigmas, generator, cond)
        if len(sigmas) > 2:
            x = self.inner.sample(denoiser, x, sigmas[:-1], generator, cond)
        to_0 = per_row(sigmas[-1], x) == 0
        last = self.inner.sample(denoiser, x, sigmas[-2:], generator, cond)
        return torch.where(to_0, denoiser(x, sigmas[-2], **cond).to(x.dtype), last)


def last_step_to_the_mean(case: Case) -> Case:
    """The case whose sampler takes its last step to the mean, where that goes to 0, and all others as it is."""
    return _lent(case, _MeanAtLast(inner=case.tools.sampler))


def _lent(case: Case, sampler: Sampler) -> Case:
    return dataclasses.replace(case, tools=dataclasses.replace(case.tools, sampler=sampler))
