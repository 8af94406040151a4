"""Rows held out of training, and what the Tweedie loss says on them: without clean data, whether a run still learns, or
memorises rows.

The loss of an honest view, in units of x_0 and freed of what no network can change, is lambda(sigma) E|D - x_0|^2 in
the mean, on rows that D has not been fitted to. On the rows that it was fitted to it may be lower, and below 0 where D
gives back the noise of these very rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ambientkit.batch import Batch, take
from ambientkit.interfaces import Corruption, Denoiser, Levels
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.weights import edm_weight, hidden_factor

POINTS = 4
"""Levels of a measurement, with equal ratios."""
LOWEST, HIGHEST = 1.1, 4.0
"""The levels go from LOWEST sigma_n of the row to HIGHEST sigma_data."""
CHUNK = 64
"""Rows at a time; fixed, so that the numbers depend on the seed alone."""
CAP = 1e4
"""Bound of 1/a^2, as for the pairs of the objective `tweedie`; out of reach at LOWEST."""
POWER = 0.75
"""Of what hidden values weigh, the same for all objectives and releases: the measurements of a run have to compare."""
MEASURED = 256
"""Rows held out, and rows trained on, that are measured at most."""
FIRST, RATIO = 50, 1.25
"""The step of the first measurement, and the ratio of the steps of two measurements."""
COST = 0.02
"""Of the calls of the network in training, which measuring may take."""
CALLS = 3
"""Calls of the network that a row costs in a step of training: forward, and backward for about two."""
NEAR = 0.5
"""Weight of the lowest level in what decides; the others share the rest. So much of its draws `tweedie` spends next to
sigma_n, from where the levels below take all they know; and there few rows are memorised first, while the levels
above still improve."""
ALIKE = 1.0
"""Weights are kept if they are no worse than the best by more than ALIKE standard errors of the difference."""
TOLERANCE = 0.03
"""Weights are also kept if their loss is above the lowest by no more than this share of it. The loss says nothing of
the levels below sigma_n nor of samples, of which later weights know more."""
WORSE, PATIENCE, LATER = 4.0, 3, 1.5
"""A run has got worse for good where it is worse than the best by WORSE standard errors, PATIENCE times in a row, at
LATER times the step of the weights kept or beyond."""
BY_HEART = "memorises the noise of its rows"
"""Of a run that does, in words."""
SURE = 4.5
"""Standard errors from which the loss on own rows is below 0, or below that on rows held out."""


@torch.no_grad()
def tweedie_by_row(
    denoiser: Denoiser, batch: Batch, corruption: Corruption, levels: Levels, sigma_data: float, seed: int
) -> Tensor:
    """(POINTS, B) float64: lambda(sigma) / a^2 mean(rho^2 - (b (x_t - x_n))^2 - (a sigma_n)^2) of each row at each
    level, lowest first.

    rho = a D(x_t, sigma) + b x_t - x_n, the mean over the pixels and over two views with +z and -z. Unbiased for
    lambda(sigma) E|D(x_t) - x_0|^2 where D does not depend on the row; a single value may be negative. Levels and z are
    functions of the rows and the seed alone. Source: arXiv 2404.10177, eq. 3.4; the pairs and what is taken off:
    docs/method.md.
    """
    found = []
    for number, first in enumerate(range(0, len(batch.x_n), CHUNK)):
        rows = take(batch, torch.arange(first, min(first + CHUNK, len(batch.x_n)), device=batch.x_n.device))
        generator = keyed_generator(seed, "holdout", step=number, device=batch.x_n.device)
        low = (corruption.floor(rows) * LOWEST).clamp(min=levels.sigma_min, max=levels.sigma_max)
        high = torch.maximum(2 * low, torch.full_like(low, HIGHEST * sigma_data)).clamp(max=levels.sigma_max)
        found.append(
            torch.stack(
                [
                    _pair(denoiser, rows, sigma, corruption, sigma_data, generator)
                    for sigma in geometric_grid(low, high, POINTS)
                ]
            )
        )
    return torch.cat(found, dim=1)


def _pair(
    denoiser: Denoiser,
    rows: Batch,
    sigma: Tensor,
    corruption: Corruption,
    sigma_data: float,
    generator: torch.Generator,
) -> Tensor:
    """(B,), the value of each row at levels sigma (B,), the mean over a view and its mirror image (over two views,
    where the corruption has none)."""
    view = corruption.degrade(rows, sigma, generator)
    if "symmetric-degrade" in corruption.claims:
        other = view._replace(x=2 * rows.x_n - view.x)
    else:
        other = corruption.degrade(rows, sigma, generator)
    sigma_n = per_row(rows.sigma_n, rows.x_n)
    hidden = hidden_factor(sigma, sigma_data, POWER)
    values = []
    for seen in (view, other):
        x_0_hat = denoiser(seen.x, sigma, **seen.cond).to(rows.x_n.dtype)
        residual = corruption.expect(x_0_hat, seen, rows) - rows.x_n
        a, at_0 = corruption.slope(seen, rows), corruption.expect(torch.zeros_like(x_0_hat), seen, rows)
        in_vain = (a * rows.x_n + at_0 - rows.x_n) ** 2 + (a * sigma_n) ** 2
        factor = corruption.weight(seen, rows, torch.full_like(sigma, CAP), hidden)
        values.append((factor * (residual**2 - in_vain)).double().flatten(1).mean(1))
    return edm_weight(sigma, sigma_data).double() * (values[0] + values[1]) / 2


def measuring_steps(rows: int, rows_per_step: int) -> Iterator[int]:
    """The steps after which a run is measured, without end: in ratios of `RATIO`, and so far apart that measuring takes
    `COST` of the calls of the network.

    rows: measured each time, held out and own; rows_per_step: trained on in a step, over all processes.
    """
    apart = math.ceil(2 * POINTS * rows / (COST * CALLS * rows_per_step))
    step = max(FIRST, apart)
    while True:
        yield step
        step += max(apart, round((RATIO - 1) * step))


class Seen(NamedTuple):
    """What a measurement leads to."""

    keep: bool
    """Whether the averaged weights are those to keep."""
    stop: str
    """Why the run has got worse for good; empty where it has not."""
    by_heart: str
    """The sign that the run memorises its rows, reported once; empty where it is not."""


class HoldOut:
    """Takes measurements per row, and decides which weights to keep, when a run has got worse for good, and whether it
    memorises its rows.

    Kept are the latest weights whose loss on the rows held out is not above the lowest by more than a standard error of
    the difference, row by row on the same views, or by `TOLERANCE` of it: the rule of one standard error, for the later
    ones know more of the levels below sigma_n, of which this loss says nothing. Its `state` goes into checkpoints, so
    that a resumed run decides as an unbroken one does. Source: Breiman et al., "Classification and Regression Trees"
    (1984), section 3.4.3; the tolerance is measured: docs/decisions/0055.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        empty: dict[str, Any] = {"step": 0, "kept": 0, "best": 0, "rows": [], "worse": 0, "said": "", "line": {}}
        self.state: dict[str, Any] = {**empty, **(state or {})}

    @property
    def kept(self) -> int:
        """The step of the weights to keep; 0 before the first measurement."""
        return int(self.state["kept"])

    @property
    def said(self) -> list[str]:
        """The warning of memorisation, if there was one."""
        return [f"{BY_HEART}: {self.state['said']}"] if self.state["said"] else []

    def seen(self, step: int, held: Tensor, own: Tensor) -> Seen:
        """Take a measurement: `tweedie_by_row` of the rows held out (POINTS, n) and of rows trained on (POINTS, m),
        always the same rows and views."""
        s = self.state
        now, its = _weighted(held), _weighted(own)
        best = torch.tensor(s["rows"], dtype=torch.float64) if s["rows"] else now
        rise = _standard_score(now - best)
        keep = rise <= ALIKE or float(now.mean()) <= (1 + TOLERANCE) * float(best.mean())
        if keep and float(now.mean()) <= float(best.mean()):
            s["best"], s["rows"] = step, now.tolist()
        if keep:
            s["kept"] = step
        s["step"], s["worse"] = step, s["worse"] + 1 if rise > WORSE and not keep else 0
        s["line"] = {
            "held_out": {
                "mean": float(now.mean()),
                "error": _error(now),
                "n": len(now),
                "by_level": held.double().mean(1).tolist(),
            },
            "own": {
                "mean": float(its.mean()),
                "error": _error(its),
                "n": len(its),
                "by_level": own.double().mean(1).tolist(),
            },
            "lowest": {"mean": float(best.mean()), "step": s["best"]},
            "kept": s["kept"],
        }
        fresh = "" if s["said"] else self._by_heart(held[0].double().cpu(), own[0].double().cpu())
        s["said"] = s["said"] or fresh
        stop = ""
        if s["worse"] >= PATIENCE and step >= LATER * s["kept"]:
            stop = (
                f"the Tweedie loss on {len(now)} rows held out has risen for good, from {float(best.mean()):.3g} "
                f"at step {s['best']} to "
                f"{float(now.mean()):.3g} at step {step}; the weights of step {s['kept']} are kept"
            )
        return Seen(keep, stop, fresh)

    def note(self) -> dict[str, Any]:
        """What a log line says of the last measurement; empty where there was none since the last line."""
        line, self.state["line"] = self.state["line"], {}
        return {"hold_out": line} if line else {}

    def _by_heart(self, held: Tensor, own: Tensor) -> str:
        """The sign that the run memorises, by the loss at the lowest level; empty where it is not.

        On rows that D was not fitted to the mean is not below 0, and the same for own and other rows: of a right
        denoiser each is said with the probability of a normal variable beyond SURE, 3e-6 in a measurement (of a few
        rows, by Student's law, more).
        """
        mean, error = float(own.mean()), _error(own)
        other, its = float(held.mean()), _error(held)
        if mean < -SURE * error:
            return (
                f"next to sigma_n the Tweedie loss on its own rows is {mean:.3g}, and a right denoiser's "
                f"cannot be below 0 ({other:.3g} on rows held out)"
            )
        if other - mean > SURE * math.hypot(error, its):
            return (
                f"next to sigma_n the Tweedie loss on its own rows is {mean:.3g}, below the {other:.3g} on "
                "rows held out"
            )
        return ""


def _weighted(values: Tensor) -> Tensor:
    """(n,) of (levels, n), float64, on the CPU: the lowest level counts `NEAR`, the others the rest."""
    values = values.double().cpu()
    return NEAR * values[0] + (1 - NEAR) * values[1:].mean(0)


def _error(values: Tensor) -> float:
    """Standard error of the mean; infinite for one value."""
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _standard_score(differences: Tensor) -> float:
    """The mean over its standard error; infinite where values are not finite, 0 where all are 0."""
    if not differences.isfinite().all():
        return math.inf
    mean, error = float(differences.mean()), _error(differences)
    return mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
