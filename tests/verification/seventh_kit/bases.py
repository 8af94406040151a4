"""What the objectives of this kit are written on: a right objective above the noise, and a right one below it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import geometric_grid, log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.weights import edm_weight, hidden_factor


class Plain(Objective):
    """Ambient Tweedie of single draws, in four steps that a part of this kit changes one by one.

    lambda(sigma) mean(min(1/a^2, cap) (rho^2 - what D does not change)), rho = a D + b x_t - x_n.
    """

    name = "seven-plain"
    source = "arXiv 2404.10177, eq. 3.4"
    claims = frozenset(
        {
            "stationary-at-oracle",
            "noise-by-pixel",
            "views-in-law",
            "levels-above-floor",
            "detached-anchor",
            "x_0-scale",
            "serves-masks",
            "serves-operators",
            "scale-under-masks",
        }
    )

    p_mean: float = -1.2
    """Mean of log sigma."""
    p_std: float = Field(1.2, gt=0)
    """Std of log sigma."""
    cap: float = Field(25.0, ge=25)
    """Bound of 1/a^2."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term with a value for every row. Raises InputError for rows as noisy as sigma_max."""
        if (tools.corruption.floor(batch) >= tools.levels.sigma_max).any():
            raise InputError("a row of the data is as noisy as sigma_max: raise levels.sigma_max")
        sigma = self._levels(batch, tools)
        view = self._view(batch, sigma, tools)
        x_0_hat = self._estimate(denoiser, view, batch, tools)
        value = self._value(x_0_hat, view, batch, tools)
        return {self.name: Term(self._lambda(view, batch, tools) * value, sigma)}

    def _u(self, batch: Batch, tools: Tools) -> Tensor:
        return uniform(torch.empty(len(batch.x_n), device=batch.x_n.device), tools.generator)

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        low = floor.clamp(min=tools.levels.sigma_min)
        u = self._u(batch, tools)
        return truncated_lognormal(u, low, tools.levels.sigma_max, self.p_mean, self.p_std).to(floor.dtype)

    def _view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        return denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        rho = self._residual(x_0_hat, view, batch, tools)
        return (self._factor(view, batch, tools) * (rho**2 - self._in_vain(view, batch, tools))).flatten(1).mean(1)

    def _residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        return tools.corruption.expect(x_0_hat, view, batch) - batch.x_n

    def _in_vain(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        a = tools.corruption.slope(view, batch)
        at_0 = tools.corruption.expect(torch.zeros_like(view.x), view, batch)
        return (a * batch.x_n + at_0 - batch.x_n) ** 2 + (a * per_row(batch.sigma_n, batch.x_n)) ** 2

    def _factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, self.cap), hidden)

    def _lambda(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        return edm_weight(view.sigma, tools.signal.sigma_data)


def repeated(value: Tensor) -> Tensor:
    """(n, ...) twice, one after the other."""
    return value.repeat(2, *[1] * (value.ndim - 1))


class Hopping(Objective):
    """Consistency of two independent ends: lambda(sigma_s) mean((D(x_s') - c) (D(x_s'') - c)), c = sg D(x_t).

    Its steps are changed one by one by parts of this kit.
    """

    name = "seven-hopping"
    source = "arXiv 2302.09057, eq. 8"
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

    fraction: float = Field(0.5, gt=0, le=1)
    """Share of the rows used."""
    from_observation: float = Field(0.3, ge=0, le=1)
    """Chance of an anchor to be an observation."""
    max_hop: float = Field(0.4, gt=0)
    """log(sigma_t / sigma_s) is uniform on [0, max_hop]."""
    chain_steps: int = Field(3, ge=1)
    """Steps to an anchor below sigma_n."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term with a value for each row used. Raises InputError for a sampler without the reverse kernel."""
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs a sampler of the reverse kernel, not {tools.sampler.name!r}")
        usable = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        batch = take(batch, usable[: math.ceil(self.fraction * len(batch.x_n))])
        if len(batch.x_n) == 0:
            return {self.name: Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        with torch.no_grad():
            anchor = self._anchor(denoiser, batch, tools)
            sigma_s = self._lower(anchor, tools)
        target = self._target(denoiser, anchor, tools)
        sigma, cond = self._twice(sigma_s), {name: self._twice_cond(value) for name, value in anchor.cond.items()}
        ends = self._ends(denoiser, anchor, sigma, cond, tools)
        answers = denoiser(ends, sigma, **cond).to(batch.x_n.dtype)
        first, second = (answers - repeated(target)).unflatten(0, (2, -1))
        value = self._combined(first, second)
        return {self.name: Term(edm_weight(sigma_s, tools.signal.sigma_data) * value, self._said(anchor, sigma_s))}

    def _anchor(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> View:
        top = tools.corruption.floor(batch)
        view = self._start(batch, top, tools)
        u = uniform(torch.empty(2, len(top), device=top.device), tools.generator)
        observed = u[0] < self.from_observation
        sigma = torch.where(observed, top, self._below(u[1].to(top.dtype), top, tools))
        grid = geometric_grid(top, torch.where(observed, top * 0.999, sigma), self.chain_steps + 1)
        x = self._chain(tools.teacher, view, grid, tools)
        return View(torch.where(per_row(observed.to(x.dtype), x) > 0, view.x, x), sigma, view.cond)

    def _start(self, batch: Batch, top: Tensor, tools: Tools) -> View:
        return tools.corruption.degrade(batch, top, tools.generator)

    def _below(self, u: Tensor, top: Tensor, tools: Tools) -> Tensor:
        return log_uniform(u, tools.levels.sigma_min, top)

    def _chain(self, teacher: Denoiser, view: View, grid: Tensor, tools: Tools) -> Tensor:
        return tools.sampler.sample(teacher, view.x, grid, tools.generator, view.cond)

    def _lower(self, anchor: View, tools: Tools) -> Tensor:
        u = uniform(torch.empty_like(anchor.sigma), tools.generator)
        room = torch.log(anchor.sigma / tools.levels.sigma_min).clamp(min=0, max=self.max_hop)
        return anchor.sigma * torch.exp(-u * room)

    def _target(self, denoiser: Denoiser, anchor: View, tools: Tools) -> Tensor:
        with torch.no_grad():
            return denoiser(anchor.x, anchor.sigma, **anchor.cond).to(anchor.x.dtype)

    def _twice(self, sigma_s: Tensor) -> Tensor:
        return repeated(sigma_s)

    def _twice_cond(self, value: Tensor) -> Tensor:
        return repeated(value)

    @torch.no_grad()
    def _ends(
        self, denoiser: Denoiser, anchor: View, sigma: Tensor, cond: Mapping[str, Tensor], tools: Tools
    ) -> Tensor:
        grid = torch.stack([repeated(anchor.sigma), sigma])
        return tools.sampler.sample(denoiser, repeated(anchor.x), grid, tools.generator, cond)

    def _combined(self, first: Tensor, second: Tensor) -> Tensor:
        return (first * second).flatten(1).mean(1)

    def _said(self, anchor: View, sigma_s: Tensor) -> Tensor:
        return sigma_s
