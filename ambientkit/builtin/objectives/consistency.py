"""The objective `consistency`: carry what is known at sigma_n down to the levels below it."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import geometric_grid, log_uniform
from ambientkit.maths.noise import Mirrored, uniform
from ambientkit.maths.weights import edm_weight

ENDS = 4
"""Hops from an anchor: two pairs."""


class Consistency(Objective):
    """Carries D from sigma_n to the levels below: D is a martingale of its own reverse process.

    E[D(x_s, sigma_s) | x_t] = D(x_t, sigma_t) under the reverse kernel, sigma_s < sigma_t <= sigma_n. Two independent
    pairs of hops start in x_t, the two hops of a pair with opposite noise. With d', d'' the means of D over the ends of
    a pair, less c = sg[D(x_t, sigma_t)], loss = lambda(sigma_s) mean(d' d''), unbiased for the squared martingale
    defect; a single value may be negative. Terms that are odd in the noise cancel in the mean of a pair, and for short
    hops these are nearly all of it. Anchors x_t are observations at sigma_n, or states that a short chain of the EMA
    teacher reaches below it.
    """

    name = "consistency"
    source = "arXiv 2302.09057, eq. 8; arXiv 2404.10177, section 3.2; pairs, anchors and chains: docs/method.md"
    claims = frozenset(
        {
            "stationary-at-oracle",
            "noise-by-pixel",
            "views-in-law",
            "value-unbiased",
            "detached-anchor",
            "half-backward",
            "serves-masks",
        }
    )
    below_sigma_n = "by making the estimates of neighbouring levels agree (consistency)"

    fraction: float = Field(3 / 16, gt=0, le=1)
    """Share of the batch's rows used."""
    from_observation: float = Field(0.3, ge=0, le=1)
    """Share of the anchors at (x_n, sigma_n); the others lie below it."""
    max_hop: float = Field(0.5, gt=0)
    """The hop log(sigma_t / sigma_s) is uniform on [0, max_hop]. 0.5 is for a sampler of second order; with `ancestral`
    take 0.3."""
    chain_steps: int = Field(2, ge=1)
    """Steps of the teacher's chain from sigma_n to an anchor below it. 2 is for a sampler of second order; with
    `ancestral` take 4."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `consistency`, with a value for each row used; rows at or below sigma_min (clean rows) are left
        out.

        Raises InputError where the sampler is not one of the reverse kernel, for which the property does not hold.
        """
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(
                f"consistency needs a sampler that draws from the reverse kernel; {tools.sampler.name!r} does not claim it. "
                "Use 'stochastic-heun'"
            )
        sigma_min = tools.levels.sigma_min
        usable = (
            (tools.corruption.floor(batch) > sigma_min)
            .nonzero()
            .squeeze(1)[: math.ceil(self.fraction * len(batch.x_n))]
        )
        batch = take(batch, usable)
        if len(usable) == 0:
            empty = batch.x_n.new_zeros(0)
            return {"consistency": Term(empty, empty)}

        with torch.no_grad():
            anchor = self._anchors(batch, tools)
            u = uniform(torch.empty_like(anchor.sigma), tools.generator)
            sigma_s = anchor.sigma * torch.exp(-u * torch.log(anchor.sigma / sigma_min).clamp(min=0, max=self.max_hop))
            target = denoiser(anchor.x, anchor.sigma, **anchor.cond).to(batch.x_n.dtype)
            x_t, cond = _repeated(anchor.x, ENDS), {name: _repeated(value, ENDS) for name, value in anchor.cond.items()}
            grid = torch.stack([_repeated(anchor.sigma, ENDS), _repeated(sigma_s, ENDS)])
            # The halves of the batch mirror each other: ends 0 and 2 are a pair, and 1 and 3. A sampler that takes no
            # such source draws four alike.
            source = Mirrored(tools.generator) if "row-generators" in tools.sampler.claims else tools.generator
            ends = tools.sampler.sample(_Remembered(denoiser, x_t, _repeated(target, ENDS)), x_t, grid, source, cond)
        x_0_hat = denoiser(ends, grid[1], **cond).to(batch.x_n.dtype).unflatten(0, (2, 2, -1))
        first, second = x_0_hat.mean(0) - target
        value = edm_weight(sigma_s, tools.signal.sigma_data) * (first * second).flatten(1).mean(1)
        return {"consistency": Term(value, sigma_s)}

    def _anchors(self, batch: Batch, tools: Tools) -> View:
        """Points (x_t, sigma_t) with sigma_t <= sigma_n: the first rows are observations, the others ends of short
        chains."""
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        extra = uniform(torch.empty(1, device=floor.device), tools.generator)
        observed = min(
            int(self.from_observation * len(floor) + float(extra)), len(floor)
        )  # random rounding keeps the share
        if observed == len(floor):
            return view
        top, x = floor[observed:], view.x[observed:]
        cond = {name: value[observed:] for name, value in view.cond.items()}
        sigma = log_uniform(uniform(torch.empty_like(top), tools.generator), tools.levels.sigma_min, top)
        x = tools.sampler.sample(
            tools.teacher, x, geometric_grid(top, sigma, self.chain_steps + 1), tools.generator, cond
        )
        return View(torch.cat([view.x[:observed], x]), torch.cat([floor[:observed], sigma]), view.cond)


def _repeated(value: Tensor, times: int) -> Tensor:
    return value.repeat(times, *[1] * (value.ndim - 1))


class _Remembered:
    """A denoiser that already knows its value at one batch of points, so that a hop does not repeat the anchor's forward."""

    def __init__(self, denoiser: Denoiser, x: Tensor, x_0_hat: Tensor) -> None:
        self._denoiser, self._x, self._x_0_hat = denoiser, x, x_0_hat

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        return self._x_0_hat if x is self._x else self._denoiser(x, sigma, **cond)
