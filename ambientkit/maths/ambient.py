"""The algebra of data that are already noisy: top-up, the Tweedie mix, and the weight that undoes it.

Notation: x_n = x_0 + sigma_n z is what was observed, x_t = x_0 + sigma z' a noisier copy of it, h = E[x_0 | x_t].
Source of all: Daras et al., "Consistent Diffusion Meets Tweedie", arXiv 2404.10177, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.maths.noise import RandomSource, per_row, standard_normal


def top_up(x_n: Tensor, sigma_n: Tensor | float, sigma: Tensor | float, source: RandomSource) -> Tensor:
    """Add the noise that is missing: x_t = x_n + sqrt(sigma^2 - sigma_n^2) z, so that x_t = x_0 + sigma z'.

    x_n: (B, *S). sigma_n: number, (B,) or per pixel. sigma: number or (B,). Both in data units.
    Raises ValueError, naming the first row, where sigma < sigma_n: noise cannot be taken away.
    """
    missing = per_row(sigma, x_n) ** 2 - per_row(sigma_n, x_n) ** 2
    negative = missing < 0
    if negative.any():
        row = int(negative.expand(x_n.shape).nonzero()[0, 0])
        raise ValueError(f"row {row} of the batch is observed above the requested noise level sigma")
    return x_n + missing.sqrt().to(x_n.dtype) * standard_normal(x_n, source)


def tweedie_coefficients(sigma: Tensor, sigma_n: Tensor) -> tuple[Tensor, Tensor]:
    """(a, b) of E[x_n | x_t] = a E[x_0 | x_t] + b x_t: b = sigma_n^2 / sigma^2, a = 1 - b.

    sigma > 0 and sigma_n >= 0 must broadcast against each other. a is computed as (sigma - sigma_n)(sigma + sigma_n) /
    sigma^2, which keeps its precision where sigma is close to sigma_n. sigma_n = 0 gives (1, 0). Source: arXiv
    2404.10177, Lemma 3.1.
    """
    square = sigma**2
    return (sigma - sigma_n) * (sigma + sigma_n) / square, sigma_n**2 / square


def tweedie_mix(x_0_hat: Tensor, x_t: Tensor, sigma: Tensor | float, sigma_n: Tensor | float) -> Tensor:
    """E[x_n | x_t] from E[x_0 | x_t]: a x_0_hat + b x_t with b = sigma_n^2 / sigma^2, a = 1 - b.

    x_0_hat, x_t: (B, *S). sigma: number or (B,), > 0. sigma_n: number, (B,) or per pixel. Source: arXiv 2404.10177,
    Lemma 3.1.
    """
    a, b = tweedie_coefficients(per_row(sigma, x_t), per_row(sigma_n, x_t))
    return a * x_0_hat + b * x_t


def capped_inverse_square(a: Tensor, cap: float | Tensor) -> Tensor:
    """min(1/a^2, cap), without dividing by a: where a^2 <= 1/cap the answer is the cap.

    The factor turns the residual a h + b x_t - x_n back into the scale of x_0; uncapped it is unbounded at a = 0.
    a and cap >= 1 must broadcast against each other. Source: arXiv 2506.10038, loss weight sigma^4 / (sigma^2 -
    sigma_n^2)^2, which is 1/a^2.
    """
    return 1 / torch.maximum(a**2, torch.as_tensor(1 / cap, dtype=a.dtype, device=a.device))


def inverse_square_of_a(sigma: Tensor, sigma_n: Tensor, cap: float | Tensor) -> Tensor:
    """`capped_inverse_square` of a = 1 - sigma_n^2 / sigma^2, unbounded at sigma = sigma_n but for the cap.

    sigma > 0, sigma_n and cap >= 1 must broadcast against each other.
    """
    return capped_inverse_square(tweedie_coefficients(sigma, sigma_n)[0], cap)


def clean_std(x_n: Tensor, sigma_n: Tensor) -> float:
    """Standard deviation of the clean data, sqrt(var(x_n) - mean(sigma_n^2)), over all rows and pixels.

    Returns 0.0 where the declared noise alone exceeds the variance of the observations: the caller must refuse that.
    """
    excess = x_n.double().var(unbiased=False) - per_row(sigma_n.double(), x_n).square().expand(x_n.shape).mean()
    return float(torch.clamp(excess, min=0.0).sqrt())
