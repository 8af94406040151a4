"""Which levels an objective trains: none beyond the range of the run, and no hole in it. Exact probes for `levels` and
`objective-contract`.

The law of the levels is read off `Term.sigma`, on batches of clean rows and of rows of known noise. What a right law
must do is little: EDM's density (log sigma of mean -1.2 and std 1.2) leaves levels above 20 to one draw in thousands,
so that nothing is asked of clean rows and quiet ones above `HIGH`. A noisier row is seen above its own noise alone, by
any density: rows of noise up to `LOUDEST` show what happens there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ambientkit.builtin.checks.labelled import require
from ambientkit.builtin.checks.probe import GROUP, fixed_level, on_clean_rows, terms
from ambientkit.interfaces import Case, Levels, Objective

LENT = Levels(0.03, 6.0)
"""Another range than the default and than that of the case: a part that has a range written into it leaves it."""
QUIET, NOISY = 0.05, 0.3
"""Noise of rows, both inside of that range."""
LOW, HIGH = 0.1, 3.0
"""Clean rows are seen below the first, and some row above the second. EDM's density has 9 % of its mass below the
first, in this range, and 3 % above the second."""
STEP = 1.5
"""Ratio of the ends of the intervals between `LOW` and `HIGH`, none of which may be empty: EDM's density, half of
whose draws lie next to sigma_n, has 1 % of its mass in the emptiest."""
STEP_BELOW = 2.0
"""The same below the noise of the data, where a step of a chain may be long."""
LOUD, LOUDEST, TOP = 2.5, 66.0, 72.0
"""Noise of rows that are seen at high levels, and the highest level that is asked for, of a run up to 80."""
NEXT = 1.15
"""Rows of noise are seen between it and this many times it: EDM's density has 9 % of its mass there, at `NOISY`."""
FAR = 1.5
"""What clean rows are seen above, beside rows of `NOISY` too: EDM's density has 4 % of its mass there, in pairs."""
FAR_UP, FAR_ROWS, FAR_DRAWS = 12.0, 1024, 20 * 1024
"""Clean rows of a run up to 80 are seen above the first, in losses of so many rows, of so many draws."""
PILED, PILED_CALLS = 0.05, 40
"""The share of all levels that may be one and the same, and the losses that are looked at."""
ROWS, CALLS = 64, 400
"""Losses are asked until nothing is left out, at most so many, or a tenth where each row has a level of its own. An
interval with 3 % of the draws stays empty by chance with probability 5e-6 then."""


def levels_of(part: Objective, case: Case, noise: float, index: int, levels: Levels = LENT, rows: int = ROWS) -> Tensor:
    """The levels of all terms of one loss on rows of one noise, float64; empty where the rows are left out."""
    lent = dataclasses.replace(case, tools=dataclasses.replace(case.tools, levels=levels))
    batch = fixed_level(lent, rows, torch.full((rows,), noise, dtype=torch.float64), index)
    found = [term.sigma.detach().double() for term in terms(part, case.oracle, batch, lent, index)]
    return torch.cat(found or [torch.zeros(0, dtype=torch.float64)])


def within_the_range_lent(part: Objective, case: Case) -> None:
    """No level lies below sigma_min or above sigma_max of `Tools.levels`. Raises Broken."""
    noise = 0.0 if on_clean_rows(case) else NOISY
    sigma = torch.cat([levels_of(part, case, noise, index) for index in range(10)])
    inside = (sigma >= LENT.sigma_min * (1 - 1e-5)) & (sigma <= LENT.sigma_max * (1 + 1e-5))
    require(bool(inside.all()), "levels are trained that lie beyond the range of the run (Tools.levels)")


def no_hole_above(part: Objective, case: Case) -> None:
    """Clean rows and quiet ones together are seen at all levels from `LOW` to `HIGH`, and clean rows below `LOW`; who
    leaves clean rows out may have an upper end of its own. Raises Broken."""
    taken = bool(len(levels_of(part, case, 0.0, 0)))
    if taken:
        _filled(
            lambda index: levels_of(part, case, 0.0, index),
            [(LENT.sigma_min, LOW)],
            "clean rows are never seen at low levels, where they can be",
        )
    quiet = torch.cat([levels_of(part, case, QUIET, index) for index in range(20)])
    low, high = (LOW, HIGH) if taken else (1.02 * QUIET, max(float(quiet.max()), QUIET) if len(quiet) else QUIET)
    spans = _spans(low, high, STEP)
    _filled(
        lambda index: torch.cat([levels_of(part, case, noise, index) for noise in (0.0, QUIET)]),
        [*spans, (HIGH, LENT.sigma_max)] if taken else spans[:-1],
        "levels are left out",
    )


def none_left_out_next_to_the_noise(part: Objective, case: Case) -> None:
    """Rows of one noise, if they are taken, are seen within `NEXT` times it, where consistency begins. Raises
    Broken."""
    if len(levels_of(part, case, NOISY, 0)):
        _filled(
            lambda index: levels_of(part, case, NOISY, index),
            [(NOISY, NEXT * NOISY)],
            "levels next to the noise of the rows are left out",
        )


def none_piled_up(part: Objective, case: Case) -> None:
    """No level is drawn again and again, as where levels are clamped onto one. Raises Broken.

    An objective may draw one level for all rows of a call, so that one counts only if it comes in several.
    """
    for noise in (NOISY, QUIET, 0.0):
        calls = [levels_of(part, case, noise, index) for index in range(PILED_CALLS)]
        values, count = torch.cat(calls).unique(return_counts=True)
        often = values[count > PILED * max(int(count.sum()), 1)]
        piled = [value for value in often if sum(bool((value == one).any()) for one in calls) > 2]
        require(not piled, f"levels are piled up: a share of more than {PILED:g} is one and the same")


def no_hole_at_the_top(part: Objective, case: Case) -> None:
    """Rows of noise from `LOUD` to `LOUDEST`, one noise for each loss, are seen at all levels up to `TOP`, and none
    below its own noise. Raises Broken.

    A density that keeps within 1.2 times the noise of the row fills each interval in 6 % of the losses, so that one
    stays empty by chance with probability 1e-10.
    """
    levels = Levels(LENT.sigma_min, 80.0)

    def drawn(index: int) -> Tensor:
        share = (index * (5**0.5 - 1) / 2) % 1  # the golden ratio: the first few losses are spread over the range
        noise = LOUD * (LOUDEST / LOUD) ** share
        sigma = levels_of(part, case, noise, index, levels)
        require(bool((sigma >= noise * (1 - 1e-5)).all()), "rows of much noise are seen below it")
        return sigma

    _filled(drawn, _spans(HIGH, TOP, STEP), "high levels are left out")


def quiet_rows_reach_far_up(part: Objective, case: Case) -> None:
    """In a run up to 80 clean rows, if they are taken and each has a level of its own, are seen above `FAR_UP` now and
    then. Raises Broken.

    EDM's density has 0.1 % of its mass there, 22 of `FAR_DRAWS` draws, so that none comes with probability 3e-10.
    """
    levels, count = Levels(LENT.sigma_min, 80.0), 0
    for index in range(FAR_DRAWS // FAR_ROWS):
        sigma = levels_of(part, case, 0.0, index, levels, FAR_ROWS)
        if len(sigma.unique()) <= len(sigma) / 4 or "clean-rows-low" in part.claims or bool((sigma > FAR_UP).any()):
            return
        count += len(sigma)
    require(False, f"no level above {FAR_UP:g} comes in {count} draws on clean rows, in a run up to 80")


def clean_rows_keep_their_range(part: Objective, case: Case) -> None:
    """Clean rows that are seen at high levels in batches of their own are seen there beside noisy rows too. Raises
    Broken."""
    alone = [levels_of(part, case, 0.0, index) for index in range(10)]
    if "clean-rows-low" in part.claims or not bool((torch.cat(alone) > FAR).any()):
        return
    lent = dataclasses.replace(case, tools=dataclasses.replace(case.tools, levels=LENT))
    clean = torch.arange(ROWS) % 2

    def drawn(index: int) -> Tensor:
        batch = fixed_level(lent, ROWS, torch.where(clean == 1, 0.0, NOISY).double(), index)
        asked = [torch.zeros(0, dtype=torch.float64)]

        def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if GROUP in cond and cond[GROUP].shape == sigma.shape:
                asked.append(sigma.detach().double()[cond[GROUP] == 1])
            return case.oracle(x, sigma)

        terms(part, watched, batch._replace(cond={GROUP: clean}), lent, index)
        return torch.cat(asked)

    if len(drawn(0)):  # who leaves clean rows out beside noisy ones, or does not say which they are
        _filled(
            drawn, [(FAR, LENT.sigma_max)], "clean rows are never seen at high levels where noisy ones are beside them"
        )


def visits_below_the_noise(part: Objective, case: Case) -> None:
    """Rows of noise are seen below it, by an objective that says so of itself; one that takes clean rows for that
    claims "clean-rows-low". Raises Broken."""
    if "clean-rows-low" not in part.claims:
        _filled(
            lambda index: levels_of(part, case, NOISY, index),
            [(LENT.sigma_min, 0.999 * NOISY)],
            "it says that it trains levels below the noise of the data, and never sees a noisy row there",
        )


def no_hole_below(part: Objective, case: Case) -> None:
    """Rows of noise and clean ones together are seen at all levels from a little above sigma_min to the noise. Raises
    Broken."""
    _filled(
        lambda index: torch.cat([levels_of(part, case, noise, index) for noise in (NOISY, 0.0)]),
        _spans(1.25 * LENT.sigma_min, NOISY, STEP_BELOW),
        "levels are left out below the noise of the data",
    )


def _spans(low: float, high: float, step: float) -> list[tuple[float, float]]:
    found = []
    while low < 0.999 * high:
        found.append((low, min(low * step, high)))
        low *= step
    return found


def _filled(draw: Callable[[int], Tensor], spans: Sequence[tuple[float, float]], otherwise: str) -> None:
    """Some level lies in each span. Raises Broken."""
    left, count = list(spans), 0
    for index in range(CALLS):
        sigma = draw(index)
        count += len(sigma)
        own_level = len(sigma.unique()) > len(sigma) / 4
        left = [(low, high) for low, high in left if not bool(((sigma >= low) & (sigma <= high)).any())]
        if not left:
            return
        if own_level and index >= CALLS / 10:
            break
    low, high = left[0]
    require(False, f"{otherwise}: none of {count} lies from {low:.2g} to {high:.2g}")
