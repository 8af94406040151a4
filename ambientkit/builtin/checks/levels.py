"""The check `levels`: an objective draws its levels above each row's own noise, and piles none up there."""

from __future__ import annotations

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.anew import draws_anew
from ambientkit.builtin.checks.coverage import (
    clean_rows_keep_their_range,
    no_hole_above,
    no_hole_at_the_top,
    none_left_out_next_to_the_noise,
    none_piled_up,
    quiet_rows_reach_far_up,
)
from ambientkit.builtin.checks.labelled import Broken
from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.probe import fixed_level, on_clean_rows, terms
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part, Tools

LOW, HIGH = 0.1, 1.5
"""Of the levels drawn for clean rows and for rows of 0.05 to 0.6 some lie below the first, and some above the
second."""
CALLS = 16
SHARE = 0.01
"""Of the levels, the largest that may be out of place."""


class LevelsAboveFloor(Check):
    """Levels are drawn from a density truncated to (sigma_n, sigma_max] of each row, never clamped onto sigma_n.

    At sigma = sigma_n the Tweedie gradient is zero, so a draw clamped there is lost: 37 % of an EDM batch at sigma_n =
    0.2. On rows of one level no `Term.sigma` may lie below it, above sigma_max, or, but for one in a hundred, on it. In
    a batch of quiet rows and one noisy row the quiet ones keep their own range: nine in ten levels would lie above the
    noisy row's floor only by another density. Among rows of unlike noise none lie on a floor either, nor where the
    pixels of a row are of unlike noise. Not all levels of a noisy row lie next to its floor, and clean and noisy rows
    together are asked about at low and at high levels, without a hole between them, next to the noise of a row too, and
    rows of much noise at levels up to the end of the range (see `coverage`), clean rows at levels above 12 too, and at
    high levels beside noisy ones; an objective may split these between them. In a run, with what an objective keeps,
    levels and noise are drawn anew in each call (`anew`).
    """

    name = "levels"
    source = "docs/method.md; arXiv 2404.10177, section 3"
    kind = "objective"
    claim = "levels-above-floor"
    null_law = "exact: share of levels out of place at most 0.01"
    detects = (
        "one level in a hundred on the floor, any below it, one in twenty on another number, one floor for a whole "
        "batch, or a range that is left out, such as that up to 1.15 times the noise; levels or noise that stay from "
        "call to call, or go with the place in the batch, noise that goes with the level"
    )
    meaning = (
        "Levels are drawn where nothing can be learnt from the row, or not where it could be: below, on, or "
        "far above the noise of the data."
    )
    quick = True

    batch_size: int = Field(512, ge=64)
    """Rows of each kind, in `CALLS` losses: an objective may draw one level for a whole batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest share of levels out of place."""
        assert isinstance(part, Objective)
        shares: list[float] = []
        drawn: list[Tensor] = []
        rows = self.batch_size // CALLS
        for index, floor in enumerate((0.0, 0.05, 0.2, 0.6)):
            sigma = self._drawn(part, case, torch.full((rows,), floor, dtype=torch.float64), index)
            if not len(sigma):  # an objective may leave rows out, clean ones above all
                continue
            drawn.append(sigma)
            shares.append(0.0 if floor == 0 or bool((sigma > 1.2 * floor).any()) else 1.0)
            on_it = (sigma <= floor * (1 + 1e-6)).double().mean()
            outside = (sigma < max(floor, case.tools.levels.sigma_min) * (1 - 1e-6)) | (
                sigma > case.tools.levels.sigma_max * (1 + 1e-6)
            )
            shares += [float(on_it), float(outside.any())]
        mixed = torch.full((rows,), 0.05, dtype=torch.float64)
        mixed[rows // 2] = 2.0
        every = torch.cat(drawn or [torch.zeros(0)])
        shares.append(0.0 if bool((every < LOW).any() and (every > HIGH).any()) else 1.0)
        quiet = (self._drawn(part, case, mixed, 4) < 2.0).double().mean()
        shares.append(1.0 if not quiet >= 0.1 else 0.0)
        floors = torch.tensor([0.05, 0.6, 2.0], dtype=torch.float64)
        beside = self._drawn(part, case, floors[torch.arange(rows) % 3], 5)
        shares.append(float(torch.isclose(beside.unsqueeze(1), floors, rtol=1e-6, atol=0).any(1).double().mean()))
        if "noise-by-pixel" in part.claims:  # of unlike pixels the noisiest is the floor
            unlike = torch.where(torch.arange(case.law.means.shape[-1]) % 2 == 0, 0.2, 0.6).double().expand(rows, -1)
            unlike = self._drawn(part, case, unlike, 6)
            shares.append(float((unlike <= 0.6 * (1 + 1e-6)).double().mean()) if len(unlike) else 0.0)
        if max(shares) <= SHARE and not on_clean_rows(case):
            try:
                draws_anew(part, case)
                none_piled_up(part, case)
                none_left_out_next_to_the_noise(part, case)
                no_hole_above(part, case)
                no_hole_at_the_top(part, case)
                quiet_rows_reach_far_up(part, case)
                clean_rows_keep_their_range(part, case)
            except Broken as error:
                return Measured(1.0, 0.0, 6 * self.batch_size, str(error))
        return exact(max(shares), SHARE, 6 * self.batch_size)

    def control(self, part: Part) -> Part:
        """The same objective, whose levels in the lower half are reported, as if clamped, on the floor."""
        assert isinstance(part, Objective)
        return _Clamped(inner=part)

    def _drawn(self, objective: Objective, case: Case, floor: Tensor, index: int) -> Tensor:
        found = [
            term.sigma.detach().double()
            for key in range(CALLS * index, CALLS * (index + 1))
            for term in terms(objective, case.oracle, fixed_level(case, len(floor), floor, key), case, key)
        ]
        return torch.cat(found or [torch.zeros(0, dtype=torch.float64)])


class _Clamped(Objective):
    """An objective half of whose levels stand on the floor: wrong on purpose."""

    name = "clamped-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms at clamped levels."""
        floor = tools.corruption.floor(batch).median()
        found = self.inner.loss(denoiser, batch, tools)
        return {
            name: Term(term.value, torch.where(term.sigma < term.sigma.median(), floor, term.sigma))
            for name, term in found.items()
        }
