"""Restored rows and their draws against the exact posterior, in 64 values: a mixture of Gaussian fields, whose denoiser
under any mask is known in closed form.

python examples/benchmarks/posterior.py

A line for each mask, noise level, number of particles and of steps: of four rows, how far the restored mean is from the
exact one (greatest error), and of 200 draws the rms error of their mean in posterior stds (chance alone: 0.07) and
their std over the exact one, for measured and for missing values.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stopped import stoppable
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Levels
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.sample.restore import Restored, restore

SIDE = 8
VALUES = SIDE**2
LEVELS = Levels(0.002, 20.0)
ROWS, DRAWS = 4, 200
LINE, COLUMN = np.mgrid[:SIDE, :SIDE]
SEEN = {
    "5 % of the pixels missing": np.random.default_rng(0).random((SIDE, SIDE)) > 0.05,
    "diagonal stripes missing, 50 %": (LINE + COLUMN) % 4 < 2,
    "the middle missing, 56 %": (LINE % (SIDE - 1) == 0) | (COLUMN % (SIDE - 1) == 0),
    "all but five pixels missing": np.isin(COLUMN + SIDE * LINE, [0, 13, 28, 42, 63]),
}
NOISE = (0.2, 0.05, 0.0)
WAYS = ((0, 16), (1, 16), (16, 32), (16, 96))
"""Particles, steps."""


@cache
def law() -> GaussianMixture:
    """Three kinds of Gaussian fields, each around a smooth picture of its own."""
    place = np.arange(VALUES)
    apart = np.hypot(place[:, None] // SIDE - place // SIDE, place[:, None] % SIDE - place % SIDE)
    smooth = np.linalg.cholesky(np.exp(-((apart / 4) ** 1.2)) + 1e-9 * np.eye(VALUES))
    means = 0.35 * (smooth @ np.random.default_rng(0).standard_normal((VALUES, 3))).T
    kinds = ((0.15, 2.0, 1.5, 0.03), (0.25, 3.0, 1.2, 0.03), (0.1, 1.0, 1.0, 0.02))  # std, length, power, white part
    fields = [s**2 * np.exp(-((apart / at) ** power)) + w**2 * np.eye(VALUES) for s, at, power, w in kinds]
    return GaussianMixture([0.5, 0.3, 0.2], means, np.stack(fields))


class Posterior(NamedTuple):
    """p(x_0 | y) of n rows: a mixture again."""

    weights: NDArray[np.float64]
    """(n, K)."""
    means: NDArray[np.float64]
    """(n, K, d)."""
    covariances: NDArray[np.float64]
    """(K, d, d)."""

    @property
    def mean(self) -> NDArray[np.float64]:
        """(n, d)."""
        return np.einsum("nk,nkd->nd", self.weights, self.means)

    @property
    def std(self) -> NDArray[np.float64]:
        """(n, d)."""
        within = np.stack([np.diag(c) for c in self.covariances])
        return np.sqrt(np.einsum("nk,nkd->nd", self.weights, within + self.means**2) - self.mean**2)


def posterior(matrix: NDArray[np.float64], y: NDArray[np.float64], sigma: float) -> Posterior:
    """Given y = A x_0 + sigma z, (n, m), by the covariance of y in each component: Bishop (2006), eq. 2.113-2.117, in
    the form of Kalman."""
    found, weights = law(), []
    means, covariances = [], []
    for w, m, c in zip(found.weights.numpy(), found.means.numpy(), found.covariances.numpy(), strict=True):
        of_y = matrix @ c @ matrix.T + sigma**2 * np.eye(len(matrix))
        gain = np.linalg.solve(of_y, matrix @ c).T
        off = y - matrix @ m
        fit = (off * np.linalg.solve(of_y, off.T).T).sum(1)
        weights.append(np.log(w) - fit / 2 - np.linalg.slogdet(of_y)[1] / 2)
        means.append(m + off @ gain.T)
        covariances.append(c - gain @ matrix @ c)
    log = np.stack(weights, axis=1)
    share = np.exp(log - log.max(1, keepdims=True))
    return Posterior(share / share.sum(1, keepdims=True), np.stack(means, axis=1), np.stack(covariances))


def denoise(x: Tensor, sigma: Tensor, /, mask: Tensor) -> Tensor:
    """E[x_0 | what the mask shows of x_t], for rows of one mask."""
    flat, seen = x.double().flatten(1), mask.bool().flatten(1)[0]
    shown = flat[:, seen]
    fits, means = [], []
    for k in range(len(law().weights)):
        values, vectors, back = _turned(k, tuple(seen.tolist()))
        off, total = (shown - law().means[k][seen]) @ vectors, values + sigma.double().reshape(-1, 1) ** 2
        fits.append(law().weights[k].log() - (off**2 / total + total.log()).sum(1) / 2)
        means.append(law().means[k] + (off / total) @ back)
    shares = torch.softmax(torch.stack(fits, dim=1), dim=1)
    return torch.einsum("bk,bkd->bd", shares, torch.stack(means, dim=1)).reshape(x.shape).to(x.dtype)


@cache
def _turned(k: int, seen: tuple[bool, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues and -vectors of what is seen of a component, and its covariance with all values in that basis."""
    part = law().covariances[k][list(seen)]
    values, vectors = torch.linalg.eigh(part[:, list(seen)])
    return values.clamp(min=0), vectors, vectors.T @ part


def rows(seen: NDArray[np.bool_], sigma_n: float, n: int = ROWS) -> Batch:
    """Rows of the law under one mask; what is missing holds a number of no meaning."""
    generator = torch.Generator().manual_seed(1)
    x_0 = law().sample(n, generator)
    noisy = x_0 + sigma_n * torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
    mask = torch.from_numpy(seen).reshape(1, 1, SIDE, SIDE).expand(n, -1, -1, -1)
    x_n = torch.where(mask, noisy.reshape(n, 1, SIDE, SIDE), 1e3)
    return Batch(x_n, torch.full((n,), sigma_n, dtype=torch.float64), torch.arange(n), {"mask": mask})


def drawn(batch: Batch, particles: int, steps: int, draws: int = DRAWS) -> Restored:
    """The rows restored by the library with the exact denoiser."""
    return restore(
        denoise, batch, Mask(), StochasticHeun(), LEVELS,
        draws=draws, steps=steps, particles=particles, batch_size=20_000,
    )  # fmt: skip


def of_rows(batch: Batch) -> Posterior:
    """Their exact posterior; without noise, given them at the lowest level."""
    seen = batch.cond["mask"][0].flatten().numpy()
    level = max(float(batch.sigma_n[0]), LEVELS.sigma_min)
    return posterior(np.eye(VALUES)[seen], batch.x_n.flatten(1).numpy()[:, seen], level)


def main() -> None:
    for name, seen in SEEN.items():
        for sigma_n in NOISE:
            batch = rows(seen, sigma_n)
            exact = of_rows(batch)
            for particles, steps in WAYS:
                found = drawn(batch, particles, steps)
                values = found.draws.flatten(2).numpy()
                told = [f"mean off by {np.abs(found.mean.flatten(1).numpy() - exact.mean).max():.1e}"]
                for what, part in (("measured", seen.ravel()), ("missing", ~seen.ravel())):
                    off = ((values.mean(1) - exact.mean) / exact.std)[:, part]
                    ratio = np.sqrt((values.var(1, ddof=1)[:, part]).sum() / (exact.std[:, part] ** 2).sum())
                    told.append(f"{what}: {np.sqrt((off**2).mean()):.2f} stds off, std {ratio:.2f} of the exact one")
                print(f"{name}, sigma_n {sigma_n:g}, {particles} particles, {steps} steps:")
                print("   ", "; ".join(told), flush=True)


if __name__ == "__main__":
    stoppable(main)
