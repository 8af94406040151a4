"""Measurements of a trained denoiser without clean data: three measurements, each with its sampling error.

None of them has a null law of its own, so none gives a verdict: a network is never exact. They show where it errs, and
by how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ambientkit.batch import Batch, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Denoiser, Levels, Sampler
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.randomness import keyed_generator

CHUNK = 64
"""Rows at a time; fixed, so that the numbers depend on the seed alone."""
HOP = 0.3
"""log(sigma_t / sigma_s) of a hop: as long as those of the objective `consistency`."""
HOP_STEPS = 4
"""Steps in a hop: so many that the sampler's own error is small beside that of a network."""
ENDS = 4
"""Independent hops from each point: every pair of them gives the product of two independent defects."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A mean over rows at each level, and its standard error: tuples of one length. n: rows."""

    sigma: tuple[float, ...]
    """Geometric mean of the rows' levels, data units."""
    mean: tuple[float, ...]
    error: tuple[float, ...]
    n: int


@dataclass(frozen=True, slots=True)
class SeedSensitivity:
    """Spread of restored rows, as std per pixel in data units. By the law of total variance within^2 + across^2 is that
    of the clean data."""

    within: float
    """Across seeds, from one and the same observation."""
    across: float
    """Across observations, of the mean over seeds; freed of the share that is due to the finite number of seeds."""
    observations: int
    seeds: int

    @property
    def total(self) -> float:
        """sqrt(within^2 + across^2), to be compared with sigma_data."""
        return math.hypot(self.within, self.across)


def noisy_rows(batch: Batch, corruption: Corruption, levels: Levels) -> Batch:
    """The rows whose noise is above sigma_min: there is nothing below the noise of a clean row. Raises InputError where
    none is left."""
    usable = (corruption.floor(batch) > levels.sigma_min).nonzero().squeeze(1)
    if len(usable) < 2:
        raise InputError(
            f"{len(usable)} rows have noise above sigma_min = {levels.sigma_min:g}; this report is about noisy data"
        )
    return take(batch, usable)


@torch.no_grad()
def consistency_residual(
    denoiser: Denoiser,
    batch: Batch,
    corruption: Corruption,
    sampler: Sampler,
    levels: Levels,
    *,
    points: int = 8,
    seed: int = 0,
) -> Curve:
    """E|E[D(x_s, sigma_s) | x_t] - D(x_t, sigma_t)|^2 a pixel, at `points` levels sigma_t from sigma_n down to
    sigma_min exp(HOP).

    x_t: where the denoiser's own reverse process leads from (x_n, sigma_n). Each value is a U-statistic of independent
    hops, the mean over pairs of (D(x_s') - D(x_t)) (D(x_s'') - D(x_t)): unbiased, so that it may be negative. It is 0
    where D is a martingale of its own reverse process. sampler: one of the reverse kernel. Source: arXiv 2302.09057,
    eq. 8.
    """
    sigmas, values = [], []
    for number, rows in enumerate(_chunks(batch)):
        g = keyed_generator(seed, "verify.consistency", step=number, device=rows.x_n.device)
        floor = corruption.floor(rows)
        view = corruption.degrade(rows, floor, g)
        grid = geometric_grid(
            floor, torch.minimum(torch.full_like(floor, levels.sigma_min * math.exp(HOP)), floor), points
        )
        x, found = view.x, []
        for place, sigma_t in enumerate(grid):
            if place:
                x = sampler.sample(denoiser, x, geometric_grid(grid[place - 1], sigma_t, HOP_STEPS + 1), g, view.cond)
            sigma_s = torch.minimum((sigma_t * math.exp(-HOP)).clamp(min=levels.sigma_min), sigma_t)
            here = denoiser(x, sigma_t, **view.cond).double()
            hop = geometric_grid(sigma_t, sigma_s, HOP_STEPS + 1)
            ends = [sampler.sample(denoiser, x, hop, g, view.cond) for _ in range(ENDS)]
            defects = torch.stack([denoiser(end, sigma_s, **view.cond).double() - here for end in ends])
            pairs = (defects.sum(0).square() - defects.square().sum(0)) / (ENDS * (ENDS - 1))
            found.append(pairs.flatten(1).mean(1))
        sigmas.append(grid)
        values.append(torch.stack(found))
    return _curve(torch.cat(sigmas, dim=1), torch.cat(values, dim=1))


@torch.no_grad()
def tweedie_loss(
    denoiser: Denoiser, batch: Batch, corruption: Corruption, levels: Levels, *, points: int = 8, seed: int = 0
) -> Curve:
    """mean((expect(D(x_t, sigma)) - x_n)^2) a pixel, without weights, at `points` levels sigma from 1.1 sigma_n to
    sigma_max.

    Its least value is not 0, and is unknown without clean data: it is for comparing two denoisers, or trained rows with
    others. Source: arXiv 2404.10177, eq. 3.4.
    """
    sigmas, values = [], []
    for number, rows in enumerate(_chunks(batch)):
        g = keyed_generator(seed, "verify.tweedie", step=number, device=rows.x_n.device)
        low = (corruption.floor(rows) * 1.1).clamp(min=levels.sigma_min, max=levels.sigma_max)
        grid = geometric_grid(torch.full_like(low, levels.sigma_max), low, points).flip(0)
        found = []
        for sigma in grid:
            view = corruption.degrade(rows, sigma, g)
            x_0_hat = denoiser(view.x, sigma, **view.cond).to(rows.x_n.dtype)
            residual = (corruption.expect(x_0_hat, view, rows) - rows.x_n).double()
            found.append(residual.square().flatten(1).mean(1))
        sigmas.append(grid)
        values.append(torch.stack(found))
    return _curve(torch.cat(sigmas, dim=1), torch.cat(values, dim=1))


@torch.no_grad()
def seed_sensitivity(
    denoiser: Denoiser,
    batch: Batch,
    corruption: Corruption,
    sampler: Sampler,
    levels: Levels,
    *,
    seeds: int = 8,
    steps: int = 24,
    seed: int = 0,
) -> SeedSensitivity:
    """Spread of x_0 restored from each row of the batch `seeds` times, by `steps` steps from (x_n, sigma_n) to
    sigma_min and one to 0.

    `within` near 0 says that samples do not depend on the seed: the reverse process has collapsed onto a point
    estimate.
    """
    drawn = []
    for number in range(seeds):
        restored = []
        for chunk, rows in enumerate(_chunks(batch)):
            g = keyed_generator(seed, "verify.seeds", rank=number, step=chunk, device=rows.x_n.device)
            floor = corruption.floor(rows)
            view = corruption.degrade(rows, floor, g)
            grid = geometric_grid(floor, torch.full_like(floor, levels.sigma_min), steps + 1)
            grid = torch.cat([grid, torch.zeros_like(grid[:1])])
            restored.append(sampler.sample(denoiser, view.x, grid, g, view.cond).double())
        drawn.append(torch.cat(restored))
    samples = torch.stack(drawn).flatten(2)  # (seeds, rows, pixels)
    within = samples.var(0).mean()
    across = samples.mean(0).var(0).mean() - within / seeds
    return SeedSensitivity(float(within.sqrt()), float(across.clamp(min=0).sqrt()), samples.shape[1], seeds)


def _chunks(batch: Batch) -> Iterator[Batch]:
    for first in range(0, len(batch.x_n), CHUNK):
        yield take(batch, torch.arange(first, min(first + CHUNK, len(batch.x_n)), device=batch.x_n.device))


def _curve(sigma: Tensor, values: Tensor) -> Curve:
    """Both (points, rows)."""
    n = values.shape[1]
    if not values.isfinite().all():
        raise InputError("the denoiser's answers are not finite; the run has diverged")
    return Curve(
        tuple(sigma.double().log().mean(1).exp().tolist()),
        tuple(values.mean(1).tolist()),
        tuple((values.std(1) / math.sqrt(n)).tolist()),
        n,
    )
