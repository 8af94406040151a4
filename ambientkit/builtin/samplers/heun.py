"""The sampler `heun`: the deterministic second-order solver of EDM."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.interfaces import Denoiser, Sampler
from ambientkit.maths.noise import RandomSource, per_row


class Heun(Sampler):
    """The deterministic second-order solver of EDM.

    dx/dsigma = (x - D(x, sigma)) / sigma by Heun's rule. The last step is Euler's where it ends at sigma = 0. Nothing
    is drawn, so it carries a law, not a posterior draw: consistency training needs a sampler of the reverse kernel
    instead.
    """

    name = "heun"
    source = "arXiv 2206.00364, algorithm 1"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; sigmas (T, B), decreasing, the last may be 0. The generator is
        not used."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
            step = per_row(sigma_s - sigma_t, x)
            ahead = x + step * slope
            inside = sigma_s > 0
            if bool(inside.any()):  # row by row: whether another row ends at 0 is none of this row's business
                level = torch.where(inside, sigma_s, sigma_t)
                slope_ahead = (ahead - denoiser(ahead, level, **cond).to(x.dtype)) / per_row(level, x)
                ahead = torch.where(per_row(inside.to(x.dtype), x) > 0, x + step * (slope + slope_ahead) / 2, ahead)
            x = ahead
        return x
