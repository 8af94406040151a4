"""The check `picture-stationarity`: at the exact denoiser of known pictures the mean gradient is zero, pixel by
pixel."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.builtin.checks.labelled import SHAPE, SPACING, Broken, asked_of
from ambientkit.builtin.checks.outcome import all_of, mean_zero_by_kind
from ambientkit.builtin.checks.picture_views import PATTERN, group_of, picture_batch, picture_tools
from ambientkit.builtin.checks.probe import GROUPS, by_kind, calls_for, gradient, mean_value
from ambientkit.builtin.checks.stationarity import Shifted
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Memory, Objective, Part
from ambientkit.maths.noise import per_row

DIRECTIONS = torch.stack(
    [
        torch.ones_like(PATTERN),
        PATTERN,
        torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5,
    ]
)
"""In which the answer is moved: brightness, what all pictures have in common, and another pattern."""


EARLIER, KEPT, KEPT_ROWS, KEYS = 3, 24, 16, 30_000
"""Calls before the one that is measured, of an objective that keeps something; how many such gradients; the rows of a
call; and where their keys begin."""


CLEAR = 1e-6
"""A part that is rejected so far is not measured further."""


class PictureStationarity(Check):
    """`stationarity` on pictures: with D = m exact, where m is a known picture with structure, no pattern of pixels is
    pulled anywhere.

    The answer is m + sigma / (1 + sigma) sum_k theta_k P_k, low and high levels apart, for three patterns P of pixels
    and for the noise of the view, (x - m) / sigma; the gradient in theta of each loss is one sample of Hotelling's
    test. In the plane a target that is blurred, moved or clipped cannot be distinguished from one that is not. An
    objective that keeps something is measured after a few calls as well.
    """

    name = "picture-stationarity"
    source = "as `stationarity`; D = m for a known point"
    kind = "objective"
    claim = "stationary-at-oracle"
    null_law = "F(8, n - 8) of Hotelling's T^2, of all batches and of each kind (Bonferroni)"
    detects = (
        "a target that is blurred, moved or clipped, or compared with other pixels; noise that is left on draws which "
        "are kept"
    )
    meaning = (
        "On pictures training would end somewhere else than at E[x_0 | x_t]: details are blurred, moved or clipped."
    )
    quick = True

    batches: int = Field(72, ge=60)
    """Independent gradients; a few more where they are no multiple of 12."""
    batch_size: int = Field(48, ge=8)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient."""
        assert isinstance(part, Objective)
        samples = []
        for index in range(calls_for(self.batches)):
            theta = torch.zeros(GROUPS, 2 * len(DIRECTIONS) + 2, dtype=torch.float64, requires_grad=True)
            rows = GROUPS * self.batch_size
            batch = picture_batch(part, case, rows, index)
            moved = _moved(theta, partial(group_of, rows=rows, case=case, index=index))
            try:
                terms = part.loss(moved, batch, picture_tools(case, moved, index)).values()
            except Broken as error:
                return Measured(math.inf, 0.0, index, str(error))
            value = GROUPS * mean_value([term for term in terms if len(term.value)])
            samples.append(gradient(value, theta))
        found = mean_zero_by_kind(by_kind(samples), 3)
        kept = None if found.p_value < CLEAR else self._of_what_is_kept(part, case)
        return found if kept is None else all_of([found, kept])

    def _of_what_is_kept(self, part: Objective, case: Case) -> Measured | None:
        """The same in the call after `EARLIER` others, of small batches; None where nothing is kept. A chain
        drawn with D = m ends on m, so that noise which is left on it shows however little it is."""
        samples: list[Tensor] = []
        for sample in range(KEPT):
            memory: Memory = {}
            for call in range(EARLIER + 1):
                index = KEYS + 3 * ((EARLIER + 1) * sample + call)
                theta = torch.zeros(1, 2 * len(DIRECTIONS) + 2, dtype=torch.float64, requires_grad=True)
                moved = _moved(theta, lambda number: torch.ones(1, len(number)))
                tools = dataclasses.replace(picture_tools(case, moved, index), memory=memory)
                terms = part.loss(moved, picture_batch(part, case, KEPT_ROWS, index), tools).values()
                if not memory:
                    return None
            samples.append(gradient(mean_value([term for term in terms if len(term.value)]), theta))
        return mean_zero_by_kind(torch.cat(samples), 1)

    def control(self, part: Part) -> Part:
        """The same objective, shown a denoiser that is wrong by 0.5 log sigma."""
        assert isinstance(part, Objective)
        return Shifted(inner=part)


def _moved(theta: Tensor, group_of: Callable[[Tensor], Tensor]) -> Denoiser:
    def moved(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        number = asked_of(x - PATTERN.to(x.dtype), sigma, cond, conditioned=False)
        level = per_row(sigma.detach().double(), x)
        low = torch.exp(-((level / 0.3) ** 2))
        centre = per_row(SPACING * number.double(), x) + PATTERN
        noise = (x.double() - centre) / level
        # (B, 2, 4): what moves each row at low and at high levels, by the directions and by the noise.
        own = (group_of(number).double().mT @ theta).unflatten(1, (2, -1))
        strength = level / (1 + level) * torch.cat([low, 1 - low], 1)
        weights = (strength.flatten(1).unsqueeze(2) * own).sum(1)
        push = (weights[:, :-1] @ DIRECTIONS.flatten(1)).reshape(x.shape) + per_row(weights[:, -1], x) * noise
        return (centre + push + 0.0 * x).to(x.dtype)

    return moved
