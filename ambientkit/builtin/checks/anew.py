"""Whether an objective draws anew in each call of a run, with what it keeps between them. An exact probe for
`levels`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.checks.labelled import SHAPE, SIGNAL, SPACING, OneStep, labelled, number_of, require
from ambientkit.builtin.checks.probe import on_clean_rows
from ambientkit.builtin.checks.travel import key
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Memory, Objective, Tools
from ambientkit.maths.noise import per_row

NOISE = 0.3
ROWS, CALLS = 16, 5
"""Of a run on the same rows. Noise of 105 values that is drawn anew has a correlation of 0 in two calls, std 0.1."""
ALONE = 120
"""Calls for one row. Ranks of as many independent numbers are correlated by 0.52 with a chance of 2e-9."""
TIED = 0.52
"""The rank correlation, of either sign, of a value's noise, or of its size, with the level that it is seen at. Where
levels and normal numbers come from one state of a generator, the size has 0.7, and the sign says nothing."""
ALIKE = 0.5
"""The share of levels that may stay from call to call, as of a table of levels; and the correlation of the noise."""


PLACED = 0.9
"""The mean rank correlation of the levels of equal rows in calls one after another. Of independent levels of 16 rows,
or of 8 pairs, it is 0 with a std of 0.13, or 0.19."""


def draws_anew(part: Objective, case: Case) -> None:
    """In a run on the same rows, with one memory, neither the levels nor the noise of the views stay from call to call,
    and one row alone is seen at more than two levels, by noise that has nothing to do with them. Levels do not follow
    the place of a row in its batch. Raises Broken."""
    try:
        levels, noise = _run(part, case, ROWS, CALLS)
        alone, added = _run(part, case, 1, ALONE)
    except InputError:
        return
    pairs = [(one, other) for one, other in zip(levels, levels[1:]) if len(one) == len(other) > 1]
    stays = [float((one == other).double().mean()) > ALIKE for one, other in pairs]
    require(not stays or not all(stays), "the levels of the rows stay from call to call of a run")
    order = [_in_one_order(one, other) for one, other in pairs if len(one) >= ROWS - 2]
    placed = len(order) == CALLS - 1 and sum(order) > PLACED * len(order)
    require(not placed, "levels go with the place of a row in the batch: each place has a range of its own")
    found = [
        float((one[row] * other[row]).sum() / (one[row].norm() * other[row].norm()))
        for one, other in zip(noise, noise[1:])
        for row in one.keys() & other.keys()
    ]
    kept = len(found) >= ROWS and sorted(found)[len(found) // 4] > ALIKE
    require(not kept, "the noise of a row's views stays from call to call of a run")
    seen = torch.cat(alone)
    require(len(seen) < ALONE / 2 or len(seen.unique()) > 2, "a row alone is always seen at the same level or two")
    require(not _tied(alone, added), "the noise of a row alone goes with its level: both are drawn from equal bits")


def _in_one_order(one: Tensor, other: Tensor) -> float:
    """The rank correlation of two sets of levels; 0 where those of one are all equal."""
    if len(one.unique()) == 1 or len(other.unique()) == 1:
        return 0.0
    a, b = ((r - r.mean()) / r.std(unbiased=False) for r in (v.argsort().argsort().double() for v in (one, other)))
    return float((a * b).mean())


def _tied(levels: list[Tensor], noise: list[dict[int, Tensor]]) -> bool:
    """Whether the noise of some value of one row, or its size, in calls that ask about it once, has the order of its
    levels."""
    pairs = [(level, added[0]) for level, added in zip(levels, noise, strict=True) if len(level) == 1 and 0 in added]
    if len(pairs) < ALONE / 2:
        return False
    sigma, e = torch.cat([level for level, _ in pairs]), torch.stack([e.flatten() for _, e in pairs])
    ranks = [value.argsort(0).argsort(0).double() for value in (sigma.unsqueeze(1), torch.cat([e, e.abs()], dim=1))]
    one, other = ((r - r.mean(0)) / r.std(0, unbiased=False) for r in ranks)
    return float((one * other).mean(0).abs().max()) > TIED


def _run(part: Objective, case: Case, rows: int, calls: int) -> tuple[list[Tensor], list[dict[int, Tensor]]]:
    """Of each call the levels of its terms, and the last noise that was added to each row, over its std."""
    level = torch.full((rows,), 0.0 if on_clean_rows(case) else NOISE)
    batch = labelled(level, key(case, "anew.rows"))
    memory: Memory = {}
    levels, noise = list[Tensor](), list[dict[int, Tensor]]()
    for index in range(calls):
        exact = _Noting(batch)
        generator = key(case, "anew.loss", index)
        tools = Tools(case.tools.corruption, OneStep(), exact, SIGNAL, generator, case.tools.levels, memory)
        found = part.loss(exact, batch, tools).values()
        levels.append(torch.cat([term.sigma.detach().double() for term in found]))
        noise.append(exact.added)
    return levels, noise


class _Noting:
    """The exact denoiser of labelled rows 1, 2, ..., which notes the last noise that was added to each, over its
    std."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.added: dict[int, Tensor] = {}

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        number, x_n, own = number_of(x), self._batch.x_n, float(self._batch.sigma_n[0])
        for row in range(len(x)):
            place, missing = int(number[row]) - 1, float(sigma[row]) ** 2 - own**2
            if 0 <= place < len(x_n) and missing > 1e-4:
                self.added[place] = ((x[row] - x_n[place]) / missing**0.5).detach().double()
        return per_row(SPACING * number.to(x.dtype), x).expand(-1, *SHAPE) + 0 * x
