"""Whether the spread of the draws is the error of the restored means: Stein's estimate, which needs no clean row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
    on it is too small by what was memorised. z is keyed by (seed, row). One call of the denoiser. Sources:
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
    """(B,), the mean over measured values; NaN for a row without any, of which nothing is known."""
    return (values.double() * seen).flatten(1).sum(1) / seen.double().flatten(1).sum(1)


class RowError(NamedTuple):
    """The error of one restored row, data units."""

    mse: float
    """By Stein's estimate; NaN where there is none."""
    variance: float
    """By the draws."""
    sigma: float
    fresh: bool
    """Whether the denoiser was not trained on it."""


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
    """By how many."""
    fresh: int
    """How many of these the run was not trained on."""

    @staticmethod
    def of(errors: Iterable[RowError]) -> Uncertainty | None:
        """By the rows that the denoiser has not seen, and by the others too where those show no sign of being
        memorised: their ratio of error and spread is within two standard errors of the former's. None for fewer than
        `FEW` rows, or draws without spread."""
        known = [one for one in errors if math.isfinite(one.mse) and math.isfinite(one.variance) and one.sigma > 0]
        fresh, own = ([one for one in known if one.fresh is there] for there in (True, False))
        if len(fresh) < FEW or not own:
            return _ratio(fresh or own)
        apart, seen = _ratio(fresh), _ratio(own)
        if apart is None or seen is None:
            return apart
        away = apart.factor**2 - seen.factor**2
        error = 2 * math.hypot(apart.factor * apart.factor_error, seen.factor * seen.factor_error)
        return _ratio(known) if abs(away) <= 2 * error else apart

    @property
    def clear(self) -> bool:
        """Whether the factor is known well enough to be used."""
        return self.factor_error <= VAGUE * self.factor

    def told(self) -> str:
        """For the user."""
        if not self.fresh:
            return (
                "whether std is the error of the restored means cannot be judged: the run was trained on all of these "
                "rows, and held none out"
            )
        if not self.clear:
            return (
                f"whether std is the error of the restored means cannot be judged: {self.rows:,} rows are too few, or "
                f"the error too small beside the noise (factor {self.factor:.2g} +- {self.factor_error:.2g})"
            )
        found = (
            f"the means are off by {self.error:.3g} of the std of the noise (rms, Stein's estimate from "
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
            "fresh": self.fresh,
        }


def _ratio(rows: Sequence[RowError]) -> Uncertainty | None:
    """By all of these rows alike."""
    if (n := len(rows)) < FEW:
        return None
    r, v = torch.tensor([value / one.sigma**2 for one in rows for value in one[:2]], dtype=torch.float64).view(n, 2).T
    if not float(v.mean()) > 0:
        return None
    share = float(r.mean() / v.mean())
    error = float(((r - share * v) / v.mean()).std()) / math.sqrt(n)  # of a ratio of means, to first order
    factor = math.sqrt(max(share, 0.0))
    return Uncertainty(
        math.sqrt(max(float(r.mean()), 0.0)),
        math.sqrt(float(v.mean())),
        factor,
        error / (2 * factor) if factor > 0 else math.inf,
        n,
        sum(one.fresh for one in rows),
    )
