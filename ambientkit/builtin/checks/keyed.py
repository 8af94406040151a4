"""The check `keyed`: an observation is a function of the row and the generator's state, and is made once."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.changed import ChangedCorruption
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.builtin.checks.travel import key
from ambientkit.builtin.checks.white import pictures
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import RandomSource
from ambientkit.maths.randomness import isolated_global_generator


class Keyed(Check):
    """The same generator state gives the same observation, independent of earlier calls and of torch's global
    generator.

    Another state gives another one, whose noise does not go with that of the first; rows get noise of their own; x_0 is
    left as it was; row numbers, shape and dtype are kept.
    """

    name = "keyed"
    source = "the contract of `Corruption`"
    kind = "corruption"
    claim = "gaussian-noise"
    null_law = "exact: no difference"
    detects = "any difference between two observations of one row, and noise that another seed leaves as it was"
    meaning = (
        "A row does not keep its noise: over the epochs the clean picture leaks through averaging, and runs "
        "cannot be repeated."
    )
    quick = True

    rows: int = Field(4, ge=2)
    """Rows of the batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest difference between two observations, or infinity for anything else that is wrong."""
        assert isinstance(part, Corruption)
        x_0 = pictures(1, key(case, "keyed.pictures")).expand(self.rows, -1, -1, -1).clone()
        kept, row = x_0.clone(), torch.arange(self.rows) + 77

        def observe(index: int, world: str) -> Batch:
            with isolated_global_generator(case.seed, f"verify.keyed.{world}"):
                return part.observe(x_0, row, key(case, "keyed.noise", index))

        one, other, again = observe(0, "a"), observe(1, "a"), observe(0, "b")
        error = largest([one.x_n - again.x_n, one.sigma_n - again.sigma_n])
        whole = (
            one.x_n.shape == x_0.shape
            and one.x_n.dtype == x_0.dtype
            and torch.equal(one.row, row)
            and torch.equal(x_0, kept)
        )
        noisy = one.x_n[(one.x_n != x_0).flatten(1).any(1)]  # the rows that were given noise: some may stay clean
        own = not len(noisy) or (not torch.equal(one.x_n, other.x_n) and not _goes_with(one.x_n - x_0, other.x_n - x_0))
        own = own and len(torch.unique(noisy.flatten(1), dim=0)) == len(noisy)
        single = part.observe(x_0.float(), row, key(case, "keyed.noise"))
        return exact(error if whole and own and single.x_n.dtype == torch.float32 else math.inf, 0.0, self.rows)

    def control(self, part: Part) -> Part:
        """The same corruption with a little fresh noise from the global generator at each call."""
        assert isinstance(part, Corruption)
        return _Fresh(inner=part)


ALIKE = 0.5
"""The mean correlation of the noise of rows under two states. Of noise drawn anew, of 4 rows of 128 values, it is 0
with a std of 0.04."""


def _goes_with(one: Tensor, other: Tensor) -> bool:
    """Whether the noise of the same rows under two states correlates, whatever its size."""
    a, b = one.flatten(1), other.flatten(1)
    size = a.norm(dim=1) * b.norm(dim=1)
    both = size > 0
    return bool(both.any()) and abs(float(((a * b).sum(1)[both] / size[both]).mean())) > ALIKE


class _Fresh(ChangedCorruption):
    """A corruption that is never twice the same: wrong on purpose."""

    name = "fresh-control"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's observation, and noise from torch's global generator on top."""
        batch = self.inner.observe(x_0, row, generator)
        return batch._replace(
            x_n=batch.x_n + 1e-3 * torch.randn(x_0.shape, generator=torch.default_generator, dtype=x_0.dtype)
        )

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's."""
        return self.inner.degrade(batch, sigma, generator)
