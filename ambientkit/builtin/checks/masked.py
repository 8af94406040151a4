"""Masked rows of a known law: the problem that objectives and corruptions are measured on where values are missing.

Rows are pictures (1, 2, 2) of a Gaussian mixture in four dimensions. The exact denoiser E[x_0 | A~ x_t, A~] reads what
the mask shows, and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from pydantic import InstanceOf
from torch import Generator, Tensor

from ambientkit.batch import Batch
from ambientkit.interfaces import Case, Corruption, Denoiser, Sampler, Signal
from ambientkit.maths.linear_posterior import LinearPosterior
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import RandomSource
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.reverse import reverse_step

SHAPE = (1, 2, 2)


def law() -> GaussianMixture:
    """Two modes with correlated values, at the scale of data in [-1, 1]."""
    g = torch.Generator().manual_seed(2)
    mixing = torch.randn(2, 4, 4, generator=g, dtype=torch.float64) * 0.25
    covariances = mixing @ mixing.mT + 0.02 * torch.eye(4, dtype=torch.float64)
    return GaussianMixture([0.6, 0.4], [[-0.5, 0.4, 0.1, -0.3], [0.5, -0.2, 0.4, 0.2]], covariances)


def masked_denoiser(mixture: GaussianMixture) -> Denoiser:
    """E[x_0 | A~ x_t, A~], with A~ in the condition "mask"; without it, everything is seen."""

    def exact(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        return posterior(mixture, x, sigma, cond).mean().reshape(x.shape).to(x.dtype)

    return exact


def posterior(mixture: GaussianMixture, x: Tensor, sigma: Tensor, cond: Mapping[str, Tensor]) -> LinearPosterior:
    """p(x_0 | what the mask shows of x), for points (B, *S)."""
    shown = (
        (cond["mask"] if "mask" in cond else torch.ones_like(x, dtype=torch.bool)).expand_as(x).flatten(1).to(x.dtype)
    )
    return LinearPosterior(mixture, torch.diag_embed(shown), shown * x.flatten(1), sigma)


class MaskedReverse(Sampler):
    """The exact reverse process of what a mask shows: x_0 from its posterior, then x_s given both. Any hop is exact."""

    name = "masked-reverse"
    source = "the DDPM posterior, arXiv 2006.11239 eq. 6-7, with a true posterior draw of x_0"
    claims = frozenset({"reverse-kernel", "row-generators"})

    mixture: InstanceOf[GaussianMixture]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; the denoiser is not asked."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0 = posterior(self.mixture, x, sigma_t, cond).sample(generator).reshape(x.shape).to(x.dtype)
            x = reverse_step(x, x_0, sigma_t, sigma_s, generator)
        return x


def masked_case(case: Case, corruption: Corruption) -> Case:
    """The same case on masked pictures of `law`, observed by a corruption."""
    mixture = law()
    points = mixture.sample(20_000, Generator().manual_seed(0))
    exact = masked_denoiser(mixture)
    tools = dataclasses.replace(
        case.tools,
        corruption=corruption,
        sampler=MaskedReverse(mixture=mixture),
        teacher=exact,
        signal=Signal(SHAPE, float(points.std(unbiased=False)), {"mask": SHAPE}),
    )

    def observe(n: int, generator: Generator) -> Batch:
        return corruption.observe(mixture.sample(n, generator).reshape(n, *SHAPE), torch.arange(n), generator)

    return dataclasses.replace(case, oracle=exact, observe=observe, tools=tools, law=mixture)


def by_pixel(batch: Batch, generator: Generator) -> Batch:
    """Masked rows as if their noise was known pixel by pixel, with numbers of no meaning where nothing was measured."""
    level = 0.05 + 0.3 * torch.rand(batch.x_n.shape, generator=generator, dtype=torch.float64)
    return batch._replace(sigma_n=torch.where(batch.cond["mask"], level, 0.9))


def masked_rows(case: Case, purpose: str, n: int, index: int = 0) -> Batch:
    """Observations that no corruption under test has made: a mask with every pattern, noise of every level."""
    g = keyed_generator(case.seed, f"verify.{purpose}.rows", step=index)
    x_0 = case.law.sample(n, g).reshape(n, *SHAPE)
    seen = torch.rand(x_0.shape, generator=g) < 0.6
    sigma_n = 0.4 * torch.rand(n, generator=g, dtype=torch.float64) * (torch.arange(n) % 3 > 0)
    x_n = x_0 + sigma_n.reshape(-1, 1, 1, 1) * torch.randn(x_0.shape, generator=g, dtype=torch.float64)
    return Batch(torch.where(seen, x_n, 0.0), sigma_n, 900 + torch.arange(n), {"mask": seen})
