"""Whether the spread of the draws is the error of the restored means: Stein's estimate, which needs no clean row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ambientkit.batch import View
from ambientkit.interfaces import Denoiser
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator

PROBE = 0.1
"""Length of the step by which a divergence is probed, in stds of the noise: far above the rounding of float32, and
short beside the detail that a denoiser sees at that level."""
FEW = 8
"""Rows without which nothing is said."""
VAGUE, AGREES = 0.25, 0.1
"""Relative standard error of the factor beyond which it is not given, and the deviation from 1 that is no news."""


def stein(denoiser: Denoiser, view: View, mean: Tensor, rows: Sequence[int], seed: int) -> Tensor:
    """(B,), the mean squared error of `mean` = D(view.x, view.sigma) over measured values, data units squared.

        R = |x - D|^2 - sigma^2 + 2 sigma^2 z . (D(x + c sigma z) - D(x)) / (c sigma),   z ~ N(0, I), c = `PROBE`

    Unbiased, up to the bend of D over c sigma, for any D that has not seen the noise of x; for rows that D was trained
    on it is too small by what was learned by heart. z is keyed by (seed, row). One call of the denoiser. Sources:
    Stein, Annals of Statistics 9(6), 1981; Ramani, Blu and Unser, IEEE TIP 17(9), 2008 (the probe).
    """
    generators = [keyed_generator(seed, "restore.probe", row=row) for row in rows]
    seen = view.cond["mask"].expand_as(view.x).to(view.x.dtype) if "mask" in view.cond else torch.ones_like(view.x)
    sigma, z = per_row(view.sigma, view.x), standard_normal(view.x, generators) * seen
    moved = denoiser(view.x + PROBE * sigma * z, view.sigma, **view.cond)
    answers = z * (moved - mean) / (PROBE * sigma)
    each = (view.x - mean).square() + sigma.square() * (2 * answers - 1)
    return over_seen(each, seen)


def over_seen(values: Tensor, seen: Tensor) -> Tensor:
    """(B,), the mean over measured values; 0 for a row without any."""
    total = (values.double() * seen).flatten(1).sum(1)
    return total / seen.double().flatten(1).sum(1).clamp(min=1)


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """The error of restored means and the spread of their draws, rms over rows and values, in stds of the noise."""

    error: float
    """By Stein's estimate; 0 where that is below 0."""
    spread: float
    """By the draws."""
    factor: float
    """error / spread: what the std of the draws is multiplied by for intervals that hold what they say."""
    factor_error: float
    """Its standard error, from row to row; infinite where the error is not distinguished from 0."""
    rows: int

    @staticmethod
    def of(mse: Sequence[float], variance: Sequence[float], sigma: Sequence[float]) -> Uncertainty | None:
        """Of rows, each with Stein's estimate, the mean variance of its draws (data units squared) and its level. None
        for fewer than `FEW` rows that have all three, or draws without spread."""
        every = torch.tensor([mse, variance, sigma], dtype=torch.float64).reshape(3, -1)
        known = every[:, every.isfinite().all(0) & (every[2] > 0)]
        r, v = known[:2] / known[2] ** 2
        n = len(r)
        if n < FEW or not float(v.mean()) > 0:
            return None
        share = float(r.mean() / v.mean())
        off = (r - share * v) / v.mean()  # of a ratio of means, to first order
        square, error = max(share, 0.0), float(off.std()) / math.sqrt(n)
        factor = math.sqrt(square)
        return Uncertainty(
            math.sqrt(max(float(r.mean()), 0.0)),
            math.sqrt(float(v.mean())),
            factor,
            error / (2 * factor) if factor > 0 else math.inf,
            n,
        )

    @property
    def clear(self) -> bool:
        """Whether the factor is known well enough to be used."""
        return self.factor_error <= VAGUE * self.factor

    def told(self) -> str:
        """For the user."""
        if not self.clear:
            return (
                f"whether std is the error of the restored means cannot be judged: {self.rows:,} rows are too few, or "
                f"the error too small beside the noise (factor {self.factor:.2g} +- {self.factor_error:.2g})"
            )
        found = (
            f"the means are off by {self.error:.3g} of the std of the noise (rms, Stein's estimate from the "
            f"{self.rows:,} noisy rows), the draws spread by {self.spread:.3g}: "
        )
        off = abs(self.factor - 1)
        if off <= max(AGREES, 2 * self.factor_error):
            return f"{found}std may be taken as it is (factor {self.factor:.2f} +- {self.factor_error:.2f})"
        return f"{found}multiply std by {self.factor:.2f} +- {self.factor_error:.2f} for intervals"

    @staticmethod
    def from_dict(stored: Mapping[str, Any] | None) -> Uncertainty | None:
        """What `to_dict` has written; None for nothing."""
        if stored is None:
            return None
        error = stored["factor_error"]
        return Uncertainty(**{**stored, "factor_error": math.inf if error is None else error})

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "error": self.error,
            "spread": self.spread,
            "factor": self.factor,
            "factor_error": self.factor_error if math.isfinite(self.factor_error) else None,
            "rows": self.rows,
        }
