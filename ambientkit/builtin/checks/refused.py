"""What an objective must refuse: noisy rows, where it needs clean ones; and a sampler that does not draw from the
reverse kernel, unless it is right with one too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from pydantic import InstanceOf
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.checks.labelled import SIGNAL, SPACING, OneStep, labelled, number_of, require
from ambientkit.builtin.checks.probe import terms
from ambientkit.builtin.checks.travel import key
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Denoiser, Objective, Sampler, Tools
from ambientkit.maths.noise import RandomSource, per_row


def refuses_noisy_rows(part: Objective, case: Case) -> None:
    """An objective that needs clean data says so of a batch in which one row has noise. Raises Broken."""
    if "needs-clean-data" not in part.claims:
        return

    def exact(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        return (
            (SPACING * number_of(x)).to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)).expand_as(x).clone().requires_grad_()
        )

    batch = labelled(torch.tensor([0.0, 0.3, 0.0, 0.0]), key(case, "refused.rows"))
    tools = Tools(case.tools.corruption, OneStep(), exact, SIGNAL, key(case, "refused"), case.tools.levels)
    try:
        part.loss(exact, batch, tools)
    except InputError:
        return
    require(False, "it needs clean data, and takes noisy rows for clean ones")


class Flow(Sampler):
    """Euler's rule for the probability flow: it draws nothing, and claims no reverse kernel."""

    name = "flow-of-the-check"
    source = "arXiv 2206.00364, eq. 3"
    claims = frozenset({"row-generators"})

    calls: InstanceOf[list]
    """What it was asked, one entry a call."""

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]."""
        self.calls.append(len(x))
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            ratio = per_row(sigma_s / sigma_t, x)
            x = ratio * x + (1 - ratio) * denoiser(x, sigma_t, **cond).to(x.dtype)
        return x


def with_any_sampler(part: Objective, case: Case, batch: Batch) -> Case | None:
    """The case with a sampler that draws nothing, for an objective that takes one and uses it; None for one that
    refuses it, or needs no sampler."""
    flow = Flow(calls=[])
    other = dataclasses.replace(case, tools=dataclasses.replace(case.tools, sampler=flow))
    try:
        terms(part, case.oracle, batch, other, 0)
    except InputError:
        return None
    return other if flow.calls else None
