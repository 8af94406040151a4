"""The check `corruption-rows`: with a list of generators, what is drawn for a row does not depend on the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, View, take
from ambientkit.builtin.checks.changed import ChangedCorruption
from ambientkit.builtin.checks.noisy import floors, noisy_pictures
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.builtin.checks.travel import key
from ambientkit.builtin.checks.white import pictures
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import RandomSource
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator


class CorruptionRows(Check):
    """`observe` and `degrade` take one generator per row; row i is then the same alone, in another batch and in another
    order.

    Clean rows stand among the noisy ones.
    """

    name = "corruption-rows"
    source = "the contract of `Corruption`; docs/decisions/0002"
    kind = "corruption"
    claim = "row-generators"
    null_law = "exact: tolerance 1e-12"
    detects = "any dependence on other rows, on their order, or on torch's global generator"
    meaning = (
        "A row's noise depends on the batch it is fetched in, so that it changes from epoch to epoch and "
        "after resuming."
    )
    quick = True

    rows: int = Field(5, ge=4)
    """Rows of the batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest difference between two ways of drawing one row."""
        assert isinstance(part, Corruption)
        x_0 = pictures(self.rows, key(case, "corruption-rows.pictures"))
        _, noisy = noisy_pictures(case, self.rows, "corruption-rows", by_pixel=False)
        noisy = noisy._replace(sigma_n=torch.where(torch.arange(self.rows) % 3 == 1, 0.0, noisy.sigma_n))
        sigma = 1.5 * floors(noisy).clamp(min=0.1)

        def run(index: Sequence[int]) -> list[Tensor]:
            where = torch.tensor(index)
            with isolated_global_generator(case.seed, f"verify.corruption-rows.{len(index)}.{index[0]}"):
                batch = part.observe(x_0[where], where, [_source(case, "observe", row) for row in index])
                view = part.degrade(take(noisy, where), sigma[where], [_source(case, "degrade", row) for row in index])
            level = batch.sigma_n if batch.sigma_n.ndim else batch.sigma_n.expand(len(index))
            return [batch.x_n, level, view.x]

        everyone = list(range(self.rows))
        together, errors = run(everyone), []
        for index in (everyone, everyone[::-1], [1, 2], *([row] for row in everyone)):
            errors += [one[torch.tensor(index)] - other for one, other in zip(together, run(index), strict=True)]
        return exact(largest(errors), 1e-12, self.rows)

    def control(self, part: Part) -> Part:
        """The same corruption, whose rows are moved a little towards each other."""
        assert isinstance(part, Corruption)
        return _Mixing(inner=part)


def _source(case: Case, purpose: str, row: int) -> torch.Generator:
    return keyed_generator(case.seed, f"verify.corruption-rows.{purpose}", row=row)


class _Mixing(ChangedCorruption):
    """A corruption whose rows meet: wrong on purpose."""

    name = "meeting-control"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's observations, 1 % of the way to their mean."""
        batch = self.inner.observe(x_0, row, generator)
        return batch._replace(x_n=0.99 * batch.x_n + 0.01 * batch.x_n.mean(0, keepdim=True))

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's."""
        return self.inner.degrade(batch, sigma, generator)
