"""Objectives that go wrong below the noise of the data: draws that are kept, risks, and teachers."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Term, take
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.tenth_kit.bases import ABOVE, DRAWS, Above, Below


class Buffer(Below):
    """Denoising of draws that are made anew in each call, in pieces."""

    claims = DRAWS
    below_sigma_n = "from draws of whole rows"

    def loss(self, denoiser, batch, tools):
        self.suits(tools)
        batch = self.usable(batch, tools)
        if len(batch.x_n) == 0:
            return {"draws": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        x_0, top, cond = self.drawn(denoiser, batch, tools)
        u = uniform(top, tools.generator)
        sigma = tools.levels.sigma_min * (top / tools.levels.sigma_min) ** u
        x_t = x_0 + per_row(sigma, x_0) * standard_normal(x_0, tools.generator)
        error = denoiser(x_t, sigma, **cond).to(x_0.dtype) - x_0
        weight = edm_weight(sigma, tools.signal.sigma_data)
        return {"draws": Term(weight * error.square().flatten(1).mean(1), sigma)}

    def drawn(self, denoiser, batch, tools):
        top = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        with torch.no_grad():
            return self.draw(denoiser, view, tools), top, view.cond

    def draw(self, denoiser, view, tools):
        share = torch.tensor([1.0, 0.8, 0.62, 0.46, 0.32, 0.2, 0.1, 0.03, 0.0])
        grid = share.unsqueeze(1) * view.sigma
        grid = torch.where(grid > 0, grid.clamp(min=tools.levels.sigma_min), grid)
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)


class BufferOfMeans(Buffer):
    """The posterior mean in the place of a draw."""

    name = "ten-means-for-draws"

    def draw(self, denoiser, view, tools):
        return denoiser(view.x, view.sigma, **view.cond)


class BufferStopsEarly(Buffer):
    """Draws stop at a quarter of sigma_n, and are taken for clean."""

    name = "ten-draws-that-stop-early"

    def draw(self, denoiser, view, tools):
        grid = torch.linspace(1, 0.25, 7).unsqueeze(1) * view.sigma
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)


class BufferWithGradient(Buffer):
    """Draws are made with gradients on."""

    name = "ten-gradient-through-draws"

    def drawn(self, denoiser, batch, tools):
        top = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        return self.draw(denoiser, view, tools), top, view.cond


STATE: dict[str, Tensor] = {}


class BufferInModule(Buffer):
    """Draws are kept in the module, not in the run's memory."""

    name = "ten-draws-kept-in-the-module"

    def drawn(self, denoiser, batch, tools):
        x_0, top, cond = super().drawn(denoiser, batch, tools)
        old = STATE.get("x_0")
        STATE["x_0"] = x_0
        return (old if old is not None and old.shape == x_0.shape else x_0), top, cond


class BufferGrows(Buffer):
    """Draws are added to those that are kept: the memory grows without end."""

    name = "ten-memory-that-grows"

    def drawn(self, denoiser, batch, tools):
        x_0, top, cond = super().drawn(denoiser, batch, tools)
        if "x_0" in tools.memory:
            tools.memory["x_0"] = torch.cat([tools.memory["x_0"], x_0])
        else:
            tools.memory["x_0"] = x_0
        pick = (uniform(top, tools.generator) * len(tools.memory["x_0"])).long()
        return tools.memory["x_0"][pick], top, cond


class BufferForgetsLevels(Buffer):
    """Draws of the call before, with the levels and conditions of this one."""

    name = "ten-old-draws-new-conditions"

    def drawn(self, denoiser, batch, tools):
        x_0, top, cond = super().drawn(denoiser, batch, tools)
        old = tools.memory.get("x_0", x_0)
        tools.memory["x_0"] = x_0
        n = min(len(old), len(x_0))
        return old[:n], top[:n], {name: value[:n] for name, value in cond.items()}


class RiskOnce(Above):
    """Stein's risk with the divergence once."""

    name = "ten-divergence-once"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"risk": Term(batch.x_n.new_zeros(0), sigma)}
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x = view.x.detach().requires_grad_()
        with torch.enable_grad():
            x_0_hat = denoiser(x, sigma, **view.cond).to(x.dtype)
            probe = self.probe(x, tools)
            slope = self.slope(x_0_hat, probe, x)
        risk = (x_0_hat - view.x) ** 2 + self.times() * per_row(sigma, x) ** 2 * probe * slope
        return {"risk": Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}

    def times(self) -> float:
        return 1.0

    def slope(self, x_0_hat, probe, x):
        (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        return slope

    def probe(self, x, tools):
        return torch.where(uniform(x, tools.generator) < 0.5, -torch.ones_like(x), torch.ones_like(x))


class RiskDetached(RiskOnce):
    """The derivative of the network is taken without a graph: it has a value and no gradient."""

    name = "ten-divergence-without-graph"

    def times(self):
        return 2.0

    def slope(self, x_0_hat, probe, x):
        (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, retain_graph=True)
        return slope


class RiskOfOnes(RiskOnce):
    """The probe is all ones: the sum of the whole derivative, not of its diagonal."""

    name = "ten-probe-of-ones"

    def times(self):
        return 2.0

    def probe(self, x, tools):
        return torch.ones_like(x)


class DistilsSmoothly(Above):
    """A pull towards the teacher at half the level of the view, at the same point."""

    name = "ten-pulled-to-another-level"
    claims = ABOVE - {"x_0-scale"}

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        x_0_hat = self.ask(denoiser, view, batch, tools)
        with torch.no_grad():
            told = tools.teacher(view.x, 0.8 * sigma, **view.cond)
        pull = (x_0_hat - told).square().flatten(1).mean(1)
        return {"above": Term(self.value(x_0_hat, view, batch, tools) + 0.2 * pull, sigma)}


class SelfDistilled(Above):
    """Held to its own answer for the row, with a gradient on both sides."""

    name = "ten-held-to-own-answer-undetached"
    claims = ABOVE - {"x_0-scale"}

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        top = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        low = tools.corruption.degrade(batch, top, tools.generator)
        target = denoiser(low.x, top, **low.cond)
        error = self.ask(denoiser, view, batch, tools) - target
        return {"above": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)}


PARTS = (
    BufferOfMeans,
    BufferStopsEarly,
    BufferWithGradient,
    BufferInModule,
    BufferGrows,
    BufferForgetsLevels,
    RiskOnce,
    RiskDetached,
    RiskOfOnes,
    DistilsSmoothly,
    SelfDistilled,
)
