"""The objective `contrast-tweedie`: levels below the noise of the data, under the assumption that contrast says
nothing."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from ambientkit.batch import Batch, Term, take
from ambientkit.errors import InputError
from ambientkit.hookspecs import hookimpl
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.weights import edm_weight


class ContrastTweedie(Objective):
    """Assumes that rows of lower contrast are rows too: alpha x_n is an observation at level alpha sigma_n, which
    trains levels below sigma_n.

    loss = lambda(sigma) min(1/a^2, cap) mean((a D(x_t, sigma) + b x_t - alpha x_n)^2) with x_t made from alpha x_n,
    alpha log-uniform on [least, 1], sigma log-uniform on (alpha sigma_n, sigma_n), a and b those of alpha sigma_n. The
    denoiser is not given alpha: if it were, nothing would be learnt. Its minimum is E[x_0 | x_t] of the law mixed over
    contrasts, which is that of the data only where the data are such a mixture: so it claims no such thing, and is no
    default.
    """

    name = "contrast-tweedie"
    source = "arXiv 2510.11964 (contrast-scaled rows); loss: arXiv 2404.10177, eq. 3.4"
    claims = frozenset({"detached-anchor"})
    below_sigma_n = "by rows of lower contrast, under the assumption that these are as likely as rows of the data"

    least: float = Field(0.1, gt=0, lt=1)
    """Lowest contrast."""
    fraction: float = Field(0.25, gt=0, le=1)
    """Share of the batch's rows used."""
    cap: float = Field(25.0, ge=1)
    """Bound of the factor 1/a^2."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `contrast`, with a value for each row used; clean rows are left out. Raises InputError for a
        corruption other than `gaussian`."""
        if tools.corruption.name != "gaussian":
            raise InputError(
                f"contrast-tweedie knows Gaussian noise only, not the corruption {tools.corruption.name!r}"
            )
        noisy = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        batch = take(batch, noisy[: math.ceil(self.fraction * len(batch.x_n))])
        floor = tools.corruption.floor(batch)
        if len(floor) == 0:
            return {"contrast": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        u = uniform(torch.empty(len(floor), 2, dtype=floor.dtype, device=floor.device), tools.generator)
        # Never below the lowest level of the run.
        least = torch.maximum(torch.full_like(floor, self.least), tools.levels.sigma_min / floor)
        alpha = log_uniform(u[:, 0], least, torch.ones_like(floor))
        level = alpha.reshape(-1, *[1] * (batch.sigma_n.ndim - 1)) if batch.sigma_n.ndim > 1 else alpha
        lower = batch._replace(x_n=per_row(alpha, batch.x_n) * batch.x_n, sigma_n=level * batch.sigma_n)
        sigma = torch.maximum(log_uniform(u[:, 1], alpha * floor, floor), tools.corruption.floor(lower))
        view = tools.corruption.degrade(lower, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond).to(batch.x_n.dtype)
        rho = tools.corruption.expect(x_0_hat, view, lower) - lower.x_n
        hidden = sigma**2 / (sigma**2 + tools.signal.sigma_data**2)
        weight = tools.corruption.weight(view, lower, torch.full_like(sigma, self.cap), hidden)
        value = edm_weight(sigma, tools.signal.sigma_data) * (weight * rho.square()).flatten(1).mean(1)
        return {"contrast": Term(value, sigma)}


@hookimpl
def register_objectives():
    """The objective."""
    return [ContrastTweedie]
