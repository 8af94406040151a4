"""Other forms of diffusion, to and from ours: what networks of the VP and flow families are fed, and what they answer.

Ours is variance exploding, x = x_0 + sigma z, and a denoiser answers with x_0. A network trained otherwise is wrapped
at the model's edge:

    form   input                      answers with             x_0 is
    x_0                               x_0                      output
    eps                               z                        x - sigma output
    v      x / sqrt(1 + sigma^2)      alpha z - s x_0          x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) output
    flow   x / (1 + sigma)            z - x_0                  (x - sigma output) / (1 + sigma)

VP: x_vp = alpha x_0 + s z, alpha = 1 / sqrt(1 + sigma^2), s = sigma alpha. Flow: x_flow = (1 - t) x_0 + t z, t = sigma
/ (1 + sigma). Everything is computed in float32 at least: in half precision x - sigma output loses all digits at high
levels. Nothing is divided by alpha, 1 - t or c, which can be 0. Sources: eps arXiv 2006.11239, eq. 4; v arXiv
2202.00512, section 4 and appendix D; flow arXiv 2210.02747, eq. 20-23.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ambientkit.maths.noise import per_row

Form = Literal["x_0", "eps", "v", "flow"]
"""What a network answers with."""


def _v(sigma: Tensor) -> tuple[Tensor, Tensor]:
    alpha, s = vp_coefficients(sigma)
    return alpha**2, -s


_COEFFICIENTS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "x_0": lambda sigma: (torch.zeros_like(sigma), torch.ones_like(sigma)),
    "eps": lambda sigma: (torch.ones_like(sigma), -sigma),
    "v": _v,
    "flow": lambda sigma: (1 / (1 + sigma), -flow_time(sigma)),
}
"""x_0 = skip x + out output, as (skip, out) of sigma."""


def vp_coefficients(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha, s) of the VP form at our level sigma >= 0: 1 / sqrt(1 + sigma^2) and sigma / sqrt(1 + sigma^2). Never
    overflows."""
    alpha = 1 / torch.hypot(torch.ones_like(sigma), sigma)
    return alpha, sigma * alpha


def flow_time(sigma: Tensor) -> Tensor:
    """t = sigma / (1 + sigma) of the flow form, sigma >= 0: 0 for clean data, 1 for noise alone."""
    return sigma / (1 + sigma)


def vp_input(x: Tensor, sigma: Tensor | float) -> Tensor:
    """x_vp = x / sqrt(1 + sigma^2). x: (B, *S); sigma: number or (B,), >= 0."""
    wide = _at_least_float32(x)
    return wide * vp_coefficients(per_row(sigma, wide))[0]


def flow_input(x: Tensor, sigma: Tensor | float) -> Tensor:
    """x_flow = x / (1 + sigma). x: (B, *S); sigma: number or (B,), >= 0."""
    wide = _at_least_float32(x)
    return wide / (1 + per_row(sigma, wide))


def to_x_0(output: Tensor, x: Tensor, sigma: Tensor | float, form: Form) -> Tensor:
    """x_0_hat from what a network answers at our point x, x and output (B, *S), sigma a number or (B,), >= 0. Float32
    at least.

    Nothing is divided by sigma: at sigma = 0 the forms eps, v and flow give x.
    """
    x, output = _at_least_float32(x), _at_least_float32(output)
    skip, out = _COEFFICIENTS[form](per_row(sigma, x))
    return skip * x + out * output


def from_x_0(x_0_hat: Tensor, x: Tensor, sigma: Tensor | float, form: Form) -> Tensor:
    """What a network of a form would answer, the inverse of `to_x_0`. Float32 at least.

    Raises ValueError for sigma = 0 in any form but x_0: there x_0_hat says nothing of the noise.
    """
    x, x_0_hat = _at_least_float32(x), _at_least_float32(x_0_hat)
    skip, out = _COEFFICIENTS[form](per_row(sigma, x))
    if not bool((out != 0).all()):
        raise ValueError(f"the form {form!r} cannot be distinguished from x_0 at sigma = 0")
    return (x_0_hat - skip * x) / out


def observation(y: Tensor, alpha: Tensor | float, s: Tensor | float) -> tuple[Tensor, Tensor]:
    """(x_n, sigma_n) = (y / alpha, s / alpha) of an observation y = alpha x_0 + s z: how other forms enter as data.

    y: (B, *S); alpha > 0 and s >= 0: numbers, (B,) or per pixel. sigma_n comes back shaped to broadcast against x_n.
    Raises ValueError where alpha is not positive: such a row holds no data.
    """
    y = _at_least_float32(y)
    alpha, s = per_row(alpha, y), per_row(s, y)
    if not bool((alpha > 0).all()):
        raise ValueError("alpha must be positive: an observation without signal cannot be rescaled")
    return y / alpha, s / alpha


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
