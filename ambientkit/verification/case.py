"""The problem that parts are verified on: a Gaussian mixture, its exact denoiser, and its exact reverse process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache

import torch
from pydantic import InstanceOf
from torch import Generator, Tensor

from ambientkit.batch import Batch
from ambientkit.interfaces import Case, Corruption, Denoiser, Levels, Sampler, Signal, Tools
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import RandomSource
from ambientkit.maths.reverse import reverse_step


class ExactReverse(Sampler):
    """The exact reverse process of a Gaussian mixture: x_0 from the posterior given x_t, then x_s given both. Any hop
    is exact."""

    name = "exact-reverse"
    source = "the DDPM posterior, arXiv 2006.11239 eq. 6-7, with a true posterior draw of x_0"
    claims = frozenset({"reverse-kernel", "row-generators"})

    mixture: InstanceOf[GaussianMixture]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; the denoiser is not asked."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0 = self.mixture.sample_posterior(x, sigma_t, generator).to(x.dtype)
            x = reverse_step(x, x_0, sigma_t, sigma_s, generator)
        return x


@cache
def default_mixture() -> GaussianMixture:
    """Three modes in the plane with unlike weights and correlated covariances, at the scale of data in [-1, 1]."""
    means = [[-0.6, -0.3], [0.5, -0.5], [0.2, 0.7]]
    covariances = [[[0.03, 0.01], [0.01, 0.02]], [[0.02, -0.012], [-0.012, 0.04]], [[0.05, 0.0], [0.0, 0.01]]]
    return GaussianMixture([0.5, 0.3, 0.2], means, covariances)


@lru_cache(maxsize=4)
def spread_of(law: GaussianMixture) -> float:
    """The std of all values of a law."""
    return float(law.sample(20_000, Generator().manual_seed(0)).std(unbiased=False))


def make_case(
    corruption: Corruption, seed: int, *, clean: bool = False, mixture: GaussianMixture | None = None
) -> Case:
    """A case in float64 whose observations are drawn by `corruption`, as fresh rows each time. clean: rows without any
    noise."""
    law = mixture or default_mixture()
    tools = Tools(
        corruption=corruption,
        sampler=ExactReverse(mixture=law),
        teacher=law.denoiser(),
        signal=Signal((law.dimension,), spread_of(law)),
        generator=Generator(),
        levels=Levels(0.01, 20.0),
    )

    def observe(n: int, generator: Generator) -> Batch:
        x_0, row = law.sample(n, generator), torch.arange(n)
        if clean:
            return Batch(x_0, torch.zeros(n, dtype=x_0.dtype), row, {})
        return corruption.observe(x_0, row, generator)

    return Case(oracle=law.denoiser(), observe=observe, tools=tools, seed=seed, law=law)
