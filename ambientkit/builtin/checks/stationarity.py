"""The check `stationarity`: at the exact denoiser, the mean gradient of an objective is zero."""

from __future__ import annotations

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.drawn import last_step_to_the_mean, without_draws
from ambientkit.builtin.checks.outcome import all_of, mean_zero_by_kind
from ambientkit.builtin.checks.probe import (
    by_group,
    fixed_level,
    gradient,
    in_groups,
    mean_value,
    moved,
    terms,
    unlike_rows,
)
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Memory, Objective, Part, Tools
from ambientkit.maths.noise import per_row

EARLIER, EARLIER_KEYS, FEWEST = 3, 10_000, 96
"""Calls before the one that is measured, of an objective that keeps something; where their keys begin; and how many
gradients are measured so."""


LOUD, LOUD_ROWS, LOUD_EARLIER, LOUD_KEYS, LOUD_FEWEST = (0.5, 2.0), 24, 4, 50_000, 44
"""The same on small batches of rows of much noise: their range of noise and their number; the calls before; where their
keys begin; and how many gradients."""


MANY, CLEAR = 96, 1e-6
"""Batches from which on these are measured too, unless others have rejected the part."""


class Stationarity(Check):
    """An unbiased objective has zero mean gradient at the exact denoiser, in every direction.

    With h* exact, the denoiser is h* + sum_k theta_k phi_k with smooth probe directions phi_k of position and level.
    Each batch of fresh observations gives one independent gradient in theta at 0; Hotelling's T^2 tests that their mean
    is 0. Null law: F(p, n - p). In every third batch a few very noisy rows stand among quiet ones, so that a level for
    the whole batch is not right on average; in every other third clean rows, rows close to sigma_min and rows of level
    1 to 3 are mixed. An objective that takes a sampler which draws nothing is measured with one as well, and one that
    keeps something also after a few calls, of rows of much noise too, with a sampler whose last step, to 0, gives the
    mean. The control sees the denoiser shifted by a
    multiple of log sigma, which no sound objective can be content with.
    """

    name = "stationarity"
    source = (
        "first-order condition; test: Anderson, An Introduction to Multivariate Statistical Analysis, theorem 5.2.2"
    )
    kind = "objective"
    claim = "stationary-at-oracle"
    null_law = (
        "F(p, n - p) of Hotelling's T^2, of all batches and of each kind (Bonferroni), p = 12 probe "
        "directions in the plane"
    )
    detects = (
        "a mean gradient of 0.7 standard deviations of one batch's; a noise level that is wrong by 15 %; a sampler "
        "without draws that is taken where draws are needed"
    )
    meaning = (
        "The expected gradient is not zero at the exact denoiser: training would end somewhere else than at E[x_0 "
        "| x_t], "
        "however long it runs."
    )
    quick = True

    batches: int = Field(204, ge=48)
    """Independent gradients; a few more where they are no multiple of 12."""
    batch_size: int = Field(512, ge=2)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient of an `Objective`. Deterministic in `case.seed`."""
        assert isinstance(part, Objective)
        found = [self._mean(part, case, self.batches)]
        if (lent := without_draws(part, case)) is not None:
            found.append(self._mean(part, lent, self.batches))
        memory: Memory = {}
        terms(part, case.oracle, unlike_rows(case, 64, 0), case, 0, memory)
        if memory:
            found.append(self._mean(part, case, FEWEST, earlier=EARLIER))
            if self.batches >= MANY and all_of(found).p_value >= CLEAR:
                found.append(self._of_loud_rows(part, case))
        return all_of(found)

    def _of_loud_rows(self, part: Objective, case: Case) -> Measured:
        """Of small batches of rows as noisy as the data are wide, or more, after `LOUD_EARLIER` calls: what is kept of
        them in place of draws, such as means, has another law by far. As of any sampler that is at hand the last step
        to 0 is the denoiser's answer: a chain has to lead down to a low level first."""
        case = last_step_to_the_mean(case)

        def once(index: int) -> Tensor:
            memory: Memory = {}
            for call in range(LOUD_EARLIER + 1):
                step = LOUD_KEYS + (LOUD_EARLIER + 1) * index + call
                u = torch.rand(LOUD_ROWS, generator=key(case, "stationarity.loud", step), dtype=torch.float64)
                batch = fixed_level(case, LOUD_ROWS, LOUD[0] + (LOUD[1] - LOUD[0]) * u, step)
                if call == LOUD_EARLIER:
                    return gradients_at_oracle(part, batch, case, step, 1, memory)
                terms(part, case.oracle, batch, case, step, memory)
            raise AssertionError

        return mean_zero_by_kind(torch.cat([once(index) for index in range(LOUD_FEWEST)]), 1)

    def _mean(self, part: Objective, case: Case, batches: int, earlier: int = 0) -> Measured:
        """Of gradients after `earlier` calls, of which memory is kept."""

        def once(index: int, groups: int) -> Tensor:
            memory: Memory = {}
            for call in range(earlier):
                step = EARLIER_KEYS + earlier * index + call
                rows = in_groups(unlike_rows(case, groups * self.batch_size, step), case, step, groups)
                terms(part, case.oracle, rows, case, step, memory)
            batch = unlike_rows(case, groups * self.batch_size, index)
            return gradients_at_oracle(part, batch, case, index, groups, memory)

        return mean_zero_by_kind(by_group(once, batches, 3), 3)

    def control(self, part: Part) -> Part:
        """The same objective, shown a denoiser that is wrong by 0.5 log sigma."""
        assert isinstance(part, Objective)
        return Shifted(inner=part)


def gradients_at_oracle(
    objective: Objective, batch: Batch, case: Case, index: int, groups: int, memory: Memory | None = None
) -> Tensor:
    """The gradients (groups, K) of one loss with respect to the probe directions of each group, at the exact denoiser.
    memory: of earlier calls."""
    theta = torch.zeros(groups, 6 * batch.x_n[0].numel(), dtype=torch.float64, requires_grad=True)
    batch = in_groups(batch, case, index, groups)
    value = mean_value(terms(objective, moved(case.oracle, _push, theta), batch, case, index, memory))
    return groups * gradient(value, theta)


def _push(x: Tensor, sigma: Tensor, theta: Tensor) -> Tensor:
    """sum_k theta_k phi_k for theta (B, K): constant and bent in position, at low and at high levels, in each
    coordinate."""
    low = torch.exp(-((sigma / 0.3) ** 2)).unsqueeze(1)
    bends = [torch.ones_like(x[:, :1]), torch.tanh(x[:, :1]), torch.tanh(x.sum(1, keepdim=True) * 2)]
    # Times sigma, as the error of any denoiser must vanish there: keeps the weight 1/sigma^2 from favouring one draw.
    profiles = torch.cat(
        [b * band * (sigma / (1 + sigma)).unsqueeze(1) for b in bends for band in (low, 1 - low)], dim=1
    )
    return (profiles.unsqueeze(2) * theta.unflatten(1, (profiles.shape[1], -1))).sum(1)


class Shifted(Objective):
    """An objective that is shown D + 0.5 log sigma instead of D: wrong on purpose."""

    name = "shifted-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, for another denoiser."""

        def shifted(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return denoiser(x, sigma, **cond) + 0.5 * per_row(sigma.log(), x).to(x.dtype)

        return self.inner.loss(shifted, batch, tools)
