"""Right parts of other kinds than the built-in ones: the checks must pass them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ambientkit.batch import Batch, Term, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.memory_measures.shares import Ratio
from ambientkit.interfaces import Model
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_step
from ambientkit.maths.weights import edm_weight, min_snr_weight
from ambientkit.memorisation_parts import Attack, Attempt, Similarity

from .bases import BELOW, Ambient, Below, CleanOnly, Covered, Scaled, made
from .models import EDM, LIMIT, Net, Plain, refuse
from .objectives_below import Stein
from .samplers import FLOW_1, FLOW_2, KERNEL, Steps, inside


class ScoreMatching(Ambient):
    """sigma^2 times the score (D - x_t) / sigma^2 against that of the added noise, -(x_t - x_n) / c^2, times c^2."""

    name = "kit12-right-score-matching"

    def residual(self, x_0_hat, view, batch, tools):
        s, n = per_row(view.sigma, view.x) ** 2, per_row(batch.sigma_n, view.x) ** 2
        return (s - n) * (x_0_hat - view.x) / s + (view.x - batch.x_n)


class MinSnr(Ambient):
    """Weight min-SNR with gamma 5 and the root of a, in place of EDM's."""

    name = "kit12-right-min-snr"

    def factor(self, sigma, tools):
        return min_snr_weight(sigma, tools.signal.sigma_data, 5.0)

    def square(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch).clamp(min=0)
        return a**0.5 * super().square(x_0_hat, view, batch, tools)


class UniformLevels(Ambient):
    """Levels uniform in sigma^(1/3) above the floor of the row."""

    name = "kit12-right-uniform-levels"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        low, high = floor ** (1 / 3), tools.levels.sigma_max ** (1 / 3)
        sigma = (low + (high - low) * uniform(torch.empty_like(floor), tools.generator)) ** 3
        return torch.maximum(sigma, floor).clamp(max=tools.levels.sigma_max)


class Stratified(Scaled):
    """Log-normal levels, one from each of B strata of the batch in random order."""

    name = "kit12-right-stratified"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty_like(floor), tools.generator)
        order = uniform(torch.empty_like(floor), tools.generator).argsort()
        u = ((order.to(floor) + u) / len(floor)).clamp(max=1 - 1e-6)
        return truncated_lognormal(u, floor, tools.levels.sigma_max, -0.5, 1.5).to(floor.dtype)


class TwoViews(Scaled):
    """The mean of the losses of two independent views of each row at one level."""

    name = "kit12-right-two-views"

    def loss(self, denoiser, batch, tools):
        sigma = self.drawn(batch, tools)
        total = 0.0
        for _ in range(2):
            view = self.seen(batch, sigma, tools)
            total = total + self.square(self.asked(denoiser, view, batch, tools), view, batch, tools) / 2
        return {"term": Term(self.factor(sigma, tools) * total.flatten(1).mean(1), sigma)}


class HalfTheRows(Covered):
    """Uses a random half of the rows in each call, with their masks."""

    name = "kit12-right-half-the-rows"

    def loss(self, denoiser, batch, tools):
        from ambientkit.batch import take

        n = len(batch.x_n)
        order = uniform(batch.x_n.new_empty(n), tools.generator).argsort()
        return super().loss(denoiser, take(batch, order[: math.ceil(n / 2)]), tools)


class SteinCentral(Stein):
    """Stein's risk with the derivative by a central difference, both calls with gradient."""

    name = "kit12-right-stein-central"

    def slope(self, denoiser, x, sigma, cond, probe):
        step = 1e-2 * per_row(sigma, x)
        ahead, back = denoiser(x + step * probe, sigma, **cond), denoiser(x - step * probe, sigma, **cond)
        return denoiser(x, sigma, **cond), (ahead - back) / (2 * step)


class ThreeEnds(Below):
    """Three independent hops from an anchor; the mean of the products of the three distinct pairs of defects."""

    name = "kit12-right-three-ends"
    claims = BELOW

    def loss(self, denoiser, batch, tools):
        self.refuse(tools)
        batch = self.usable(batch, tools)
        if len(batch.x_n) == 0:
            return {"hop": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        anchor = self.anchor(batch, tools)
        sigma_s = self.lower(anchor.sigma, tools)
        target = self.target(denoiser, anchor, batch, tools)
        grid = torch.stack([anchor.sigma.repeat(3), sigma_s.repeat(3)])
        cond = {name: torch.cat([value] * 3) for name, value in anchor.cond.items()}
        with torch.no_grad():
            x_s = tools.sampler.sample(denoiser, torch.cat([anchor.x] * 3), grid, tools.generator, cond)
        found = denoiser(x_s, grid[1], **cond).unflatten(0, (3, -1)) - target
        square = (found.sum(0).square() - found.square().sum(0)) / 6
        return {"hop": Term(edm_weight(sigma_s, tools.signal.sigma_data) * square.flatten(1).mean(1), sigma_s)}


class NoiseLoss(CleanOnly):
    """The loss of the noise, |z_hat - z|^2, at log-uniform levels: weight 1 / sigma^2."""

    name = "kit12-right-noise-loss"
    claims = CleanOnly.claims - {"x_0-scale"}

    def drawn(self, batch, tools):
        return Ambient.drawn(self, batch, tools)

    def factor(self, sigma, tools):
        return torch.ones_like(sigma)

    def square(self, x_0_hat, view, batch, tools):
        sigma = per_row(view.sigma, view.x)
        return ((view.x - x_0_hat) / sigma - (view.x - batch.x_n) / sigma).square()


class SteinTwoProbes(Stein):
    """Stein's risk with the mean of two probes, z and one of its own."""

    name = "kit12-right-stein-two-probes"

    def slope(self, denoiser, x, sigma, cond, probe):
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            x = x.detach().requires_grad_()
            x_0_hat = denoiser(x, sigma, **cond)
            other = probe * torch.where(torch.arange(probe[0].numel()).reshape(probe.shape[1:]) % 2 == 0, 1.0, -1.0)
            slopes = [torch.autograd.grad((x_0_hat * p).sum(), x, create_graph=True)[0] for p in (probe, other)]
        return x_0_hat, (slopes[0] + other * probe * slopes[1]) / 2


class Ramp(Gaussian):
    """Noise whose level falls along the last axis of a row from 1.3 to 0.7 times sigma_n."""

    name = "kit12-right-ramp"

    def observe(self, x_0, row, generator):
        factor = torch.linspace(1.3, 0.7, x_0.shape[-1]).to(x_0)
        sigma_n = (0.2 * factor).expand_as(x_0).contiguous()
        return Batch(x_0 + sigma_n * standard_normal(x_0, generator), sigma_n, row, {})


class LogLevels(Gaussian):
    """One level for each row, log-uniform between 0.05 and 0.5."""

    name = "kit12-right-log-levels"

    def observe(self, x_0, row, generator):
        u = uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        sigma_n = 0.05 * 10**u
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})


class TwoParts(Gaussian):
    """`degrade` adds what is missing as the sum of two independent noises of half the variance."""

    name = "kit12-right-two-parts"

    def degrade(self, batch, sigma, generator):
        half = ((sigma**2 + self.floor(batch) ** 2) / 2).sqrt()
        first = super().degrade(batch, torch.maximum(half, self.floor(batch)).minimum(sigma), generator)
        level = per_row(first.sigma, batch.x_n)
        more = (per_row(sigma, batch.x_n) ** 2 - level**2).clamp(min=0).sqrt()
        return View(first.x + more * standard_normal(batch.x_n, generator), sigma, batch.cond)


class LogEuler(Steps):
    """Euler in log sigma on x - D, exact to 0 in the last step by D itself."""

    name = "kit12-right-log-euler"

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, sigma_t, **cond)
        ratio = torch.where(sigma_s > 0, sigma_s / sigma_t, torch.ones_like(sigma_t)).log()
        return inside(x, x_0_hat, x + per_row(ratio, x) * (x - x_0_hat), sigma_s)


class Midpoint(Steps):
    """The midpoint rule in sigma, Euler in a last step to 0."""

    name = "kit12-right-midpoint"
    claims = FLOW_2

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, sigma_t, **cond)
        middle = torch.where(sigma_s > 0, (sigma_t + sigma_s) / 2, sigma_t)
        halfway = x_0_hat + per_row(middle / sigma_t, x) * (x - x_0_hat)
        slope = (halfway - denoiser(halfway, middle, **cond)) / per_row(middle, x)
        return inside(x, x_0_hat, x + per_row(sigma_s - sigma_t, x) * slope, sigma_s)


class MultiStep(Steps):
    """DPM-Solver++(2M)."""

    name = "kit12-right-multistep"
    claims = FLOW_2

    def sample(self, denoiser, x, sigmas, generator, cond):
        old, old_h = None, None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            now = denoiser(x, sigma_t, **cond).to(x.dtype)
            h = (sigma_t / torch.where(sigma_s > 0, sigma_s, sigma_t / 2)).log()
            best = now
            if old is not None:
                best = inside(x, now, now + per_row(h / (2 * old_h), x) * (now - old), sigma_s)
            x = best + per_row(sigma_s / sigma_t, x) * (x - best)
            old, old_h = now, h
        return x


class TwoHops(Steps):
    """The reverse kernel in two steps with the geometric mean of the levels between, in each step of the grid."""

    name = "kit12-right-two-hops"
    claims = KERNEL

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        middle = torch.where(sigma_s > 0, (sigma_t * sigma_s).sqrt(), sigma_t / 2)
        x = reverse_step(x, denoiser(x, sigma_t, **cond), sigma_t, middle, generator)
        return reverse_step(x, denoiser(x, middle, **cond), middle, sigma_s, generator)


class HalfNoise(Steps):
    """DDIM with eta = 1/2: half of the ancestral std, and a deterministic part shortened for it."""

    name = "kit12-right-half-noise"
    claims = FLOW_1

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        up = sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt() / 2
        x_0_hat = denoiser(x, sigma_t, **cond)
        down = x_0_hat + per_row((sigma_s**2 - up**2).clamp(min=0).sqrt() / sigma_t, x) * (x - x_0_hat)
        return down + per_row(up, x) * standard_normal(x, generator)


class Normed(nn.Module):
    """Layer normalisations, and the level by random features."""

    def __init__(self, size):
        super().__init__()
        self.register_buffer("frequencies", torch.randn(8))
        self.first, self.norm, self.last = nn.Linear(size + 16, 48), nn.LayerNorm(48), nn.Linear(48, size)

    def forward(self, y, c_noise):
        phase = c_noise.unsqueeze(1).to(y.dtype) * self.frequencies.to(y.dtype)
        return self.last(nn.functional.gelu(self.norm(self.first(torch.cat([y, phase.sin(), phase.cos()], 1)))))


class LayerNormed(Plain):
    """EDM's preconditioning of a network with layer normalisation."""

    name = "kit12-right-layer-normed"
    claims = EDM

    def network(self, signal):
        refuse(signal)
        return Normed(math.prod(signal.shape))


class _InForm(Model):
    """A network that sees alpha x and answers in a form."""

    def network(self, signal):
        """A fresh network."""
        refuse(signal)
        return Net(math.prod(signal.shape))

    def parts(self, sigma):
        """(input, skip, out, time)."""
        raise NotImplementedError

    def denoiser(self, network, signal):
        """D."""

        def denoise(x, sigma, /, **cond):
            into, skip, out, time = self.parts(sigma.to(x.dtype))
            answer = network((per_row(into, x) * x).flatten(1), time).to(x.dtype).reshape(x.shape)
            return per_row(skip, x) * x + per_row(out, x) * answer

        return denoise


class NoiseVP(_InForm):
    """The noise, by a network that sees the variance-preserving point and its angle."""

    name = "kit12-right-noise-vp"
    claims = LIMIT | {"eps-form"}

    def parts(self, sigma):
        return 1 / torch.hypot(torch.ones_like(sigma), sigma), torch.ones_like(sigma), -sigma, sigma.atan()


class VelocityVP(_InForm):
    """v, by a network that sees the variance-preserving point and the logarithm of its ratio of signal to noise."""

    name = "kit12-right-velocity-vp"
    claims = LIMIT | {"v-form"}

    def parts(self, sigma):
        alpha = 1 / torch.hypot(torch.ones_like(sigma), sigma)
        return alpha, alpha**2, -sigma * alpha, -2 * sigma.log()


class FlowOf1000(_InForm):
    """The velocity of the flow, by a network that is given 1000 t."""

    name = "kit12-right-flow-1000"
    claims = LIMIT | {"flow-form"}

    def parts(self, sigma):
        t = sigma / (1 + sigma)
        return 1 - t, 1 - t, -t, 1000 * t


class Standardised(Similarity):
    """Rows less their median, over their mean absolute deviation from it."""

    name = "kit12-right-standardised"
    claims = frozenset({"row-by-row", "brightness-free"})
    moves = True

    def view(self, rows):
        flat = rows.flatten(1)
        off = flat - flat.median(1, keepdim=True).values
        return (off / off.abs().mean(1, keepdim=True).clamp(min=1e-3)).reshape(rows.shape)


class TwoLevels(Attack):
    """The error of the denoiser, mean of two levels, half the std of the data and all of it."""

    name = "kit12-right-two-levels"
    claims = frozenset({"blind"})

    def attempt(self, x, keys, target):
        generators = target.generators("kit12.two-levels", keys)
        errors, first = 0.0, None
        for share in (0.5, 1.0):
            level = max(share * target.sigma_data, 1.2 * target.sigma_n, 1.2 * target.levels.sigma_min)
            noisy = x + (level**2 - target.sigma_n**2) ** 0.5 * standard_normal(x, generators)
            draws = target.denoised(noisy, torch.full((len(x),), level))
            errors = errors + (draws - x).flatten(1).double().square().mean(1).sqrt() / level
            first = (noisy, draws) if first is None else first
        return Attempt(first[0], first[1].unsqueeze(1), errors)


class RatioOfFive(Ratio):
    """The share with p at most 5 %, of the ratio of the squares of the two distances."""

    name = "kit12-right-ratio-of-five"
    level: float = 0.05

    def by_row(self, judged, null, train, seed):
        return tuple(one.square() for one in super().by_row(judged, null, train, seed))


RIGHT = made(globals())
