"""The sampler `stochastic-heun`: draws from the reverse kernel with the spread that one step of `ancestral` lacks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.interfaces import Denoiser, Sampler
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments


class StochasticHeun(Sampler):
    """A reverse step taken twice with the same noise, the second time with the mean of D at both of its ends.

    p = r x_t + (1 - r) D(x_t, sigma_t) + n, n = sigma_s sqrt(1 - r) z, r = sigma_s^2 / sigma_t^2;
    x_s = r x_t + (1 - r) (D(x_t, sigma_t) + D(p, sigma_s)) / 2 + n.
    The step of `ancestral` lacks (1 - r)^2 Cov[x_0 | x_t]. Here D(p) moves with n, and as Cov[x_0 | x_t] is sigma_t^2 times the derivative of D,
    the lacking part comes in to first order in 1 - r; the mean stays r x_t + (1 - r) D(x_t), as E[D(p)] = D(x_t). Two calls of D a
    step, one in a last step to 0. For Gaussian data of variance v the mean is exact, and the variance lacks O((1 - r)^3).
    """

    name = "stochastic-heun"
    source = (
        "Heun's method with the same noise in both stages, Kloeden and Platen (1992), section 15.1; covariance: arXiv 2206.00364, eq. 3"
    )
    claims = frozenset({"reverse-kernel", "exact-for-points", "order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; sigmas (T, B), decreasing, the last may be 0."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            mean, std = reverse_moments(x, x_0_hat, sigma_t, sigma_s)
            noise = std.to(x.dtype) * standard_normal(x, generator)
            ahead, inside = mean + noise, sigma_s > 0
            if bool(inside.any()):  # row by row: whether another row ends at 0 is none of this row's business
                x_0_ahead = denoiser(ahead, torch.where(inside, sigma_s, sigma_t), **cond).to(x.dtype)
                corrected, _ = reverse_moments(x, (x_0_hat + x_0_ahead) / 2, sigma_t, sigma_s)
                ahead = torch.where(per_row(inside.to(x.dtype), x) > 0, corrected + noise, ahead)
            x = ahead
        return x
