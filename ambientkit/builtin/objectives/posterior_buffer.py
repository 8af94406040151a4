"""The objective `posterior-buffer`: below sigma_n, ordinary denoising of draws from the posterior of the
observations."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from ambientkit.batch import Batch, Term, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Memory, Objective, Tools
from ambientkit.maths.levels import power_grid, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight

COND = "cond."
LOWEST, RHO = 0.03, 3.0
"""The chain of a draw goes down to LOWEST sigma_n, evenly in sigma^(1/RHO), and from there to 0 by one call of the
denoiser. What a chain lacks of the variance is lost again in every refresh of the buffer, so this grid is chosen with
`stochastic-heun` to lack less than 1 %."""


class PosteriorBuffer(Objective):
    """Denoises what the observations may hide: draws x~ ~ p(x_0 | x_n) of the run's own denoiser.

    x~ is the end of the reverse process from x_t = x_n at sigma_n; loss = lambda(sigma) mean((D(x~ + sigma z, sigma) -
    x~)^2), sigma_min <= sigma <= reach sigma_n, lambda the EDM weight. This is expectation maximisation with a denoiser
    as the model: its fixed point is the law whose noisy copy is the law of the x_n. It uses the law of the x_n at
    sigma_n itself, where `consistency` knows the denoiser there alone; and it needs a denoiser that is right above
    sigma_n to begin with, so it comes after `tweedie`. A few rows are drawn anew in each call and kept for the next
    `keep` calls. Rows at or below sigma_min (clean rows) are not drawn for. The sampler's error becomes an error of the
    law, so take one of second order.
    """

    name = "posterior-buffer"
    source = (
        "arXiv 2405.13712, algorithm 1 (expectation maximisation); arXiv 2502.05446, algorithm 1; a buffer "
        "of few rows: docs/method.md"
    )
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "x_0-scale", "detached-anchor"})
    below_sigma_n = "from whole rows that the network itself drew for the noisy ones (posterior draws)"

    fraction: float = Field(0.5, gt=0, le=1)
    """Rows denoised in a call, as a share of the batch."""
    refresh: float = Field(1 / 32, gt=0, le=1)
    """Rows drawn anew in a call, as a share of the batch."""
    keep: int = Field(32, ge=1)
    """Calls for which a draw is kept."""
    steps: int = Field(8, ge=2)
    """Steps of a draw's chain, the last one to 0."""
    reach: float = Field(2.0, gt=0)
    """Highest level denoised, in units of sigma_n. Below 1 the levels next to sigma_n are left to other objectives."""
    p_mean: float = -1.2
    """Mean of log sigma, before the restriction to [sigma_min, reach sigma_n]."""
    p_std: float = Field(1.2, gt=0)
    """Std of log sigma."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `posterior`, with a value for each row denoised; none while nothing has been drawn.

        Raises InputError where the sampler is not one of the reverse kernel: its ends are not draws from the posterior.
        """
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(
                f"posterior-buffer needs a sampler that draws from the reverse kernel; {tools.sampler.name!r} does "
                "not claim it. "
                "Use 'stochastic-heun'"
            )
        n, memory, sigma_min = len(batch.x_n), tools.memory, tools.levels.sigma_min
        if not memory:
            self._begin(batch, memory)
        floor = tools.corruption.floor(batch)
        usable = (floor > sigma_min).nonzero().squeeze(1)[: math.ceil(self.refresh * n)]
        if len(usable):
            self._draw(denoiser, take(batch, usable), tools)
        drawn = min(int(memory["drawn"]), len(memory["sigma_n"]))
        count = min(math.ceil(self.fraction * n), n) if drawn else 0
        which = (uniform(batch.x_n.new_empty(count), tools.generator) * drawn).long().clamp(max=drawn - 1)
        x_0, top = memory["x_0"][which], memory["sigma_n"][which]
        cond = {name.removeprefix(COND): value[which] for name, value in memory.items() if name.startswith(COND)}
        if count == 0:
            return {"posterior": Term(top, top)}

        highest = (self.reach * top).clamp(min=sigma_min * 1.01, max=tools.levels.sigma_max)
        sigma = truncated_lognormal(
            uniform(torch.empty_like(top), tools.generator), sigma_min, highest, self.p_mean, self.p_std
        )
        x_t = x_0 + per_row(sigma, x_0) * standard_normal(x_0, tools.generator)
        error = denoiser(x_t, sigma, **cond).to(x_0.dtype) - x_0
        return {
            "posterior": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)
        }

    def _begin(self, batch: Batch, memory: Memory) -> None:
        """Room for the draws of `keep` calls; the same on every process, for any rows."""
        room = self.keep * math.ceil(self.refresh * len(batch.x_n))
        memory["x_0"] = batch.x_n.new_zeros(room, *batch.x_n.shape[1:])
        memory["sigma_n"] = batch.x_n.new_zeros(room)
        memory["drawn"] = torch.zeros((), dtype=torch.int64)
        for name, value in batch.cond.items():
            memory[COND + name] = value.new_zeros(room, *value.shape[1:])

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        """Draw x~ for these rows and keep it in the place of the oldest."""
        memory, top = tools.memory, tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        low = torch.minimum((LOWEST * top).clamp(min=tools.levels.sigma_min), top)
        grid = torch.cat([power_grid(top, low, self.steps, RHO), torch.zeros_like(top).unsqueeze(0)])
        x_0 = tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)
        whole = x_0.isfinite().flatten(1).all(1)  # a network that has come off the rails must not spoil what is kept
        x_0, top, cond = x_0[whole], top[whole], {name: value[whole] for name, value in view.cond.items()}
        room, drawn = len(memory["sigma_n"]), int(memory["drawn"])
        place = (drawn + torch.arange(len(top), device=top.device)) % room
        memory["x_0"][place], memory["sigma_n"][place] = x_0.to(memory["x_0"].dtype), top.to(memory["sigma_n"].dtype)
        for name, value in cond.items():
            memory[COND + name][place] = value
        memory["drawn"] += len(top)
