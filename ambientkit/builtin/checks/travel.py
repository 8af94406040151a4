"""Running a sampler on the case's law: points that follow it exactly at a level, and grids with a column for each
row."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ambientkit.interfaces import Case, Denoiser, Part, Sampler
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator


def key(case: Case, purpose: str, index: int = 0) -> Generator:
    """A generator for one purpose of one check on this case."""
    return keyed_generator(case.seed, f"verify.{purpose}", step=index)


def sources(part: Part, case: Case, purpose: str, rows: int, index: int = 0) -> RandomSource:
    """A generator for each row, as a run gives them to a part that takes a list of them; otherwise one for all.

    What is drawn twice from one state meets in its own row then, and not at some other place of the batch.
    """
    if "row-generators" not in part.claims:
        return key(case, purpose, index)
    return [keyed_generator(case.seed, f"verify.{purpose}", step=index, row=row) for row in range(rows)]


def at_level(law: GaussianMixture, sigma: Tensor, generator: Generator) -> Tensor:
    """x_0 + sigma z, (B, d), one point per row, sigma (B,)."""
    x_0 = law.sample(len(sigma), generator)
    return x_0 + per_row(sigma, x_0) * standard_normal(x_0, generator)


def carry(sampler: Sampler, denoiser: Denoiser, x: Tensor, sigmas: Tensor, source: RandomSource) -> Tensor:
    """One call of `sample` without gradient and without conditions; float64."""
    with torch.no_grad():
        return sampler.sample(denoiser, x, sigmas, source, {}).double()


def column_grids(start: tuple[float, ...], end: tuple[float, ...], levels: int, rows: int) -> Tensor:
    """Geometric grids (levels, rows): row i goes from start[i mod k] to end[i mod k]; an end of 0 is put below the
    others' last level."""
    which = torch.arange(rows) % len(start)
    first, last = (torch.tensor(values, dtype=torch.float64)[which] for values in (start, end))
    zero = last == 0
    grid = geometric_grid(first, torch.where(zero, 0.02, last), levels)
    grid[-1] = torch.where(zero, 0.0, grid[-1])
    return grid
