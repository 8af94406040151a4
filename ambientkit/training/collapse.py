"""A detector of collapse: what the log lines and a cheap look at the averaged denoiser say of a run that is going
wrong, and why.

It changes nothing in training: its generators are its own, and it only reads. A look takes about 2,700 rows through the
network once (4,200 points of the plane), measured on a CPU as 2 steps of training for `mlp` and 12 for a transformer;
it is taken where a checkpoint is due, and not more often than every `APART` steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ambientkit.batch import Batch, View, take
from ambientkit.data import Observed
from ambientkit.interfaces import Corruption, Denoiser, Levels, Sampler
from ambientkit.maths.levels import geometric_grid, power_grid
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.randomness import keyed_generator

ROWS, SEEDS, STEPS = 16, 8, 8
"""Observations restored, draws for each, steps of a chain."""
GIVEN, AT_MOST, VALUES = 256, 1024, 2048
"""Observations of which the expected spread of the draws is estimated, by two calls each: `GIVEN`, or where those hold
fewer than `VALUES` values as many more as do, up to `AT_MOST`."""
PROBE = 0.1
"""Step of the finite difference, in units of sigma_n."""
APART = 200
"""Steps between two looks, at least."""
ENOUGH = 100
"""Values a noise level needs in a log line to be compared."""
ALIKE, NARROW = 0.3, 0.5
"""Share of the variance expected of them below which the draws of one row, and those of all rows, count as
collapsed."""
WORSE, RISEN = 1.2, 2.0
"""Factor by which the loss exceeds that of a shrunken input, or its own lowest, before it is said."""
LOW = 0.25
"""Lowest loss that a rise is measured from. A network that has learnt nothing has about 1 in the EDM weight, and small
means are mostly noise."""
GROWN, LEAST = 3.0, 0.01
"""Factor by which the residual exceeds its lowest, and its least size in units of sigma_data^2, before it is said."""
STRAIGHT = 1e-6
"""Share of the variance of the answers below which they are the input times a constant."""
SURE = 4.0
"""Standard errors that a difference must exceed."""

CAUSES = {
    "draws-alike": "samples of different seeds are alike: the posterior draws have collapsed. "
    "Lower the weight of posterior-buffer and of consistency, or start them later",
    "draws-narrow": "samples spread less than the data: the denoiser has collapsed towards few answers. "
    "Lower the weight of consistency and of posterior-buffer, or start them later",
    "loss-rises": "the Tweedie loss rises: the learning rate is too high, or the terms below sigma_n outweigh it. "
    "Lower --lr, raise optimizer.warmup_steps, or lower the other weights",
    "worse-than-shrinking": "the denoiser is worse than the input times a constant: the learning rate is too high, "
    "or a term outweighs "
    "tweedie. Lower --lr, raise optimizer.warmup_steps, or lower the other weights",
    "dead": "the network answers the same for every input, so that the denoiser is its input times a "
    "constant: the learning rate is "
    "too high. Begin again with a lower --lr, or raise optimizer.warmup_steps",
    "residual-grows": "the consistency residual grows below sigma_n: the levels there contradict those above. "
    "Raise the weight of consistency, or lower that of posterior-buffer",
}
"""What each warning says: the observation, the likely cause, and the remedy."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a denoiser has seen; variances per pixel, in data units squared."""

    within: float
    """Of the draws for one observation, over seeds."""
    across: float
    """Of their means, over observations, freed of the share of the finite number of seeds."""
    expected: float
    """What `within` is for a right denoiser: its mean squared error at sigma_n, by Stein's unbiased risk estimate,
    |x_n - D|^2 - sigma_n^2 + 2 sigma_n^2 div D. It holds of a wrong D too: where a law has become too narrow, D claims
    less (`whole`), but errs more."""
    expected_error: float
    """Its standard error."""
    whole: float
    """What within + across is for the same rows and a right denoiser: sigma_n^2 - mean |x_n - D|^2 and the variance of
    D(x_n, sigma_n) over rows."""
    shrinking: float
    """Tweedie loss in units of that of sigma_data^2 / (sigma_data^2 + sigma^2) x, the geometric mean over levels above
    sigma_n."""
    bent: float
    """Share of the variance of D(x_t) that is not c x_t + a picture, at a level between sigma_n and that of the
    data."""
    residual: dict[str, tuple[float, float]]
    """sigma / sigma_n -> |E[D(x_s) | x_n] - D(x_n)|^2 in units of sigma_data^2 (it may be negative), and its standard
    error."""


def given_rows(observations: Observed) -> list[int]:
    """The rows of a data set to look at."""
    values = observations.__getitems__([0]).x_n[0].numel()
    return list(range(min(max(GIVEN, min(math.ceil(VALUES / values), AT_MOST)), len(observations))))


@torch.no_grad()
def look(
    denoiser: Denoiser,
    batch: Batch,
    corruption: Corruption,
    sampler: Sampler,
    levels: Levels,
    sigma_data: float,
    seed: int,
) -> Look | None:
    """Draw a few rows of a batch again and again; None where fewer than two of them have noise above sigma_min.

    Along the chain from x_n the mean of D(x_s, sigma_s) over seeds must stay D(x_n, sigma_n), which gives the residual
    from the same calls.
    """
    noisy = (corruption.floor(batch) > levels.sigma_min).nonzero().squeeze(1)
    if len(noisy) < 2:
        return None
    batch = take(batch, noisy)
    sigma_n, device = corruption.floor(batch), batch.x_n.device
    view = corruption.degrade(batch, sigma_n, keyed_generator(seed, "collapse.given", device=device))
    here = denoiser(view.x, sigma_n, **view.cond).to(view.x.dtype)
    variance = sigma_n.double().square() - (view.x - here).double().square().flatten(1).mean(1)
    error = 2 * _derivative(denoiser, view, here, seed) - variance

    few = torch.arange(min(ROWS, len(noisy)), device=device).repeat(SEEDS)
    top = sigma_n[few]
    watched = _Watched(denoiser)
    low = torch.minimum((0.03 * top).clamp(min=levels.sigma_min), top)
    grid = torch.cat([power_grid(top, low, STEPS, 3.0), torch.zeros_like(top).unsqueeze(0)])
    cond = {name: value[few] for name, value in view.cond.items()}
    drawn = sampler.sample(watched, view.x[few], grid, keyed_generator(seed, "collapse.draws", device=device), cond)
    draws = drawn.double().reshape(SEEDS, -1, drawn[0].numel())
    within = draws.var(0).mean()
    across = draws.mean(0).var(0).mean() - within / SEEDS
    residual = {}
    for place in range(2, STEPS, 2):
        defect = watched.at(grid[place]).double().reshape(draws.shape) - here[few].double().reshape(draws.shape)
        pairs = ((defect.sum(0).square() - defect.square().sum(0)) / (SEEDS * (SEEDS - 1))).mean(1) / sigma_data**2
        residual[f"{float((grid[place] / top)[0]):.3g}"] = (
            float(pairs.mean()),
            float(pairs.std()) / math.sqrt(len(pairs)),
        )
    return Look(
        float(within),
        float(across),
        float(error.mean()),
        float(error.std()) / math.sqrt(len(error)),
        float(variance.mean() + here[few[: len(few) // SEEDS]].double().flatten(1).var(0).mean()),
        *_above(
            denoiser,
            take(batch, torch.arange(min(64, len(noisy)), device=device)),
            corruption,
            levels,
            sigma_data,
            seed,
        ),
        residual,
    )


def _derivative(denoiser: Denoiser, view: View, here: Tensor, seed: int) -> Tensor:
    """(B,), sigma^2 div D / d at a view, by a finite difference along random signs v: sigma v . (D(x + PROBE sigma v) -
    D(x)) / (PROBE d).

    Source: Ramani et al. (2008), theorem 2.
    """
    signs = torch.where(
        uniform(view.x, keyed_generator(seed, "collapse.probe", device=view.x.device)) < 0.5, -1.0, 1.0
    ).to(view.x.dtype)
    step = per_row(PROBE * view.sigma, view.x)
    moved = denoiser(view.x + step * signs, view.sigma, **view.cond).to(view.x.dtype)
    return view.sigma.double() / PROBE * (signs * (moved - here)).double().flatten(1).mean(1)


class _Watched:
    """A denoiser that remembers the last answer at each level of its first row."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self._answers: dict[float, Tensor] = {}

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        answer = self._denoiser(x, sigma, **cond)
        self._answers[float(sigma[0])] = answer
        return answer

    def at(self, sigma: Tensor) -> Tensor:
        """The answer at the level sigma (B,) of a grid, or where it was not asked, at the nearest one."""
        level = float(sigma[0])
        return self._answers[min(self._answers, key=lambda known: abs(known - level))]


def _above(
    denoiser: Denoiser, batch: Batch, corruption: Corruption, levels: Levels, sigma_data: float, seed: int
) -> tuple[float, float]:
    """Above sigma_n, at four levels: Tweedie loss against that of the input times a constant, on the same views; and
    `Look.bent`."""
    low = (corruption.floor(batch) * 1.2).clamp(max=levels.sigma_max)
    high = torch.maximum(low, torch.full_like(low, sigma_data * 4)).clamp(max=levels.sigma_max)
    generator = keyed_generator(seed, "collapse.tweedie", device=batch.x_n.device)
    logs, bent = [], 0.0
    for sigma in geometric_grid(high, low, 4):
        view = corruption.degrade(batch, sigma, generator)
        shrunken = per_row(sigma_data**2 / (sigma_data**2 + sigma**2), view.x) * view.x
        x_0_hat = denoiser(view.x, view.sigma, **view.cond).to(view.x.dtype)
        errors = [
            (corruption.expect(found, view, batch) - batch.x_n).double().square().mean()
            for found in (x_0_hat, shrunken)
        ]
        logs.append(float((errors[0] / errors[1].clamp(min=1e-300)).log()))
        bent = max(bent, _bent(view.x.double(), x_0_hat.double(), sigma.double()))
    return (math.exp(min(sum(logs) / len(logs), 700.0)) if all(map(math.isfinite, logs)) else math.inf), bent


def _bent(x: Tensor, x_0_hat: Tensor, sigma: Tensor) -> float:
    """1 - R^2 of x_0_hat against x of rows of nearly one level, each pixel freed of its mean."""
    alike = (sigma / sigma.median() - 1).abs() < 0.1
    x, x_0_hat = (value[alike].flatten(1) - value[alike].flatten(1).mean(0) for value in (x, x_0_hat))
    total, size = x_0_hat.square().sum(), x.square().sum()
    if not float(total * size) > 0:
        return 0.0
    return float(1 - (x * x_0_hat).sum().square() / (total * size))


class Detector:
    """Takes log lines and looks, and says each cause once. Its `state` goes into checkpoints, so that a resumed run
    says what an unbroken one does."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        empty: dict[str, Any] = {
            "said": [],
            "recent": [],
            "lowest": {},
            "above": 0,
            "looked": 0,
            "residual": {},
            "look": {},
            "fresh": [],
        }
        self.state: dict[str, Any] = {**empty, **(state or {})}

    @property
    def said(self) -> list[str]:
        """All warnings so far, in words."""
        return [CAUSES[cause] for cause in self.state["said"]]

    def due(self, step: int) -> bool:
        """Whether a look at this step would be far enough from the last one."""
        return step - self.state["looked"] >= APART

    def line(self, line: Mapping[str, Any]) -> list[str]:
        """The causes that a log line brings to light: whether the loss by level has risen over its lowest, the median
        over levels."""
        s = self.state
        bins = {
            edge: found["mean"] for edge, found in line["by_level"].get("tweedie", {}).items() if found["n"] >= ENOUGH
        }
        s["recent"] = [*s["recent"], bins][-2:]
        if len(s["recent"]) < 2:
            return []
        one, two = s["recent"]
        now = {edge: (one[edge] + two[edge]) / 2 for edge in one if edge in two}  # of two lines, as one alone is noisy
        rises = sorted(now[edge] / max(s["lowest"][edge], LOW) for edge in now if edge in s["lowest"])
        s["above"] = s["above"] + 1 if len(rises) >= 3 and not rises[len(rises) // 2] <= RISEN else 0
        s["lowest"] = {**s["lowest"], **{edge: min(mean, s["lowest"].get(edge, mean)) for edge, mean in now.items()}}
        return self._new(["loss-rises"] if s["above"] >= 3 else [])

    def seen(self, found: Look, step: int) -> list[str]:
        """The causes that a look brings to light."""
        s, causes = self.state, []
        s["looked"] = step
        total = found.within + max(found.across, 0.0)
        if found.expected > SURE * found.expected_error and found.within < ALIKE * found.expected:
            causes.append("draws-alike")
        if not total >= NARROW * found.whole:
            causes.append("draws-narrow")
        if not found.shrinking <= WORSE:
            causes.append("worse-than-shrinking")
        if not found.bent >= STRAIGHT:
            causes.append("dead")
        for level, (mean, error) in found.residual.items():
            low, low_error = s["residual"].get(level, (mean, error))
            grown = mean > max(GROWN * low, LEAST) and mean - low > SURE * math.hypot(error, low_error)
            if grown and "residual-grows" not in causes:
                causes.append("residual-grows")
            if mean <= low:
                s["residual"][level] = (mean, error)
            else:
                s["residual"].setdefault(level, (low, low_error))
        s["look"] = _plain(asdict(found))
        return self._new(causes)

    def note(self) -> dict[str, Any]:
        """What a log line says beside its means: the look and the new warnings since the last line; empty where there
        is neither."""
        found, fresh = self.state["look"], self.state["fresh"]
        self.state["look"], self.state["fresh"] = {}, []
        return {
            **({"look": found} if found else {}),
            **({"warnings": [CAUSES[cause] for cause in fresh]} if fresh else {}),
        }

    def _new(self, causes: Sequence[str]) -> list[str]:
        fresh = [cause for cause in causes if cause not in self.state["said"]]
        for where in ("said", "fresh"):
            self.state[where] = [*self.state[where], *fresh]
        return fresh


def _plain(value: Any) -> Any:
    """A nested value with null for numbers that are not finite, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _plain(below) for name, below in value.items()}
    if isinstance(value, tuple):
        return [_plain(below) for below in value]
    return value if math.isfinite(value) else None
