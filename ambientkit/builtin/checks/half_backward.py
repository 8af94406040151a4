"""The check `half-backward`: half of the backward has the expected gradient of the whole product."""

from __future__ import annotations

import dataclasses

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import mean_zero
from ambientkit.builtin.checks.probe import gradient, mean_value, moved, observations, terms
from ambientkit.interfaces import Case, Check, Denoiser, Levels, Measured, Objective, Part, Tools


class HalfBackward(Check):
    """With the anchor held fixed, the mean gradient is that of the product of the two defects, and the mean value their
    product.

    The denoiser is h* + theta c below a level s, and h* from there up, c constant; no level is below 0.05. A hop across
    s has defect theta c, any other 0. The mean value is then V theta^2 with some V > 0 that depends on levels and
    weights, and the mean gradient of the product in theta, the anchor fixed, is 2 V theta: so theta gradient / 2 -
    value has mean 0, in each batch. A gradient through one end without the factor 2 has half of that, a value that is
    not the product another V.
    """

    name = "half-backward"
    source = "Euler's identity for a quadratic form; docs/method.md, section on consistency"
    kind = "objective"
    claim = "half-backward"
    null_law = "t(n - 1), for each of two levels s (Hotelling: F(2, n - 2))"
    detects = "a gradient that is wrong by 10 %"
    meaning = (
        "The gradient is not that of the value: the weight of this loss in a recipe is not what it says, or "
        "it learns something else."
    )

    batches: int = Field(120, ge=50)
    """Independent gradients."""
    batch_size: int = Field(512, ge=2)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of theta gradient / 2 - value."""
        assert isinstance(part, Objective)
        # A constant error is out of all proportion at the lowest levels, where the weight is 1/sigma^2: the few draws
        # there would rule the mean,
        # and t would not be t.
        case = dataclasses.replace(case, tools=dataclasses.replace(case.tools, levels=Levels(0.05, 20.0)))
        return mean_zero(torch.stack([self._difference(part, case, index) for index in range(self.batches)]))

    def control(self, part: Part) -> Part:
        """The same objective with half of its gradient."""
        assert isinstance(part, Objective)
        return _Halved(inner=part)

    def _difference(self, objective: Objective, case: Case, index: int) -> Tensor:
        batch, found = observations(case, self.batch_size, index), []
        for edge in (0.13, 0.25):
            theta = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)

            def push(x: Tensor, sigma: Tensor, theta: Tensor, edge: float = edge) -> Tensor:
                return (theta * (sigma < edge).double().unsqueeze(1)).expand_as(x)

            value = mean_value(terms(objective, moved(case.oracle, push, theta), batch, case, index))
            found.append(gradient(value, theta)[0] / 2 - value.detach())
        return torch.stack(found)


class _Halved(Objective):
    """An objective with half of its gradient: wrong on purpose."""

    name = "halved-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's values with half of their gradient."""
        found = self.inner.loss(denoiser, batch, tools)
        return {name: Term((term.value + term.value.detach()) / 2, term.sigma) for name, term in found.items()}
