"""The check `clean-rows-low`: an objective that spares its clean rows asks about them at low levels alone."""

from __future__ import annotations

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.probe import fixed_level, terms
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part, Tools


class CleanRowsLow(Check):
    """Clean rows are seen up to the level `clean_below` of the objective, and no higher; noisy rows are seen above
    their noise.

    What the denoiser is asked is counted, not what the terms report. In a batch of clean rows no level lies above
    `clean_below`, and the highest tenth of the logarithmic range below it is reached. Where clean rows and rows as
    noisy as `clean_below` stand in one batch, as many questions lie above it as there are noisy rows.
    """

    name = "clean-rows-low"
    source = "arXiv 2502.21278, abstract"
    kind = "objective"
    claim = "clean-rows-low"
    null_law = "exact: share of questions out of place 0"
    detects = "a single clean row of a batch that is seen above the level, or a level that is not used up"
    meaning = (
        "The network sees clean rows at levels where it was promised that noisy copies alone teach, and may "
        "memorise them."
    )
    quick = True

    batch_size: int = Field(512, ge=64)
    """Rows of each batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest share of questions out of place."""
        assert isinstance(part, Objective)
        top = getattr(part, "clean_below", None)
        if not isinstance(top, float):
            return Measured(1.0, 0.0, 0, "an objective that claims this has a field `clean_below`, a level")
        n, shares = self.batch_size, []
        clean = self._asked(part, case, torch.zeros(n, dtype=torch.float64), 0)
        shares += [float((clean > top * (1 + 1e-6)).double().mean()) if len(clean) else 1.0]
        low = case.tools.levels.sigma_min
        shares += [float(not (clean > low * (top / low) ** 0.9).any())]
        for index, noisy in enumerate((1, n // 2, n - 1), start=1):
            floor = torch.zeros(n, dtype=torch.float64)
            floor[torch.arange(noisy) * n // noisy] = top
            above = int((self._asked(part, case, floor, index) > top).sum())
            shares.append(abs(above - noisy) / n)
        return exact(max(shares), 0.0, 4 * n)

    def control(self, part: Part) -> Part:
        """The same objective, which sees clean rows up to 1.5 times the level that it states."""
        assert isinstance(part, Objective)
        return _Higher(inner=part, clean_below=getattr(part, "clean_below", 0.4))

    def _asked(self, objective: Objective, case: Case, floor: Tensor, index: int) -> Tensor:
        """The levels of all questions that the gradient depends on."""
        asked: list[Tensor] = []

        def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            asked.append(sigma.detach().double().flatten())
            return case.oracle(x, sigma, **cond)

        terms(objective, watched, fixed_level(case, self.batch_size, floor, index), case, index)
        return torch.cat(asked) if asked else torch.zeros(0, dtype=torch.float64)


class _Higher(Objective):
    """An objective that sees clean rows at higher levels than it states: wrong on purpose."""

    name = "higher-control"

    inner: InstanceOf[Objective]
    clean_below: float

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, its questions asked at 1.5 times their level."""

        def higher(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return denoiser(x, 1.5 * sigma, **cond)

        return self.inner.loss(higher, batch, tools)
