"""The check `power`: at a wrong denoiser, the mean gradient of an objective points home."""

from __future__ import annotations

import dataclasses
import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import all_of
from ambientkit.builtin.checks.probe import by_group, gradient, in_groups, mean_value, moved, observations, terms
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part, Tools

_FREQUENCIES = (23.0, 37.0, 59.0, 97.0)
"""Per unit of log sigma; without a common period, so that no hop leaves all waves as they were."""


class Power(Check):
    """An objective that teaches anything pulls a wrong denoiser towards the exact one.

    The denoiser is h* + delta phi, phi a ripple in the level: min(sigma, 0.3) times a sum of sines of log sigma, the
    same in every coordinate. It is wrong at nearly all levels, and differently at two ends of a hop, so it is no
    martingale: every sound objective, above sigma_n or below, has E[d loss / d delta] > 0 there, for any levels and
    weights it uses. The teacher is as wrong. A loss of zero, one without gradient, one that learns from
    the teacher alone, or one that pushes away does not. The null hypothesis is that the mean of that derivative is at
    least `least` standard deviations of one batch's: t is noncentral t(n - 1, least sqrt n) at its edge, and small t
    reject.
    """

    name = "power"
    source = "noncentral t: Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 2, chapter 31"
    kind = "objective"
    claim = "stationary-at-oracle"
    null_law = "noncentral t(n - 1, sqrt n) at the edge of a one-sided hypothesis"
    detects = "a mean derivative towards the exact denoiser of less than 0.2 standard deviations of one batch's"
    meaning = (
        "At a wrong denoiser the gradient does not point to the exact one: the loss teaches nothing, or the wrong way."
    )
    quick = True

    batches: int = Field(32, ge=30)
    """Independent derivatives for each wrong denoiser."""
    batch_size: int = Field(512, ge=2)
    """Rows in each."""
    least: float = Field(1.0, gt=0)
    """Edge of the null hypothesis, in standard deviations."""
    delta: float = Field(2.0, gt=0)
    """Size of the ripple, in units of min(sigma, 0.3)."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The smallest t over two wrong denoisers, and its p-value (Bonferroni). Deterministic in `case.seed`."""
        assert isinstance(part, Objective)
        return all_of(self._derivatives(part, case, phase) for phase in (0.0, 2.0))

    def control(self, part: Part) -> Part:
        """The same objective with the sign of its gradient turned: it pushes away."""
        assert isinstance(part, Objective)
        return _Away(inner=part)

    def _derivatives(self, objective: Objective, case: Case, phase: float) -> Measured:
        def push(x: Tensor, sigma: Tensor, theta: Tensor) -> Tensor:
            waves = torch.sin(torch.tensor(_FREQUENCIES, dtype=torch.float64).unsqueeze(1) * sigma.log() + phase)
            return (theta * (sigma.clamp(max=0.3) * waves.sum(0)).unsqueeze(1)).expand_as(x)

        def once(index: int, groups: int) -> Tensor:
            theta = torch.full((groups, 1), self.delta, dtype=torch.float64, requires_grad=True)
            wrong = moved(case.oracle, push, theta)
            key = index + (self.batches if phase else 0)
            batch = in_groups(observations(case, groups * self.batch_size, key), case, key, groups)
            # The teacher is the average of the same network, so it is as wrong: who learns from it alone learns
            # nothing.
            lent = dataclasses.replace(case, tools=dataclasses.replace(case.tools, teacher=_still(wrong)))
            return groups * gradient(mean_value(terms(objective, wrong, batch, lent, key)), theta)

        return noncentral(by_group(once, self.batches).flatten(), self.least)


def noncentral(each: Tensor, least: float) -> Measured:
    """t of independent derivatives (n,), and its p-value under the hypothesis that their mean is `least` standard
    deviations or more."""
    from scipy import stats

    n = len(each)
    spread = float(each.std())
    if not each.isfinite().all():
        return Measured(-math.inf, 0.0, n)
    t = (
        float(each.mean()) / spread * math.sqrt(n)
        if spread > 0
        else math.inf * float(each.mean())
        if each.mean() != 0
        else 0.0
    )
    edge = least * math.sqrt(n)
    # scipy's noncentral t loses its digits far out on either side, where the answer is 1 or 0 anyhow.
    p = 1.0 if t > 3 * edge else float(stats.nct.cdf(t, n - 1, edge))
    return Measured(t, min(max(p, 0.0), 1.0) if math.isfinite(p) else 0.0, n)


def _still(denoiser: Denoiser) -> Denoiser:
    def still(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        return denoiser(x, sigma, **cond).detach()

    return still


class _Away(Objective):
    """An objective whose gradient is turned round: wrong on purpose."""

    name = "away-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, whose gradient has the other sign."""
        found = self.inner.loss(denoiser, batch, tools)
        return {name: Term(2 * term.value.detach() - term.value, term.sigma) for name, term in found.items()}
