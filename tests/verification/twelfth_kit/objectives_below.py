"""Wrong objectives at and below the noise of the data: Stein's risk, consistency, posterior draws, detail."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ambientkit.batch import Term, View, take
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import geometric_grid, log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight

from .bases import Below, made


class Stein(Objective):
    """|D - x|^2 + 2 sigma^2 div D - sigma^2 at the floor of each noisy row, a probe of random signs."""

    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})

    def view(self, batch, sigma, tools):
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def slope(self, denoiser, x, sigma, cond, probe):
        """(x_0_hat, derivative along the probe)."""
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            x = x.detach().requires_grad_()
            x_0_hat = denoiser(x, sigma, **cond)
            (found,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        return x_0_hat, found

    def risk(self, x_0_hat, x, sigma, probe, slope):
        return (x_0_hat - x) ** 2 + per_row(sigma, x) ** 2 * (2 * probe * slope - 1)

    def loss(self, denoiser, batch, tools):
        """One term with a value for each noisy row."""
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"stein": Term(batch.x_n.new_zeros(0), sigma)}
        view = self.view(batch, sigma, tools)
        probe = torch.where(uniform(view.x, tools.generator) < 0.5, -torch.ones_like(view.x), torch.ones_like(view.x))
        x_0_hat, slope = self.slope(denoiser, view.x, sigma, view.cond, probe)
        value = self.risk(x_0_hat, view.x, sigma, probe, slope).flatten(1).mean(1)
        return {"stein": Term(edm_weight(sigma, tools.signal.sigma_data) * value, sigma)}


class SteinOnce(Stein):
    """The divergence counts once, the factor 2 forgotten."""

    name = "kit12-stein-once"

    def risk(self, x_0_hat, x, sigma, probe, slope):
        return (x_0_hat - x) ** 2 + per_row(sigma, x) ** 2 * (probe * slope - 1)


class SteinUnsquared(Stein):
    """The divergence is multiplied by sigma in place of its square."""

    name = "kit12-stein-unsquared"

    def risk(self, x_0_hat, x, sigma, probe, slope):
        return (x_0_hat - x) ** 2 + 2 * per_row(sigma, x) * probe * slope - per_row(sigma, x) ** 2


class SteinHalfDetached(Stein):
    """The divergence by a finite difference whose shifted call has no gradient."""

    name = "kit12-stein-half-detached"

    def slope(self, denoiser, x, sigma, cond, probe):
        step = 1e-2 * per_row(sigma, x)
        x_0_hat = denoiser(x, sigma, **cond)
        with torch.no_grad():
            ahead = denoiser(x + step * probe, sigma, **cond)
        return x_0_hat, (ahead - x_0_hat) / step


class SteinNoGraph(Stein):
    """The derivative is taken without create_graph, so that the divergence is a constant."""

    name = "kit12-stein-no-graph"

    def slope(self, denoiser, x, sigma, cond, probe):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x_0_hat = denoiser(x, sigma, **cond)
            (found,) = torch.autograd.grad((x_0_hat * probe).sum(), x, retain_graph=True)
        return x_0_hat, found


class SteinAsItComes(Stein):
    """Noise per pixel is not topped up: x_n itself stands for a row at its highest level."""

    name = "kit12-stein-as-it-comes"

    def view(self, batch, sigma, tools):
        return View(batch.x_n, sigma, batch.cond)


class BothEndsLearn(Below):
    """The anchor's estimate carries gradient too."""

    name = "kit12-both-ends-learn"

    def target(self, denoiser, anchor, batch, tools):
        return denoiser(anchor.x, anchor.sigma, **anchor.cond)


class SquareOfOne(Below):
    """Squares the defect of one end in place of the product of two."""

    name = "kit12-square-of-one"

    def product(self, first, second):
        return (first.square() + second.square()).flatten(1).mean(1) / 2


class EndsAtTop(Below):
    """Calls the ends of the hops by the level of their anchors."""

    name = "kit12-ends-at-top"

    def ends(self, denoiser, anchor, sigma_s, tools):
        x, _, cond = super().ends(denoiser, anchor, sigma_s, tools)
        return x, anchor.sigma.repeat(2), cond


class TargetObserved(Below):
    """Holds the ends against x_n in place of D(x_n)."""

    name = "kit12-target-observed"

    def target(self, denoiser, anchor, batch, tools):
        return batch.x_n


class OdeHop(Below):
    """Hops by an Euler step of the probability-flow equation, as consistency models do."""

    name = "kit12-ode-hop"

    def ends(self, denoiser, anchor, sigma_s, tools):
        with torch.no_grad():
            x_0_hat = denoiser(anchor.x, anchor.sigma, **anchor.cond)
            x = x_0_hat + per_row(sigma_s / anchor.sigma, anchor.x) * (anchor.x - x_0_hat)
        cond = {name: torch.cat([value, value]) for name, value in anchor.cond.items()}
        return torch.cat([x, x]), sigma_s.repeat(2), cond


class Renoised(Below):
    """Adds fresh noise of sigma_s to the estimate at the anchor, D(x_t) + sigma_s z, in place of a reverse step."""

    name = "kit12-renoised"

    def ends(self, denoiser, anchor, sigma_s, tools):
        with torch.no_grad():
            x_0_hat = denoiser(anchor.x, anchor.sigma, **anchor.cond).repeat(2, *[1] * (anchor.x.ndim - 1))
        level = sigma_s.repeat(2)
        x = x_0_hat + per_row(level, x_0_hat) * standard_normal(x_0_hat, tools.generator)
        return x, level, {name: torch.cat([value, value]) for name, value in anchor.cond.items()}


class AnySampler(Below):
    """Takes samplers that do not draw from the reverse kernel, without a word."""

    name = "kit12-any-sampler"

    def refuse(self, tools):
        return None


class Interleaved(Below):
    """Repeats the conditions row by row, and the points as a whole."""

    name = "kit12-interleaved"

    def ends(self, denoiser, anchor, sigma_s, tools):
        x, level, _ = super().ends(denoiser, anchor, sigma_s, tools)
        return x, level, {name: value.repeat_interleave(2, 0) for name, value in anchor.cond.items()}


class BelowTheLowest(Below):
    """Hops may end below sigma_min."""

    name = "kit12-below-the-lowest"

    def lower(self, sigma_t, tools):
        return sigma_t * torch.exp(-6.0 * uniform(torch.empty_like(sigma_t), tools.generator))


class CleanToo(Below):
    """Clean rows are kept, at level 0."""

    name = "kit12-clean-too"

    def usable(self, batch, tools):
        return batch

    def lower(self, sigma_t, tools):
        return 0.9 * sigma_t


class OneLearns(Below):
    """Detaches one of the two defects, and does not count the other twice."""

    name = "kit12-one-learns"

    def product(self, first, second):
        return (first * second.detach()).flatten(1).mean(1)


class BlindChain(Below):
    """Anchors below sigma_n come from a chain of the teacher that is not given the conditions."""

    name = "kit12-blind-chain"

    def anchor(self, batch, tools):
        top = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        sigma = log_uniform(uniform(torch.empty_like(top), tools.generator), tools.levels.sigma_min, top)
        with torch.no_grad():
            x = tools.sampler.sample(tools.teacher, view.x, geometric_grid(top, sigma, 5), tools.generator, {})
        return View(x, sigma, view.cond)


class MeansForDraws(PosteriorBuffer):
    """Keeps the means D(x_n) in the place of posterior draws."""

    name = "kit12-means-for-draws"

    @torch.no_grad()
    def _draw(self, denoiser, batch, tools):
        memory, top = tools.memory, tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        x_0 = denoiser(view.x, top, **view.cond)
        place = (int(memory["drawn"]) + torch.arange(len(top))) % len(memory["sigma_n"])
        memory["x_0"][place], memory["sigma_n"][place] = x_0.to(memory["x_0"].dtype), top.to(memory["sigma_n"].dtype)
        for name, value in view.cond.items():
            memory["cond." + name][place] = value
        memory["drawn"] += len(top)


class CondOfToday(PosteriorBuffer):
    """Keeps no conditions beside the draws: those of the present batch are handed on."""

    name = "kit12-cond-of-today"

    def loss(self, denoiser, batch, tools):
        today = batch.cond

        def asked(x, sigma, /, **cond):
            place = torch.arange(len(x))
            return denoiser(x, sigma, **{name: value[place % len(value)] for name, value in today.items()})

        return super().loss(asked, batch, tools)


class GrowingMemory(PosteriorBuffer):
    """Appends what it saw to the memory in each call, so that its tensors grow."""

    name = "kit12-growing-memory"

    def loss(self, denoiser, batch, tools):
        found = super().loss(denoiser, batch, tools)
        seen = found["posterior"].sigma.detach()
        tools.memory["seen"] = torch.cat([tools.memory["seen"], seen]) if "seen" in tools.memory else seen
        return found


class PushedAway(DetailMoments):
    """Pushes the energy of detail away from that of the rows, the sign of the push turned."""

    name = "kit12-pushed-away"

    def _push(self, memory, bin_of, v, s, top):
        return -super()._push(memory, bin_of, v, s, top)


class GainLessOne(DetailMoments):
    """Holds the gain against 0 in place of -1: the noise of x_s in Stein's identity is forgotten."""

    name = "kit12-gain-less-one"

    def _remember(self, memory, means, square, band, bin_of, gain, law):
        return super()._remember(memory, means, square, band, bin_of, gain - 1, law)


WRONG = made(globals())
