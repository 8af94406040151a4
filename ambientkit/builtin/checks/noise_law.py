"""The check `noise-law`: what a corruption adds is white Gaussian noise of the level it states."""

from __future__ import annotations

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.echoes import observed_without_echoes, whole_in_each_channel
from ambientkit.builtin.checks.outcome import all_of, exact, largest
from ambientkit.builtin.checks.travel import key, sources
from ambientkit.builtin.checks.white import pictures, white_normal
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import RandomSource, per_row, standard_normal


class NoiseLaw(Check):
    """(x_n - x_0) / sigma_n is white standard normal noise, independent of the picture, of the row and of the level.

    `Batch.sigma_n` is what the corruption states, per row or per pixel; where it is 0, x_n must be x_0. Rows are drawn
    as a run draws them, each by its own generator where the corruption takes a list of them. Larger pictures of three
    channels are drawn besides, whose noise may not repeat itself, and each channel of three and of five is measured by
    itself (`echoes`).
    """

    name = "noise-law"
    source = "arXiv 2404.10177, section 2; Kolmogorov-Smirnov and moment tests"
    kind = "corruption"
    claim = "gaussian-noise"
    null_law = "normal, chi-squared and Kolmogorov-Smirnov, Bonferroni over 19 tests; Spearman for levels"
    detects = (
        "a std wrong by 2.5 %, a mean off by 0.03 std, a correlation of 0.03"
        ", another law with a distance of 0.015, rounded values, levels that depend on the picture, or on the noise; "
        "noise that repeats itself, or that three channels share"
    )
    meaning = (
        "The simulated noise is not what it says: an objective that trusts sigma_n learns a wrong denoiser, "
        "and results do not carry over."
    )
    quick = True

    rows: int = Field(400, ge=100)
    """Pictures of 128 values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The most suspicious of the tests."""
        assert isinstance(part, Corruption)
        rows = self.rows
        x_0 = pictures(rows, key(case, "noise-law.pictures"))
        batch = part.observe(x_0.clone(), torch.arange(rows), sources(part, case, "noise-law.noise", rows))
        level = per_row(batch.sigma_n, x_0).expand_as(x_0)
        added, noisy = batch.x_n.double() - x_0, level > 0
        silent = exact(largest([added[~noisy]]), 1e-6, int((~noisy).sum()))
        if not noisy.any():
            return silent
        # Where there is no noise the law has nothing to say: those places get noise of the check's own, which changes
        # no test.
        filler = standard_normal(x_0, key(case, "noise-law.filler"))
        e = torch.where(noisy, added / torch.where(noisy, level, 1.0), filler)
        # Noise that has no finest step: of ever so few values none should come twice.
        values = batch.x_n[noisy].double()
        repeated = exact(1 - len(torch.unique(values)) / len(values), 0.01, len(values))
        return all_of(
            [
                white_normal(e, x_0, level),
                silent,
                repeated,
                _unrelated(level.flatten(1).mean(1), x_0.flatten(1).mean(1)),
                _apart(level, e),
                observed_without_echoes(part, case),
                whole_in_each_channel(part, case),
            ]
        )

    def control(self, part: Part) -> Part:
        """The same corruption, whose noise is a tenth stronger than it says."""
        assert isinstance(part, Corruption)
        return Stronger(inner=part)


def _unrelated(level: Tensor, brightness: Tensor) -> Measured:
    """Spearman's test that the level of a row says nothing of its picture; without levels that differ there is nothing
    to test."""
    from scipy import stats

    if not bool(level.std() > 1e-9):
        return Measured(0.0, 1.0, len(level))
    found = stats.spearmanr(level.numpy(), brightness.numpy())
    return Measured(float(found.statistic), float(found.pvalue), len(level))


def _apart(level: Tensor, e: Tensor) -> Measured:
    """Spearman's test that the noise of no value, nor its size, goes with the level there; Bonferroni over values."""
    from scipy import stats

    level, e = level.flatten(1), e.flatten(1)
    differs = level.std(0) > 1e-9
    if not bool(differs.any()):
        return Measured(0.0, 1.0, len(level))
    level, e = level[:, differs].repeat(1, 2), torch.cat([e, e.abs()], dim=1)[:, differs.repeat(2)]
    one, other = (ranks - ranks.mean(0) for ranks in (_ranks(level), _ranks(e)))
    rho = (one * other).sum(0) / (one.norm(dim=0) * other.norm(dim=0))
    worst = float(rho.abs().max())
    t = worst * ((len(e) - 2) / max(1 - worst**2, 1e-12)) ** 0.5
    why = "the noise of a value goes with its level: both are drawn from equal bits" if worst > 0.5 else ""
    return Measured(worst, min(1.0, 2 * len(rho) * float(stats.t.sf(t, len(e) - 2))), len(e), why)


def _ranks(values: Tensor) -> Tensor:
    """By column; equal values have the mean of their ranks."""
    from scipy import stats

    return torch.from_numpy(stats.rankdata(values.numpy(), axis=0))


class Stronger(Corruption):
    """A corruption that adds more noise than it states: wrong on purpose."""

    name = "stronger-control"

    inner: InstanceOf[Corruption]

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's observations, a tenth further from x_0."""
        batch = self.inner.observe(x_0, row, generator)
        return batch._replace(x_n=x_0 + 1.1 * (batch.x_n - x_0))

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's view, a tenth further from x_n."""
        view = self.inner.degrade(batch, sigma, generator)
        return view._replace(x=batch.x_n + 1.1 * (view.x - batch.x_n) + 0.02)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return 1.01 * self.inner.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The inner corruption's, a tenth too low."""
        return 0.9 * self.inner.floor(batch)
