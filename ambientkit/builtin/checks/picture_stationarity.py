"""The check `picture-stationarity`: at the exact denoiser of known pictures the mean gradient is zero, pixel by
pixel."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.builtin.checks.labelled import SHAPE, SPACING, Broken, asked_of
from ambientkit.builtin.checks.outcome import mean_zero_by_kind
from ambientkit.builtin.checks.picture_views import PATTERN, picture_batch, picture_tools
from ambientkit.builtin.checks.probe import gradient, mean_value
from ambientkit.builtin.checks.stationarity import Shifted
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part
from ambientkit.maths.noise import per_row

DIRECTIONS = torch.stack(
    [
        torch.ones_like(PATTERN),
        PATTERN,
        torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5,
    ]
)
"""In which the answer is moved: brightness, what all pictures have in common, and another pattern."""


class PictureStationarity(Check):
    """`stationarity` on pictures: with D = m exact, where m is a known picture with structure, no pattern of pixels is
    pulled anywhere.

    The answer is m + sigma / (1 + sigma) sum_k theta_k P_k, low and high levels apart, for three patterns P of pixels
    and for the noise of the view, (x - m) / sigma; the gradient in theta of each loss is one sample of Hotelling's
    test. In the plane a target that is blurred, moved or clipped cannot be distinguished from one that is not.
    """

    name = "picture-stationarity"
    source = "as `stationarity`; D = m for a known point"
    kind = "objective"
    claim = "stationary-at-oracle"
    null_law = "F(8, n - 8) of Hotelling's T^2, of all batches and of each kind (Bonferroni)"
    detects = "a target that is blurred, moved or clipped, or compared with other pixels"
    meaning = (
        "On pictures training would end somewhere else than at E[x_0 | x_t]: details are blurred, moved or clipped."
    )
    quick = True

    batches: int = Field(72, ge=60)
    """Independent gradients."""
    batch_size: int = Field(48, ge=8)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient."""
        assert isinstance(part, Objective)
        samples = []
        for index in range(self.batches):
            theta = torch.zeros(2 * len(DIRECTIONS) + 2, dtype=torch.float64, requires_grad=True)
            moved = _moved(theta)
            batch = picture_batch(part, case, self.batch_size, index)
            try:
                terms = part.loss(moved, batch, picture_tools(case, moved, index)).values()
            except Broken as error:
                return Measured(math.inf, 0.0, index, str(error))
            samples.append(gradient(mean_value([term for term in terms if len(term.value)]), theta))
        return mean_zero_by_kind(torch.stack(samples), 3)

    def control(self, part: Part) -> Part:
        """The same objective, shown a denoiser that is wrong by 0.5 log sigma."""
        assert isinstance(part, Objective)
        return Shifted(inner=part)


def _moved(theta: Tensor) -> Denoiser:
    def moved(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        number = asked_of(x - PATTERN.to(x.dtype), sigma, cond, conditioned=False)
        level = per_row(sigma.detach().double(), x)
        low = torch.exp(-((level / 0.3) ** 2))
        centre = per_row(SPACING * number.double(), x) + PATTERN
        noise = (x.double() - centre) / level
        one, other = (torch.einsum("k,kchw->chw", half[:-1], DIRECTIONS) + half[-1] * noise for half in theta.chunk(2))
        push = level / (1 + level) * (low * one + (1 - low) * other)
        return (centre + push + 0.0 * x).to(x.dtype)

    return moved
