"""The formulas of measures of memorisation on samples, and the intervals of statistics of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.maths.conformal import conformal_p_values
from ambientkit.maths.randomness import derive_seed, keyed_generator

THIRD = 1 / 3
"""A sample this much nearer to one training row than to any other is a copy of it, by the rule of arXiv 2310.02664."""
RESAMPLES = 400
CELLS, FEWEST_IN_CELL = 3, 10
"""Cells of C_T, and samples and held-out rows below which one is left out."""
FOLDS = 10
"""Of the jackknife."""


Statistic = Callable[..., float]


def bootstrap(statistic: Statistic, *sets: Tensor, seed: int, resamples: int = RESAMPLES) -> tuple[float, float] | None:
    """The 95 % percentile interval of statistic(*sets), each set (n, ...) drawn again row by row. Keyed by `seed`; None
    for a set of fewer than 2, and for no resamples.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    if min(map(len, sets)) < 2 or resamples == 0:
        return None
    generator = keyed_generator(seed, "memorisation.bootstrap")
    values = [
        statistic(*(one[torch.randint(len(one), (len(one),), generator=generator)] for one in sets))
        for _ in range(resamples)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def share_nearer(samples: Tensor, heldout: Tensor, level: float) -> float:
    """The share of samples whose conformal p-value is `level` or less: nearer to a training row than all but a share
    `level` of held-out rows.

    samples (m,), heldout (n,): distance to the nearest training row. `level` is expected where nothing is memorised, or
    less.
    """
    return float((conformal_p_values(-samples, -heldout) <= level).double().mean())


def ratios(neighbours: Tensor) -> Tensor:
    """(m,), distance of the nearest over that of the second nearest row, 0 where the nearest is at 0. neighbours (m,
    2): the two distances.

    Unlike the distance alone it does not call blurred or constant pictures copies: they lie near to everything, and to
    no row most of all.
    """
    first, second = neighbours[:, 0], neighbours[:, 1]
    return torch.where(
        first > 0, first / torch.where(first > 0, second, torch.ones_like(second)), torch.zeros_like(first)
    )


def share_of_third(neighbours: Tensor, ratio: float = THIRD) -> float:
    """The memorisation ratio: the share of samples whose nearest training row is at less than `ratio` times the
    distance of the second nearest.

    neighbours (m, 2): the two distances. L2, not squared. Source: Gu et al. (2023), arXiv 2310.02664.
    """
    return float((neighbours[:, 0] < ratio * neighbours[:, 1]).double().mean())


def authenticity(distance: Tensor, own: Tensor) -> float:
    """The share of authentic samples: those farther from their nearest training row than that row is from its own
    nearest other row.

    distance (m,): of each sample to its nearest training row; own (m,): of that row to the nearest other one. A low
    share speaks for copies; about one half is usual, not 1. Source: Alaa et al. (2022), arXiv 2102.08921 (A = 1 if
    d(x~, x_i) > d(x_i, x_j)).
    """
    return float((distance > own).double().mean())


def data_copying(samples: Tensor, heldout: Tensor, sample_cells: Tensor, heldout_cells: Tensor, cells: int) -> float:
    """C_T: how much farther from the training rows samples lie than held-out rows do, in standard deviations of chance.
    << 0: copies.

    samples (m,), heldout (n,): distance to the nearest training row; *_cells: the cell of the feature space of each. In
    each cell Z = (U - m n / 2) / sqrt(m n (m + n + 1) / 12), U the pairs in which the sample is the farther one (ties
    count half), and C_T is the mean of Z by the held-out rows in the cells. Cells of too few rows on either side are
    left out. For one cell and no copying it is N(0, 1). nan where no cell has enough. Source: Meehan, Chaudhuri and
    Dasgupta (2020), arXiv 2004.05675.
    """
    total, weight = 0.0, 0
    for cell in range(cells):
        a, b = samples[sample_cells == cell], heldout[heldout_cells == cell]
        if min(len(a), len(b)) >= FEWEST_IN_CELL:
            total += len(b) * mann_whitney_z(a, b)
            weight += len(b)
    return total / weight if weight else float("nan")


def mann_whitney_z(a: Tensor, b: Tensor) -> float:
    """(U - m n / 2) / sqrt(m n (m + n + 1) / 12), U = #{a_i > b_j} + #{a_i = b_j} / 2."""
    m, n = len(a), len(b)
    a, ordered = a.contiguous(), b.sort().values
    u = (torch.searchsorted(ordered, a, right=False) + torch.searchsorted(ordered, a, right=True)).double().sum() / 2
    return float((u - m * n / 2) / (m * n * (m + n + 1) / 12) ** 0.5)


def cells_of(train: Tensor, *others: Tensor, seed: int) -> tuple[int, list[Tensor]]:
    """(number of cells, the cell of each row of `others`): k-means of the training rows' features (N, F), by
    scikit-learn."""
    from sklearn.cluster import KMeans

    cells = min(CELLS, len(train))
    fitted = KMeans(cells, n_init=4, random_state=derive_seed(seed, "memorisation.cells")).fit(train.double().numpy())
    return cells, [torch.from_numpy(fitted.predict(one.double().numpy())).long() for one in others]


def nearer_to_train(train: Tensor, other: Tensor) -> float:
    """The share of samples nearer to a training row than to any of as many held-out rows, minus 1/2; a tie is half.
    (m,), (m,) distances.

    0 where nothing is memorised, for any model and law: training and held-out rows are then exchangeable. 1/2:
    every sample is. The gap between training and held-out rows that a likelihood shows (FLD, arXiv 2302.04440), asked
    of nearest rows. Source: Platzer and Reutterer (2021), arXiv 2104.00635 (distance to the closest record).
    """
    return float(((train < other).double() + (train == other).double() / 2).mean()) - 0.5


def interval_of_gap(nearer: Tensor, owner: Tensor, rows: int) -> tuple[float, float]:
    """The 95 % interval of `nearer_to_train` by Wilson's formula, with as many samples as there are in effect.

    nearer (m,): 1 for a sample nearer to a training row, 0 for a held-out one, 1/2 for a tie. owner (m,): the nearest
    row of both sets, which hold `rows` together, half of them each. Which half a row is of is random where nothing is
    memorised, so that samples near to one row are right or wrong together: with c_i samples of row i, the variance of
    the gap is that of m^2 (1 - 1 / rows) / sum (c_i - m / rows)^2 tosses of a coin, where that is below m. Source:
    Wilson (1927), J. Am. Stat. Assoc. 22 (158), for the interval; the variance is that of drawing without replacement.
    """
    m, share, z = len(nearer), float(nearer.mean()), 1.96
    counts = torch.bincount(torch.unique(owner, return_inverse=True)[1]).double()
    uneven = float(counts.square().sum()) - m**2 / rows
    n = min(m, m**2 * (1 - 1 / rows) / uneven) if uneven > 0 else m
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return middle - half - 0.5, middle + half - 0.5


def mifid(reference: Tensor, samples: Tensor) -> float:
    """Memorisation-informed FID: the Frechet distance divided by the mean least cosine distance of samples to the
    reference, where that is small.

    reference (N, F), samples (m, F), by torchmetrics (cosine_distance_eps = 0.1, a distance above which counts as 1).
    Copies make it larger; so does poor quality, and a finite number of rows. torchmetrics leaves rows of sum 0 out of
    the cosine distances: nan where a side has no other, as a model whose samples are all 0. Raises InputError where
    torchmetrics is missing, and for fewer than 2 rows. Source: Bai et al. (2021), arXiv 2106.03062.
    """
    try:
        from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; it comes with: pip install 'ambientkit[evaluate]'") from None
    if min(len(reference), len(samples)) < 2:
        raise InputError(f"mifid: needs 2 rows on both sides, not {len(reference)} and {len(samples)}")
    if not all(bool((side.double().sum(1) != 0).any()) for side in (reference, samples)):
        return float("nan")
    metric = MemorizationInformedFrechetInceptionDistance(nn.Identity())
    metric.update(reference.double(), real=True)
    metric.update(samples.double(), real=False)
    return float(metric.compute())


def jackknife(statistic: Callable[[Tensor], float], rows: Tensor, *, seed: int) -> tuple[float, float] | None:
    """value +- 1.96 standard errors by leaving out each of `FOLDS` random tenths of the rows; None for fewer than two
    rows a tenth.

    For statistics that rows given twice would bias, as the bootstrap gives them: Frechet distances. The bias itself is
    not in it. Source: Tukey (1958); grouped: Efron and Tibshirani (1993), section 11.5.
    """
    if len(rows) < 2 * FOLDS:
        return None
    fold = torch.randperm(len(rows), generator=keyed_generator(seed, "memorisation.jackknife")) % FOLDS
    values = np.array([statistic(rows[fold != one]) for one in range(FOLDS)])
    error = float(np.sqrt((FOLDS - 1) / FOLDS * ((values - values.mean()) ** 2).sum()))
    value = statistic(rows)
    return value - 1.96 * error, value + 1.96 * error
