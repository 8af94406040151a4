"""The objective `eps-tweedie`: Tweedie from noisy data, as a prediction of the noise that was added."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.errors import InputError
from ambientkit.hookspecs import hookimpl
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight


class EpsTweedie(Objective):
    """Ambient Tweedie in its epsilon form: predict the noise z in x_t = x_n + c z, c = sqrt(sigma^2 - sigma_n^2),
    without a division by c.

    loss = sigma^2 lambda(sigma) mean(((c / sigma) eps_hat - z)^2), eps_hat = (x_t - D(x_t, sigma)) / sigma, lambda the
    EDM weight. Least at D = E[x_0 | x_t]: given x_t the mean of z is c / sigma times that of the whole noise. The
    levels are log-normal above sigma_n. In terms of D the weight is that of `tweedie` times (c / sigma)^2 and needs no
    cap: it fades near sigma_n.
    """

    name = "eps-tweedie"
    source = "arXiv 2404.10177, section 3, in epsilon form; weight and levels arXiv 2206.00364, table 1"
    claims = frozenset(
        {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor"}
    )

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `eps-tweedie`, with a value for every row. Raises InputError for other noise than Gaussian, or too
        much of it."""
        x_n, floor = batch.x_n, tools.corruption.floor(batch)
        if tools.corruption.name != "gaussian":
            raise InputError(f"eps-tweedie knows Gaussian noise only, not the corruption {tools.corruption.name!r}")
        if (floor >= tools.levels.sigma_max).any():
            row = int(batch.row[floor.argmax()])
            raise InputError(f"row {row} of the data is as noisy as sigma_max = {tools.levels.sigma_max:g} or noisier")
        u = uniform(torch.empty_like(floor), tools.generator)
        sigma = truncated_lognormal(
            u, floor.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max, p_mean=-1.2, p_std=1.2
        )
        z, sigma_t = standard_normal(x_n, tools.generator), per_row(sigma, x_n)
        c = (sigma_t**2 - per_row(batch.sigma_n, x_n) ** 2).sqrt()  # elementwise: sigma_n may be per pixel
        x_t = x_n + c * z
        eps_hat: Tensor = (x_t - denoiser(x_t, sigma, **batch.cond).to(x_n.dtype)) / sigma_t
        value = (c / sigma_t * eps_hat - z).square().flatten(1).mean(1)
        return {"eps-tweedie": Term(sigma**2 * edm_weight(sigma, tools.signal.sigma_data) * value, sigma)}


@hookimpl
def register_objectives():
    return [EpsTweedie]
