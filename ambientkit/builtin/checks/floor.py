"""The check `floor`: a corruption knows the lowest level of each row, and refuses to go below it."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, take
from ambientkit.builtin.checks.noise_law import Stronger
from ambientkit.builtin.checks.noisy import floors, noisy_pictures
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part


class Floor(Check):
    """`floor` is the largest sigma_n of each row, `degrade` works from there up and raises ValueError, naming the row,
    below it.

    For one level per data set, per row, per pixel, and clean rows. Exactly at the floor of a row with one level, x_t is
    x_n.
    """

    name = "floor"
    source = "the contract of `Corruption`"
    kind = "corruption"
    claim = "gaussian-noise"
    null_law = "exact: tolerance 1e-9"
    detects = "a floor off by any amount, and a level below it that is accepted"
    meaning = (
        "Rows can be asked for at levels below their own noise, where x_t is NaN or stands at another level "
        "than the denoiser is given."
    )
    quick = True

    rows: int = Field(5, ge=3)
    """Rows of each batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest error of `floor`, or infinity where `degrade` accepts what it must refuse, or refuses what it
        must accept."""
        assert isinstance(part, Corruption)
        errors = [self._one(part, case, batch) for batch in self._batches(case)]
        return exact(max(errors), 1e-9, len(errors) * self.rows)

    def control(self, part: Part) -> Part:
        """The same corruption, whose floor is a tenth too low."""
        assert isinstance(part, Corruption)
        return Stronger(inner=part)

    def _batches(self, case: Case) -> list[Batch]:
        _, by_row = noisy_pictures(case, self.rows, "floor", by_pixel=False)
        _, by_pixel = noisy_pictures(case, self.rows, "floor", by_pixel=True)
        by_set = by_row._replace(sigma_n=torch.tensor(0.25, dtype=torch.float64))
        mixed = by_row._replace(sigma_n=torch.where(torch.arange(self.rows) == 0, 0.0, by_row.sigma_n))
        return [by_row, by_pixel, by_set, mixed, take(by_row, torch.tensor([1]))]

    def _one(self, part: Corruption, case: Case, batch: Batch) -> float:
        floor = floors(batch)
        found = part.floor(batch)
        if found.shape != floor.shape:
            return math.inf
        error = largest([found.double() - floor])
        flat = batch.sigma_n.ndim < 2
        for factor in (1.0, 1.3):
            sigma = (factor * floor).clamp(min=0.01)
            try:
                view = part.degrade(batch, sigma, key(case, "floor.noise"))
            except ValueError:
                return math.inf
            if not view.x.isfinite().all():
                return math.inf
            here = (sigma == floor) if flat else torch.zeros_like(floor, dtype=torch.bool)
            error = max(error, largest([(view.x - batch.x_n)[here]]))
        for row in range(len(floor)):
            if floor[row] > 0 and not self._refuses(part, case, batch, floor, row):
                return math.inf
        return error

    def _refuses(self, part: Corruption, case: Case, batch: Batch, floor: Tensor, row: int) -> bool:
        sigma = (1.5 * floor).clamp(min=0.01)
        sigma[row] = 0.999 * floor[row]
        try:
            part.degrade(batch, sigma, key(case, "floor.noise"))
        except ValueError as error:
            return str(int(batch.row[row])) in str(error)
        return False
