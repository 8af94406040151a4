"""The check `symmetric-degrade`: the mirror image of x_t about x_n is as good a draw."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.changed import ChangedCorruption
from ambientkit.builtin.checks.noisy import floors, noisy_pictures
from ambientkit.builtin.checks.outcome import all_normal, scores_within
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import RandomSource, per_row


class SymmetricDegrade(Check):
    """Given x_n, x_t - x_n and x_n - x_t have one law, at the level asked for, so that antithetic pairs are unbiased.

    With e = (x_t - x_n) / sqrt(sigma^2 - sigma_n^2): e, e^3, e |x_n|, e x_n and e^2 - 1 have mean 0. Levels differ
    between rows.
    """

    name = "symmetric-degrade"
    source = "docs/method.md, antithetic pairs"
    kind = "corruption"
    claim = "symmetric-degrade"
    null_law = "normal scores of 5 means for each kind of level, Bonferroni"
    detects = "a mean off by 0.03 std, a skewness of 0.15, a std wrong by 2.5 %"
    meaning = (
        "Mirrored noise does not follow the law of noise: objectives that draw in pairs of +z and -z are "
        "biased with this corruption."
    )
    quick = True

    rows: int = Field(300, ge=100)
    """Pictures of 128 values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest of the normal scores."""
        assert isinstance(part, Corruption)
        scores = []
        for by_pixel in (False, True):
            _, batch = noisy_pictures(case, self.rows, "symmetric-degrade", by_pixel=by_pixel)
            ratio = torch.rand(
                self.rows, generator=key(case, "symmetric-degrade.ratio", int(by_pixel)), dtype=torch.float64
            )
            sigma = floors(batch) * (1.05 + 2 * ratio)
            view = part.degrade(batch, sigma, key(case, "symmetric-degrade.noise", int(by_pixel)))
            x_n = batch.x_n
            e = (view.x.double() - x_n) / (per_row(sigma, x_n) ** 2 - per_row(batch.sigma_n, x_n) ** 2).sqrt()
            for values in (e, e**3, e * x_n.abs(), e * x_n, e.square() - 1):
                scores.append(scores_within(values.mean(), values.std() / values.numel() ** 0.5))
        return all_normal(torch.stack(scores), self.rows)

    def control(self, part: Part) -> Part:
        """The same corruption, whose noise is bent so that its upper tail is longer."""
        assert isinstance(part, Corruption)
        return _Bent(inner=part)


class _Bent(ChangedCorruption):
    """A corruption with skewed noise: wrong on purpose."""

    name = "bent-control"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's."""
        return self.inner.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's view, upper half of the noise stretched."""
        view = self.inner.degrade(batch, sigma, generator)
        added = view.x - batch.x_n
        return view._replace(x=batch.x_n + torch.where(added > 0, 1.3, 0.7) * added)
