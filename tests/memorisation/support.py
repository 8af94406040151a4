"""Models whose memory is known: the posterior mean of a set of rows, which gives back these rows and nothing else."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load
from ambientkit.sample import load_run
from tests.support.finished import write_run


def digits(seed: int = 0) -> Tensor:
    """All scans, (1797, 1, 8, 8), in an order of their own, without those that are there twice."""
    from sklearn.datasets import load_digits

    x = torch.from_numpy(load_digits().images).float().div(8).sub(1).unsqueeze(1)
    _, first = x.flatten(1).unique(dim=0, return_inverse=True)
    kept = torch.tensor(sorted({int(one): at for at, one in reversed(list(enumerate(first)))}.values()))
    return x[kept][torch.randperm(len(kept), generator=keyed_generator(seed, "test.digits"))]


def remembers(rows: Tensor):
    """The exact denoiser of the empirical law of rows (N, *S): E[x_0 | x] = softmax(-|x - x_i|^2 / (2 sigma^2))
    averages."""

    def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        flat = rows.flatten(1).to(x)
        distance = torch.cdist(x.flatten(1), flat).square()
        weights = torch.softmax(-distance / (2 * sigma.reshape(-1, 1) ** 2), dim=1)
        return (weights @ flat).reshape(x.shape)

    return denoise


def trained(folder, denoiser):
    """A `Trained` on rows 1 x 8 x 8 with this denoiser."""
    return replace(load_run(write_run(folder), load()), denoiser=denoiser)
