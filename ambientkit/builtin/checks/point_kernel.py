"""The check `point-kernel`: where x_0 is known, a hop of any length is the exact posterior of the forward process."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.outcome import all_normal, exact, square_score
from ambientkit.builtin.checks.travel import carry, column_grids, key
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.noise import RandomSource, standard_normal

STARTS, ENDS = (2.0, 0.9, 0.5, 70.0, 0.06), (0.8, 0.6, 0.1, 20.0, 0.01)
"""Levels that hops lead from and to, in turn: in the middle, at the top, and near the bottom."""


ROWS_A_HOP, WIDE = 375, 130_000
"""The hop of which the std is measured best: a row for so many of the others, and its values."""


class PointKernel(Check):
    """For data that are one point m, D = m, and each hop is exactly normal with mean r x_t + (1 - r) m and std sigma_s
    sqrt(1 - r).

    r = sigma_s^2 / sigma_t^2. Long hops, whose levels differ between rows; a chain of them keeps x_s = m + sigma_s z,
    so the standardised end is unit normal, given the start as well. A hop to 0 ends on m. The test is of mean,
    correlation with the start, variance, independence of rows. The variance is that of a hop of many values too.
    """

    name = "point-kernel"
    source = "arXiv 2006.11239, eq. 6-7, in variance-exploding form"
    kind = "sampler"
    claim = "exact-for-points"
    null_law = "normal scores, Bonferroni (variance: chi-squared, by Wilson and Hilferty)"
    detects = "noise of a std that is wrong by 0.4 %, a mean that is off by 0.1 standard deviations"
    meaning = (
        "Even for one known point a step is not the posterior of the forward process: its mean, or the "
        "noise it adds, is wrong."
    )
    quick = True

    rows: int = Field(6000, ge=600)
    """Points."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest of the normal scores."""
        assert isinstance(part, Sampler)
        point = torch.tensor([0.4, -0.7], dtype=torch.float64)

        def known(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return point.expand_as(x).to(x.dtype)

        scores = []
        for hops, index in ((1, 0), (3, 1)):
            sigmas = column_grids(STARTS, ENDS, hops + 1, self.rows)
            z = standard_normal(torch.empty(self.rows, 2, dtype=torch.float64), key(case, "point-kernel.start", index))
            end = carry(part, known, point + sigmas[0].unsqueeze(1) * z, sigmas, key(case, "point-kernel.noise", index))
            ratio = (sigmas[-1] / sigmas[0]).unsqueeze(1)
            # Hop by hop (x_s - m) / sigma_s = q (x_t - m) / sigma_t + sqrt(1 - q^2) z, q = sigma_s / sigma_t; the q
            # multiply along a chain.
            e = ((end - point) / sigmas[-1].unsqueeze(1) - ratio * z) / (1 - ratio**2).sqrt()
            scores += [
                score
                for kind in range(len(STARTS))
                for score in _scores(e[kind :: len(STARTS)], z[kind :: len(STARTS)])
            ]
            scores += [float((e[1:] * e[:-1]).sum() / e[1:].numel() ** 0.5)]
        scores += self._wide(part, case, point)
        zero = torch.stack([torch.full((6,), 0.7, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)])
        landed = carry(part, known, point + torch.ones(6, 2, dtype=torch.float64), zero, key(case, "point-kernel.zero"))
        off = float((landed - point).abs().max())
        return all_normal(scores, self.rows) if off < 1e-6 else exact(off, 1e-6, self.rows)

    def _wide(self, part: Sampler, case: Case, point: Tensor) -> list[float]:
        """The std of one hop of many values, to 0.05 %, from the known point itself: points are rows of `WIDE`
        values."""
        rows = max(self.rows // ROWS_A_HOP, 1)
        shape = (rows, WIDE, 1)
        m = point[0].float().expand(shape)
        top = torch.full((rows,), 0.9, dtype=torch.float64)

        def known(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return m[: len(x)].to(x.dtype)

        sigmas = torch.stack([top, 0.6 * top])
        end = carry(part, known, m.contiguous(), sigmas, key(case, "point-kernel.wide-noise"))
        e = (end - m) / (0.54 * (1 - 0.36) ** 0.5)
        return [float(square_score(e))]

    def control(self, part: Part) -> Part:
        """The same sampler, sent a fifth too far down."""
        assert isinstance(part, Sampler)
        return _TooFar(inner=part)


def _scores(e: Tensor, z: Tensor) -> list[float]:
    """Normal scores of mean, variance and correlation with the start, for unit normal e (n, d)."""
    n = len(e)
    means = e.mean(0) * n**0.5
    start = (e * z).sum() / z.square().sum().sqrt()
    return [*means.tolist(), float(square_score(e)), float(start)]


class _TooFar(Sampler):
    """A sampler whose last level is 0.8 of the one asked for: wrong on purpose."""

    name = "too-far-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points on another grid."""
        return self.inner.sample(denoiser, x, torch.cat([sigmas[:-1], 0.8 * sigmas[-1:]]), generator, cond)
