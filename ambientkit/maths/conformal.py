"""Calibrated evidence: conformal p-values against rows that were held out, and lists of rows at a false-discovery
rate."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ambientkit.errors import InputError


def conformal_p_values(scores: Tensor, null: Tensor, generator: Generator | None = None) -> Tensor:
    """p = (1 + #{null >= s}) / (n + 1) for each score s: how often a row that was held out looks as memorised as this
    one.

    scores (m,), null (n,), of any unit; large scores speak for memorisation. Returns (m,) in float64, from 1 / (n + 1)
    to 1. If s is exchangeable with the null scores, P(p <= a) <= a at every a and every n, with ties or without: ties
    count against the finding.

    generator: p-values with ties broken at random, (#{null > s} + u (1 + #{null = s})) / (n + 1) with u ~ U(0, 1):
    exactly uniform under exchangeability, so that they can be tested for it. For findings take the others: nobody
    should be listed by luck. Raises InputError for an empty null set, and for scores that are not finite. Source: Vovk,
    Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005), section 2.2; as tests of outliers, Bates et
    al. (2023), arXiv 2104.08279.
    """
    scores, null = scores.double().cpu(), null.double().cpu()
    if scores.ndim != 1 or null.ndim != 1 or len(null) == 0:
        raise InputError(
            f"p-values: needs scores (m,) and null scores (n,), n > 0, not {tuple(scores.shape)} and "
            f"{tuple(null.shape)}"
        )
    if not (scores.isfinite().all() and null.isfinite().all()):
        raise InputError("p-values: the scores are not finite")
    ordered, n = null.sort().values, len(null)
    above = n - torch.searchsorted(ordered, scores, right=True)
    at_least = n - torch.searchsorted(ordered, scores, right=False)
    if generator is None:
        return (1 + at_least).double() / (n + 1)
    u = torch.rand(len(scores), generator=generator, dtype=torch.float64)
    return (above + u * (1 + at_least - above)) / (n + 1)


def null_rows_needed(level: float, tests: int = 1) -> int:
    """How many held-out rows make a p-value of `level` possible, as p >= 1 / (n + 1): n = ceil(1 / level) - 1.

    tests: of so many rows at once, Benjamini-Hochberg lists a single one only if p <= level / tests: this is that n.
    Where many rows are memorised, fewer do. Raises InputError for a level that is not within (0, 1), and for no tests.
    """
    if not 0 < level < 1 or tests < 1:
        raise InputError(
            f"level {level:g} with {tests} tests: the level should be above 0 and below 1, and there should be a test"
        )
    return math.ceil(tests / level - 1e-9) - 1  # the rounding of 1 / 0.01 must not ask for a row more


def need_levels(**levels: float) -> None:
    """Raise InputError naming the first of these levels that is not above 0 and below 1."""
    for name, level in levels.items():
        if not 0 < level < 1:
            raise InputError(f"{name} {level:g}: should be above 0 and below 1")


def need_null_rows(n: int, level: float) -> None:
    """Raise InputError that says how many held-out rows are needed, where n are too few for any p-value to reach
    `level`."""
    if n < (needed := null_rows_needed(level)):
        raise InputError(
            f"{n} held-out rows: a p-value is never below 1 / (n + 1) = {1 / (n + 1):.3g}, so that none can reach "
            f"the level {level:g}. "
            f"Give at least {needed} held-out rows, or a level of {1 / (n + 1):.2g} or more"
        )


def least_listed(tests: int, null: int, level: float) -> int:
    """The least number of rows that can be listed: with fewer of the least p-value, 1 / (null + 1), Benjamini-Hochberg
    lists none of `tests`."""
    return max(1, math.ceil(tests / (level * (null + 1)) - 1e-9))


def listing(found: int, tests: int, null: int, level: float, what: str) -> str:
    """How many are listed, and how short a list could have been: fewer cannot be distinguished from chance with so few
    held-out
    rows."""
    least = least_listed(tests, null, level)
    short = (
        f"; with {null} held-out rows no list is shorter than {least}, for a single one "
        f"{null_rows_needed(level, tests)} would be needed"
        if least > 1
        else ""
    )
    return f"{found} of {tests} {what} at a false-discovery rate of {level:g}{short}"


def listed(p_values: Tensor, level: float) -> Tensor:
    """Which tests are listed at a false-discovery rate of `level`, (m,) bool, by Benjamini and Hochberg.

    Of the rows listed, an expected share of at most `level` is there by chance. That all p-values share one null set
    makes them positively dependent, under which the procedure holds (Bates et al.). By
    `scipy.stats.false_discovery_control`. Source: Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57 (1).
    """
    from scipy.stats import false_discovery_control

    if len(p_values) == 0:
        return torch.zeros(0, dtype=torch.bool)
    return torch.from_numpy(false_discovery_control(p_values.double().cpu().numpy())) <= level
