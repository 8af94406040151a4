"""The check `mask-law`: what a corruption leaves of a row is what it says, and its mask says where."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.outcome import all_normal, all_of, exact, largest
from ambientkit.builtin.checks.travel import key, sources
from ambientkit.builtin.checks.white import pictures, white_normal
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import RandomSource, per_row, standard_normal

WIDER = 1.5
"""Times the usual pictures: a tenth of the values lies above 0.8, where a detector saturates."""


class MaskLaw(Check):
    """Where the mask of a row is true, x_n is x_0 and white noise of the level stated; elsewhere it is 0, and the mask
    says nothing of the picture.

    Masks of two rows differ, and those of one generator state do not. Correlation of what each place hides with the
    value there, and of the share that a row lacks with its brightness. Rows are drawn as in a run, each by its own
    generator, so that a mask drawn from the bits of the noise shows in the noise that it leaves.
    """

    name = "mask-law"
    source = "arXiv 2305.19256, section 3"
    kind = "corruption"
    claim = "masked"
    null_law = "exact, and normal, chi-squared and Kolmogorov-Smirnov of the noise (Bonferroni)"
    detects = (
        "a value that is shown where the mask denies it, a correlation of 0.04 between mask and picture, "
        "noise off by 3 %, in the mean or where it is shown"
    )
    meaning = (
        "The mask does not mark the measured values, or depends on the picture: hidden values are learnt with a bias."
    )
    quick = True

    rows: int = Field(400, ge=100)
    """Pictures of 128 values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The most suspicious of the tests."""
        assert isinstance(part, Corruption)
        x_0 = WIDER * pictures(self.rows, key(case, "mask-law.pictures"))
        batch, again, other = (
            part.observe(x_0.clone(), torch.arange(self.rows), sources(part, case, "mask-law.observe", self.rows, i))
            for i in (0, 0, 1)
        )
        mask = batch.cond.get("mask")
        if mask is None or mask.dtype != torch.bool or "mask" not in part.carries:
            return Measured(math.inf, 0.0, self.rows, 'no mask (bool) in cond["mask"], or it is not among `carries`')
        whole = getattr(part, "missing", None) == 0 and bool(mask.all())  # all is measured, as the field says
        if not torch.equal(mask, again.cond["mask"]) or (torch.equal(mask, other.cond["mask"]) and not whole):
            return Measured(
                math.inf, 0.0, self.rows, "the mask is no function of the generator's state, or none at all"
            )
        seen = mask.expand_as(x_0)
        level = per_row(batch.sigma_n, x_0).expand_as(x_0)
        added, noisy = batch.x_n.double() - x_0, seen & (level > 0)
        tests = [exact(largest([batch.x_n[~seen], added[seen & (level == 0)]]), 1e-6, int((~seen).sum()))]
        if noisy.any():
            filler = standard_normal(x_0, key(case, "mask-law.filler"))
            tests.append(white_normal(torch.where(noisy, added / torch.where(noisy, level, 1.0), filler), x_0, level))
        return all_of([*tests, _unrelated(seen.double(), x_0)])

    def control(self, part: Part) -> Part:
        """The same corruption, which hides bright values rather than dark ones."""
        assert isinstance(part, Corruption)
        return _HidesBright(inner=part)


def _unrelated(seen: Tensor, x: Tensor) -> Measured:
    """Normal scores of the correlation of the mask with the value, and of the shares of rows with their brightness."""
    scores = []
    for one, other in (
        ((seen - seen.mean(0)), x - x.mean((1, 2, 3), keepdim=True)),
        (seen.flatten(1).mean(1), x.flatten(1).mean(1)),
    ):
        product = (one - one.mean()) * (other - other.mean())
        by_row = product.flatten(1).sum(1) if product.ndim > 1 else product
        spread = by_row.std() * len(by_row) ** 0.5
        scores.append(by_row.sum() / spread if spread > 0 else torch.zeros((), dtype=torch.float64))
    return all_normal(torch.stack(scores), len(seen))


class _HidesBright(Corruption):
    """A corruption whose mask depends on the picture: wrong on purpose."""

    name = "hides-bright-control"
    carries = frozenset({"mask"})

    inner: InstanceOf[Corruption]

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's observation, which lacks the brightest values besides."""
        batch = self.inner.observe(x_0, row, generator)
        seen = batch.cond["mask"].expand_as(x_0) & (x_0 < 0.5)
        return batch._replace(x_n=torch.where(seen, batch.x_n, 0.0), cond={**batch.cond, "mask": seen})

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's."""
        return self.inner.degrade(batch, sigma, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.floor(batch)
