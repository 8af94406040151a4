"""Right objectives of our own, of which a mistake may take one step in its place."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective, Part
from ambientkit.maths.levels import geometric_grid, log_uniform, truncated_lognormal
from ambientkit.maths.noise import Mirrored, per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight, hidden_factor


def made(*classes: type[Part]) -> list[Part]:
    """One of each, by its defaults."""
    return [one() for one in classes]


def numbers(x, generator):
    """(B,) uniform numbers."""
    return uniform(torch.empty(len(x), dtype=x.dtype, device=x.device), generator)


class TopUp(Objective):
    """Ambient Tweedie: lambda mean(weight (rho^2 - in_vain)) at levels above the noise of each row."""

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

    def loss(self, denoiser, batch, tools):
        batch = self.used(batch, tools)
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        x_0_hat = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype)
        value = self.scale(view.sigma, batch, tools) * self.mean(self.error(x_0_hat, view, batch, tools))
        return {"top-up": Term(value, self.said(view))}

    def used(self, batch, tools):
        return batch

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(numbers(batch.x_n, tools.generator), low, tools.levels.sigma_max, -1.2, 1.2)

    def view(self, batch, sigma, tools):
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **view.cond)

    def rho(self, x_0_hat, view, batch, tools):
        return tools.corruption.expect(x_0_hat, view, batch) - batch.x_n

    def error(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        rest = tools.corruption.expect(torch.zeros_like(x_0_hat), view, batch)
        in_vain = (a * batch.x_n + rest - batch.x_n) ** 2 + (a * per_row(batch.sigma_n, batch.x_n)) ** 2
        return self.weight(view, batch, tools) * (self.rho(x_0_hat, view, batch, tools) ** 2 - in_vain)

    def weight(self, view, batch, tools):
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, 25.0), hidden)

    def scale(self, sigma, batch, tools):
        return edm_weight(sigma, tools.signal.sigma_data)

    def mean(self, error):
        return error.flatten(1).mean(1)

    def said(self, view):
        return view.sigma


class Down(Objective):
    """Consistency: from an anchor at or below the noise of a row, two pairs of hops; lambda mean(d' d'')."""

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

    def loss(self, denoiser, batch, tools):
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs a sampler of the reverse kernel, not {tools.sampler.name!r}")
        noisy = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        if len(noisy) == 0:
            return {"down": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        batch = self.chosen(batch, noisy)
        with torch.no_grad():
            anchor = self.anchor(batch, tools)
            sigma_s = self.lower(anchor, tools)
            known = self.known(denoiser, anchor, tools).to(batch.x_n.dtype)
            ends = [self.pair(denoiser, anchor, sigma_s, tools) for _ in range(2)]
        first, second = (self.defect(denoiser, pair, sigma_s, anchor) - known for pair in ends)
        value = self.product(first, second)
        return {"down": Term(edm_weight(sigma_s, tools.signal.sigma_data) * value, sigma_s)}

    def chosen(self, batch, noisy):
        return take(batch, noisy)

    def anchor(self, batch, tools):
        floor = tools.corruption.floor(batch)
        view = self.start(batch, floor, tools)
        sigma = log_uniform(numbers(batch.x_n, tools.generator), tools.levels.sigma_min, floor)
        sigma = torch.where(numbers(batch.x_n, tools.generator) < 0.4, floor, sigma)
        low = (sigma < floor).nonzero().squeeze(1)
        if len(low) == 0:
            return view
        x = view.x.clone()
        x[low] = self.chain(view, floor, sigma, low, tools)
        return View(x, sigma, view.cond)

    def start(self, batch, floor, tools):
        return tools.corruption.degrade(batch, floor, tools.generator)

    def chain(self, view, floor, sigma, low, tools):
        cond = {name: value[low] for name, value in view.cond.items()}
        grid = geometric_grid(floor[low], sigma[low], 4)
        return tools.sampler.sample(tools.teacher, view.x[low], grid, tools.generator, cond)

    def lower(self, anchor, tools):
        longest = torch.log(anchor.sigma / tools.levels.sigma_min).clamp(min=0, max=0.4)
        return anchor.sigma * torch.exp(-numbers(anchor.x, tools.generator) * longest)

    def known(self, denoiser, anchor, tools):
        return denoiser(anchor.x, anchor.sigma, **anchor.cond)

    def pair(self, denoiser, anchor, sigma_s, tools):
        twice = {name: torch.cat([value, value]) for name, value in anchor.cond.items()}
        grid = torch.stack([anchor.sigma.repeat(2), sigma_s.repeat(2)])
        mirrors = "row-generators" in tools.sampler.claims
        source = Mirrored(tools.generator) if mirrors else tools.generator
        return tools.sampler.sample(denoiser, torch.cat([anchor.x, anchor.x]), grid, source, twice)

    def defect(self, denoiser, ends, sigma_s, anchor):
        twice = {name: torch.cat([value, value]) for name, value in anchor.cond.items()}
        return denoiser(ends, sigma_s.repeat(2), **twice).to(ends.dtype).unflatten(0, (2, -1)).mean(0)

    def product(self, first, second):
        return (first * second).flatten(1).mean(1)


class OfClean(Objective):
    """Denoising of clean rows."""

    source = "arXiv 2206.00364, eq. 2"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "x_0-scale", "detached-anchor", "needs-clean-data"})

    def loss(self, denoiser, batch, tools):
        if self.noisy(tools.corruption.floor(batch)):
            raise InputError(f"{self.name} needs clean rows")
        x_0, sigma = self.rows(batch), self.levels(batch, tools)
        x_t = x_0 + self.noise(x_0, sigma, tools)
        x_0_hat = self.ask(denoiser, x_t, sigma, batch, tools).to(x_0.dtype)
        return {"of-clean": Term(self.value(x_0_hat - x_0, sigma, tools), sigma)}

    def noisy(self, floor):
        return bool((floor > 0).any())

    def rows(self, batch):
        return batch.x_n

    def levels(self, batch, tools):
        u = numbers(batch.x_n, tools.generator)
        return truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2)

    def noise(self, x_0, sigma, tools):
        return per_row(sigma, x_0) * standard_normal(x_0, tools.generator)

    def ask(self, denoiser, x_t, sigma, batch, tools):
        return denoiser(x_t, sigma, **batch.cond)

    def value(self, error, sigma, tools):
        return edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1)
