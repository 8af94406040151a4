"""Hypothesis strategies for what parts receive: mixtures, batches and grids of levels, all in float64.

Structure (how many modes, rows, levels; which kind of noise) is drawn by Hypothesis and so shrinks; the numbers come
from a drawn seed.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator

try:
    from hypothesis import strategies as st
except ImportError:
    raise ImportError(
        "ambientkit.testing.strategies needs Hypothesis, which is not installed: pip install hypothesis"
    ) from None

Noise = Literal["clean", "row", "pixel", "mixed"]


def seeds() -> st.SearchStrategy[int]:
    """Seeds for `keyed_generator`."""
    return st.integers(0, 2**31)


@st.composite
def mixtures(draw, max_modes: int = 6, max_dimension: int = 8) -> GaussianMixture:
    """A Gaussian mixture of 1 to `max_modes` modes in 1 to `max_dimension` dimensions with full covariances."""
    modes, dimension = draw(st.integers(1, max_modes)), draw(st.integers(1, max_dimension))
    generator = keyed_generator(draw(seeds()), "mixture")
    factors = torch.randn(modes, dimension, dimension, generator=generator, dtype=torch.float64) / dimension**0.5
    covariances = factors @ factors.mT * 0.5 + 0.02 * torch.eye(dimension, dtype=torch.float64)
    means = torch.randn(modes, dimension, generator=generator, dtype=torch.float64) * 1.5
    weights = torch.rand(modes, generator=generator, dtype=torch.float64) + 0.1
    return GaussianMixture(weights, means, covariances)


@st.composite
def batches(
    draw, law: GaussianMixture | None = None, noise: Noise | None = None, max_rows: int = 6, highest: float = 1.0
) -> Batch:
    """Observations x_n = x_0 + sigma_n z of `law` (left out: of a drawn one), 1 to `max_rows` rows; sigma_n between
    0.01 and `highest`.

    noise: "clean" (sigma_n = 0, shape (B,)), "row" (sigma_n (B,)), "pixel" (sigma_n (B, d)), "mixed" (per row, some
    rows clean); left out, one of these is drawn.
    """
    law = law or draw(mixtures())
    kind = noise or draw(st.sampled_from(["clean", "row", "pixel", "mixed"]))
    rows = draw(st.integers(1, max_rows))
    generator = keyed_generator(draw(seeds()), "batch")
    x_0 = law.sample(rows, generator)
    u = torch.rand(x_0.shape if kind == "pixel" else (rows,), generator=generator, dtype=torch.float64)
    sigma_n = 0.01 * (highest / 0.01) ** u
    if kind == "clean":
        sigma_n = torch.zeros(rows, dtype=torch.float64)
    if kind == "mixed":
        clean = torch.tensor(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
        sigma_n = torch.where(clean, 0.0, sigma_n)
    return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, torch.arange(rows), {})


@st.composite
def levels_above(draw, batch: Batch, highest: float = 20.0) -> Tensor:
    """One level per row, (B,), from the row's own noise (its largest, where it is per pixel; at least 0.001) up to
    `highest`.

    Some rows may stand exactly on their floor, where nothing is left to be learnt.
    """
    rows = len(batch.x_n)
    floor = per_row(batch.sigma_n, batch.x_n).expand(batch.x_n.shape).flatten(1).amax(1).clamp(min=1e-3)
    share = torch.tensor(draw(st.lists(st.floats(0, 1), min_size=rows, max_size=rows)), dtype=torch.float64)
    return log_uniform(share, floor, highest)


@st.composite
def grids(
    draw,
    rows: int | None = None,
    max_levels: int = 6,
    lowest: float = 1e-3,
    highest: float = 20.0,
    end_at_zero: bool | None = None,
) -> Tensor:
    """What a sampler is handed: sigmas (T, B), T from 2 to `max_levels`, strictly decreasing, each row its own; only
    the last may be 0.

    rows: B; left out, 1 to 6. end_at_zero: whether the last level is 0; left out, either.
    """
    rows = rows or draw(st.integers(1, 6))
    levels = draw(st.integers(2, max_levels))
    zero = draw(st.booleans()) if end_at_zero is None else end_at_zero
    generator = keyed_generator(draw(seeds()), "grid")
    gaps = torch.rand(levels + 1, rows, generator=generator, dtype=torch.float64) + 0.05
    share = gaps.cumsum(0)[:-1] / gaps.sum(0)  # strictly between 0 and 1, increasing
    sigmas = highest * torch.exp(share * math.log(lowest / highest))
    if zero:
        sigmas[-1] = 0.0
    return sigmas
