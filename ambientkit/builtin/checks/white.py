"""Is this standard normal noise? One battery of tests for what corruptions draw."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ambientkit.builtin.checks.outcome import all_of, square_score
from ambientkit.interfaces import Measured
from ambientkit.maths.noise import per_row

TAILS = (2.2, 3.3)
"""Of standard normal values 2.8 % and 0.1 % lie beyond."""


def _scored(score: Tensor, n: int, why: str = "") -> Measured:
    """A score that is standard normal under the null; with the reason where it is far out."""
    from scipy import stats

    p = 2 * float(stats.norm.sf(float(score.abs())))
    return Measured(float(score.abs()), p, n, why if p < 1e-6 else "")


def white_normal(e: Tensor, x: Tensor, level: Tensor) -> Measured:
    """Tests in one that e (B, C, H, W) is white standard normal noise, independent of the picture x and of the level
    (broadcastable).

    Mean, variance, normality (Kolmogorov-Smirnov) and the number of values far out (binomial); correlation with the
    next pixel, row below, channel and row of the batch; noise, or a strength of it, that rows or pixels have in common;
    correlation of e and e^2 with x, of e^2 with the level. Bonferroni over all of them.
    """
    from scipy import stats

    if not e.isfinite().all():
        return Measured(math.inf, 0.0, e.numel())
    n, square = e.numel(), e.square() - 1
    around = x - x.mean()
    scores = [e.sum() / n**0.5, square_score(e), (e * x).sum() / x.norm()]
    scores += [(square * w).sum() / (2**0.5 * w.norm()) for w in (around, around.abs() - around.abs().mean())]
    spread = per_row(level, e).expand_as(e) - per_row(level, e).expand_as(e).mean()
    if spread.norm() > 1e-9:
        scores.append((square * spread).sum() / (2**0.5 * spread.norm()))
    found = [_scored(score, n) for score in scores]
    for one, next_one, where in (
        (e[..., 1:], e[..., :-1], "pixels side by side"),
        (e[..., 1:, :], e[..., :-1, :], "pixels one above the other"),
        (e[:, 1:], e[:, :-1], "channels"),
        (e[1:], e[:-1], "rows of the batch"),
    ):
        if one.numel():
            correlation = float((one * next_one).mean())
            found.append(
                _scored(
                    (one * next_one).sum() / one.numel() ** 0.5,
                    n,
                    f"the noise of {where} correlates, by {correlation:.2g}",
                )
            )
    # Of the squares too: noise whose strength differs per pixel or per row, on average right.
    rows_square, pixels_square = (
        square.flatten(1).sum(1).square().sum() / (2 * e[0].numel()),
        square.sum(0).square().sum() / (2 * len(e)),
    )
    by_row, by_pixel = e.flatten(1).sum(1).square().sum() / e[0].numel(), e.sum(0).square().sum() / len(e)
    common_to = ((by_row, len(e)), (by_pixel, e[0].numel()), (rows_square, len(e)), (pixels_square, e[0].numel()))
    for common, freedom in common_to:
        found.append(
            Measured(
                float(common), 2 * min(float(stats.chi2.sf(common, freedom)), float(stats.chi2.cdf(common, freedom))), n
            )
        )
    for far in TAILS:  # noise that is clipped, or has outliers, where neither the std nor the law as a whole shows it
        count = int((e.abs() > far).sum())
        found.append(Measured(count, float(stats.binomtest(count, n, 2 * float(stats.norm.sf(far))).pvalue), n))
    ks = stats.kstest(e.flatten().numpy(), "norm")
    return all_of([*found, Measured(float(ks.statistic), float(ks.pvalue), n)])


def pictures(n: int, generator: torch.Generator) -> Tensor:
    """Clean pictures (n, 2, 8, 8) in [-1, 1], float64, each with a brightness of its own."""
    base = torch.rand(n, 1, 1, 1, generator=generator, dtype=torch.float64) - 0.5
    return base + torch.rand(n, 2, 8, 8, generator=generator, dtype=torch.float64) - 0.5
