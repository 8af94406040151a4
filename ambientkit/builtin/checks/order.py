"""The checks `order-1` and `order-2`: the error of a sampler falls with the claimed power of the step."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.travel import at_level, carry, key
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import RandomSource, per_row

START, END = 4.0, 0.25
CANCELLED = 1.5
"""How many times as large as its order says an error may be that had another sign at longer steps."""


class Order(Check):
    """The slope of log error against log step, on a grid of equal ratios of levels, between `steps` steps and twice as
    many; of a deterministic sampler also where long and short steps take turns, and on data and levels of a 20th and of
    12 times the size, whichever is least.

    A deterministic sampler is compared point by point with the probability-flow equation on a smooth mixture, solved by
    a Runge-Kutta rule of fourth order with very many steps; the null law is a tolerance. For one that draws, the error
    of the variance of its ends is taken, on Gaussian data in many dimensions (weak order); the slope is then an
    estimate with a known standard error, and errors at steps a fourth as long may not come back, as they do where two
    of unlike kinds have cancelled. An error too small to have a slope is of any order.
    """

    source = (
        "Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, section II.4; Kloeden, Platen, section 9.7"
    )
    kind = "sampler"

    steps: int = Field(24, ge=8)
    """Steps of the coarser grid."""
    rows: int = Field(16_000, ge=1000)
    """Points of which a stochastic sampler's variance is taken; one in 125 serves for a deterministic one."""

    @property
    @abc.abstractmethod
    def least(self) -> float:
        """The smallest slope that counts as the claimed order."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The slope, and its p-value under the hypothesis that it is at least `least`."""
        assert isinstance(part, Sampler)
        if _draws(part, case):
            return self._weak(part, case)
        slopes = {where: self._slope(part, case, size, grid) for where, (size, grid) in GRIDS.items()}
        where = min(slopes, key=lambda name: slopes[name])
        slope = slopes[where]
        why = where if slope < self.least <= slopes[""] else ""
        return exact(self.least - slope, 0.0, self.rows // 125)._replace(statistic=slope, why=why)

    def _slope(self, part: Sampler, case: Case, size: float, grid: Grid) -> float:
        """Of a deterministic sampler, on data and levels `size` times those of the smooth mixture."""
        law, rows = _smooth(size), self.rows // 125
        # Two kinds of rows with different grids, as a sampler must keep them apart.
        top = size * torch.tensor([START, 0.8 * START], dtype=torch.float64)[torch.arange(rows) % 2]
        start = at_level(law, top, key(case, "order.start"))
        end = torch.full_like(top, size * END)
        truth = _flow(law, start, geometric_grid(top, end, 161))
        errors = []
        for steps in (self.steps, 2 * self.steps):
            found = carry(part, law.denoiser(), start, grid(top, end, steps + 1), key(case, "order.noise"))
            errors.append(float((found - truth).square().mean().sqrt()) / size)
        if max(errors) < 1e-7:
            return math.inf
        # No slope at all is left of a wrong law: then the error stays, and so does this difference.
        right = all(math.isfinite(e) and e > 0 for e in errors)
        return math.log2(errors[0] / errors[1]) if right else -math.inf

    def control(self, part: Part) -> Part:
        """The same sampler with a denoiser that is wrong by 5 %: its error does not fall."""
        assert isinstance(part, Sampler)
        return _Inexact(inner=part)

    def _weak(self, part: Sampler, case: Case) -> Measured:
        from scipy import stats

        law = GaussianMixture([1.0], [[0.0] * 16], [(0.5**2 * torch.eye(16, dtype=torch.float64)).tolist()])
        top = torch.full((self.rows,), START, dtype=torch.float64)
        end = torch.full_like(top, END)
        errors, spreads = [], []
        for index, (steps, share) in enumerate(((self.steps // 2, 1), (self.steps, 1), (4 * self.steps, 5))):
            start = at_level(law, top[::share], key(case, "order.weak", index))
            grid = geometric_grid(top[::share], end[::share], steps + 1)
            found = carry(part, law.denoiser(), start, grid, key(case, "order.weak-noise", index))
            square = found.square() / (0.25 + END**2)
            errors.append(float(square.mean()) - 1)
            spreads.append(float(square.std()) / square.numel() ** 0.5)
        # Slope log2(e1 / e2) >= least  <=>  |e1| - 2^least |e2| >= 0: linear in the errors, so without a logarithm of
        # noise.
        factor = 2**self.least
        score = (factor * abs(errors[1]) - abs(errors[0])) / math.hypot(spreads[0], factor * spreads[1])
        slope = math.log2(abs(errors[0] / errors[1])) if errors[1] else math.inf
        # Errors of two sizes may cancel at one step, as the noise that a long step lacks and noise that is too large:
        # then they come back with steps a fourth as long.
        left = CANCELLED * max(abs(errors[0]) / 8**self.least, abs(errors[1]) / 4**self.least)
        back = (abs(errors[2]) - left) / math.hypot(spreads[2], spreads[1])
        worst = max(score, back) if math.isfinite(score) and math.isfinite(back) else math.inf
        return Measured(slope, min(1.0, 4 * float(stats.norm.sf(worst))), self.rows)


class FirstOrder(Order):
    """A sampler of first order: half the step, half the error."""

    name = "order-1"
    claim = "order-1"
    implied_by = frozenset({"order-2"})
    null_law = "deterministic: slope at least 0.75; stochastic: normal score of the slope, at least 0.75"
    detects = "an error that does not fall, or falls slower than the step to the power 0.7"
    meaning = "More steps do not bring the samples to the law of the data as fast as claimed, or not at all."

    @property
    def least(self) -> float:
        """A slope of 0.75."""
        return 0.75


class SecondOrder(Order):
    """A sampler of second order: half the step, a quarter of the error."""

    name = "order-2"
    claim = "order-2"
    null_law = "deterministic: slope at least 1.6; stochastic: normal score of the slope, at least 1.6"
    detects = "an error of first order"
    meaning = "The second evaluation of each step is wasted: the error falls no faster than with one."

    @property
    def least(self) -> float:
        """A slope of 1.6."""
        return 1.6


def _draws(sampler: Sampler, case: Case) -> bool:
    grid = torch.tensor([[1.0], [0.8], [0.6]], dtype=torch.float64)
    start = torch.full((1, case.law.dimension), 0.3, dtype=torch.float64)
    one, other = (carry(sampler, case.oracle, start, grid, key(case, "order.draws", index)) for index in range(2))
    return not torch.equal(one, other)


def _uneven_grid(start: Tensor, end: Tensor, levels: int) -> Tensor:
    """As `geometric_grid`, but that each second ratio is the cube of the one before: a rule of several steps has to
    know how long they were."""
    long = torch.where(torch.arange(levels - 1) % 2 == 0, 1.0, 3.0).to(start.dtype)
    ramp = torch.cat([long.new_zeros(1), long.cumsum(0) / long.sum()]).unsqueeze(1)
    grid = start * (end / start) ** ramp
    grid[0], grid[-1] = start, end
    return grid


def _smooth(size: float) -> GaussianMixture:
    eye = [[0.3 * size**2, 0.1 * size**2], [0.1 * size**2, 0.25 * size**2]]
    return GaussianMixture([0.6, 0.4], [[-0.5 * size, 0.2 * size], [0.6 * size, -0.3 * size]], [eye, eye])


Grid = Callable[[Tensor, Tensor, int], Tensor]
GRIDS: dict[str, tuple[float, Grid]] = {
    "": (1.0, geometric_grid),
    "on a grid of long and short steps in turn": (1.0, _uneven_grid),
    "at low levels": (0.05, geometric_grid),
    "at high levels": (12.0, geometric_grid),
}
"""Where -> how large the data and levels are, and the grid."""


def _flow(law: GaussianMixture, x: Tensor, grid: Tensor) -> Tensor:
    """dx/d log sigma = x - D(x, sigma) by the classical Runge-Kutta rule of fourth order."""

    def slope(x: Tensor, sigma: Tensor) -> Tensor:
        return x - law.posterior_mean(x, sigma)

    for sigma_t, sigma_s in zip(grid[:-1], grid[1:], strict=True):
        h, middle = per_row((sigma_s / sigma_t).log(), x), (sigma_t * sigma_s).sqrt()
        k_1 = slope(x, sigma_t)
        k_2 = slope(x + h / 2 * k_1, middle)
        k_3 = slope(x + h / 2 * k_2, middle)
        x = x + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + slope(x + h * k_3, sigma_s))
    return x


class _Inexact(Sampler):
    """A sampler that is shown 0.8 D: wrong on purpose."""

    name = "inexact-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points for another denoiser."""

        def inexact(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return 0.8 * denoiser(x, sigma, **cond)

        return self.inner.sample(inexact, x, sigmas, generator, cond)
