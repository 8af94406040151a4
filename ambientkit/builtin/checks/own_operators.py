"""Whether rows that bring maps of their own are shown and expected through these, not through another row's. A probe
for `operator-views`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import ValidationError
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.labelled import require
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Corruption
from ambientkit.maths.ambient import tweedie_coefficients
from ambientkit.maths.noise import per_row
from ambientkit.operators import Operator

ROWS, SHAPE = 6, (1, 6, 10)


class _Gains(Operator):
    """Each value times a number of its own, which the row brings."""

    name = "gains"
    per_row: ClassVar[frozenset[str]] = frozenset({"gains"})

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """g x."""
        return given["gains"].to(x) * x if "gains" in given else x

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """g y."""
        return self.forward(y, given)


def rows_keep_their_operator(part: Corruption, case: Case) -> None:
    """With an operator of gains that rows bring, of a corruption that takes any: views show g y_t, `expect` gives a g
    x_0_hat + b y_t where a measurement is shown and g x_0_hat where it is hidden. Raises Broken."""
    own = _with_gains(part)
    if own is None:
        return
    generator = key(case, "own-operators")
    gains = 0.5 + 1.5 * torch.rand(ROWS, *SHAPE, generator=generator, dtype=torch.float64)
    x_0, z, h = torch.randn(3, ROWS, *SHAPE, generator=generator, dtype=torch.float64)
    level = torch.full((ROWS,), 0.1, dtype=torch.float64)
    sampled = torch.ones(ROWS, *SHAPE, dtype=torch.bool)
    batch = Batch(gains * x_0 + 0.1 * z, level, torch.arange(ROWS), {"gains": gains, "sampled": sampled})
    sigma = torch.linspace(0.2, 1.0, ROWS, dtype=torch.float64)
    for view in (own.degrade(batch, sigma, generator), own.show(batch, sigma, generator)):
        _through_its_own(own, view, batch, gains, h)


def _through_its_own(part: Corruption, view: View, batch: Batch, gains: Tensor, h: Tensor) -> None:
    y_t, wrong = view.cond["measured"], "rows that bring maps of their own are {} through another row's"
    require(torch.allclose(view.x, gains * y_t, atol=1e-9), wrong.format("shown"))
    a, b = tweedie_coefficients(per_row(view.sigma, y_t), per_row(batch.sigma_n, y_t))
    right = torch.where(view.cond["sampled"], a * gains * h + b * y_t, gains * h)
    require(torch.allclose(part.expect(h, view, batch), right, atol=1e-9), wrong.format("expected"))


def _with_gains(part: Corruption) -> Corruption | None:
    """The same corruption with such an operator; None where it has no field for one."""
    if not isinstance(getattr(part, "operator", None), Operator):
        return None
    kept = {name: getattr(part, name) for name in part.model_fields_set}
    try:
        return type(part)(**{**kept, "operator": _Gains()})
    except ValidationError:
        return None
