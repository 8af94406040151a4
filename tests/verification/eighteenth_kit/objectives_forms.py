"""Right objectives with other draws of levels and rows, and other but equivalent formulas."""

from __future__ import annotations

import math
from typing import Literal

import torch

from ambientkit.batch import Term, take
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row
from tests.verification.seventeenth_kit.bases import WHOLE, Above, OfClean, numbers

from .bases import final

UNSCALED = WHOLE - {"x_0-scale", "scale-under-masks"}


class Sobol(Above):
    """Levels by a scrambled Sobol sequence, whose seed is drawn."""

    name = "kit18-sobol-levels"

    def levels(self, batch, tools):
        n = len(batch.x_n)
        seed = int(torch.randint(2**31, (), generator=tools.generator, device=tools.generator.device))
        points = torch.quasirandom.SobolEngine(1, scramble=True, seed=seed).draw(max(n, 1))[:n, 0]
        u = points.to(batch.x_n).clamp(max=1 - 1e-6)
        return truncated_lognormal(u, self.low(batch, tools), self.high(batch, tools), -1.0, 1.4)


class MirroredLevels(Above):
    """Levels in pairs u, 1 - u of the distribution function."""

    name = "kit18-levels-mirrored"

    def levels(self, batch, tools):
        u = numbers(batch, tools)
        half = len(u) // 2
        u = torch.cat([u[: len(u) - half], 1 - u[:half]]).clamp(max=1 - 1e-6)
        return truncated_lognormal(u, self.low(batch, tools), self.high(batch, tools), -1.0, 1.4)


class Angles(Above):
    """The angle of the variance-preserving schedule is uniform above that of the row."""

    name = "kit18-uniform-angle"

    def levels(self, batch, tools):
        low = self.low(batch, tools)
        first, last = low.double().atan(), math.atan(self.high(batch, tools))
        found = (first + (last - first) * numbers(batch, tools).double()).tan().to(low.dtype)
        return torch.maximum(found.clamp(max=self.high(batch, tools)), low)


class Rejected(Above):
    """Normal log levels are drawn again until they lie above the row."""

    name = "kit18-levels-by-rejection"

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), self.high(batch, tools)
        sigma = truncated_lognormal(numbers(batch, tools), low, high, -1.0, 1.4)  # kept where 40 tries do not serve
        waits = torch.ones_like(sigma, dtype=torch.bool)
        for _ in range(40):
            found = truncated_lognormal(numbers(batch, tools), 1e-6, 1e6, -1.0, 1.4)
            fits = waits & (found > low) & (found <= high)
            sigma, waits = torch.where(fits, found, sigma), waits & ~fits
        return sigma


class Mixed(Above):
    """Levels of a mixture of log-uniform and normal ones, row by row."""

    name = "kit18-levels-of-a-mixture"

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), self.high(batch, tools)
        wide = log_uniform(numbers(batch, tools), low, high)
        narrow = truncated_lognormal(numbers(batch, tools), low, high, -0.5, 0.7)
        return torch.where(numbers(batch, tools) < 0.3, wide, narrow)


class Importance(Above):
    """Log-uniform levels, weighted by the ratio of the truncated normal density to their own."""

    name = "kit18-levels-by-importance"
    claims = UNSCALED

    def levels(self, batch, tools):
        return log_uniform(numbers(batch, tools), self.low(batch, tools), self.high(batch, tools))

    def weigh(self, sigma, batch, tools):
        low, high = self.low(batch, tools).double(), self.high(batch, tools)
        first, last, here = ((torch.as_tensor(value).double().log() + 1.0) / 1.4 for value in (low, high, sigma))
        mass = torch.special.ndtr(last) - torch.special.ndtr(first)
        ratio = (last - first) * torch.exp(-(here**2) / 2) / math.sqrt(2 * math.pi) / mass.clamp(min=1e-12)
        return super().weigh(sigma, batch, tools) * ratio.to(sigma.dtype)


class Bootstrapped(Above):
    """Rows are drawn from the batch with replacement."""

    name = "kit18-rows-with-replacement"

    def loss(self, denoiser, batch, tools):
        n = len(batch.x_n)
        rows = (numbers(batch, tools) * n).long().clamp(max=max(n - 1, 0))
        return super().loss(denoiser, take(batch, rows), tools)


class Bernoulli(Above):
    """Each row is used with the chance 0.7, or all where none would be."""

    name = "kit18-each-row-with-a-chance"

    def loss(self, denoiser, batch, tools):
        kept = numbers(batch, tools) < 0.7
        kept = kept if bool(kept.any()) else torch.ones_like(kept)
        return super().loss(denoiser, take(batch, kept.nonzero().squeeze(1)), tools)


class EverySecond(Above):
    """Every second row is used, each twice with levels of its own."""

    name = "kit18-every-second-row-twice"

    def loss(self, denoiser, batch, tools):
        here = torch.arange(len(batch.x_n), device=batch.x_n.device)
        return super().loss(denoiser, take(batch, here - here % 2), tools)


class Backwards(Above):
    """Values are returned from the last row to the first, with their levels."""

    name = "kit18-values-backwards"

    def term(self, value, sigma, batch):
        return Term(value.flip(0), sigma.flip(0))


class NoiseForm(Above):
    """The residual is that of the noise, (x_t - D) / sigma, times sigma."""

    name = "kit18-by-the-noise"

    def expect(self, x_0_hat, view, batch, tools):
        if tools.corruption.carries:
            return super().expect(x_0_hat, view, batch, tools)
        level = per_row(view.sigma, view.x)
        eps = (view.x - x_0_hat) / level
        return view.x - tools.corruption.slope(view, batch) * level * eps


class TargetForm(Above):
    """D is compared with (x_n - b x_t) / a where a is above 1 / 8, with the weight times a^2."""

    name = "kit18-by-the-target"
    claims = WHOLE - {"serves-operators"}

    def each(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        far = a > 0.125
        rest = tools.corruption.expect(torch.zeros_like(x_0_hat), view, batch)
        target = (batch.x_n - rest) / torch.where(far, a, torch.ones_like(a))
        square = torch.where(far, (a * (x_0_hat - target)) ** 2, (a * x_0_hat + rest - batch.x_n) ** 2)
        return self.factor(view, batch, tools) * (square - self.in_vain(x_0_hat, view, batch, tools))


class InTwoTerms(Above):
    """The square, and what no network changes, are terms of their own."""

    name = "kit18-two-terms"

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools).to(tools.corruption.floor(batch).dtype)
        view = self.view(batch, sigma, tools)
        x_0_hat = self.ask(denoiser, view, batch).to(batch.x_n.dtype)
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        weight, factor = self.weigh(sigma, batch, tools), self.factor(view, batch, tools)
        rest = self.in_vain(x_0_hat.detach(), view, batch, tools)
        return {
            "square": Term(weight * self.reduce(factor * rho**2), sigma),
            "rest": Term(-weight * self.reduce(factor * rest), sigma),
        }


class ControlVariate(Above):
    """A control variate of mean 0: the square of the added noise less its variance, by level."""

    name = "kit18-control-variate"

    def each(self, x_0_hat, view, batch, tools):
        value = super().each(x_0_hat, view, batch, tools)
        if tools.corruption.carries:
            return value
        variance = per_row(view.sigma, view.x) ** 2 - per_row(batch.sigma_n, view.x) ** 2
        return value - 0.2 * ((view.x - batch.x_n) ** 2 - variance) / per_row(view.sigma, view.x) ** 2


class Annealed(Above):
    """The weight of high levels falls with the calls that the run has made."""

    name = "kit18-annealed-weight"
    claims = UNSCALED

    def loss(self, denoiser, batch, tools):
        tools.memory.setdefault("calls", torch.zeros((), dtype=torch.int64)).add_(1)
        (term,) = super().loss(denoiser, batch, tools).values()
        share = 1 / (1 + float(tools.memory["calls"]) / 100)
        return {"annealed": term._replace(value=term.value * (1 + share * term.sigma) / (1 + term.sigma))}


class Balanced(Above):
    """Values are divided by the mean of the squares of earlier calls in their class of levels."""

    name = "kit18-balanced-by-earlier-calls"
    claims = UNSCALED

    def loss(self, denoiser, batch, tools):
        (term,) = super().loss(denoiser, batch, tools).values()
        memory = tools.memory
        if not memory:
            memory["scale"] = torch.ones(8, dtype=torch.float64, device=term.value.device)
        place = (2 * term.sigma.detach().log() + 4).long().clamp(0, 7)
        scale = memory["scale"].clone()
        found = term.value.detach().double().square().clamp(max=1e6)
        memory["scale"].index_add_(0, place, 0.01 * (found - scale[place]) / max(len(found), 1))
        return {"balanced": term._replace(value=term.value / scale[place].sqrt().clamp(min=1e-2).to(term.value))}


class ScoreForm(OfClean):
    """Denoising by the score: |s + z / sigma|^2 times sigma^4."""

    name = "kit18-denoises-by-the-score"

    def each(self, x_0_hat, view, batch, tools):
        level = per_row(view.sigma, view.x)
        score, z = (x_0_hat - view.x) / level**2, (view.x - batch.x_n) / level
        return level**4 * (score + z / level) ** 2


class VForm(OfClean):
    """Denoising by v = alpha z - s x_0 of the variance-preserving form, times s^2."""

    name = "kit18-denoises-by-v"

    def each(self, x_0_hat, view, batch, tools):
        level = per_row(view.sigma, view.x)
        alpha = 1 / torch.hypot(torch.ones_like(level), level)
        s = level * alpha
        v = alpha * (view.x - batch.x_n) / level - s * batch.x_n
        return s**2 * ((alpha**2 * view.x - x_0_hat) / s - v) ** 2


class AllInPairs(Tweedie):
    """The default with all levels in pairs within a twentieth above the row, and a cap of 1."""

    name = "kit18-all-in-near-pairs"

    near: float = 1.0
    """Share of the levels in pairs."""
    near_ratio: float = 1.05
    """Upper end of their range."""
    cap: float = 1.0
    """Bound of 1 / a^2."""


class MinSnr(Tweedie):
    """The default with a strict min-SNR weight, a third of the rows, and high levels."""

    name = "kit18-strict-min-snr"

    weighting: Literal["edm", "min-snr"] = "min-snr"
    """lambda."""
    snr_gamma: float = 0.05
    """Of min-snr."""
    fraction: float = 0.34
    """Share of the rows."""
    p_mean: float = 1.5
    """Mean of log sigma."""


class HiddenInFull(Tweedie):
    """The default with hidden values as at pure noise, and a narrow law of levels."""

    name = "kit18-hidden-values-in-full"

    hidden_power: float = 1.0
    """Of the weight of hidden values."""
    p_std: float = 0.3
    """Std of log sigma."""
    near: float = 0.1
    """Share of the levels in pairs."""


class TinyHops(Consistency):
    """Hops of at most a fiftieth, from the rows alone."""

    name = "kit18-tiny-hops"

    fraction: float = 1.0
    """Share of the rows."""
    from_observation: float = 1.0
    """Share of the anchors at (x_n, sigma_n)."""
    max_hop: float = 0.02
    """Of log(sigma_t / sigma_s)."""


class LongBuffer(PosteriorBuffer):
    """Draws of 16 steps for an eighth of the rows, kept for four calls."""

    name = "kit18-buffer-of-long-chains"

    refresh: float = 0.125
    """Rows drawn anew."""
    keep: int = 4
    """Calls for which a draw is kept."""
    steps: int = 16
    """Steps of a draw's chain."""
    fraction: float = 1.0
    """Rows denoised."""


class QuickMoments(DetailMoments):
    """Detail by running means that look back 50 calls, of half of the rows."""

    name = "kit18-detail-of-fifty-calls"

    fraction: float = 0.5
    """Share of the rows."""
    window: int = 50
    """Calls that a running mean looks back."""


RIGHT = final(globals())
