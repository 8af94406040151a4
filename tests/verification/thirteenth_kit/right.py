"""Right parts that are unusual: other draws, other splits, other networks; objectives and corruptions."""

from __future__ import annotations

import functools
import math

import torch
from pydantic import Field

from ambientkit.batch import Batch, Term, View, take
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight

from .bases import Ambient, Carried, Clean, Stein, draws, made, missing
from .corruptions import Plain


class PlainAmbient(Ambient):
    """The base as it is."""

    name = "kit13-right-ambient"


class PlainCarried(Carried):
    """The base as it is."""

    name = "kit13-right-carried"


class PlainClean(Clean):
    """The base as it is."""

    name = "kit13-right-clean"


class PlainStein(Stein):
    """The base as it is."""

    name = "kit13-right-stein"


class Excess(Ambient):
    """Draws the excess sqrt(sigma^2 - sigma_n^2) log-normal, restricted so that sigma stays within its range."""

    name = "kit13-right-excess-levels"

    def levels(self, batch, tools):
        floor, high = tools.corruption.floor(batch), tools.levels.sigma_max
        top = (high**2 - floor**2).sqrt()
        extra = truncated_lognormal(draws(batch, tools), tools.levels.sigma_min, top, -1.2, 1.2)
        return torch.hypot(extra, floor).clamp(max=high)


class TwoDensities(Ambient):
    """Half of the levels log-uniform over the range, half log-normal."""

    name = "kit13-right-two-densities"

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        even = log_uniform(draws(batch, tools), low, tools.levels.sigma_max)
        return torch.where(draws(batch, tools) < 0.5, even, super().levels(batch, tools))


class Chunked(Ambient):
    """Asks the denoiser in chunks of three rows."""

    name = "kit13-right-chunks"

    def asked(self, denoiser, view, batch, tools):
        found = [
            denoiser(view.x[i : i + 3], view.sigma[i : i + 3], **{name: v[i : i + 3] for name, v in view.cond.items()})
            for i in range(0, len(view.x), 3)
        ]
        return torch.cat(found) if found else torch.zeros_like(view.x)


class Doubled(Ambient):
    """As many rows as the batch has, drawn from it with replacement."""

    name = "kit13-right-rows-drawn-again"

    def loss(self, denoiser, batch, tools):
        here = torch.randint(len(batch.x_n), (len(batch.x_n),), generator=tools.generator)
        return super().loss(denoiser, take(batch, here), tools)


class InDouble(Ambient):
    """Computes the value in float64 and hands it back in float32."""

    name = "kit13-right-in-double"

    def reduced(self, value, view, batch):
        return value.double().flatten(1).mean(1).to(value.dtype)


class ByChannels(Ambient):
    """Averages over pixels first and over channels then, which are equally many."""

    name = "kit13-right-mean-of-means"

    def reduced(self, value, view, batch):
        return value.flatten(2).mean(2).mean(1) if value.ndim > 2 else value.mean(1)


class NoVariance(Ambient):
    """Without the terms that only lower the variance of the value."""

    name = "kit13-right-nothing-subtracted"

    def in_vain(self, x_0_hat, view, batch, tools):
        return torch.zeros_like(x_0_hat)


class TwoTerms(Ambient):
    """Two named terms: rows whose level is high, and the others, each with its own values."""

    name = "kit13-right-two-terms"

    def loss(self, denoiser, batch, tools):
        (found,) = super().loss(denoiser, batch, tools).values()
        high = found.sigma > 1
        return {
            "high": Term(found.value[high], found.sigma[high]),
            "low": Term(found.value[~high], found.sigma[~high]),
        }


class ByHand(Ambient):
    """All of the algebra by hand, for noise without masks, as eps: sigma^2 (z_hat - z) in the scale of x_0."""

    name = "kit13-right-by-hand"
    claims = Ambient.claims - {"serves-masks", "scale-under-masks"}

    def seen(self, batch, sigma, tools):
        return View(batch.x_n + missing(batch, sigma) * standard_normal(batch.x_n, tools.generator), sigma, batch.cond)

    def value(self, x_0_hat, view, batch, tools):
        s, n = per_row(view.sigma, view.x), per_row(batch.sigma_n, view.x)
        a = (s - n) * (s + n) / s**2
        rho = a * (x_0_hat - view.x) + view.x - batch.x_n
        return (rho**2 - ((1 - a) * (view.x - batch.x_n)) ** 2 - (a * n) ** 2) / a.square().clamp(min=0.04)


class TeacherTarget(Carried):
    """The target is the EMA teacher's answer at the anchor."""

    name = "kit13-right-teacher-target"

    def target(self, denoiser, anchor, tools):
        return tools.teacher(anchor.x, anchor.sigma, **anchor.cond)


class Singles(Carried):
    """Two independent single hops in place of two pairs."""

    name = "kit13-right-single-hops"

    def pair(self, denoiser, anchor, sigma_s, tools):
        return super().pair(denoiser, anchor, sigma_s, tools)[:1]


class OfSquares(Carried):
    """The product as the difference of two squares, (s^2 - d^2) / 4."""

    name = "kit13-right-difference-of-squares"

    def product(self, first, second):
        return (((first + second) ** 2 - (first - second) ** 2) / 4).flatten(1).mean(1)


class LongHops(Carried):
    """Hops of up to 0.2, most of them from observations."""

    name = "kit13-right-short-hops"
    first: float = Field(0.8, ge=0, le=0.9)
    longest: float = 0.2


class NoiseAndPicture(Clean):
    """The error of the noise plus that of the picture over sigma_data^2, which together have the EDM weight."""

    name = "kit13-right-two-errors"

    def value(self, x_0_hat, x_t, z, sigma, batch, tools):
        of_noise = (x_t - x_0_hat) / per_row(sigma, z) - z
        return of_noise**2 + ((x_0_hat - batch.x_n) / tools.signal.sigma_data) ** 2


class NormalProbe(Stein):
    """Normal probes in place of signs."""

    name = "kit13-right-normal-probe"

    def probe(self, x, tools):
        return standard_normal(x, tools.generator)


class TwoProbes(Stein):
    """The mean over two probes."""

    name = "kit13-right-two-probes"

    def answered(self, denoiser, view, v):
        x_0_hat, first = super().answered(denoiser, view, v)
        _, second = super().answered(denoiser, view, v.flip(0))
        return x_0_hat, (first + second) / 2


class Difference(Stein):
    """The divergence by a central difference in float64, of a hundredth of sigma."""

    name = "kit13-right-central-difference"

    def answered(self, denoiser, view, v):
        step = 0.01 * per_row(view.sigma, view.x)
        up, down = (denoiser(view.x + sign * step * v, view.sigma, **view.cond) for sign in (1, -1))
        return denoiser(view.x, view.sigma, **view.cond), v * (up - down) / (2 * step)


class PlainCorruption(Plain):
    """The base as it is."""

    name = "kit13-right-corruption"


class TopUpInDouble(Plain):
    """Tops up in float64, and rounds to the dtype of x_n."""

    name = "kit13-right-top-up-in-double"

    def degrade(self, batch, sigma, generator):
        self.refuse(batch, sigma)
        wide = batch._replace(x_n=batch.x_n.double(), sigma_n=batch.sigma_n.double())
        x = wide.x_n + missing(wide, sigma.double()) * standard_normal(batch.x_n, generator).double()
        return View(x.to(batch.x_n.dtype), sigma, batch.cond)


class TwoNoises(Plain):
    """Observations carry two independent noises of 0.6 and 0.8 of the level."""

    name = "kit13-right-two-noises"

    def noisy(self, x_0, sigma_n, row, generator):
        z = 0.6 * standard_normal(x_0, generator) + 0.8 * standard_normal(x_0, generator)
        return x_0 + per_row(sigma_n, x_0) * z


@functools.cache
def _ramp(size: int) -> torch.Tensor:
    return torch.linspace(0.5, 1.0, size)


class Ramp(Plain):
    """A level per value, a row's own level times a ramp that is kept for each size."""

    name = "kit13-right-ramp"

    def observe(self, x_0, row, generator):
        own = per_row(self.sigma_n[0] + (self.sigma_n[1] - self.sigma_n[0]) * self._one(x_0, generator), x_0)
        sigma_n = own * _ramp(math.prod(x_0.shape[1:])).to(x_0).reshape(x_0.shape[1:])
        return Batch(x_0 + sigma_n * standard_normal(x_0, generator), sigma_n, row, {})

    @staticmethod
    def _one(x_0, generator):
        return uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)


class Weighted(Ambient):
    """lambda from c_out of the preconditioning, 1 / c_out^2, which is the EDM weight."""

    name = "kit13-right-weight-of-c-out"

    def scale(self, sigma, batch, tools):
        d = tools.signal.sigma_data
        c_out = sigma * d / torch.hypot(sigma, torch.full_like(sigma, d))
        return torch.where(sigma > 0, c_out**-2, edm_weight(sigma, d))


RIGHT = made(
    PlainAmbient,
    PlainCarried,
    PlainClean,
    PlainStein,
    Excess,
    TwoDensities,
    Chunked,
    Doubled,
    InDouble,
    ByChannels,
    NoVariance,
    TwoTerms,
    ByHand,
    TeacherTarget,
    Singles,
    OfSquares,
    LongHops,
    NoiseAndPicture,
    NormalProbe,
    TwoProbes,
    Difference,
    PlainCorruption,
    TopUpInDouble,
    TwoNoises,
    Ramp,
    Weighted,
)
