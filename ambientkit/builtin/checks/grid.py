"""The check `grid`: the denoiser is asked at the levels of the grid, for every row its own, and nowhere outside of
them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.travel import at_level, column_grids, key
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.noise import RandomSource


class Grid(Check):
    """Every level of the grid but the last is visited in each row, and none above the first or below the last.

    The first question is about the start itself, at sigmas[0]. Levels in between are allowed: some rules ask at
    midpoints. Grids are short and long, with steps of a factor of 6 down to one of 1.01. The grad mode is left as it
    was, and the shape and the dtype of the points are kept, for a batch of one row too.
    """

    name = "grid"
    source = "the contract of `Sampler`"
    kind = "sampler"
    claim = "grid-levels"
    null_law = "exact: relative tolerance 1e-6"
    detects = "a level left out, repeated for another row, or out of the range"
    meaning = (
        "The network is asked at levels that nobody chose, perhaps where it was never trained, or one of "
        "the levels is skipped."
    )
    quick = True

    rows: int = Field(4, ge=2)
    """Rows of the batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest relative distance of a level that was asked for from where it should be; infinity for anything
        else that is wrong."""
        assert isinstance(part, Sampler)
        error = max(self._once(part, case, rows, end) for rows in (1, self.rows) for end in (0.0, 0.15))
        error = max(error, self._once(part, case, 1, 0.0, 24), self._once(part, case, 3, 0.002, 7, (80.0, 50.0)))
        # Levels next to each other, and several of them at the low end.
        error = max(
            error, self._once(part, case, 2, 0.3, 8, (0.4, 0.39)), self._once(part, case, 2, 0.002, 7, (0.05, 0.04))
        )
        error = max(error, self._once(part, case, 2, 0.3, 5, (0.31, 0.309)))
        return exact(error, 1e-6, 9)

    def control(self, part: Part) -> Part:
        """The same sampler on the grid without its second level."""
        assert isinstance(part, Sampler)
        return _Skipping(inner=part)

    def _once(
        self,
        part: Sampler,
        case: Case,
        rows: int,
        end: float,
        levels: int = 6,
        start: tuple[float, float] = (2.0, 0.9),
    ) -> float:
        sigmas = column_grids(start, (end, end), levels, rows)
        # Uneven steps: on equal ratios a midpoint rule would ask, by chance, at a level that was left out.
        sigmas[1:5] *= torch.tensor([1.1, 0.94, 1.07, 0.97], dtype=torch.float64).unsqueeze(1) if levels == 6 else 1.0
        x = at_level(case.law, sigmas[0], key(case, "grid.start"))
        asked: list[tuple[Tensor, bool]] = []
        first: list[Tensor] = []

        def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            first.append(x)
            asked.append((sigma.detach().double(), torch.is_grad_enabled()))
            return case.oracle(x, sigma)

        wrong = 0.0
        for grad in (True, False):
            asked.clear()
            first.clear()
            with torch.set_grad_enabled(grad):
                found = part.sample(watched, x, sigmas, key(case, "grid.noise"), {})
                kept = torch.is_grad_enabled() == grad and all(mode == grad for _, mode in asked)
            if not kept or found.shape != x.shape or found.dtype != x.dtype or not asked:
                return math.inf
            if not torch.allclose(first[0], x[: len(first[0])], rtol=1e-6) and not any(
                torch.equal(first[0], x[i::2]) for i in range(2)
            ):
                return math.inf
            wrong = max(wrong, _distance(asked, sigmas))
        return wrong


def _distance(asked: list[tuple[Tensor, bool]], sigmas: Tensor) -> float:
    """How far, relatively, the levels asked for are from covering each row's grid and lying within it."""
    levels, rows = [level for level, _ in asked], sigmas.shape[1]
    if min(float(level.min()) for level in levels) <= 0:
        return math.inf
    # Where rows of equal grids were run group by group, the requested row is unknown: all questions count for each row.
    whole = all(len(level) == rows for level in levels)
    worst = 0.0
    for row in range(rows):
        grid = sigmas[:, row]
        column = torch.stack(levels)[:, row] if whole else torch.cat(levels)
        top, low = (grid[0], grid[-1]) if whole else (sigmas.max(), sigmas[-1].min())
        visited = (column / grid[:-1].unsqueeze(1) - 1).abs().min(1).values
        below = (low - column.min()) / low if low > 0 else torch.zeros(())
        worst = max(worst, float(column.max() / top - 1), float(below), float(visited.max()))
    return worst


class _Skipping(Sampler):
    """A sampler that leaves a level out: wrong on purpose."""

    name = "skipping-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points on another grid."""
        return self.inner.sample(denoiser, x, torch.cat([sigmas[:1], sigmas[2:]]), generator, cond)
