"""One step of the reverse process, for any two levels. There is no second step in the project.

The exact posterior kernel x_s | x_t, x_0 of the forward process, with x_0 replaced by its posterior mean.
"""

from __future__ import annotations

from torch import Tensor

from ambientkit.maths.noise import RandomSource, per_row, standard_normal


def reverse_moments(x_t: Tensor, x_0_hat: Tensor, sigma_t: Tensor, sigma_s: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of x_s given x_t and x_0.

    r = sigma_s^2 / sigma_t^2;  mean = r x_t + (1 - r) x_0_hat;  std = sigma_s sqrt(1 - r).
    x_t, x_0_hat: (B, *S). sigma_t > 0, 0 <= sigma_s <= sigma_t: (B,). The std comes back shaped to broadcast.
    Exact for the true x_0; with the posterior mean in its place the law of x_s lacks (1 - r)^2 Cov[x_0 | x_t].
    Source: the DDPM posterior, arXiv 2006.11239 eq. 6-7, in variance-exploding form.
    """
    sigma_t, sigma_s = per_row(sigma_t, x_t), per_row(sigma_s, x_t)
    r = (sigma_s / sigma_t) ** 2
    one_minus_r = (sigma_t - sigma_s) * (sigma_t + sigma_s) / sigma_t**2
    return r * x_t + one_minus_r * x_0_hat, sigma_s * one_minus_r.clamp(min=0).sqrt()


def reverse_step(x_t: Tensor, x_0_hat: Tensor, sigma_t: Tensor, sigma_s: Tensor, source: RandomSource) -> Tensor:
    """x_s = r x_t + (1 - r) x_0_hat + sigma_s sqrt(1 - r) z, r = sigma_s^2 / sigma_t^2. Shapes and source as
    `reverse_moments`."""
    mean, std = reverse_moments(x_t, x_0_hat, sigma_t, sigma_s)
    return mean + std.to(x_t.dtype) * standard_normal(x_t, source)
