"""From numbers to a `Measured`: exact comparisons, means that should be 0, and several tests in one.

scipy takes half a second to import, so it is loaded where a p-value is looked up, not by who only lists the parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ambientkit.interfaces import Measured
from ambientkit.maths.statistics import hotelling_f


def exact(error: float, tolerance: float, n: int) -> Measured:
    """An error that must be at most `tolerance`: p-value 1 if it is, 0 if it is not or is not a number."""
    return Measured(error, 1.0 if error <= tolerance else 0.0, n)


def largest(errors: Iterable[Tensor]) -> float:
    """The largest absolute value in some tensors; infinity where one is not finite."""
    found = 0.0
    for error in errors:
        if error.numel():
            found = max(
                found,
                float(error.detach().double().abs().nan_to_num(nan=math.inf, posinf=math.inf, neginf=math.inf).max()),
            )
    return found


SAME = 1e-12
"""Std of a column whose largest value is 1, up to which it is rounding."""


def _largest_one(samples: Tensor) -> Tensor:
    """Each column over its largest absolute value, which leaves Hotelling's statistic as it is. A gradient next to
    1e-200, at levels where a direction is hardly felt, would have a std of 0 otherwise: its squares are below float64.
    """
    top = samples.abs().amax(0)
    return samples / torch.where(top > 0, top, 1.0)


def mean_zero(samples: Tensor) -> Measured:
    """Hotelling's test that the mean of independent rows (n, p) is 0. A column that never varies must be 0."""
    from scipy import stats

    n = len(samples)
    samples = _largest_one(samples)
    moved = samples.std(0) > SAME
    if not samples.isfinite().all() or (samples[:, ~moved] != 0).any():
        return Measured(math.inf, 0.0, n)
    if not moved.any():
        return Measured(0.0, 1.0, n)
    f = hotelling_f(samples[:, moved])
    return Measured(f.statistic, float(stats.f.sf(f.statistic, f.numerator, f.denominator)), n)


def mean_zero_by_kind(samples: Tensor, kinds: int) -> Measured:
    """`mean_zero` of all samples, and of those of each kind alone (row i is of kind i mod `kinds`), where an error of
    one kind is not diluted; Bonferroni.

    For the first each kind is scaled to a std of 1: a mixture of unlike spreads would have heavier tails than normal
    rows.
    """
    scaled = torch.empty_like(samples)
    for kind in range(kinds):
        own = _largest_one(samples[kind::kinds])
        spread = own.std(0)
        scaled[kind::kinds] = own / torch.where(spread > SAME, spread, 1.0)
    return all_of([mean_zero(scaled), *(mean_zero(samples[kind::kinds]) for kind in range(kinds))])


def scores_within(mean: Tensor, error: Tensor, tolerance: Tensor | float = 0.0) -> Tensor:
    """(|mean| - tolerance) / standard error, at least 0: the normal score of the hypothesis that the true mean is
    within `tolerance` of 0."""
    # A mean without spread is certain: it is within the tolerance, or infinitely far beyond it.
    excess = (mean.abs() - tolerance).clamp(min=0)
    return torch.where(excess > 0, excess / error.clamp(min=torch.finfo(excess.dtype).tiny), 0.0).nan_to_num(
        nan=math.inf
    )


def square_score(e: Tensor) -> Tensor:
    """Normal score of the mean square of n values that should be independent and N(0, 1), of any shape; a scalar.

    ((S / n)^(1/3) - 1 + c) / sqrt(c), c = 2 / (9 n), S their sum of squares. At n = 100 the tails of chi-squared beyond
    a score of 4.5 are within 10 % of the normal ones, and below them; of (S - n) / sqrt(2 n) the upper one is 18 times
    as heavy. Source: Wilson and Hilferty (1931).
    """
    return square_scores(e.square().mean(), e.numel())


def square_scores(mean: Tensor, n: int) -> Tensor:
    """`square_score` of each mean square of n values, of any shape."""
    c = 2 / (9 * n)
    return (mean ** (1 / 3) - (1 - c)) / c**0.5


def all_normal(scores: Tensor | Iterable[float], n: int) -> Measured:
    """Several tests in one: the largest |score|, and its two-sided normal p-value times their number (Bonferroni)."""
    from scipy import stats

    scores = torch.as_tensor([*scores], dtype=torch.float64).abs().nan_to_num(nan=math.inf, posinf=math.inf)
    worst = float(scores.max())
    return Measured(worst, min(1.0, len(scores) * 2 * float(stats.norm.sf(worst))), n)


def all_of(parts: Iterable[Measured]) -> Measured:
    """Several tests in one: the statistic of the one with the smallest p-value, and that p-value times their number
    (Bonferroni)."""
    parts = list(parts)
    worst = min(parts, key=lambda part: part.p_value)
    return Measured(worst.statistic, min(1.0, len(parts) * worst.p_value), worst.n, worst.why)
