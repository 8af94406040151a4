"""The check `degrade-law`: degrading from sigma_n gives what observing at sigma would have given."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.builtin.checks.echoes import degraded_without_echoes
from ambientkit.builtin.checks.noise_law import Stronger
from ambientkit.builtin.checks.noisy import floors, noisy_pictures
from ambientkit.builtin.checks.outcome import all_normal, all_of, exact, largest, square_score
from ambientkit.builtin.checks.shown import shows_by_itself
from ambientkit.builtin.checks.travel import key
from ambientkit.builtin.checks.white import white_normal
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import per_row

RATIOS = (1.1, 1.6, 2.5, 4.2, 6.0)
"""Levels of views over the noise of their rows, each by itself."""
SIDE = 8
"""Of `pictures`: of as many rows a level for each may be taken for one of each column."""


class DegradeLaw(Check):
    """Given x_n, x_t has mean x_n and independent noise of std sqrt(sigma^2 - sigma_n^2); against x_0 it has white
    noise of std sigma.

    Every row has a level sigma of its own, between 1.02 and 100 times its floor. Done with a noise level per row, with
    one per pixel, and with a pattern of levels that is the same in all rows, where errors of single pixels do not
    cancel. `show` adds the same noise, where it is not `degrade` itself. Rows that all go to one multiple of their
    noise are measured besides, as many rows as columns, of which one stays at its own level once, and larger pictures,
    on which no noise may repeat itself (`echoes`).
    """

    name = "degrade-law"
    source = "arXiv 2404.10177, section 3"
    kind = "corruption"
    claim = "gaussian-noise"
    null_law = (
        "normal, chi-squared and Kolmogorov-Smirnov, Bonferroni over 110 tests, and 1,079 distances on larger pictures"
    )
    detects = "added noise of a std wrong by 3 %, at one ratio of levels too, or correlated by 0.03, or repeated"
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
        return all_of([*found, self._by_ratio(part, case), degraded_without_echoes(part, case)])

    def _by_ratio(self, part: Corruption, case: Case) -> Measured:
        """Mean squares of what is added to rows that all go to one multiple of their noise: another formula from some
        level on would be lost among others."""
        scores = []
        for index, ratio in enumerate(RATIOS):
            _, batch = noisy_pictures(case, 2 * self.rows, f"degrade-law.{index}", by_pixel=False)
            sigma = floors(batch) * ratio
            view = part.degrade(batch, sigma, key(case, "degrade-law.ratios", index))
            missing = batch.sigma_n * (ratio**2 - 1) ** 0.5
            scores.append(float(square_score((view.x.double() - batch.x_n) / per_row(missing, batch.x_n))))
        _, batch = noisy_pictures(case, SIDE, "degrade-law.side", by_pixel=False)
        sigma = floors(batch) * 1.1 * 20 ** torch.linspace(0, 1, SIDE, dtype=torch.float64)
        own = part.floor(batch).double().maximum(floors(batch))[:1]  # a right one, but for rounding
        for index, first in enumerate((sigma[:0], own)):
            here = torch.cat([first, sigma[len(first) :]])
            view = part.degrade(batch, here, key(case, "degrade-law.sides", index))
            added, missing = view.x.double() - batch.x_n, (here**2 - batch.sigma_n**2).clamp(min=0).sqrt()
            scores += [float(square_score(one / std)) for one, std in zip(added, missing, strict=True) if std > 0.01]
        return all_normal(scores, 2 * self.rows)

    def control(self, part: Part) -> Part:
        """The same corruption, which adds a tenth more noise."""
        assert isinstance(part, Corruption)
        return Stronger(inner=part)
