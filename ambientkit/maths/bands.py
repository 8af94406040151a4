"""The energy of fine detail by frequency band, which noisy rows know without bias: a measure of samples that needs no
clean data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.maths.blocks import BANDS, BLOCK, band_of, coefficients
from ambientkit.maths.randomness import keyed_generator
from ambientkit.tables import Record, Table, number

CLASSES = 4
"""Classes of blocks, by their mean: as many blocks of the noisy rows in each."""
SURE = 5.0
"""Standard errors by which an energy must be above 0 to be compared as a ratio."""
FEWEST = 8
"""Rows needed on each side."""


class Band(NamedTuple):
    """One band of frequencies: coefficients (u, v) of a block with u + v = `number`."""

    number: int
    wanted: float
    """Energy of a coefficient of clean rows, estimated from noisy rows: mean of f(x_n)^2 - sigma_n^2, data units
    squared.
    By chance it may be below 0."""
    wanted_error: float
    """Standard error of it, over rows."""
    found: float
    """That of the rows judged; each class of blocks has the share it has among the noisy rows."""
    found_error: float
    z: float
    """found - wanted over its standard error."""


@dataclass(frozen=True, slots=True)
class BandEnergy(Record):
    """How the energy of detail of judged rows compares with that of clean rows as estimated from noisy ones.

    value: root mean square, over bands and classes of blocks, of found - wanted as a share of the energy of the noisy
    rows, wanted + sigma_n^2; freed of what chance adds, so that it is 0 in the mean where both laws agree. Rows with
    all their noise have sigma_n^2 / (wanted + sigma_n^2) on average.
    """

    value: float
    error: float
    """Standard error of `square`."""
    square: float
    """value^2 before it is cut at 0: freed of what chance adds, it is below 0 as often as above where both laws
    agree."""
    bands: tuple[Band, ...]
    n: tuple[int, int]
    """Noisy rows, rows judged."""

    def blocks(self) -> Sequence[str | Table]:
        """A sentence and a table of the bands."""
        head = ("band", "wanted", "found", "ratio", "z")
        rows = [
            (
                str(band.number),
                f"{number(band.wanted)} +- {number(band.wanted_error, 2)}",
                f"{number(band.found)} +- {number(band.found_error, 2)}",
                number(band.found / band.wanted) if band.wanted > 2 * band.wanted_error else "-",
                number(band.z),
            )
            for band in self.bands
        ]
        title = (
            f"band-energy {number(self.value)} (n = {self.n[1]} against {self.n[0]} noisy rows; 0 where the "
            "energies of detail agree)"
        )
        return [title, Table("", head, rows)]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "value": self.value,
            "error": self.error,
            "square": self.square,
            "n": list(self.n),
            "bands": [band._asdict() for band in self.bands],
        }


def band_energy(
    noisy: Tensor, sigma_n: Tensor | float, judged: Tensor, seed: int = 0, *, classes: int = CLASSES
) -> BandEnergy:
    """The energy of detail of judged rows, by frequency band, against an unbiased estimate from noisy rows of that of
    clean ones.

    f is an AC coefficient of the orthonormal DCT of a block of 4 x 4 pixels. Its noise is normal of std sigma_n and
    independent of that in the block's mean, so for any function phi of the noisy mean, here the indicator of a class of
    means,

        E[f(x_0)^2 phi(mean x_n)] = E[(f(x_n)^2 - sigma_n^2) phi(mean x_n)].

    The left side is taken over the judged rows, in the place of x_0: their means get noise of sigma_n, keyed by the
    seed, and their detail none. By class, the energy of detail is compared where blocks are dark, say, whichever
    share of dark blocks there is.

    noisy (n, C, H, W) with level sigma_n, a number or (n,); judged (m, C, H, W), in the same data units; channels count
    as blocks. Blocks at the right and lower edge that are not whole are left out. Raises InputError for noise per
    pixel, for other shapes, and for fewer than 8 rows on either side. Source: second moments of normal variables; Stein
    (1981), theorem 1, for f alone; the condition on block means: docs/method.md."""
    wanted, found, noise = _compared(noisy, sigma_n, judged, seed, classes)
    bands = _bands(wanted, found)
    share, count = wanted.share[:, None], _count()
    excess, scale = found.mean - wanted.mean, np.maximum(wanted.mean, 0) + float(np.square(noise).mean())
    scale = np.where(scale > 0, scale, 1.0)
    weight = share * count / (wanted.share.sum() * count.sum()) / scale**2
    parts = [
        np.cov(side.influence.reshape(len(side.influence), -1).T) / len(side.influence) for side in (wanted, found)
    ]
    covariance = np.asarray(parts[0] + parts[1]).reshape(excess.size, excess.size)
    flat, by = excess.ravel(), weight.ravel()
    square = float((by * (flat**2 - np.diag(covariance))).sum())
    # Of a quadratic form of a normal vector: var = 4 d' W S W d + 2 tr(W S W S).
    weighted = by[:, None] * covariance
    variance = 4 * float((by * flat) @ covariance @ (by * flat)) + 2 * float(np.trace(weighted @ weighted))
    return BandEnergy(
        math.sqrt(max(square, 0.0)),
        math.sqrt(max(variance, 0.0)),
        square,
        bands,
        (len(noisy), len(judged)),
    )


class Misfit(NamedTuple):
    """How far energies of detail are from those wanted, as shares of these, and what each row adds to the error of it.

    value: the mean over the coefficients of (found / wanted - 1)^2 of their bands, freed of what chance adds; it may be
    below 0. Only bands count whose energy the noisy rows know to a fifth.
    """

    value: float
    of_noisy: NDArray[np.float64]
    """(n,), of mean 0: to first order the value moves by their mean."""
    of_judged: NDArray[np.float64]
    """(m,)."""
    bands: tuple[Band, ...]

    def error_beside(self, other: Misfit) -> float:
        """Standard error of the difference of two values of the same noisy rows and as many judged ones, drawn from the
        same seeds."""
        return math.hypot(_error(self.of_noisy - other.of_noisy), _error(self.of_judged - other.of_judged))


def relative_misfit(noisy: Tensor, sigma_n: Tensor | float, judged: Tensor, seed: int = 0) -> Misfit:
    """The energies of `band_energy` compared band by band as ratios, so that a little noise shows where there is little
    detail.

    Each class of blocks has the share that it has among the noisy rows. Arguments, errors and source as there. Raises
    InputError too where no band's energy is known to a fifth.
    """
    wanted, found, _ = _compared(noisy, sigma_n, judged, seed, CLASSES)
    bands, share = _bands(wanted, found), wanted.share[:, None]
    of_noisy, of_judged = ((side.influence * share).sum(1) for side in (wanted, found))
    goal, error, energy, its = np.array([band[1:5] for band in bands]).T
    known = goal > SURE * error
    if not known.any():
        raise InputError(f"the noisy rows know the energy of no band to 1/{SURE:g}: they are too few, or too noisy")
    weight = np.where(known, _count(), 0.0) / _count()[known].sum()
    goal = np.where(known, goal, 1.0)
    ratio = np.where(known, energy / goal, 1.0)
    chance = (its**2 + (ratio * error) ** 2) / goal**2
    slope = 2 * weight * (ratio - 1) / goal
    value = float((weight * ((ratio - 1) ** 2 - chance)).sum())
    return Misfit(value, -of_noisy @ (slope * ratio), of_judged @ slope, bands)


def _compared(
    noisy: Tensor, sigma_n: Tensor | float, judged: Tensor, seed: int, classes: int
) -> tuple[_Energies, _Energies, NDArray[np.float64]]:
    """The energies wanted, those found, and the noise levels (n, 1)."""
    level = _check(noisy, sigma_n, judged)
    whole, other = _blocks(noisy), _blocks(judged)
    noise = level.numpy()[:, None]
    edges = np.quantile(whole[..., 0, 0], np.linspace(0, 1, classes + 1)[1:-1])
    its = level[torch.arange(len(judged)) % len(level)].numpy()[:, None]  # the levels of the noisy rows, in turn
    z = torch.randn(other.shape[:2], generator=keyed_generator(seed, "evaluate.bands"), dtype=torch.float64).numpy()
    of_noisy = np.digitize(whole[..., 0, 0], edges)
    of_judged = np.digitize(other[..., 0, 0] + its * z, edges)
    wanted = _Energies.of(_by_band(whole) - noise[..., None] ** 2, of_noisy, classes)
    found = _Energies.of(_by_band(other), of_judged, classes)
    return wanted, found, noise


def _count() -> NDArray[np.float64]:
    """(bands,): coefficients of each band."""
    return np.array([min(band, BANDS - band) + 1 for band in range(1, BANDS + 1)], dtype=np.float64)


def _bands(wanted: _Energies, found: _Energies) -> tuple[Band, ...]:
    """Both in each band, over all classes; each class has the share that it has among the noisy rows."""
    bands = []
    share = wanted.share[:, None]
    for place in range(BANDS):
        means = [float((share[:, 0] * side.mean[:, place]).sum()) for side in (wanted, found)]
        errors = [_error((side.influence[..., place] * share[:, 0]).sum(1)) for side in (wanted, found)]
        spread = math.hypot(*errors)
        bands.append(
            Band(
                place + 1,
                means[0],
                errors[0],
                means[1],
                errors[1],
                (means[1] - means[0]) / spread if spread > 0 else 0.0,
            )
        )
    return tuple(bands)


class _Energies(NamedTuple):
    """Mean energy a coefficient of each class and band, and what each row adds to its error."""

    mean: NDArray[np.float64]
    """(classes, bands)."""
    influence: NDArray[np.float64]
    """(rows, classes, bands): the mean over rows of the energy is `mean` plus the mean of these, to first order; of
    mean 0."""
    share: NDArray[np.float64]
    """(classes,): of the blocks."""

    @classmethod
    def of(cls, energies: NDArray[np.float64], classes_of: NDArray[np.int64], classes: int) -> _Energies:
        """energies (rows, blocks, bands), classes_of (rows, blocks). A ratio of two means over rows in each class, with
        the error of a ratio."""
        member = (classes_of[..., None] == np.arange(classes)).astype(np.float64)  # rows, blocks, classes
        blocks = member.sum(1)
        sums = np.einsum("rbk,rbc->rkc", member, energies)
        total = np.maximum(blocks.sum(0), 1.0)
        mean = sums.sum(0) / total[:, None]
        influence = (sums - blocks[..., None] * mean) * (len(blocks) / total)[:, None]
        return cls(mean, influence, blocks.sum(0) / blocks.sum())


def _blocks(pictures: Tensor) -> NDArray[np.float64]:
    """(n, C, H, W) to the DCT of its blocks, (n, blocks, BLOCK, BLOCK)."""
    return np.asarray(coefficients(pictures.detach().double().cpu()).numpy())


def _by_band(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean square over the coefficients of each band but the block's mean: (n, blocks, bands)."""
    band = band_of().numpy()
    return np.stack([np.square(blocks[..., band == one]).mean(-1) for one in range(1, BANDS + 1)], axis=-1)


def _error(influence: NDArray[np.float64]) -> float:
    return float(influence.std(ddof=1)) / math.sqrt(len(influence))


def _check(noisy: Tensor, sigma_n: Tensor | float, judged: Tensor) -> Tensor:
    """sigma_n as (n,) float64."""
    if noisy.ndim != 4 or judged.ndim != 4 or noisy.shape[1:] != judged.shape[1:] or min(noisy.shape[2:]) < BLOCK:
        raise InputError(
            f"band-energy: compares pictures (C, H, W) of one shape, of {BLOCK} x {BLOCK} pixels or more, not "
            f"{tuple(noisy.shape[1:])} and "
            f"{tuple(judged.shape[1:])}"
        )
    if min(len(noisy), len(judged)) < FEWEST:
        raise InputError(f"band-energy: needs {FEWEST} rows on both sides, not {len(noisy)} and {len(judged)}")
    level = torch.as_tensor(sigma_n, dtype=torch.float64).cpu()
    if level.ndim > 1 or (level.ndim == 1 and len(level) != len(noisy)):
        raise InputError(
            f"band-energy: takes one noise level, or one per row ({len(noisy)},), not {tuple(level.shape)}: with "
            "levels per pixel the noise of detail and "
            "that of the block's mean are not independent"
        )
    return level.expand(len(noisy))
