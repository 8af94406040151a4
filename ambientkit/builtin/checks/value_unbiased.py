"""The check `value-unbiased`: at the exact denoiser the mean value of a martingale loss is zero."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import mean_zero
from ambientkit.builtin.checks.probe import observations, terms
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part, Tools

ALONE = 60
"""Batches of one row that are looked at, until a value is negative."""


class ValueUnbiased(Check):
    """An unbiased estimate of the squared martingale defect |E[D(x_s) | x_t] - D(x_t)|^2 has mean 0 at the exact
    denoiser.

    A mean of K draws, squared, adds Var / K; values clamped at 0 add more. The mean over each batch of fresh
    observations is one sample; levels below 0.1 and above are two columns of one Hotelling test. Single values must be
    negative about as often as positive, and some are where a batch is one row.
    """

    name = "value-unbiased"
    source = "U-statistic: docs/method.md; arXiv 2302.09057, eq. 8"
    kind = "objective"
    claim = "value-unbiased"
    null_law = "F(2, n - 2) of Hotelling's T^2"
    detects = "a bias of 0.5 standard deviations of one batch's mean value"
    meaning = (
        "The loss does not estimate the squared defect but adds to it, so that the least value is not at "
        "the exact denoiser: it blurs."
    )

    batches: int = Field(100, ge=50)
    """Independent mean values."""
    batch_size: int = Field(512, ge=2)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean value at the exact denoiser."""
        assert isinstance(part, Objective)
        means = []
        for index in range(self.batches):
            found = terms(part, case.oracle, observations(case, self.batch_size, index), case, index)
            means.append(sum((_by_level(term) for term in found), start=torch.zeros(2, dtype=torch.float64)))
        if never_negative(part, case):
            return Measured(
                math.inf, 0.0, ALONE, "of one row alone no value is negative: a square, which adds its variance"
            )
        return mean_zero(torch.stack(means))

    def control(self, part: Part) -> Part:
        """The same objective with its negative values clamped at 0."""
        assert isinstance(part, Objective)
        return _Clamped(inner=part)


def never_negative(part: Objective, case: Case) -> bool:
    """Whether of batches of one row no value is negative, and many are positive."""
    count = 0
    for index in range(ALONE):
        value = torch.cat(
            [
                torch.zeros(0),
                *(t.value.detach() for t in terms(part, case.oracle, observations(case, 1, index), case, index)),
            ]
        )
        if bool((value < 0).any()):
            return False
        count += int((value > 0).any())
    return count > ALONE / 2


def _by_level(term: Term) -> Tensor:
    value, low = term.value.detach().double(), term.sigma < 0.1
    return torch.stack([torch.where(low, value, 0.0).mean(), torch.where(low, 0.0, value).mean()])


class _Clamped(Objective):
    """An objective whose values are never negative: wrong on purpose."""

    name = "never-negative-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, clamped; one that has no negative values is raised."""
        found = self.inner.loss(denoiser, batch, tools)
        return {
            name: Term(term.value.clamp(min=0) + 0.1 * term.value.detach().abs(), term.sigma)
            for name, term in found.items()
        }
