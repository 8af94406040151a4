"""Loss weights by noise level."""

from __future__ import annotations

import torch
from torch import Tensor


def edm_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """lambda(sigma) = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, in 1 / data units squared.

    sigma: (N,), > 0; the weight diverges as 1/sigma^2 for sigma -> 0, as the loss there vanishes as sigma^2.
    sigma_data > 0: std of the clean data. Raises ValueError where either is not positive. Source: arXiv 2206.00364,
    table 1.
    """
    if sigma_data <= 0 or not bool((sigma > 0).all()):
        raise ValueError("the EDM weight needs sigma > 0 and sigma_data > 0")
    # Written as a sum of two squares so that neither very small nor very large levels overflow float32.
    return (1 / sigma_data) ** 2 + (1 / sigma) ** 2


HIDDEN = 0.6
"""The power of `hidden_factor` that `tweedie` takes: docs/decisions, 69."""


def hidden_factor(sigma: Tensor, sigma_data: float, power: float = HIDDEN) -> Tensor:
    """What an error of a value that a view hides counts, against one of a value that it shows at level sigma:

        (lambda(infinity) / lambda(sigma))^power = (sigma^2 / (sigma^2 + sigma_data^2))^power

    with the EDM weight lambda. sigma: (N,), > 0. power 1 gives lambda(infinity), the weight of a value of which nothing
    is seen, at every level; 0 gives lambda(sigma). Raises ValueError as `edm_weight`.
    """
    return (edm_weight(sigma, sigma_data) * sigma_data**2) ** -power


def min_snr_weight(sigma: Tensor, sigma_data: float, gamma: float) -> Tensor:
    """lambda(sigma) = min(1 / sigma^2, gamma / sigma_data^2): min-SNR in the scale of x_0, in 1 / data units squared.

    sigma: (N,), > 0; gamma > 0, usually 5. With SNR = (sigma_data / sigma)^2 it is min(SNR, gamma) / sigma_data^2; for
    data of unit std that is the published min(SNR, gamma) / SNR of a network that answers with the noise, whose squared
    error is that of x_0 over sigma^2, and min(SNR, gamma) / (SNR + 1) of one that answers with v. Raises ValueError
    where a number is not positive. Source: arXiv 2303.09556, section 3.4.
    """
    if sigma_data <= 0 or gamma <= 0 or not bool((sigma > 0).all()):
        raise ValueError("the min-SNR weight needs sigma > 0, sigma_data > 0 and gamma > 0")
    return torch.clamp((1 / sigma) ** 2, max=gamma / sigma_data**2)
