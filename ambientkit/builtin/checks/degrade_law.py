"""The check `degrade-law`: degrading from sigma_n gives what observing at sigma would have given."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.builtin.checks.noise_law import Stronger
from ambientkit.builtin.checks.noisy import floors, noisy_pictures
from ambientkit.builtin.checks.outcome import all_of, exact, largest
from ambientkit.builtin.checks.shown import shows_by_itself
from ambientkit.builtin.checks.travel import key
from ambientkit.builtin.checks.white import white_normal
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import per_row


class DegradeLaw(Check):
    """Given x_n, x_t has mean x_n and independent noise of std sqrt(sigma^2 - sigma_n^2); against x_0 it has white
    noise of std sigma.

    Every row has a level sigma of its own, between 1.02 and 100 times its floor. Done with a noise level per row, with
    one per pixel, and with a pattern of levels that is the same in all rows, where errors of single pixels do not
    cancel. `show` adds the same noise, where it is not `degrade` itself.
    """

    name = "degrade-law"
    source = "arXiv 2404.10177, section 3"
    kind = "corruption"
    claim = "gaussian-noise"
    null_law = "normal, chi-squared and Kolmogorov-Smirnov, Bonferroni over 105 tests"
    detects = "added noise of a std wrong by 3 %, or correlated by 0.03"
    meaning = (
        "x_t does not stand at the level that the denoiser is given, or is no copy of x_n with more noise: "
        "everything learnt from it is biased."
    )
    quick = True

    rows: int = Field(300, ge=100)
    """Pictures of 128 values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The most suspicious of the tests."""
        assert isinstance(part, Corruption)
        found = []
        rows = self.rows
        for index, kind in enumerate(("row", "pixel", "pattern")):
            x_0, batch = noisy_pictures(case, rows, "degrade-law", by_pixel=kind == "pixel", pattern=kind == "pattern")
            ratio = torch.rand(rows, generator=key(case, "degrade-law.ratio", index), dtype=torch.float64)
            sigma = floors(batch) * 1.02 * (100 / 1.02) ** ratio**2
            view = part.degrade(batch, sigma, key(case, "degrade-law.noise", index))
            missing = (per_row(sigma, x_0) ** 2 - per_row(batch.sigma_n, x_0) ** 2).sqrt().expand_as(x_0)
            found.append(white_normal((view.x.double() - batch.x_n) / missing, batch.x_n, missing))
            found.append(white_normal((view.x.double() - x_0) / per_row(sigma, x_0), x_0, sigma))
            if shows_by_itself(part):
                shown = part.show(batch, sigma, key(case, "degrade-law.show", index))
                found.append(white_normal((shown.x.double() - batch.x_n) / missing, batch.x_n, missing))
            stated = view.sigma.double() if view.sigma.shape == sigma.shape else torch.full_like(sigma, float("inf"))
            found.append(exact(largest([stated - sigma]), 1e-6, rows))
        return all_of(found)

    def control(self, part: Part) -> Part:
        """The same corruption, which adds a tenth more noise."""
        assert isinstance(part, Corruption)
        return Stronger(inner=part)
