"""Right objectives above the noise of the data, of which a mistake may take one step in its place."""

from __future__ import annotations

import torch

from ambientkit.batch import Term
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective, Part
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight, hidden_factor

PLAIN = frozenset(
    {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor", "x_0-scale"}
)
WHOLE = PLAIN | {"serves-masks", "serves-operators", "scale-under-masks"}


def made(*classes: type[Part]) -> list[Part]:
    """One of each, by its defaults."""
    return [one() for one in classes]


def draws(like, generator):
    """(B,) uniform numbers, one for each row."""
    return uniform(like.new_empty(len(like)), generator)


class Above(Objective):
    """Ambient Tweedie at log-normal levels above the noise of each row, for noise, masks and operators."""

    source = "arXiv 2404.10177, eq. 3.4"
    claims = WHOLE

    def loss(self, denoiser, batch, tools):
        batch = self.rows(batch, tools)
        view = self.view(batch, self.levels(batch, tools), tools)
        x_0_hat = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype)
        value = self.weigh(view.sigma, batch, tools) * self.reduce(self.each(x_0_hat, view, batch, tools))
        return {"above": Term(self.last(value, tools), self.said(view, batch))}

    def rows(self, batch, tools):
        return batch

    def low(self, batch, tools):
        return tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)

    def levels(self, batch, tools):
        u = draws(batch.x_n, tools.generator)
        return truncated_lognormal(u, self.low(batch, tools), tools.levels.sigma_max, -1.0, 1.3)

    def view(self, batch, sigma, tools):
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **view.cond)

    def rho(self, x_0_hat, view, batch, tools):
        return tools.corruption.expect(x_0_hat, view, batch) - batch.x_n

    def in_vain(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        rest = tools.corruption.expect(torch.zeros_like(x_0_hat), view, batch)
        return (a * batch.x_n + rest - batch.x_n) ** 2 + (a * per_row(batch.sigma_n, batch.x_n)) ** 2

    def factor(self, view, batch, tools):
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, 25.0), hidden)

    def each(self, x_0_hat, view, batch, tools):
        rho, in_vain = self.rho(x_0_hat, view, batch, tools), self.in_vain(x_0_hat, view, batch, tools)
        return self.factor(view, batch, tools) * (rho**2 - in_vain)

    def weigh(self, sigma, batch, tools):
        return edm_weight(sigma, tools.signal.sigma_data)

    def reduce(self, each):
        return each.flatten(1).mean(1)

    def last(self, value, tools):
        return value

    def said(self, view, batch):
        return view.sigma


class ByHand(Above):
    """The same for white noise alone, with the noise of a view and the mix written out."""

    claims = PLAIN

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        return view._replace(x=batch.x_n + missing * self.noise(batch, sigma, tools))

    def noise(self, batch, sigma, tools):
        return standard_normal(batch.x_n, tools.generator)

    def share(self, view, batch):
        return (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2

    def rho(self, x_0_hat, view, batch, tools):
        b = self.share(view, batch)
        return (1 - b) * x_0_hat + b * view.x - batch.x_n


class Mirror(Above):
    """Each row twice, with +z and -z where the corruption allows it, at log-uniform levels; no cap on 1/a^2 but 1e4."""

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        views = [view]
        if self.allowed(tools):
            views.append(view._replace(x=self.other(view, batch)))
        each = self.both(denoiser, views, batch, tools)
        return {"mirror": Term(self.weigh(sigma, batch, tools) * self.reduce(each), sigma)}

    def levels(self, batch, tools):
        return log_uniform(draws(batch.x_n, tools.generator), self.low(batch, tools), tools.levels.sigma_max)

    def allowed(self, tools):
        return "symmetric-degrade" in tools.corruption.claims

    def other(self, view, batch):
        return 2 * batch.x_n - view.x

    def both(self, denoiser, views, batch, tools):
        found = [self.each(self.ask(denoiser, view, batch, tools), view, batch, tools) for view in views]
        return torch.stack(found).mean(0)

    def factor(self, view, batch, tools):
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data)
        cap = torch.full_like(view.sigma, 1e4 if self.allowed(tools) else 25.0)
        return tools.corruption.weight(view, batch, cap, hidden)


class OfClean(Objective):
    """Denoising of clean rows, lambda mean((D - x_0)^2)."""

    source = "arXiv 2206.00364, eq. 2"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "x_0-scale", "detached-anchor", "needs-clean-data"})

    def loss(self, denoiser, batch, tools):
        if self.noisy(tools.corruption.floor(batch)):
            raise InputError(f"{self.name} needs clean rows")
        x_0 = self.rows(batch, tools)
        sigma = self.levels(batch, tools)
        x_t = x_0 + per_row(sigma, x_0) * self.noise(x_0, sigma, tools)
        error = denoiser(x_t, sigma, **batch.cond).to(x_0.dtype) - x_0
        return {"of-clean": Term(self.value(error, sigma, tools), sigma)}

    def noisy(self, floor):
        return bool((floor > 0).any())

    def rows(self, batch, tools):
        return batch.x_n

    def levels(self, batch, tools):
        u = draws(batch.x_n, tools.generator)
        return truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2)

    def noise(self, x_0, sigma, tools):
        return standard_normal(x_0, tools.generator)

    def value(self, error, sigma, tools):
        return edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1)
