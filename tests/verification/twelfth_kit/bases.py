"""What the parts of the twelfth kit are made from: plain right parts whose pieces each wrong one replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.interfaces import Denoiser, Objective, Part, Tools
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import geometric_grid, log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.weights import edm_weight

AMBIENT = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor"})
BELOW = frozenset(
    {
        "stationary-at-oracle",
        "noise-by-pixel",
        "views-in-law",
        "value-unbiased",
        "detached-anchor",
        "half-backward",
    }
)


def made(namespace: Mapping[str, Any]) -> list[Part]:
    """One instance of each part of the kit that a module defines."""
    return [
        value()
        for value in namespace.values()
        if isinstance(value, type)
        and issubclass(value, Part)
        and value.__module__ == namespace["__name__"]
        and value.__dict__.get("name", "").startswith("kit12-")
    ]


class Ambient(Objective):
    """Ambient Tweedie at log-uniform levels: lambda(sigma) mean((expect(D) - x_n)^2)."""

    claims = AMBIENT

    def drawn(self, batch: Batch, tools: Tools) -> Tensor:
        """(B,), the level of each row."""
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return log_uniform(uniform(torch.empty_like(floor), tools.generator), floor, tools.levels.sigma_max)

    def seen(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """x_t."""
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def asked(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """x_0_hat."""
        return denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)

    def residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """rho."""
        return tools.corruption.expect(x_0_hat, view, batch) - batch.x_n

    def square(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """(B, *S), what is averaged."""
        return self.residual(x_0_hat, view, batch, tools).square()

    def factor(self, sigma: Tensor, tools: Tools) -> Tensor:
        """lambda."""
        return edm_weight(sigma, tools.signal.sigma_data)

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term with a value for every row."""
        sigma = self.drawn(batch, tools)
        view = self.seen(batch, sigma, tools)
        x_0_hat = self.asked(denoiser, view, batch, tools)
        value = self.square(x_0_hat, view, batch, tools).flatten(1).mean(1)
        return {"term": Term(self.factor(sigma, tools) * value, sigma)}


class Scaled(Ambient):
    """The same in the scale of x_0, less what no network changes."""

    claims = AMBIENT | {"x_0-scale"}

    def square(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """min(1/a^2, 25) (rho^2 - what no network changes)."""
        a = tools.corruption.slope(view, batch)
        rho = self.residual(x_0_hat, view, batch, tools)
        vain = (tools.corruption.expect(batch.x_n, view, batch) - batch.x_n) ** 2
        vain = vain + (a * per_row(batch.sigma_n, batch.x_n)) ** 2
        return capped_inverse_square(a, 25.0) * (rho**2 - vain)


class Covered(Ambient):
    """The same on rows of which values are missing, by the corruption's own weight."""

    claims = AMBIENT | {"serves-masks"}

    def square(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """weight rho^2."""
        cap = torch.full_like(view.sigma, 25.0)
        hidden = (view.sigma**2 / (view.sigma**2 + tools.signal.sigma_data**2)) ** 0.75
        weight = tools.corruption.weight(view, batch, cap, hidden)
        return weight * self.residual(x_0_hat, view, batch, tools).square()


class CleanOnly(Ambient):
    """Denoising of clean rows at log-normal levels."""

    claims = frozenset({"stationary-at-oracle", "views-in-law", "x_0-scale", "detached-anchor", "needs-clean-data"})

    def refuse(self, batch: Batch, tools: Tools) -> None:
        """InputError for noisy rows."""
        from ambientkit.errors import InputError

        noisy = tools.corruption.floor(batch) > 0
        if noisy.any():
            raise InputError(f"row {int(batch.row[int(noisy.nonzero()[0])])} has noise: give clean rows")

    def drawn(self, batch: Batch, tools: Tools) -> Tensor:
        """(B,), log-normal."""
        u = uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator)
        return truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, -1.0, 1.2)

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term with a value for every row."""
        self.refuse(batch, tools)
        return super().loss(denoiser, batch, tools)


class Below(Objective):
    """Martingale property from anchors at sigma_n and below: two independent hops, the product of their defects."""

    claims = BELOW
    below_sigma_n = "by making the estimates of neighbouring levels agree"

    def usable(self, batch: Batch, tools: Tools) -> Batch:
        """Rows with noise, the first half of the batch."""
        floor = tools.corruption.floor(batch)
        return take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1)[: (len(floor) + 1) // 2])

    def anchor(self, batch: Batch, tools: Tools) -> View:
        """The first third of the rows at their floor, the others at ends of short chains of the teacher."""
        top = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        seen = (len(top) + 2) // 3
        if seen == len(top):
            return view
        low = log_uniform(uniform(torch.empty_like(top[seen:]), tools.generator), tools.levels.sigma_min, top[seen:])
        cond = {name: value[seen:] for name, value in view.cond.items()}
        with torch.no_grad():
            grid = geometric_grid(top[seen:], low, 4)
            x = tools.sampler.sample(tools.teacher, view.x[seen:], grid, tools.generator, cond)
        return View(torch.cat([view.x[:seen], x]), torch.cat([top[:seen], low]), view.cond)

    def lower(self, sigma_t: Tensor, tools: Tools) -> Tensor:
        """The level of the ends, log-uniform within a factor exp(0.3), not below sigma_min."""
        u = uniform(torch.empty_like(sigma_t), tools.generator)
        return sigma_t * torch.exp(-u * torch.log(sigma_t / tools.levels.sigma_min).clamp(min=0, max=0.3))

    def target(self, denoiser: Denoiser, anchor: View, batch: Batch, tools: Tools) -> Tensor:
        """sg[D(x_t)]."""
        with torch.no_grad():
            return denoiser(anchor.x, anchor.sigma, **anchor.cond).to(batch.x_n.dtype)

    def ends(
        self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, tools: Tools
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Two hops for each row: (2 n, *S), (2 n,), conditions."""
        x = torch.cat([anchor.x, anchor.x])
        grid = torch.stack([anchor.sigma.repeat(2), sigma_s.repeat(2)])
        cond = {name: torch.cat([value, value]) for name, value in anchor.cond.items()}
        with torch.no_grad():
            return tools.sampler.sample(denoiser, x, grid, tools.generator, cond), grid[1], cond

    def product(self, first: Tensor, second: Tensor) -> Tensor:
        """(n,)."""
        return (first * second).flatten(1).mean(1)

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term with a value for each row used."""
        self.refuse(tools)
        batch = self.usable(batch, tools)
        if len(batch.x_n) == 0:
            empty = batch.x_n.new_zeros(0)
            return {"hop": Term(empty, empty)}
        anchor = self.anchor(batch, tools)
        sigma_s = self.lower(anchor.sigma, tools)
        target = self.target(denoiser, anchor, batch, tools)
        x_s, level, cond = self.ends(denoiser, anchor, sigma_s, tools)
        first, second = denoiser(x_s, level, **cond).to(batch.x_n.dtype).chunk(2)
        value = self.product(first - target, second - target)
        return {"hop": Term(edm_weight(sigma_s, tools.signal.sigma_data) * value, sigma_s)}

    def refuse(self, tools: Tools) -> None:
        """InputError for a sampler of another kernel."""
        from ambientkit.errors import InputError

        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"needs a sampler of the reverse kernel; {tools.sampler.name!r} does not claim it")
