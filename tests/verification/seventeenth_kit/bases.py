"""Bases of the objectives of this kit: the published form of each, in steps that one part overrides."""

from __future__ import annotations

import math

import torch

from ambientkit.batch import Term, take
from ambientkit.builtin.hops import ENDS, repeated
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import geometric_grid, log_uniform, truncated_lognormal
from ambientkit.maths.noise import Mirrored, per_row, uniform
from ambientkit.maths.weights import edm_weight, hidden_factor

WHOLE = frozenset(Tweedie.claims)
PLAIN = WHOLE - {"serves-masks", "serves-operators", "scale-under-masks"}


def made(part, name, **methods):
    """A subclass with other methods, under another name."""
    return type(part)(part.__name__, (part,), {"name": name, "__module__": part.__module__, **methods})


def numbers(batch, tools):
    """(B,), uniform draws."""
    return uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator)


class Above(Objective):
    """Tweedie above the noise of the data, one draw for each row, in steps."""

    name = "kit17-base-above"
    claims = WHOLE

    hidden_power: float = 0.6
    """Of the weight of hidden values."""
    cap: float = 25.0
    """Bound of 1 / a^2."""

    def low(self, batch, tools):
        return tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)

    def high(self, batch, tools):
        high = tools.levels.sigma_max
        if bool((tools.corruption.floor(batch) >= high).any()):
            raise InputError(f"a row is as noisy as sigma_max = {high:g}: raise levels.sigma_max")
        return high

    def levels(self, batch, tools):
        return truncated_lognormal(numbers(batch, tools), self.low(batch, tools), self.high(batch, tools), -1.0, 1.4)

    def view(self, batch, sigma, tools):
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def ask(self, denoiser, view, batch):
        return denoiser(view.x, view.sigma, **view.cond)

    def expect(self, x_0_hat, view, batch, tools):
        return tools.corruption.expect(x_0_hat, view, batch)

    def in_vain(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        at_0 = tools.corruption.expect(torch.zeros_like(x_0_hat), view, batch)
        return (a * batch.x_n + at_0 - batch.x_n) ** 2 + (a * per_row(batch.sigma_n, batch.x_n)) ** 2

    def factor(self, view, batch, tools):
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data, self.hidden_power)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, self.cap), hidden)

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        return self.factor(view, batch, tools) * (rho**2 - self.in_vain(x_0_hat, view, batch, tools))

    def reduce(self, each):
        return each.flatten(1).mean(1)

    def weigh(self, sigma, batch, tools):
        return edm_weight(sigma, tools.signal.sigma_data)

    def term(self, value, sigma, batch):
        return Term(value, sigma)

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools).to(tools.corruption.floor(batch).dtype)
        view = self.view(batch, sigma, tools)
        x_0_hat = self.ask(denoiser, view, batch).to(batch.x_n.dtype)
        value = self.weigh(sigma, batch, tools) * self.reduce(self.each(x_0_hat, view, batch, tools))
        return {"above": self.term(value, sigma, batch)}


class OfClean(Above):
    """Denoising of clean rows, which refuses others."""

    name = "kit17-base-of-clean"
    claims = Denoising.claims

    def high(self, batch, tools):
        if bool((tools.corruption.floor(batch) > 0).any()):
            raise InputError("needs clean rows: give sigma_n 0")
        return tools.levels.sigma_max


class Split(Above):
    """Clean rows up to `clean_below`, noisy copies above their noise."""

    name = "kit17-base-split"
    claims = SplitLevels.claims
    below_sigma_n = SplitLevels.below_sigma_n

    clean_below: float = 0.4
    """Highest level of clean rows."""

    def top(self, batch, tools, high):
        floor = tools.corruption.floor(batch)
        clean = floor <= tools.levels.sigma_min
        return torch.where(clean, torch.full_like(floor, self.clean_below), torch.full_like(floor, high))

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), self.high(batch, tools)
        if not tools.levels.sigma_min < self.clean_below <= high:
            raise InputError(f"clean_below {self.clean_below:g} lies outside the range of levels")
        return truncated_lognormal(numbers(batch, tools), low, self.top(batch, tools, high), -1.0, 1.4)


class Below(Objective):
    """Consistency below the noise of the data: two pairs of hops from an anchor, in steps."""

    name = "kit17-base-below"
    claims = Consistency.claims
    below_sigma_n = Consistency.below_sigma_n

    fraction: float = 0.5
    """Share of the rows."""
    max_hop: float = 0.4
    """Of log(sigma_t / sigma_s)."""

    def first(self, batch, tools):
        """Views of the rows at their floor."""
        return tools.corruption.degrade(batch, tools.corruption.floor(batch), tools.generator)

    def anchors(self, denoiser, batch, tools):
        view = self.first(batch, tools)
        top = view.sigma
        low = log_uniform(uniform(torch.empty_like(top), tools.generator), tools.levels.sigma_min, top)
        stays = uniform(torch.empty_like(top), tools.generator) < 0.4
        sigma = torch.where(stays, top, low)
        x = self.chain(view, geometric_grid(top, low, 3), tools)
        return view._replace(x=torch.where(per_row(stays.to(x.dtype), x) > 0, view.x, x), sigma=sigma)

    def chain(self, view, grid, tools):
        return tools.sampler.sample(tools.teacher, view.x, grid, tools.generator, view.cond)

    def lower(self, sigma, tools):
        u = uniform(torch.empty_like(sigma), tools.generator)
        room = torch.log(sigma / tools.levels.sigma_min).clamp(min=0, max=self.max_hop)
        return sigma * torch.exp(-u * room)

    def target(self, denoiser, anchor, batch, tools):
        with torch.no_grad():
            return denoiser(anchor.x, anchor.sigma, **anchor.cond).to(batch.x_n.dtype)

    def source(self, tools):
        return Mirrored(tools.generator) if "row-generators" in tools.sampler.claims else tools.generator

    def ends(self, denoiser, anchor, sigma_s, target, tools):
        x, cond = repeated(anchor.x), {key: repeated(value) for key, value in anchor.cond.items()}
        grid = torch.stack([repeated(anchor.sigma), repeated(sigma_s)])
        with torch.no_grad():
            return tools.sampler.sample(denoiser, x, grid, self.source(tools), cond)

    def ask(self, denoiser, ends, anchor, sigma_s, batch):
        cond = {key: repeated(value) for key, value in anchor.cond.items()}
        return denoiser(ends, repeated(sigma_s), **cond).to(batch.x_n.dtype)

    def defects(self, x_0_hat, target):
        return x_0_hat.unflatten(0, (2, ENDS // 2, -1)).mean(0) - target

    def product(self, first, second):
        return (first * second).flatten(1).mean(1)

    def term(self, value, anchor, sigma_s):
        return Term(value, sigma_s)

    def loss(self, denoiser, batch, tools):
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs a sampler of the reverse kernel. Use 'stochastic-heun'")
        usable = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        batch = take(batch, usable[: math.ceil(self.fraction * len(batch.x_n))])
        if len(batch.x_n) == 0:
            empty = batch.x_n.new_zeros(0)
            return {"below": Term(empty, empty)}
        with torch.no_grad():
            anchor = self.anchors(denoiser, batch, tools)
            sigma_s = self.lower(anchor.sigma, tools)
        target = self.target(denoiser, anchor, batch, tools)
        ends = self.ends(denoiser, anchor, sigma_s, target, tools)
        first, second = self.defects(self.ask(denoiser, ends, anchor, sigma_s, batch), target)
        value = edm_weight(sigma_s, tools.signal.sigma_data) * self.product(first, second)
        return {"below": self.term(value, anchor, sigma_s)}


class Stein(Objective):
    """Stein's risk estimate at the noise of the data, in steps."""

    name = "kit17-base-stein"
    claims = Sure.claims

    def first(self, batch, tools):
        return tools.corruption.degrade(batch, tools.corruption.floor(batch), tools.generator)

    def probe(self, x, tools):
        return torch.where(uniform(x, tools.generator) < 0.5, -torch.ones_like(x), torch.ones_like(x))

    def divergence(self, denoiser, x, x_0_hat, view, tools):
        """Value by value, an estimate of the diagonal of the derivative."""
        probe = self.probe(x, tools)
        (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        return probe * slope

    def risk(self, x_0_hat, x, divergence, level):
        return (x_0_hat - x) ** 2 + level**2 * (2 * divergence - 1)

    def loss(self, denoiser, batch, tools):
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"stein": Term(batch.x_n.new_zeros(0), sigma)}
        view = self.first(batch, tools)
        with torch.enable_grad():
            x = view.x.detach().requires_grad_()
            x_0_hat = denoiser(x, view.sigma, **view.cond).to(x.dtype)
            divergence = self.divergence(denoiser, x, x_0_hat, view, tools)
        risk = self.risk(x_0_hat, view.x, divergence, per_row(view.sigma, x)).flatten(1).mean(1)
        return {"stein": Term(edm_weight(view.sigma, tools.signal.sigma_data) * risk, view.sigma)}
