"""Right objectives at and below the noise of the data, of which a mistake may take one step in its place."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.batch import Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import geometric_grid, log_uniform, power_grid, truncated_lognormal
from ambientkit.maths.noise import Mirrored, per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight

from .bases import PLAIN, Above, draws


def at(cond, index):
    """The conditions of some rows."""
    return {name: value[index] for name, value in cond.items()}


def twice(cond):
    """The conditions of a batch of two halves."""
    return {name: torch.cat([value, value]) for name, value in cond.items()}


def refuse_unless_kernel(name, sampler):
    """Raise InputError for a sampler that does not draw from the reverse kernel."""
    if "reverse-kernel" not in sampler.claims:
        raise InputError(f"{name} needs a sampler that claims reverse-kernel, not {sampler.name!r}")


class Below(Objective):
    """Consistency: two pairs of hops from an anchor at or below the noise of a row; lambda(sigma_s) mean(d' d'')."""

    source = "arXiv 2302.09057, eq. 8; arXiv 2404.10177, section 3.2"
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
        refuse_unless_kernel(self.name, tools.sampler)
        noisy = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        if len(noisy) == 0:
            return {"below": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        batch = take(batch, noisy)
        with torch.no_grad():
            anchor = self.anchor(batch, tools)
            sigma_s = self.lower(anchor, tools)
            ends = self.ends(denoiser, anchor, sigma_s, tools)
        known = self.known(denoiser, anchor, tools)
        first, second = (self.defect(self.at_ends(denoiser, pair, sigma_s, anchor), known) for pair in ends)
        value = edm_weight(sigma_s, tools.signal.sigma_data) * self.product(first, second)
        return {"below": Term(value, sigma_s)}

    def anchor(self, batch, tools):
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        stays = draws(batch.x_n, tools.generator) < 0.35
        sigma = log_uniform(draws(batch.x_n, tools.generator).to(floor), tools.levels.sigma_min, floor)
        sigma = torch.where(stays, floor, sigma)
        moved = (~stays).nonzero().squeeze(1)
        if len(moved) == 0:
            return view
        x = view.x.clone()
        x[moved] = self.chain(view, floor, sigma, moved, tools).to(x.dtype)
        return View(x, sigma, view.cond)

    def chain(self, view, floor, sigma, moved, tools):
        grid = geometric_grid(floor[moved], sigma[moved], 4)
        return tools.sampler.sample(tools.teacher, view.x[moved], grid, tools.generator, at(view.cond, moved))

    def lower(self, anchor, tools):
        longest = torch.log(anchor.sigma / tools.levels.sigma_min).clamp(min=0, max=0.4)
        return anchor.sigma * torch.exp(-draws(anchor.x, tools.generator).to(longest) * longest)

    def ends(self, denoiser, anchor, sigma_s, tools):
        return [self.pair(denoiser, anchor, sigma_s, tools) for _ in range(2)]

    def pair(self, denoiser, anchor, sigma_s, tools):
        """(2 n, *S), the two ends of each anchor, one half after the other."""
        grid = torch.stack([anchor.sigma.repeat(2), sigma_s.repeat(2)])
        mirrors = "row-generators" in tools.sampler.claims
        source = Mirrored(tools.generator) if mirrors else tools.generator
        x = torch.cat([anchor.x, anchor.x])
        return tools.sampler.sample(denoiser, x, grid, source, twice(anchor.cond))

    def known(self, denoiser, anchor, tools):
        with torch.no_grad():
            return denoiser(anchor.x, anchor.sigma, **anchor.cond).to(anchor.x.dtype)

    def at_ends(self, denoiser, ends, sigma_s, anchor):
        found = denoiser(ends, sigma_s.repeat(2), **twice(anchor.cond)).to(ends.dtype)
        return found.unflatten(0, (2, -1)).mean(0)

    def defect(self, said, known):
        return said - known

    def product(self, first, second):
        return (first * second).flatten(1).mean(1)


class Split(Above):
    """Clean rows at low levels, noisy rows above their noise."""

    source = "arXiv 2502.21278, abstract"
    claims = PLAIN | {"clean-rows-low"}
    below_sigma_n = "from clean rows, at the low levels alone"

    clean_below: float = Field(0.5, gt=0)
    """Highest level at which clean rows are seen."""

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), tools.levels.sigma_max
        clean = self.clean(tools.corruption.floor(batch), tools)
        top = torch.where(clean, torch.full_like(low, self.clean_below), torch.full_like(low, high))
        return truncated_lognormal(draws(batch.x_n, tools.generator).to(low), low, top, -1.2, 1.2)

    def clean(self, floor, tools):
        return floor <= tools.levels.sigma_min


class Stein(Objective):
    """Stein's unbiased risk estimate at the noise level of each row."""

    source = "Stein (1981), theorem 1"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})

    def loss(self, denoiser, batch, tools):
        noisy = tools.corruption.floor(batch) > tools.levels.sigma_min
        batch = take(batch, noisy.nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"stein": Term(batch.x_n.new_zeros(0), sigma)}
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        probe = self.probe(view.x, tools)
        x = view.x.detach().requires_grad_()
        with torch.enable_grad():
            x_0_hat = denoiser(x, sigma, **view.cond).to(x.dtype)
            slope = self.slope(x_0_hat, x, probe)
        risk = (x_0_hat - view.x) ** 2 + self.noise(sigma, x) * (2 * probe * slope - 1)
        return {"stein": Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}

    def probe(self, x, tools):
        return torch.where(uniform(x, tools.generator) < 0.5, -1.0, 1.0).to(x)

    def slope(self, x_0_hat, x, probe):
        return torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)[0]

    def noise(self, sigma, x):
        return per_row(sigma, x) ** 2


class Store(Objective):
    """Denoises posterior draws of a few rows, kept in memory for the next calls."""

    source = "arXiv 2405.13712, algorithm 1"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "x_0-scale", "detached-anchor"})
    below_sigma_n = "from draws of whole rows that the network made for the noisy ones"

    room: int = Field(64, ge=1)
    """Draws that are kept."""

    def loss(self, denoiser, batch, tools):
        refuse_unless_kernel(self.name, tools.sampler)
        memory = tools.memory
        if not memory:
            memory["x_0"] = batch.x_n.new_zeros(self.room, *batch.x_n.shape[1:])
            memory["top"] = batch.x_n.new_zeros(self.room)
            memory["count"] = torch.zeros((), dtype=torch.int64)
            for name, value in batch.cond.items():
                memory["cond." + name] = value.new_zeros(self.room, *value.shape[1:])
        floor = tools.corruption.floor(batch)
        usable = (floor > tools.levels.sigma_min).nonzero().squeeze(1)[: max(1, min(len(floor) // 4, self.room))]
        if len(usable):
            with torch.no_grad():
                self.keep(denoiser, take(batch, usable), tools)
        filled = min(int(memory["count"]), self.room)
        if filled == 0:
            return {"store": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        which = (draws(batch.x_n, tools.generator) * filled).long().clamp(max=filled - 1)
        x_0, top = memory["x_0"][which], memory["top"][which]
        high = (2 * top).clamp(min=1.01 * tools.levels.sigma_min, max=tools.levels.sigma_max)
        sigma = truncated_lognormal(draws(x_0, tools.generator), tools.levels.sigma_min, high, -1.2, 1.2)
        x_t = x_0 + per_row(sigma, x_0) * standard_normal(x_0, tools.generator)
        error = denoiser(x_t, sigma, **self.conds(memory, which, batch)).to(x_0.dtype) - x_0
        value = edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1)
        return {"store": Term(value, sigma)}

    def conds(self, memory, which, batch):
        return {name[5:]: value[which] for name, value in memory.items() if name.startswith("cond.")}

    def keep(self, denoiser, batch, tools):
        memory, top = tools.memory, tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        x_0 = self.draw(denoiser, view, top, tools)
        place = (int(memory["count"]) + torch.arange(len(top), device=top.device)) % self.room
        memory["x_0"][place], memory["top"][place] = x_0.to(memory["x_0"]), top.to(memory["top"])
        for name, value in view.cond.items():
            memory["cond." + name][place] = value
        memory["count"] += len(top)

    def draw(self, denoiser, view, top, tools):
        low = torch.minimum((0.03 * top).clamp(min=tools.levels.sigma_min), top)
        grid = torch.cat([power_grid(top, low, 10, 3.0), torch.zeros_like(top).unsqueeze(0)])
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)
