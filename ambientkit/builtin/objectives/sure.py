"""The objective `sure`: Stein's unbiased risk estimate at the noise level of the data. An arm to compare with."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ambientkit.batch import Batch, Term, take
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.weights import edm_weight


class Sure(Objective):
    """Stein's unbiased risk estimate: learns E[x_0 | x_n] at the level sigma_n of each row, and nothing below it.

    loss = lambda(sigma_n) ( |D(x_n) - x_n|^2 / d + 2 sigma_n^2 div D(x_n) / d - sigma_n^2 ); its mean is the error
    against x_0. The divergence is v . grad (v . D), one probe v of random signs, through the network's derivative:
    exact in expectation, at the cost of a second backward. Noise per pixel is first topped up to its maximum. Rows at
    or below sigma_min are left out. A value may be negative; a clearly negative mean says that sigma_n is too large.
    """

    name = "sure"
    source = "Stein (1981), theorem 1; probe: Ramani et al. (2008), theorem 2; for diffusion: arXiv 2305.13128"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `sure`, with a value for each row that carries noise."""
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"sure": Term(batch.x_n.new_zeros(0), sigma)}
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        probe = torch.where(uniform(view.x, tools.generator) < 0.5, -torch.ones_like(view.x), torch.ones_like(view.x))
        x = view.x.detach().requires_grad_()
        # Fused attention kernels have no second derivative.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            x_0_hat = denoiser(x, sigma, **view.cond).to(x.dtype)
            (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        risk = (x_0_hat - view.x) ** 2 + per_row(sigma, x) ** 2 * (2 * probe * slope - 1)
        return {"sure": Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}
