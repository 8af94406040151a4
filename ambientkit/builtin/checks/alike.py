"""The checks `similarity-rows` and `brightness-free`: what a similarity says of rows."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.builtin.checks.remembered import pictures
from ambientkit.interfaces import Case, Check, Measured, Part
from ambientkit.memorisation_parts import Similarity


class SimilarityRows(Check):
    """The view of a row is the same alone, in another batch and in another order, finite, and leaves the row as it
    was; a flat row too.

    Of pictures of one channel and of three."""

    name = "similarity-rows"
    source = "the contract of `Similarity`"
    kind = "similarity"
    claim = "row-by-row"
    null_law = "exact: tolerance 1e-5"
    detects = "anything that one row takes from another, a division by the std of a flat row"
    meaning = (
        "A distance depends on what else is compared: training rows and held-out rows are no longer treated alike."
    )
    quick = True

    rows: int = Field(130, ge=3)
    """Rows of the batch: more than a part might take at once."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest difference between a row's views."""
        assert isinstance(part, Similarity)
        grey = pictures(case, "alike", self.rows, 8)
        return min((self._try(part, x) for x in (grey, _coloured(case, FEW))), key=lambda found: found.p_value)

    def _try(self, part: Similarity, x: Tensor) -> Measured:
        x[-1] = FLAT
        before, whole = x.clone(), part.view(x)
        if len(whole) != len(x) or not whole.is_floating_point() or not torch.equal(x, before):
            return Measured(
                math.inf, 0.0, len(x), "another number of rows, no floating point, or rows that were changed"
            )
        alone = torch.cat([part.view(row.unsqueeze(0)) for row in x])
        turned = part.view(x.flip(0)).flip(0)
        return exact(largest([whole - alone, whole - turned]), 1e-5, len(x))

    def control(self, part: Part) -> Part:
        """The same similarity, less the mean over the batch."""
        assert isinstance(part, Similarity)
        return _Centred(inner=part)


FEW = 12
"""Pictures of three channels."""
FLAT = 0.25
"""Of all values of one row. Its mean is exact in floating point, so that its std is 0 and no rounding error."""


def _coloured(case: Case, rows: int) -> Tensor:
    return pictures(case, "coloured", 3 * rows, 8).reshape(rows, 3, 8, 8)


class BrightnessFree(Check):
    """Rows a x + b, a > 0, are seen as x is."""

    name = "brightness-free"
    source = "the definition of Pearson's correlation"
    kind = "similarity"
    claim = "brightness-free"
    null_law = "exact: tolerance 1e-4"
    detects = "brightness or contrast that counts"
    meaning = "A copy that is brighter or of another contrast is taken for another picture."
    quick = True

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest difference of the views."""
        assert isinstance(part, Similarity)
        x = pictures(case, "bright", 20, 8)
        here = part.view(x)
        others = [part.view(a * x + b) - here for a, b in ((1.0, 0.4), (0.5, 0.0), (1.7, -0.3))]
        return exact(largest(others), 1e-4, 3 * len(x))

    def control(self, part: Part) -> Part:
        """The same similarity, plus the mean of each row."""
        assert isinstance(part, Similarity)
        return _Bright(inner=part)


class _Centred(Similarity):
    """A similarity that takes the mean of the batch away: wrong on purpose."""

    name = "centred-control"

    inner: InstanceOf[Similarity]

    def view(self, rows: Tensor) -> Tensor:
        """Views less their mean."""
        found = self.inner.view(rows)
        return found - found.mean(0)


class _Bright(Similarity):
    """A similarity in which brightness counts: wrong on purpose."""

    name = "bright-control"

    inner: InstanceOf[Similarity]

    def view(self, rows: Tensor) -> Tensor:
        """Views plus the mean of the row."""
        found = self.inner.view(rows)
        return found + rows.flatten(1).mean(1).reshape(-1, *[1] * (found.ndim - 1))
