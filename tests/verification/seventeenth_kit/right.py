"""Right objectives that look unusual."""

from __future__ import annotations

import math

import torch
from torch.utils.checkpoint import checkpoint

from ambientkit.batch import Term, View, take
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .bases import WHOLE, Above, Below, OfClean, Split, Stein, numbers

UNSCALED = WHOLE - {"x_0-scale", "scale-under-masks"}


class Strata(Above):
    """Levels by strata in random order, one for each row."""

    name = "kit17-right-strata"

    def levels(self, batch, tools):
        n = len(batch.x_n)
        u = ((numbers(batch, tools).argsort() + numbers(batch, tools)) / max(n, 1)).clamp(max=1 - 1e-6)
        return truncated_lognormal(u.to(batch.x_n), self.low(batch, tools), self.high(batch, tools), -1.0, 1.4)


class Lattice(Above):
    """Levels of low discrepancy: the golden ratio's sequence, turned by one random number."""

    name = "kit17-right-golden-levels"

    def levels(self, batch, tools):
        turn = uniform(batch.x_n.new_empty(1), tools.generator)
        u = (torch.arange(len(batch.x_n)) * (math.sqrt(5) - 1) / 2).to(batch.x_n)
        u = ((u + turn) % 1).clamp(max=1 - 1e-6)
        return truncated_lognormal(u, self.low(batch, tools), self.high(batch, tools), -1.0, 1.4)


class FlowTimes(Above):
    """t = sigma / (1 + sigma) is uniform above the floor, as for a flow."""

    name = "kit17-right-uniform-flow-time"

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), self.high(batch, tools)
        first, last = low / (1 + low), high / (1 + high)
        t = first + (last - first) * numbers(batch, tools)
        return torch.maximum((t / (1 - t)).clamp(max=high), low)


class Reweighted(Above):
    """Log-uniform levels, and the weight of an importance sampler that has mean 1 over levels in the value."""

    name = "kit17-right-importance-weights"
    claims = UNSCALED

    def levels(self, batch, tools):
        return log_uniform(numbers(batch, tools), self.low(batch, tools), self.high(batch, tools))

    def weigh(self, sigma, batch, tools):
        return super().weigh(sigma, batch, tools) * torch.exp(-((sigma.log() + 1.0) ** 2) / (2 * 1.4**2))


class SoftMin(Above):
    """A smooth weight of levels, 1 / (sigma^2 + sigma_data^2), without a claim on its scale."""

    name = "kit17-right-smooth-weight"
    claims = UNSCALED

    def weigh(self, sigma, batch, tools):
        return 1 / (sigma**2 + tools.signal.sigma_data**2)


class PlainSquare(Above):
    """rho^2 alone, with what no network changes."""

    name = "kit17-right-nothing-subtracted"

    def in_vain(self, x_0_hat, view, batch, tools):
        return torch.zeros_like(batch.x_n)


class ZeroMeanTerm(Above):
    """One more term of mean 0, noise of the call, which no network changes."""

    name = "kit17-right-term-of-mean-zero"

    def each(self, x_0_hat, view, batch, tools):
        z = standard_normal(batch.x_n, tools.generator)
        return super().each(x_0_hat, view, batch, tools) + 0.1 * z


class Doubles(Above):
    """Residuals and weights are made in float64 where the corruption takes it."""

    name = "kit17-right-float64-inside"
    claims = WHOLE - {"serves-operators"}

    def loss(self, denoiser, batch, tools):
        wide = batch._replace(x_n=batch.x_n.double(), sigma_n=batch.sigma_n.double())
        same = batch.x_n.dtype

        def narrow(x, sigma, /, **cond):
            told = {key: value.to(same) if value.dtype == torch.float64 else value for key, value in cond.items()}
            return denoiser(x.to(same), sigma.to(same), **told)

        found = super().loss(narrow, wide, tools)["above"]
        return {"above": Term(found.value.to(same), found.sigma.to(same))}


class TwoChunks(Above):
    """The denoiser is asked in two halves of the batch."""

    name = "kit17-right-asked-in-halves"

    def ask(self, denoiser, view, batch):
        half = (len(view.x) + 1) // 2
        parts = [
            denoiser(view.x[own], view.sigma[own], **{key: value[own] for key, value in view.cond.items()})
            for own in (slice(0, half), slice(half, None))
            if len(view.x[own])
        ]
        return torch.cat(parts) if parts else view.x


class Checkpointed(Above):
    """The denoiser's activations are made again in the backward pass."""

    name = "kit17-right-checkpointed"

    def ask(self, denoiser, view, batch):
        def asked(x, sigma):
            return denoiser(x, sigma, **view.cond)

        return checkpoint(asked, view.x, view.sigma, use_reentrant=False, preserve_rng_state=False)


class HalfTheRows(Above):
    """A random half of the rows is used in each call."""

    name = "kit17-right-random-half-of-the-rows"

    def loss(self, denoiser, batch, tools):
        kept = numbers(batch, tools).argsort()[: (len(batch.x_n) + 1) // 2]
        return super().loss(denoiser, take(batch, kept), tools)


class SomePixels(Above):
    """A random half of the values is compared, over the chance of it."""

    name = "kit17-right-some-of-the-values"
    claims = Above.claims - {"x_0-scale"}  # what an error costs a row is right in the mean over draws alone

    def each(self, x_0_hat, view, batch, tools):
        kept = uniform(batch.x_n, tools.generator) < 0.5
        return torch.where(kept, 2 * super().each(x_0_hat, view, batch, tools), 0.0)


class ByBrightness(Above):
    """Rows are taken in the order of their mean, with all that belongs to them."""

    name = "kit17-right-rows-by-brightness"

    def loss(self, denoiser, batch, tools):
        return super().loss(denoiser, take(batch, batch.x_n.flatten(1).mean(1).argsort()), tools)


class NoPairs(Tweedie):
    """The default without pairs, and a higher cap."""

    name = "kit17-right-no-pairs-cap-100"

    near: float = 0.0
    """Share of the levels in pairs."""
    cap: float = 100.0
    """Bound of 1 / a^2."""


class CleanAntithetic(OfClean):
    """Denoising with antithetic noise: the second half of the rows has the noise of the first, negative."""

    name = "kit17-right-denoises-antithetically"
    claims = OfClean.claims

    def view(self, batch, sigma, tools):
        half = (len(batch.x_n) + 1) // 2
        z = standard_normal(batch.x_n[:half], tools.generator)
        z = torch.cat([z, -z])[: len(batch.x_n)]
        return View(batch.x_n + per_row(sigma, z) * z, sigma, batch.cond)


class SplitLogUniform(Split):
    """Log-uniform levels on either side."""

    name = "kit17-right-split-log-uniform"

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), self.high(batch, tools)
        super().levels(batch, tools)
        return log_uniform(numbers(batch, tools), low, self.top(batch, tools, high))


class GaussProbe(Stein):
    """A normal probe."""

    name = "kit17-right-stein-normal-probe"

    def probe(self, x, tools):
        return standard_normal(x, tools.generator)


class TwoProbes(Stein):
    """The mean of two probes."""

    name = "kit17-right-stein-two-probes"

    def divergence(self, denoiser, x, x_0_hat, view, tools):
        one, two = (super(TwoProbes, self).divergence(denoiser, x, x_0_hat, view, tools) for _ in range(2))
        return (one + two) / 2


class OneFactorDetached(Below):
    """One factor of the product is detached, and the product counts twice: the same gradient in the mean."""

    name = "kit17-right-one-factor-detached"

    def product(self, first, second):
        value = super().product(first, second)
        half = (first.detach() * second).flatten(1).mean(1)
        return value.detach() + 2 * (half - half.detach())


class ShorterHops(Below):
    """Hops of at most 0.2, in all rows, from chains of the averaged network."""

    name = "kit17-right-short-hops"

    fraction: float = 1.0
    """Share of the rows."""
    max_hop: float = 0.2
    """Of log(sigma_t / sigma_s)."""


class LongChains(Consistency):
    """Chains of four steps, and half of the anchors at the observation."""

    name = "kit17-right-longer-chains"

    from_observation: float = 0.5
    """Share of the anchors at (x_n, sigma_n)."""
    chain_steps: int = 4
    """Steps of the teacher's chain."""


BASES = (Above, Below, Consistency, OfClean, Split, Stein, Tweedie)
RIGHT = [
    value()
    for value in list(globals().values())
    if isinstance(value, type) and value.__module__ == __name__ and value not in BASES
]
