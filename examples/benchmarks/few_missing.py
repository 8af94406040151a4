"""Single missing pixels, drawn by few particles: do 90 % intervals hold 90 %? Gaussian fields, whose denoiser under any
mask is known in closed form.

python examples/benchmarks/few_missing.py

A line for each field and number of particles: the share of missing and of measured pixels within 1.895 std of eight
draws (Student's t with 7 degrees of freedom) around the posterior mean, and the rms of the std over that of the error.
"""

from __future__ import annotations

import numpy as np
import torch
from stopped import stoppable

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Levels
from ambientkit.sample.restore import restore

SIZE, ROWS, SPREAD = 14, 24, 0.5
INSIDE = 1.895
FIELDS = ((3.0, 0.1, 0.02), (3.0, 0.02, 0.05), (2.0, 0.3, 0.1))
"""Length of correlation in pixels, sigma_n, share of the pixels that is missing."""
WAYS = ((0, 16), (1, 16), (2, 16), (4, 16), (8, 16), (1, 32))
"""Particles, steps."""


class Field:
    """Gaussian pictures of covariance SPREAD^2 exp(-(distance / length)^1.5)."""

    def __init__(self, length: float) -> None:
        y, x = np.mgrid[:SIZE, :SIZE]
        apart = np.hypot(y.ravel()[:, None] - y.ravel(), x.ravel()[:, None] - x.ravel())
        self.covariance = torch.tensor(SPREAD**2 * np.exp(-((apart / length) ** 1.5)) + 1e-6 * np.eye(SIZE**2))
        self.values, self.vectors = torch.linalg.eigh(self.covariance)

    def denoise(self, x: torch.Tensor, sigma: torch.Tensor, /, mask: torch.Tensor) -> torch.Tensor:
        """E[x_0 | what the mask shows of x_t]."""
        flat, seen = x.double().flatten(1), mask.flatten(1)
        level = sigma.double().square()
        out = (flat @ self.vectors * (self.values / (self.values + level[:, None]))) @ self.vectors.T
        for i in (~seen.all(1)).nonzero().flatten().tolist():
            some = self.covariance[:, seen[i]]
            inner = some[seen[i]] + level[i] * torch.eye(some.shape[1])
            out[i] = some @ torch.linalg.solve(inner, flat[i, seen[i]])
        return out.reshape(x.shape).to(x.dtype)


def main() -> None:
    for length, sigma_n, share in FIELDS:
        field, generator = Field(length), torch.Generator().manual_seed(0)
        noise = [torch.randn(ROWS, SIZE**2, dtype=torch.float64, generator=generator) for _ in range(2)]
        x_0 = noise[0] @ torch.linalg.cholesky(field.covariance).T
        seen = torch.rand(ROWS, SIZE**2, generator=generator) > share
        x_n = torch.where(seen, x_0 + sigma_n * noise[1], torch.zeros_like(x_0))
        shape = (ROWS, 1, SIZE, SIZE)
        level = torch.full((ROWS,), sigma_n, dtype=torch.float64)
        batch = Batch(x_n.reshape(shape), level, torch.arange(ROWS), {"mask": seen.reshape(shape)})
        for particles, steps in WAYS:
            found = restore(
                field.denoise, batch, Mask(), StochasticHeun(), Levels(0.01, 20.0),
                draws=8, steps=steps, particles=particles, batch_size=512,
            )  # fmt: skip
            error, std = found.mean.flatten(1) - x_0, found.std.flatten(1)
            told = []
            for name, part in (("missing", ~seen), ("measured", seen)):
                held = float((error.abs() <= INSIDE * std)[part].double().mean())
                ratio = float(std[part].square().mean().sqrt() / error[part].square().mean().sqrt())
                told.append(f"{name} {held:.1%} held, std / error {ratio:.2f}")
            print(f"{length:g} pixels, sigma_n {sigma_n:g}, {share:.0%} missing, {particles} particles, {steps} steps:")
            print("   ", "; ".join(told), flush=True)


if __name__ == "__main__":
    stoppable(main)
