"""The check `points-at-level`: what a sampler gives the denoiser with a point is the level of its noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.noise import RandomSource, per_row, standard_normal

TOP, LOW = (3.0, 2.0), (0.01, 0.02)
"""First and last levels of two kinds of rows. None ends at 0: a rule of two calls may ask about such a row in vain,
where the rows beside it have a second call."""
SHAPE = (2, 32, 32)


class PointsAtLevel(Check):
    """For data that are one picture m, D = m, every point that a sampler asks about at level sigma is m + sigma w, w of
    mean square 1, and so are its ends.

    Every rule is linear in x and D, and for D = m the law of each level is normal, so that a sampler which keeps the
    law keeps this, up to the error of its steps: row by row, in `steps` short steps down to low levels. It shows noise
    that is larger or smaller than the levels say, and a level that is not that of the point, which a final law hides
    where the denoiser hardly changes with the level.
    """

    name = "points-at-level"
    source = "the definition of a level: x_t = x_0 + sigma z"
    kind = "sampler"
    claim = "final-law"
    null_law = "exact: relative error of the level at most 0.1"
    detects = (
        "a level that the denoiser is given wrong by 12 %, also in the last steps; noise that adds up to a std wrong "
        "by 12 %"
    )
    meaning = "The network is asked about points at other levels than theirs, and answers too smoothly or too roughly."
    quick = True

    rows: int = Field(16, ge=2)
    """Pictures of 2,048 values, so that a root mean square of one row has a standard error of 1.6 %."""
    steps: int = Field(240, ge=20)
    """Steps of the grid."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest relative error of the level, over all questions and the ends."""
        assert isinstance(part, Sampler)
        kind = torch.arange(self.rows) % 2
        top, low = (torch.tensor(levels, dtype=torch.float64)[kind] for levels in (TOP, LOW))
        sigmas = geometric_grid(top, low, self.steps + 1)
        m = 2 * torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
        m = m.expand(self.rows, *SHAPE)
        x = m + per_row(top, m) * standard_normal(m, key(case, "points-at-level.start"))
        errors: list[float] = []

        def known(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            errors.append(_off(x.double() - m[: len(x)], sigma.double()))
            return m[: len(x)].to(x.dtype)

        with torch.no_grad():
            end = part.sample(known, x, sigmas, key(case, "points-at-level.noise"), {}).double() - m
        errors.append(_off(end, sigmas[-1]))
        worst = max(errors) if all(map(math.isfinite, errors)) else math.inf
        return exact(worst, 0.1, self.rows)

    def control(self, part: Part) -> Part:
        """The same sampler, which gives the denoiser three quarters of each level."""
        assert isinstance(part, Sampler)
        return _Lower(inner=part)


def _off(w: Tensor, sigma: Tensor) -> float:
    """The largest relative error of the levels of points, over kinds of rows of one level."""
    worst = 0.0
    for level in sigma.unique():
        own = w[sigma == level].square().mean().sqrt() / level
        worst = max(worst, float((own - 1).abs()))
    return worst


class _Lower(Sampler):
    """A sampler that gives lower levels: wrong on purpose."""

    name = "lower-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points for another denoiser."""

        def lower(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return denoiser(x, 0.75 * sigma, **cond)

        return self.inner.sample(lower, x, sigmas, generator, cond)
