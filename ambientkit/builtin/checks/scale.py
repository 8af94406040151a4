"""The check `scale`: an error of the denoiser costs what the EDM weight says, in the scale of x_0."""

from __future__ import annotations

import dataclasses

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.builtin.checks.picture_law import picture_case, rows_at
from ambientkit.builtin.checks.probe import fixed_level, moved, observations, on_clean_rows, terms
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Memory, Objective, Part, Signal, Tools
from ambientkit.maths.ambient import tweedie_coefficients
from ambientkit.maths.weights import edm_weight

COLOURED = (3, 2, 2)
"""Pictures of three channels, which some weigh by what an eye sees of them."""
EARLIER = 700
"""The key of a call before."""
CALLS = 12
"""Calls before."""
QUIET = 0.01
"""Noise of rows that are seen at low levels too, where lambda is 10,000."""
BELOW = 0.05
"""Of -a: levels on sigma_n itself, but for rounding, are not below it."""


class Scale(Check):
    """A loss in the scale of x_0: moving the denoiser by delta c costs each row, in each draw, lambda(sigma) delta^2
    mean(c^2), lambda the EDM weight.

    For a squared loss the second difference (v(+delta) + v(-delta)) / 2 - v(0) on the same draws is that cost exactly,
    row by row, without any statistics. It is compared where a = 1 - sigma_n^2 / sigma^2 >= 0.2; without the factor
    1/a^2 the cost there is a^2 lambda, and levels just above sigma_n are hardly learnt. Below sigma_n, where draws take
    the place of the rows, it is compared too. An objective that takes a level for each pixel is also shown such rows:
    each pixel has an a of its own then. All are shown pictures of two and of three channels too, which cost no more
    than points; delta is another one for each value. One that keeps something is measured after `CALLS` calls
    on other rows too. An objective with another weight is not wrong: it does not claim
    this.
    """

    name = "scale"
    source = "weight: arXiv 2206.00364, table 1; factor: arXiv 2506.10038"
    kind = "objective"
    claim = "x_0-scale"
    null_law = "exact: relative tolerance 1e-6"
    detects = (
        "any other weight, and a missing factor 1/a^2, or that of another pixel; a sum over channels, or other weights "
        "of them"
    )
    meaning = (
        "The weight by level is not the one that is claimed: the expected minimum is the same, but levels "
        "near sigma_n may be learnt badly."
    )
    quick = True

    batch_size: int = Field(256, ge=16)
    """Rows of each batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest relative error of the cost of an error, over all levels drawn."""
        assert isinstance(part, Objective)
        clean = on_clean_rows(case)
        floors = (0.0,) if clean else (QUIET, 0.1, 0.3)
        levels = [torch.tensor(floor, dtype=torch.float64) for floor in floors]
        if "noise-by-pixel" in part.claims and not clean:
            levels.append(torch.linspace(0.05, 0.3, case.law.dimension, dtype=torch.float64))
        problems = []
        for index, level in enumerate(levels):
            own = level.expand(self.batch_size, -1) if level.ndim else level
            batch = (
                observations(case, self.batch_size, index) if clean else fixed_level(case, self.batch_size, own, index)
            )
            problems.append((case, batch, level.max()))
        memory: Memory = {}
        terms(part, case.oracle, problems[0][1], case, EARLIER, memory)
        for index in range(1, CALLS if memory else 1):
            terms(part, case.oracle, problems[0][1], case, EARLIER + index, memory)
        pictures = picture_case(case)
        rows = rows_at(pictures, self.batch_size, floors[-1])
        problems.append((pictures, rows, levels[len(floors) - 1]))
        # The law is one of vectors, of any shape.
        signal = pictures.tools.signal
        tools = dataclasses.replace(pictures.tools, signal=Signal(COLOURED, signal.sigma_data))
        coloured = rows._replace(x_n=rows.x_n.reshape(-1, *COLOURED))
        problems.append((dataclasses.replace(pictures, tools=tools), coloured, levels[len(floors) - 1]))
        errors, n = [], 0
        tried: list[tuple[int, Case, Batch, Tensor, Memory | None]] = [
            (index, *problem, None) for index, problem in enumerate(problems)
        ]
        if memory:
            tried.append((0, *problems[0], memory))
        for index, case, batch, floor, kept in tried:
            below, here, above = (self._values(part, batch, case, index, size, kept) for size in (-1.0, 0.0, 1.0))
            a, _ = tweedie_coefficients(here.sigma.double(), floor)
            cost = (below.value + above.value) / 2 - here.value
            size = 0.25 * _uneven(batch.x_n[:1].double().flatten(1)).square().mean()
            expected = edm_weight(here.sigma.double(), case.tools.signal.sigma_data) * size
            ratio = (cost / expected - 1)[(a >= 0.2) | (a < -BELOW)]
            errors.append(ratio)
            n += len(ratio)
        return exact(largest(errors) if n else float("inf"), 1e-6, n)

    def control(self, part: Part) -> Part:
        """The same objective with values four times as large at levels below 0.5."""
        assert isinstance(part, Objective)
        return _Overweighted(inner=part)

    def _values(
        self, objective: Objective, batch: Batch, case: Case, index: int, size: float, memory: Memory | None = None
    ) -> Term:
        theta = torch.tensor([0.5 * size], dtype=torch.float64)
        kept = None if memory is None else {name: value.clone() for name, value in memory.items()}
        found = terms(
            objective, moved(case.oracle, lambda x, sigma, theta: theta * _uneven(x), theta), batch, case, index, kept
        )
        none = torch.zeros(0, dtype=torch.float64)  # of rows as quiet as sigma_min, where only noisy ones are used
        value, sigma = ([none, *(getattr(term, name).double() for term in found)] for name in ("value", "sigma"))
        return Term(torch.cat(value), torch.cat(sigma))


def _uneven(x: Tensor) -> Tensor:
    """(B, d): c, unlike for each value, so that weights of values or channels which are 1 in the mean show."""
    return torch.linspace(0.5, 1.5, x.shape[1], dtype=torch.float64).expand_as(x)


class _Overweighted(Objective):
    """An objective with another weight at low levels: wrong on purpose."""

    name = "overweighted-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, weighted once more."""

        def weight(sigma: Tensor) -> Tensor:
            return 1 + 3 * (sigma < 0.5).to(sigma.dtype)

        found = self.inner.loss(denoiser, batch, tools)
        return {name: Term(term.value * weight(term.sigma), term.sigma) for name, term in found.items()}
