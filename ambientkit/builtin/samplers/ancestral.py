"""The sampler `ancestral`: one reverse step per level."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ambientkit.interfaces import Denoiser, Sampler
from ambientkit.maths.noise import RandomSource
from ambientkit.maths.reverse import reverse_step


class Ancestral(Sampler):
    """One draw from the Gaussian reverse kernel per level: the stochastic sampler of DDPM.

    x_s = r x_t + (1 - r) D(x_t, sigma_t) + sigma_s sqrt(1 - r) z with r = sigma_s^2 / sigma_t^2. The law of a step
    lacks (1 - r)^2 Cov[x_0 | x_t] in each step, so that steps should be short; its mean is exact for any data.
    """

    name = "ancestral"
    source = "arXiv 2006.11239, eq. 6-7, in variance-exploding form"
    claims = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; sigmas (T, B), decreasing, the last may be 0."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = reverse_step(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s, generator)
        return x
