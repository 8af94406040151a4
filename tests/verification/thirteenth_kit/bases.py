"""Right objectives of our own, in small steps that a mistake may replace one at a time."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from ambientkit.batch import Batch, Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective, Part
from ambientkit.maths.levels import geometric_grid, log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight


def made(*classes: type[Part]) -> list[Part]:
    """One of each, by its defaults."""
    return [one() for one in classes]


def missing(batch: Batch, sigma):
    """sqrt(sigma^2 - sigma_n^2), value by value."""
    x = batch.x_n
    return (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt()


def draws(batch: Batch, tools):
    """(B,) uniform numbers."""
    return uniform(torch.empty(len(batch.x_n), dtype=batch.x_n.dtype, device=batch.x_n.device), tools.generator)


class Ambient(Objective):
    """Ambient Tweedie at single levels: lambda min(1/a^2, cap) mean(rho^2 - what no network changes)."""

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
            "scale-under-masks",
        }
    )

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.seen(batch, sigma, tools)
        x_0_hat = self.asked(denoiser, view, batch, tools).to(batch.x_n.dtype)
        value = self.value(x_0_hat, view, batch, tools)
        return {"ambient": Term(self.scale(sigma, batch, tools) * self.reduced(value, view, batch), self.told(view))}

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(draws(batch, tools), low, tools.levels.sigma_max, -1.2, 1.2)

    def seen(self, batch, sigma, tools):
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def asked(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **view.cond)

    def residual(self, x_0_hat, view, batch, tools):
        return tools.corruption.expect(x_0_hat, view, batch) - batch.x_n

    def in_vain(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        at_0 = tools.corruption.expect(torch.zeros_like(x_0_hat), view, batch)
        return (a * batch.x_n + at_0 - batch.x_n) ** 2 + (a * per_row(batch.sigma_n, batch.x_n)) ** 2

    def factor(self, view, batch, tools):
        cap = torch.full_like(view.sigma, 25.0)
        hidden = (edm_weight(view.sigma, tools.signal.sigma_data) * tools.signal.sigma_data**2) ** -0.75
        return tools.corruption.weight(view, batch, cap, hidden)

    def value(self, x_0_hat, view, batch, tools):
        square = self.residual(x_0_hat, view, batch, tools) ** 2 - self.in_vain(x_0_hat, view, batch, tools)
        return self.factor(view, batch, tools) * square

    def scale(self, sigma, batch, tools):
        return edm_weight(sigma, tools.signal.sigma_data)

    def reduced(self, value, view, batch):
        return value.flatten(1).mean(1)

    def told(self, view):
        return view.sigma


class Carried(Objective):
    """Consistency with two independent pairs of hops: lambda(sigma_s) mean(d' d'')."""

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
    below_sigma_n = "by making the estimates of neighbouring levels agree"
    first: float = Field(0.5, ge=0, le=0.9)
    longest: float = 0.4

    def loss(self, denoiser, batch, tools):
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs a sampler of the reverse kernel, not {tools.sampler.name!r}")
        noisy = tools.corruption.floor(batch) > tools.levels.sigma_min
        if not noisy.any():
            return {"carried": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        batch = take(batch, noisy.nonzero().squeeze(1))
        with torch.no_grad():
            anchor = self.anchors(batch, tools)
            u = draws(batch, tools)
            ratio = torch.log(anchor.sigma / tools.levels.sigma_min).clamp(min=0, max=self.longest)
            sigma_s = anchor.sigma * torch.exp(-u * ratio)
            target = self.target(denoiser, anchor, tools).to(batch.x_n.dtype)
        ends = [self.pair(denoiser, anchor, sigma_s, tools) for _ in range(2)]
        first, second = (self.defect(denoiser, pair, sigma_s, anchor, target, tools) for pair in ends)
        return {"carried": Term(self.scale(sigma_s, anchor, tools) * self.product(first, second), sigma_s)}

    def anchors(self, batch, tools):
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        low = log_uniform(draws(batch, tools), tools.levels.sigma_min, floor)
        sigma = torch.where(draws(batch, tools) < self.first, floor, low)
        below = (sigma < floor).nonzero().squeeze(1)
        if len(below) == 0:
            return view
        cond = {name: value[below] for name, value in view.cond.items()}
        grid = geometric_grid(floor[below], sigma[below], 4)
        x = view.x.clone()
        x[below] = tools.sampler.sample(tools.teacher, view.x[below], grid, tools.generator, cond)
        return View(x, sigma, view.cond)

    def target(self, denoiser, anchor, tools):
        return denoiser(anchor.x, anchor.sigma, **anchor.cond)

    def pair(self, denoiser, anchor, sigma_s, tools):
        """Two ends from each anchor."""
        grid = torch.stack([anchor.sigma, sigma_s])
        with torch.no_grad():
            return [self.hop(denoiser, anchor, grid, tools) for _ in range(2)]

    def hop(self, denoiser, anchor, grid, tools):
        return tools.sampler.sample(denoiser, anchor.x, grid, tools.generator, anchor.cond)

    def defect(self, denoiser, ends, sigma_s, anchor, target, tools):
        found = [denoiser(x, sigma_s, **anchor.cond).to(x.dtype) for x in ends]
        return torch.stack(found).mean(0) - target

    def product(self, first, second):
        return (first * second).flatten(1).mean(1)

    def scale(self, sigma_s, anchor, tools):
        return edm_weight(sigma_s, tools.signal.sigma_data)


class Clean(Objective):
    """Denoising of clean rows under the EDM weight."""

    source = "arXiv 2206.00364, eq. 2"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "x_0-scale", "detached-anchor", "needs-clean-data"})

    def loss(self, denoiser, batch, tools):
        self.refuse(batch, tools)
        sigma = truncated_lognormal(draws(batch, tools), tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2)
        z = standard_normal(batch.x_n, tools.generator)
        x_t = batch.x_n + per_row(sigma, z) * z
        x_0_hat = denoiser(x_t, sigma, **batch.cond).to(batch.x_n.dtype)
        return {"clean": Term(self.value(x_0_hat, x_t, z, sigma, batch, tools).flatten(1).mean(1), sigma)}

    def refuse(self, batch, tools):
        if bool((tools.corruption.floor(batch) > 0).any()):
            raise InputError(f"{self.name} needs clean data")

    def value(self, x_0_hat, x_t, z, sigma, batch, tools):
        return per_row(edm_weight(sigma, tools.signal.sigma_data), z) * (x_0_hat - batch.x_n) ** 2


class Stein(Objective):
    """Stein's unbiased risk estimate at the level of each row."""

    source = "Stein (1981), theorem 1"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})

    def loss(self, denoiser, batch, tools):
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"stein": Term(batch.x_n.new_zeros(0), sigma)}
        view = self.seen(batch, sigma, tools)
        v = self.probe(view.x, tools)
        x_0_hat, divergence = self.answered(denoiser, view, v)
        risk = (x_0_hat - view.x) ** 2 + self.penalty(per_row(sigma, view.x), divergence)
        return {"stein": Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}

    def seen(self, batch, sigma, tools):
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def probe(self, x, tools):
        return (uniform(x, tools.generator) < 0.5).to(x.dtype) * 2 - 1

    def answered(self, denoiser, view, v):
        x = view.x.detach().requires_grad_()
        with torch.enable_grad():
            x_0_hat = denoiser(x, view.sigma, **view.cond)
            (slope,) = torch.autograd.grad((x_0_hat * v).sum(), x, create_graph=True)
        return x_0_hat, v * slope

    def penalty(self, sigma, divergence):
        return sigma**2 * (2 * divergence - 1)


def share(batch, part: float) -> int:
    """Rows of a share of the batch, one at least."""
    return max(1, math.floor(part * len(batch.x_n)))
