"""Right objectives."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.batch import Term, take
from ambientkit.builtin.hops import ENDS
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Objective
from ambientkit.maths.noise import per_row, standard_normal, uniform

from ..seventeenth_kit.bases import WHOLE, Above, Below, OfClean, Split, Stein, numbers

UNSCALED = WHOLE - {"x_0-scale", "scale-under-masks"}
"""Of an objective with another weight."""


class Triangular(Above):
    """Levels whose logarithm has a triangular density between the floor of the row and the highest level."""

    name = "kit20-right-triangular-levels"

    def levels(self, batch, tools):
        low = self.low(batch, tools)
        return low * (self.high(batch, tools) / low) ** ((numbers(batch, tools) + numbers(batch, tools)) / 2)


class Cauchy(Above):
    """Levels whose logarithm has Cauchy's law about a median, restricted to the range of the row."""

    name = "kit20-right-cauchy-levels"

    median: float = Field(0.4, gt=0)
    """Of the levels, before the restriction."""
    width: float = Field(1.0, gt=0)
    """Of the law of log sigma."""

    def levels(self, batch, tools):
        low = self.low(batch, tools).double()
        edges = [low.log(), torch.full_like(low, self.high(batch, tools)).log()]
        middle = torch.tensor(self.median).log()
        first, last = (torch.atan((edge - middle) / self.width) for edge in edges)
        angle = first + numbers(batch, tools).double() * (last - first)
        sigma = torch.exp(middle + self.width * torch.tan(angle))
        return torch.maximum(torch.minimum(sigma, edges[1].exp()), low).to(batch.x_n.dtype)


class Waves(Above):
    """A weight that goes up and down with log sigma, between a half and one and a half of EDM's."""

    name = "kit20-right-weight-in-waves"
    claims = UNSCALED

    depth: float = Field(0.5, ge=0, lt=1)
    """Of the waves."""

    def weigh(self, sigma, batch, tools):
        return super().weigh(sigma, batch, tools) * (1 + self.depth * torch.sin(2 * sigma.log()))


class InverseProduct(Above):
    """lambda = 1 / (sigma sigma_data), between a constant weight and EDM's."""

    name = "kit20-right-weight-one-over-the-product"
    claims = UNSCALED

    def weigh(self, sigma, batch, tools):
        return 1 / (sigma * tools.signal.sigma_data)


class Parseval(Above):
    """The weighted residual is squared after a Fourier transform of unit scale, which keeps its mean square."""

    name = "kit20-right-residual-of-frequencies"

    def each(self, x_0_hat, view, batch, tools):
        factor = self.factor(view, batch, tools)
        rho = factor.sqrt() * (self.expect(x_0_hat, view, batch, tools) - batch.x_n)
        spectrum = torch.fft.fft(rho, norm="ortho")
        in_vain = factor * self.in_vain(x_0_hat, view, batch, tools)
        return spectrum.real**2 + spectrum.imag**2 - in_vain


class Projections(Above):
    """The squared residual by eight random projections, unbiased for its mean square."""

    name = "kit20-right-random-projections"
    claims = UNSCALED

    directions: int = Field(8, ge=1)
    """Projections of a row."""

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools).to(batch.x_n.dtype)
        view = self.view(batch, sigma, tools)
        rho = self.expect(self.ask(denoiser, view, batch).to(batch.x_n.dtype), view, batch, tools) - batch.x_n
        weighted = (self.factor(view, batch, tools).sqrt() * rho).flatten(1)
        total = 0.0
        for _ in range(self.directions):
            total = total + (weighted * standard_normal(weighted, tools.generator)).sum(1) ** 2
        value = total / (self.directions * weighted.shape[1])
        return {"above": Term(self.weigh(sigma, batch, tools) * value, sigma)}


class Roulette(Above):
    """Each row counts double or not at all, by the toss of a coin."""

    name = "kit20-right-rows-by-the-toss-of-a-coin"
    claims = UNSCALED

    def loss(self, denoiser, batch, tools):
        (key, term), *_ = super().loss(denoiser, batch, tools).items()
        counts = 2 * (uniform(term.value.detach(), tools.generator) < 0.5).to(term.value)
        return {key: term._replace(value=term.value * counts)}


class NoiseTimesEstimate(Above):
    """The estimate times fresh noise is added: a term of mean 0 with a gradient of mean 0."""

    name = "kit20-right-estimate-times-fresh-noise"
    claims = UNSCALED

    size: float = 0.1
    """Of the term."""

    def loss(self, denoiser, batch, tools):
        kept = []

        def asked(x, sigma, /, **cond):
            kept.append(denoiser(x, sigma, **cond))
            return kept[-1]

        (key, term), *_ = super().loss(asked, batch, tools).items()
        x_0_hat = kept[-1].to(batch.x_n.dtype)
        extra = (x_0_hat * standard_normal(batch.x_n.new_zeros(x_0_hat.shape), tools.generator)).flatten(1).mean(1)
        return {key: term._replace(value=term.value + self.size * extra)}


class Backwards(Above):
    """Rows are taken from the last to the first, which a term need not tell."""

    name = "kit20-right-rows-from-the-end"

    def loss(self, denoiser, batch, tools):
        order = torch.arange(len(batch.x_n) - 1, -1, -1, device=batch.x_n.device)
        return super().loss(denoiser, take(batch, order), tools)


class TwoTerms(Above):
    """Two terms, of rows whose level is low and of the others."""

    name = "kit20-right-a-term-for-low-and-high-levels"
    claims = UNSCALED

    edge: float = Field(0.5, gt=0)
    """Between the two."""

    def loss(self, denoiser, batch, tools):
        (_, term), *_ = super().loss(denoiser, batch, tools).items()
        high = term.sigma > self.edge
        return {
            "low": Term(term.value[~high], term.sigma[~high]),
            "high": Term(term.value[high], term.sigma[high]),
        }


class WideOfTwo(Tweedie):
    """`tweedie` with pairs up to three times the noise, and a bound of 100 for single draws."""

    name = "kit20-right-pairs-up-to-three-times-the-noise"

    near: float = Field(0.7, ge=0, le=1)
    near_ratio: float = Field(3.0, gt=1)
    cap: float = Field(100.0, ge=1)


class ThreeTimes(Objective):
    """Three times `tweedie`, by a call to it: another scale."""

    name = "kit20-right-three-times-tweedie"
    claims = UNSCALED

    times: float = Field(3.0, gt=0)
    """Its weight."""

    def loss(self, denoiser, batch, tools):
        (_, term), *_ = Tweedie(near=0.2).loss(denoiser, batch, tools).items()
        return {"thrice": term._replace(value=self.times * term.value)}


class Velocities(OfClean):
    """Velocities of the flow are compared, and weighed so that it is the error of x_0."""

    name = "kit20-right-denoises-by-velocities"

    def each(self, x_0_hat, view, batch, tools):
        level = per_row(view.sigma, view.x)
        noise, estimate = (view.x - batch.x_n) / level, (view.x - x_0_hat) / level
        t = level / (1 + level)
        return (t * ((estimate - x_0_hat) - (noise - batch.x_n))) ** 2


class HighLevelsToo(Denoising):
    """`denoising` at levels of wide spread about 1."""

    name = "kit20-right-denoises-at-a-wide-spread"

    p_mean: float = 0.0
    p_std: float = Field(2.5, gt=0)


class SplitWide(SplitLevels):
    """Clean rows up to 0.8, and levels of wide spread."""

    name = "kit20-right-split-up-to-four-fifths"

    clean_below: float = Field(0.8, gt=0)
    p_mean: float = -0.8
    p_std: float = Field(2.0, gt=0)


class SplitUneven(Split):
    """Clean rows and copies with the triangular law of log sigma in their own ranges."""

    name = "kit20-right-split-triangular"

    def levels(self, batch, tools):
        super().levels(batch, tools)
        low, top = self.low(batch, tools), self.top(batch, tools, self.high(batch, tools))
        return low * (top / low) ** ((numbers(batch, tools) + numbers(batch, tools)) / 2)


class AllPairs(Below):
    """The mean product of two different ends of four, by sums: ((sum d)^2 - sum d^2) / 12, of independent hops."""

    name = "kit20-right-all-pairs-of-ends"

    def source(self, tools):
        return tools.generator

    def defects(self, x_0_hat, target):
        each = x_0_hat.unflatten(0, (ENDS, -1)) - target
        return each.sum(0), each.square().sum(0)

    def product(self, first, second):
        return ((first**2 - second) / (ENDS * (ENDS - 1))).flatten(1).mean(1)


class MostBelow(Consistency):
    """`consistency` on all rows, nearly all of whose anchors are ends of chains."""

    name = "kit20-right-most-anchors-below"

    fraction: float = Field(1.0, gt=0, le=1)
    from_observation: float = Field(0.1, ge=0, le=1)
    chain_steps: int = Field(3, ge=1)


class SteinByHalves(Stein):
    """Two probes, each on half of the values, whose estimates of the divergence are added."""

    name = "kit20-right-stein-by-halves"

    def divergence(self, denoiser, x, x_0_hat, view, tools):
        probe = self.probe(x, tools)
        half = uniform(x.detach(), tools.generator) < 0.5
        total = torch.zeros_like(x)
        for mask in (half, ~half):
            own = torch.where(mask, probe, torch.zeros_like(probe))
            (slope,) = torch.autograd.grad((x_0_hat * own).sum(), x, create_graph=True)
            total = total + own * slope
        return total


class SteinTwice(Sure):
    """Twice the value of `sure`, another weight."""

    name = "kit20-right-stein-twice"

    def loss(self, denoiser, batch, tools):
        return {key: term._replace(value=2 * term.value) for key, term in super().loss(denoiser, batch, tools).items()}


class BufferOften(PosteriorBuffer):
    """Posterior draws that are made anew four times as often, and kept for eight calls."""

    name = "kit20-right-buffer-of-eight-calls"

    refresh: float = Field(1 / 8, gt=0, le=1)
    keep: int = Field(8, ge=1)
    steps: int = Field(10, ge=2)
    reach: float = Field(1.5, gt=0)


class DetailOfGain(DetailMoments):
    """Detail with more weight on its gain than on the law of the ends, and a short memory."""

    name = "kit20-right-detail-mostly-by-its-gain"

    gain: float = Field(1.5, ge=0)
    law: float = Field(0.5, ge=0)
    window: int = Field(50, ge=1)


RIGHT = [
    part()
    for part in (
        Triangular,
        Cauchy,
        Waves,
        InverseProduct,
        Parseval,
        Projections,
        Roulette,
        NoiseTimesEstimate,
        Backwards,
        TwoTerms,
        WideOfTwo,
        ThreeTimes,
        Velocities,
        HighLevelsToo,
        SplitWide,
        SplitUneven,
        AllPairs,
        MostBelow,
        SteinByHalves,
        SteinTwice,
        BufferOften,
        DetailOfGain,
    )
]
