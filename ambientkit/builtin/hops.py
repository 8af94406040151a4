"""Hops of the reverse process below sigma_n: anchors, pairs of ends with opposite noise, and what a denoiser says
there. What `consistency` and `detail-moments` share."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Tools
from ambientkit.maths.levels import geometric_grid, log_uniform
from ambientkit.maths.noise import Mirrored, uniform
from ambientkit.maths.weights import edm_weight

ENDS = 4
"""Hops from an anchor: two pairs."""


class Hops(NamedTuple):
    """Hops from the anchors of n rows."""

    batch: Batch
    """The rows used."""
    target: Tensor
    """(n, *S), D at the anchors, without gradient."""
    sigma_s: Tensor
    """(n,), the level of the ends."""
    ends: Tensor
    """(ENDS n, *S), x_s; ends 0 and 2 of a row are a pair, and 1 and 3."""
    x_0_hat: Tensor
    """(ENDS n, *S), D at the ends."""

    def martingale(self, tools: Tools) -> Term:
        """lambda(sigma_s) mean(d' d''), with d', d'' the means of D over the ends of each pair less the target."""
        first, second = self.x_0_hat.unflatten(0, (2, 2, -1)).mean(0) - self.target
        value = edm_weight(self.sigma_s, tools.signal.sigma_data) * (first * second).flatten(1).mean(1)
        return Term(value, self.sigma_s)


def hops(
    name: str,
    denoiser: Denoiser,
    batch: Batch,
    tools: Tools,
    *,
    fraction: float,
    from_observation: float,
    max_hop: float,
    chain_steps: int,
) -> Hops | None:
    """Hops from anchors in a share of the rows; None where no row has noise above sigma_min.

    Anchors are observations at their floor, in a share `from_observation` of the rows, and ends of short chains of the
    teacher below it. log(sigma_t / sigma_s) is uniform on [0, max_hop]. One call of the denoiser at the anchors, those
    of the sampler, and one at the ends, the only one with a gradient. Raises InputError, naming the objective, where
    the sampler is not one of the reverse kernel.
    """
    if "reverse-kernel" not in tools.sampler.claims:
        raise InputError(
            f"{name} needs a sampler that draws from the reverse kernel; {tools.sampler.name!r} does not claim it. "
            "Use 'stochastic-heun'"
        )
    sigma_min = tools.levels.sigma_min
    usable = (tools.corruption.floor(batch) > sigma_min).nonzero().squeeze(1)[: math.ceil(fraction * len(batch.x_n))]
    if len(usable) == 0:
        return None
    batch = take(batch, usable)
    with torch.no_grad():
        anchor = _anchors(batch, tools, from_observation, chain_steps)
        u = uniform(torch.empty_like(anchor.sigma), tools.generator)
        sigma_s = anchor.sigma * torch.exp(-u * torch.log(anchor.sigma / sigma_min).clamp(min=0, max=max_hop))
        target = denoiser(anchor.x, anchor.sigma, **anchor.cond).to(batch.x_n.dtype)
        x_t, cond = repeated(anchor.x), {key: repeated(value) for key, value in anchor.cond.items()}
        grid = torch.stack([repeated(anchor.sigma), repeated(sigma_s)])
        # The halves of the batch mirror each other: ends 0 and 2 are a pair, and 1 and 3. A sampler that takes no
        # such source draws four alike.
        source = Mirrored(tools.generator) if "row-generators" in tools.sampler.claims else tools.generator
        ends = tools.sampler.sample(_Remembered(denoiser, x_t, repeated(target)), x_t, grid, source, cond)
    return Hops(batch, target, sigma_s, ends, denoiser(ends, grid[1], **cond).to(batch.x_n.dtype))


def repeated(value: Tensor) -> Tensor:
    """(n, ...) to (ENDS n, ...), in the order of the ends."""
    return value.repeat(ENDS, *[1] * (value.ndim - 1))


def _anchors(batch: Batch, tools: Tools, from_observation: float, chain_steps: int) -> View:
    """Points (x_t, sigma_t) with sigma_t <= sigma_n: the first rows are observations, the others ends of short
    chains."""
    floor = tools.corruption.floor(batch)
    view = tools.corruption.degrade(batch, floor, tools.generator)
    extra = uniform(torch.empty(1, device=floor.device), tools.generator)
    observed = min(int(from_observation * len(floor) + float(extra)), len(floor))  # random rounding keeps the share
    if observed == len(floor):
        return view
    top, x = floor[observed:], view.x[observed:]
    cond = {name: value[observed:] for name, value in view.cond.items()}
    sigma = log_uniform(uniform(torch.empty_like(top), tools.generator), tools.levels.sigma_min, top)
    x = tools.sampler.sample(tools.teacher, x, geometric_grid(top, sigma, chain_steps + 1), tools.generator, cond)
    return View(torch.cat([view.x[:observed], x]), torch.cat([floor[:observed], sigma]), view.cond)


class _Remembered:
    """A denoiser that already knows its value at one batch of points, so that a hop does not repeat the anchor's
    forward."""

    def __init__(self, denoiser: Denoiser, x: Tensor, x_0_hat: Tensor) -> None:
        self._denoiser, self._x, self._x_0_hat = denoiser, x, x_0_hat

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        return self._x_0_hat if x is self._x else self._denoiser(x, sigma, **cond)
