"""Running an objective on a denoiser that can be moved: what its gradient says of a direction.

A loss of a small batch takes as long as one of a batch four times as large. So `GROUPS` batches of independent rows are
one call: a condition says which of them a row belongs to, and each has a direction of its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import mean_zero_by_kind
from ambientkit.interfaces import Case, Denoiser, Memory, Objective
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator

Push = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x (B, d), sigma (B,), theta (K,) or (B, K)) -> what is added to the exact denoiser, (B, d); linear in theta."""
Call = TypeVar("Call", bound=tuple)
GROUPS = 4
"""Batches in one call."""
GROUP = "group"
"""The condition that says which."""


class Mixed(Exception):
    """An objective asks without the conditions of its rows, so that batches cannot be distinguished."""


def moved(oracle: Denoiser, push: Push, theta: Tensor) -> Denoiser:
    """The denoiser oracle + push(theta), differentiable in theta: (K,), or (G, K) for each group. Raises Mixed where a
    question does not say its group."""

    def probed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        own = theta if theta.ndim == 1 else own_theta(theta, len(x), cond.get(GROUP))
        return oracle(x, sigma, **cond) + push(x.double().flatten(1), sigma.double(), own).reshape(x.shape).to(x.dtype)

    return probed


def own_theta(theta: Tensor, rows: int, group: Tensor | None) -> Tensor:
    """(B, K), what moves each row, of theta (G, K). Raises Mixed where it is not known which group a row belongs to."""
    if len(theta) == 1:
        return theta.expand(rows, -1)
    if group is None or group.shape != (rows,):
        raise Mixed
    member = group.unsqueeze(1) == torch.arange(len(theta))
    if not member.any(1).all():
        raise Mixed
    return member.double() @ theta


def by_group(once: Callable[[int, int], Tensor], count: int, kinds: int = 1) -> Tensor:
    """At least `count` independent samples (n, K); row i is of kind i mod `kinds`.

    once(index, groups): the samples (groups, K) of one call, of kind index mod `kinds`. Where it raises Mixed for
    `GROUPS`, or where the mean is in doubt and the groups of a call go together, it is called for one group at a time.
    """
    for groups in (GROUPS, 1):
        try:
            found = [once(index, groups) for index in range(calls_for(count, kinds, groups))]
        except Mixed:
            continue
        if groups == 1 or not alike_in_a_call(found, kinds):
            return by_kind(found, kinds)
    raise AssertionError("one group cannot be mixed up")


DOUBTED, SHARED = 1e-3, 0.05
"""p-values: of a mean that is looked at twice, and of groups that have nothing in common."""


def alike_in_a_call(found: list[Tensor], kinds: int) -> bool:
    """Whether the samples (groups, K) of the groups of a call go together, as where an objective draws something once
    for all rows of a call: they are no independent samples then. Analysis of variance of each column, by calls, each
    kind of calls less its mean. Asked only where the mean is in doubt: what it decides is how the mean is measured
    anew, and costs time alone."""
    from scipy import stats

    if mean_zero_by_kind(by_kind(found, kinds), kinds).p_value > DOUBTED:
        return False
    each = [torch.stack(found[kind::kinds]) for kind in range(kinds)]
    off = torch.cat([(own - own.mean((0, 1))) / own.std((0, 1)).clamp(min=1e-300) for own in each])
    calls, groups, columns = off.shape
    between, within = calls - kinds, calls * (groups - 1)
    spread = (off - off.mean(1, keepdim=True)).square().sum((0, 1)) / within
    f = groups * off.mean(1).square().sum(0) / between / spread.clamp(min=1e-300)
    return float(stats.f.sf(float(f.max()), between, within)) * columns < SHARED


def calls_for(count: int, kinds: int = 3, groups: int = GROUPS) -> int:
    """How many calls give `count` samples or more, as many of each kind."""
    return math.ceil(count / (groups * kinds)) * kinds


def by_kind(found: list[Tensor], kinds: int = 3) -> Tensor:
    """The samples (groups, K) of calls whose kinds take turns, so that the kinds take turns in the rows."""
    return torch.stack(found).unflatten(0, (-1, kinds)).transpose(1, 2).flatten(0, 2)


def in_groups(batch: Batch, case: Case, index: int, groups: int) -> Batch:
    """The batch with a condition that deals its rows to the groups at random: an objective may use the first ones
    alone."""
    if groups == 1:
        return batch
    generator = keyed_generator(case.seed, "verify.groups", step=index)
    group = torch.randperm(len(batch.x_n), generator=generator) % groups
    return batch._replace(cond={**batch.cond, GROUP: group})


def terms(
    objective: Objective, denoiser: Denoiser, batch: Batch, case: Case, index: int, memory: Memory | None = None
) -> list[Term]:
    """The terms of one loss, with a generator keyed by the case's seed and `index`; empty ones are left out. memory: of
    earlier calls; none by default."""
    tools = dataclasses.replace(
        case.tools,
        generator=keyed_generator(case.seed, "verify.objective", step=index),
        memory={} if memory is None else memory,
    )
    return [term for term in objective.loss(denoiser, batch, tools).values() if len(term.value)]


def mean_value(found: list[Term]) -> Tensor:
    """The sum over terms of their mean values, float64."""
    return sum((term.value.double().mean() for term in found), start=torch.zeros((), dtype=torch.float64))


def gradient(value: Tensor, theta: Tensor) -> Tensor:
    """d value / d theta; 0 where the value does not depend on it."""
    if not value.requires_grad:
        return torch.zeros_like(theta)
    (found,) = torch.autograd.grad(value, theta, allow_unused=True)
    return torch.zeros_like(theta) if found is None else found


def gradients_by_call(value: Tensor, calls: Sequence[Call], retain_graph: bool = False) -> list[tuple[Call, Tensor]]:
    """The calls of a denoiser that `value` depends on, and its gradient there. Each call ends with a tensor of zeros,
    which was added to the answer. Those that a denoiser under checkpointing adds in the backward pass are left out."""
    before = list(calls)
    found = torch.autograd.grad(value, [call[-1] for call in before], allow_unused=True, retain_graph=retain_graph)
    return [(call, grad) for call, grad in zip(before, found, strict=True) if grad is not None]


def observations(case: Case, n: int, index: int) -> Batch:
    """Fresh observations, keyed by the case's seed and `index`."""
    return case.observe(n, keyed_generator(case.seed, "verify.observe", step=index))


def unlike_rows(case: Case, n: int, index: int) -> Batch:
    """Observations (n rows) of the case's own levels for index = 0 mod 3, and for others of unlike levels, where a
    level of a neighbour or of the batch shows: a few very noisy rows among quiet ones; clean rows, rows close to
    sigma_min and rows of level 1 to 3 together."""
    batch = observations(case, n, index)
    if index % 3 == 0 or case.tools.corruption.name != "gaussian" or not batch.sigma_n.any():
        return batch
    u = torch.rand(n, 2, generator=keyed_generator(case.seed, "verify.unlike-rows", step=index), dtype=torch.float64)
    if index % 3 == 2:
        return fixed_level(case, n, torch.where(u[:, 0] < 0.15, 0.6, 0.05).double(), index)
    level = torch.where(u[:, 0] < 0.7, case.tools.levels.sigma_min * (1.05 + u[:, 1]), 1 + 2 * u[:, 1])
    return fixed_level(case, n, torch.where(u[:, 0] < 0.4, 0.0, level), index)


def on_clean_rows(case: Case) -> bool:
    """Whether the case is that of an objective that needs clean data; its control, which claims nothing, is measured on
    the same."""
    return not bool(observations(case, 2, 0).sigma_n.any())


def fixed_level(case: Case, n: int, sigma_n: Tensor | float, index: int) -> Batch:
    """Fresh observations of the case's law at a given noise level: a number, (n,) or per pixel (n, d)."""
    generator = keyed_generator(case.seed, "verify.fixed-level", step=index)
    x_0 = case.law.sample(n, generator)
    level = torch.as_tensor(sigma_n, dtype=torch.float64)
    level = level.expand(n) if level.ndim < 1 else level
    return Batch(x_0 + per_row(level, x_0) * standard_normal(x_0, generator), level, torch.arange(n), {})
