"""The check `views`: an objective asks the denoiser at points that follow the law of their level."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import mean_zero_by_kind
from ambientkit.builtin.checks.probe import terms, unlike_rows
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part, Tools


class ViewsInLaw(Check):
    """Every point x at which the denoiser is asked for a level sigma follows p_sigma, the law of x_0 + sigma z, for
    rows of like and unlike levels.

    Stein's identity, E[s(x) f(x) + f'(x)] = 0 with the score s = (D - x) / sigma^2 of p_sigma, for f constant and for f
    linear: (x - D) / sigma and x (x - D) / sigma^2 - d, weighted by sigma / (1 + sigma), have mean 0, below level 0.3
    and above. The mean over all questions of one loss is one sample of Hotelling's test. A loss may be unbiased
    elsewhere too, and then teaches what no sampler will ask.
    """

    name = "views"
    source = "Stein's identity, e.g. Hyvarinen, J. Machine Learning Research 6 (2005), theorem 1"
    kind = "objective"
    claim = "views-in-law"
    null_law = "F(p, n - p) of Hotelling's T^2, of all batches and of each kind (Bonferroni), p = 6 in the plane"
    detects = "points taken for others at a level that is wrong by 10 %"
    meaning = (
        "The network is trained at points that do not stand at the level it is given, so not where a sampler "
        "will ask it."
    )

    batches: int = Field(100, ge=30)
    """Independent losses."""
    batch_size: int = Field(512, ge=2)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of Stein's identity."""
        assert isinstance(part, Objective)
        samples = []
        for index in range(self.batches):
            found: list[Tensor] = []

            terms(part, _watched(case.oracle, found), unlike_rows(case, self.batch_size, index), case, index)
            if not found:
                return Measured(math.inf, 0.0, 0)
            samples.append(torch.cat(found).mean(0))
        return mean_zero_by_kind(torch.stack(samples), 3)

    def control(self, part: Part) -> Part:
        """The same objective, whose questions are asked at 1.5 times their level."""
        assert isinstance(part, Objective)
        return _Misplaced(inner=part)


def _watched(oracle: Denoiser, found: list[Tensor]) -> Denoiser:
    def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        answer = oracle(x, sigma, **cond)
        found.append(_stein(x.detach(), sigma.detach(), answer.detach()))
        return answer

    return watched


def _stein(x: Tensor, sigma: Tensor, x_0_hat: Tensor) -> Tensor:
    """(B, 2 (d + 1)), in two bands of levels."""
    x, x_0_hat, level = x.double().flatten(1), x_0_hat.double().flatten(1), sigma.double().unsqueeze(1)
    e = (x - x_0_hat) / level
    both = torch.cat([e, (x * e / level).sum(1, keepdim=True) - x.shape[1]], dim=1) * level / (1 + level)
    return torch.cat([torch.where(level < 0.3, both, 0.0), torch.where(level < 0.3, 0.0, both)], dim=1)


class _Misplaced(Objective):
    """An objective that gives the denoiser another level: wrong on purpose."""

    name = "misplaced-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, for another denoiser."""
        return self.inner.loss(lambda x, sigma, /, **cond: denoiser(x, 1.5 * sigma, **cond), batch, tools)
