"""A corruption whose views stay where they are while the observations move: what of a gradient follows the view, and
what the data. For `affine`."""

from __future__ import annotations

from pydantic import InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.changed import ChangedCorruption
from ambientkit.maths.noise import RandomSource


class Held(ChangedCorruption):
    """White noise of known level whose views are those of other observations: a weight may follow the view alone."""

    name = "gaussian"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})

    x_n: InstanceOf[Tensor]
    """(N, *S), the observations that are seen."""
    first: int
    """The row of the first of them."""

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's."""
        return self.inner.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's, of the other observations of these rows."""
        return self.inner.degrade(batch._replace(x_n=self.x_n[batch.row - self.first].to(batch.x_n)), sigma, generator)
