"""The check `stationarity-by-pixel`: the mean gradient at the exact denoiser is zero where each pixel has its own noise
level."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.builtin.checks.outcome import mean_zero_by_kind
from ambientkit.builtin.checks.probe import by_group, fixed_level
from ambientkit.builtin.checks.stationarity import Shifted, gradients_at_oracle
from ambientkit.interfaces import Case, Check, Measured, Objective, Part
from ambientkit.maths.randomness import keyed_generator


class StationarityByPixel(Check):
    """`stationarity` on observations with a noise level for each pixel, uniform in [0.05, 0.4] over rows, or a pattern
    that all rows share.

    Levels drawn for each pixel of each row cancel errors that a pattern, such as a camera's, shows, so every other
    batch has one. The Tweedie mix is elementwise: what is right for one level per row may use the mean or the largest
    level of a row by mistake.
    """

    name = "stationarity-by-pixel"
    source = "as `stationarity`"
    kind = "objective"
    claim = "noise-by-pixel"
    null_law = "F(p, n - p) of Hotelling's T^2, of all batches and of each kind (Bonferroni)"
    detects = "a mean gradient of 0.9 standard deviations of one batch's"
    meaning = (
        "On data with a noise level per pixel, training would not end at E[x_0 | x_t]: the levels are not "
        "used pixel by pixel."
    )

    batches: int = Field(120, ge=48)
    """Independent gradients; a few more where they are no multiple of 8."""
    batch_size: int = Field(512, ge=2)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient of an `Objective`. Deterministic in `case.seed`."""
        assert isinstance(part, Objective)

        def once(index: int, groups: int) -> Tensor:
            rows = groups * self.batch_size
            batch = fixed_level(case, rows, self._levels(case, rows, index), index)
            return gradients_at_oracle(part, batch, case, index, groups)

        return mean_zero_by_kind(by_group(once, self.batches, 2), 2)

    def control(self, part: Part) -> Part:
        """The same objective, shown a denoiser that is wrong by 0.5 log sigma."""
        assert isinstance(part, Objective)
        return Shifted(inner=part)

    def _levels(self, case: Case, rows: int, index: int) -> Tensor:
        generator = keyed_generator(case.seed, "verify.levels-by-pixel", step=index)
        shape = (rows, case.law.dimension)
        if index % 2:
            return torch.linspace(0.05, 0.4, shape[1], dtype=torch.float64).expand(shape)
        return 0.05 + 0.35 * torch.rand(shape, generator=generator, dtype=torch.float64)
