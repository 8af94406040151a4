"""EDM preconditioning: a network that sees inputs and targets of unit variance at every noise level."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Preconditioning(NamedTuple):
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise). Each of shape (B,). Source: arXiv 2206.00364, eq. 7 and table 1."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def edm_preconditioning(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """The EDM coefficients. sigma: (B,), > 0. sigma_data: std of the clean data, > 0. Source: arXiv 2206.00364, table
    1."""
    total = sigma**2 + sigma_data**2
    return Preconditioning(
        c_skip=sigma_data**2 / total,
        c_out=sigma * sigma_data / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=sigma.log() / 4,
    )
