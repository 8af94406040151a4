"""Loss weights by noise level."""

from __future__ import annotations

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
