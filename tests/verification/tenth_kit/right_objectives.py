"""Right objectives, done in unusual ways."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, take
from ambientkit.interfaces import Levels
from ambientkit.maths.levels import log_uniform, power_grid
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.tenth_kit.bases import ABOVE, BELOW, DRAWS, UNDER_MASKS, Above, Below, UnderMasks

SCALELESS = ABOVE - {"x_0-scale"}


class Plain(Above):
    """The pieces as they are."""

    name = "ten-right-pieces"


class PlainUnderMasks(UnderMasks):
    """The pieces as they are, under masks and operators."""

    name = "ten-right-pieces-under-masks"
    claims = UNDER_MASKS


class PlainBelow(Below):
    """The pieces as they are, with the gradient of both ends."""

    name = "ten-right-two-hops"
    claims = BELOW


class EpsWithoutDivision(Above):
    """In units of the noise: (c / sigma) eps_hat - z, of which nothing is divided by c."""

    name = "ten-right-eps-form"
    claims = SCALELESS

    def value(self, x_0_hat, view, batch, tools):
        sigma, sigma_n = per_row(view.sigma, view.x), per_row(batch.sigma_n, view.x)
        c = (sigma**2 - sigma_n**2).clamp(min=0).sqrt()
        eps_hat = (view.x - x_0_hat) / sigma
        # x_t - x_n = c z: c eps_hat / sigma is what is expected of z, times c over c.
        return (c**2 / sigma * eps_hat - (view.x - batch.x_n)).square().flatten(1).mean(1) / view.sigma**2


class Ladder(Above):
    """Levels of a ladder of 200, those above the row's own, all alike."""

    name = "ten-right-ladder-of-levels"
    claims = SCALELESS - {"levels-above-floor"} | {"x_0-scale"}

    def levels(self, batch, tools):
        low, high = Levels(*tools.levels)
        steps = torch.logspace(0, 1, 200, base=high / low, dtype=torch.float64) * low
        floor = tools.corruption.floor(batch).double()
        first = torch.searchsorted(steps, floor, right=True)
        pick = first + (uniform(floor, tools.generator) * (len(steps) - first)).long()
        return steps[pick.clamp(max=len(steps) - 1)].to(batch.x_n.dtype).clamp(max=high)


class LogUniformStratified(Above):
    """Log-uniform levels, one in each n-th of the range, dealt out to the rows at random."""

    name = "ten-right-dealt-levels"

    def levels(self, batch, tools):
        n = len(batch.x_n)
        order = torch.randperm(n, generator=tools.generator)
        u = (order + uniform(torch.empty(n), tools.generator)) / n
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return log_uniform(u.clamp(max=1 - 1e-6).to(floor.dtype), floor, tools.levels.sigma_max)


class TwoViews(Above):
    """Two views of each row at one level, independent, and the mean of their losses."""

    name = "ten-right-two-views"

    def loss(self, denoiser, batch, tools):
        n = len(batch.x_n)
        twice = take(batch, torch.arange(n).repeat(2))
        sigma = self.levels(batch, tools).repeat(2)
        view = self.view(twice, sigma, tools)
        value = self.value(self.ask(denoiser, view, twice, tools), view, twice, tools)
        return {"above": Term(value.unflatten(0, (2, n)).mean(0), sigma[:n])}


class ByThrees(Above):
    """The denoiser is asked about three rows at a time."""

    name = "ten-right-chunks-of-three"

    def ask(self, denoiser, view, batch, tools):
        parts = [
            denoiser(x, s, **{name: value[i : i + 3] for name, value in view.cond.items()})
            for i in range(0, len(view.x), 3)
            for x, s in [(view.x[i : i + 3], view.sigma[i : i + 3])]
        ]
        return torch.cat(parts).to(batch.x_n.dtype)


class Gradients(Above):
    """Differences of neighbouring values count, besides the values: a Sobolev norm."""

    name = "ten-right-sobolev"
    claims = SCALELESS

    def value(self, x_0_hat, view, batch, tools):
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        steep = rho - rho.roll(1, -1)
        return self.weight(view.sigma, tools) * (rho**2 + 0.5 * steep**2).flatten(1).mean(1)


class Sigmoid(Above):
    """Weights by a sigmoid of log SNR."""

    name = "ten-right-sigmoid-weight"
    claims = SCALELESS

    def weight(self, sigma, tools):
        return torch.sigmoid(2 - 2 * sigma.log()) / sigma**2


class LearnedWeight(Above):
    """The weight of a level is one over the running mean of the loss there, of earlier calls alone."""

    name = "ten-right-running-weight"
    claims = SCALELESS

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        rho = tools.corruption.expect(self.ask(denoiser, view, batch, tools), view, batch) - batch.x_n
        plain = rho.square().flatten(1).mean(1)
        memory = tools.memory
        if not memory:
            memory["sum"], memory["n"] = torch.ones(8), torch.ones(8)
        which = (2 + 2 * sigma.log()).clamp(0, 7).long()
        weight = (memory["n"] / memory["sum"])[which].to(plain.dtype)
        memory["sum"] = (0.99 * memory["sum"]).index_add(0, which, plain.detach().float())
        memory["n"] = (0.99 * memory["n"]).index_add(0, which, torch.ones_like(plain).float())
        return {"above": Term(weight * plain, sigma)}


class OwnAnswer(Above):
    """Held to the denoiser's own answer for the row, detached: E[D(x_n) | x_t] = D(x_t)."""

    name = "ten-right-own-answer-detached"
    claims = SCALELESS - {"noise-by-pixel"}

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        low = tools.corruption.floor(batch)
        clean = low < tools.levels.sigma_min
        with torch.no_grad():
            own = tools.corruption.degrade(batch, low.clamp(min=tools.levels.sigma_min), tools.generator)
            told = denoiser(own.x, own.sigma, **own.cond)
        target = torch.where(per_row(clean.to(told.dtype), told) > 0, batch.x_n, told)
        error = self.ask(denoiser, view, batch, tools) - target
        return {"above": Term(self.weight(sigma, tools) * error.square().flatten(1).mean(1), sigma)}


class RiskGaussianProbe(Above):
    """Stein's risk at any level above the row's own, with a normal probe."""

    name = "ten-right-risk-at-all-levels"
    claims = SCALELESS

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        x = view.x.detach().requires_grad_()
        with torch.enable_grad():
            x_0_hat = denoiser(x, sigma, **view.cond).to(x.dtype)
            probe = standard_normal(x, tools.generator)
            (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        risk = (x_0_hat - view.x) ** 2 + per_row(sigma, x) ** 2 * (2 * probe * slope - 1)
        return {"risk": Term(self.weight(sigma, tools) * risk.flatten(1).mean(1), sigma)}


class ThreeHops(Below):
    """Three independent hops: the mean of the products of all pairs."""

    name = "ten-right-three-hops"
    claims = BELOW

    def ends(self, denoiser, anchor, sigma_s, tools):
        return torch.stack([self.hop(denoiser, anchor, sigma_s, tools) for _ in range(3)])

    def value(self, found, target, sigma_s, anchor, tools):
        d = found - target
        pairs = (d.sum(0) ** 2 - (d**2).sum(0)) / 6
        return edm_weight(sigma_s, tools.signal.sigma_data) * pairs.flatten(1).mean(1)


class TeachersTarget(Below):
    """The target is the EMA teacher's answer at the anchor."""

    name = "ten-right-target-of-the-teacher"
    claims = BELOW - {"half-backward"}

    def target(self, denoiser, anchor, tools):
        return tools.teacher(anchor.x, anchor.sigma, **anchor.cond)


class FreshDraws(Below):
    """Draws made anew in each call by the teacher, twelve steps, and denoised at log-uniform levels up to sigma_n."""

    name = "ten-right-fresh-draws"
    claims = DRAWS

    def loss(self, denoiser, batch, tools):
        self.suits(tools)
        batch = self.usable(batch, tools)
        if len(batch.x_n) == 0:
            return {"draws": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        top = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        with torch.no_grad():
            grid = torch.cat(
                [
                    power_grid(top, (0.02 * top).clamp(min=tools.levels.sigma_min), 12, 3.0),
                    torch.zeros_like(top).unsqueeze(0),
                ]
            )
            x_0 = tools.sampler.sample(tools.teacher, view.x, grid, tools.generator, view.cond)
        sigma = log_uniform(uniform(top, tools.generator), tools.levels.sigma_min, top)
        x_t = x_0 + per_row(sigma, x_0) * standard_normal(x_0, tools.generator)
        error = denoiser(x_t, sigma, **view.cond).to(x_0.dtype) - x_0
        return {"draws": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)}


PARTS = (
    Plain,
    PlainUnderMasks,
    PlainBelow,
    EpsWithoutDivision,
    Ladder,
    LogUniformStratified,
    TwoViews,
    ByThrees,
    Gradients,
    Sigmoid,
    LearnedWeight,
    OwnAnswer,
    RiskGaussianProbe,
    ThreeHops,
    TeachersTarget,
    FreshDraws,
)
