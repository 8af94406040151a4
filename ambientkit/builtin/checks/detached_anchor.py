"""The check `detached-anchor`: the gradient flows into the lower level only."""

from __future__ import annotations

import dataclasses
import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.labelled import OneStep
from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.probe import mean_value, observations, terms
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part, Tools

ALONE = 2
"""Batches of one row."""


class DetachedAnchor(Check):
    """No gradient reaches the denoiser at any other level than `Term.sigma`, the lower end of each hop.

    To every answer of the denoiser a zero is added, and the loss is differentiated with respect to all of these. With
    gradient through the anchor a run pulls the higher level, which Tweedie has taught, towards the lower one, and
    diverges. The sampler it is given asks the denoiser, so that a gradient may also come through the points that it
    returns.
    """

    name = "detached-anchor"
    source = "docs/method.md, section on consistency"
    kind = "objective"
    claim = "detached-anchor"
    null_law = "exact: share of the gradient at other levels at most 1e-9"
    detects = "any gradient through the anchor or through the steps of a sampler, and a loss without gradient"
    meaning = (
        "The gradient also moves the denoiser at the anchor's level, which should be a fixed target: "
        "training may diverge."
    )
    quick = True

    batch_size: int = Field(256, ge=16)
    """Rows of the batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The share of the gradient's norm that does not lie at the levels of the terms; of all rows, or of one
        alone."""
        assert isinstance(part, Objective)
        share = self._elsewhere(part, case, self.batch_size, 0)
        alone = [self._elsewhere(part, case, 1, index) for index in range(1, 1 + ALONE)]
        return exact(max([share, *(one for one in alone if math.isfinite(one))]), 1e-9, self.batch_size)

    def _elsewhere(self, part: Objective, case: Case, rows: int, index: int) -> float:
        """Infinity where there is no gradient."""
        case = dataclasses.replace(case, tools=dataclasses.replace(case.tools, sampler=OneStep()))
        calls: list[tuple[Tensor, Tensor]] = []

        def recorded(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            answer = case.oracle(x, sigma, **cond)
            if not torch.is_grad_enabled():
                return answer
            zero = torch.zeros_like(answer, requires_grad=True)
            calls.append((sigma.detach(), zero))
            return answer + zero

        found = terms(part, recorded, observations(case, rows, index), case, index)
        value = mean_value(found)
        if not calls or not value.requires_grad:
            return math.inf
        levels = torch.cat([term.sigma.detach() for term in found])
        total = elsewhere = 0.0
        asked = list(calls)  # a denoiser under checkpointing is asked again in the backward pass
        grads = torch.autograd.grad(value, [zero for _, zero in asked], allow_unused=True)
        for (sigma, zero), got in zip(asked, grads, strict=True):
            norms = torch.zeros(len(zero), dtype=torch.float64) if got is None else got.double().flatten(1).norm(dim=1)
            there = torch.isclose(sigma.unsqueeze(1), levels, rtol=1e-7, atol=0).any(1)
            total, elsewhere = total + float(norms.sum()), elsewhere + float(norms[~there].sum())
        return elsewhere / total if total > 0 else math.inf

    def control(self, part: Part) -> Part:
        """The same objective, to which the answer at twice the level is added."""
        assert isinstance(part, Objective)
        return _Leaking(inner=part)


class _Leaking(Objective):
    """An objective whose gradient reaches other levels as well: wrong on purpose."""

    name = "leaking-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms plus a term of another level."""
        found = self.inner.loss(denoiser, batch, tools)
        level = 2 * tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        extra = denoiser(batch.x_n, level).square().mean()
        return {name: Term(term.value + 0.1 * extra, term.sigma) for name, term in found.items()}
