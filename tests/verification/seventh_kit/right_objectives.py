"""Right objectives, done in other ways."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.interfaces import Denoiser, Tools
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.seventh_kit.bases import Hopping, Plain
from tests.verification.seventh_kit.points import OwnNoise
from tests.verification.seventh_kit.risks import EpsPlain, OwnSure
from tests.verification.seventh_kit.values import FullNoiseMean


class OneLevel(Plain):
    """One draw decides the levels of all rows of a call, each above its own floor."""

    name = "seven-one-draw-of-levels"

    def _u(self, batch: Batch, tools: Tools) -> Tensor:
        return uniform(torch.empty(1), tools.generator).expand(len(batch.x_n)).clone()


class Stratified(Plain):
    """Levels are stratified over the batch, in random order."""

    name = "seven-stratified"

    def _u(self, batch: Batch, tools: Tools) -> Tensor:
        n = len(batch.x_n)
        order = uniform(torch.empty(n), tools.generator).argsort()
        return ((order + uniform(torch.empty(n), tools.generator)) / n).clamp(max=1 - 1e-7)


class LogUniform(Plain):
    """Levels are log-uniform above the floor."""

    name = "seven-log-uniform"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        low = floor.clamp(min=tools.levels.sigma_min)
        return log_uniform(self._u(batch, tools).to(floor.dtype), low, tools.levels.sigma_max)


class FlowTimes(Plain):
    """Levels are uniform in the time t of a flow, from sigma_n / (1 + sigma_n) on."""

    name = "seven-flow-times"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        low, high = floor.clamp(min=tools.levels.sigma_min), torch.full_like(floor, tools.levels.sigma_max)
        first, last = low / (1 + low), high / (1 + high)
        t = first + (last - first) * self._u(batch, tools).to(floor.dtype)
        return torch.minimum(torch.maximum(t / (1 - t), low), high)


class NoisyOnly(Plain):
    """Rows without noise are left out, for another objective to take."""

    name = "seven-noisy-only"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term with a value for each noisy row."""
        noisy = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        if len(noisy) == 0:
            return {self.name: Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        return super().loss(denoiser, take(batch, noisy), tools)


class VelocityScale(Plain):
    """The residual in the scale of a velocity: a weight of 1 + 1 / sigma^2."""

    name = "seven-velocity-scale"
    claims = Plain.claims - {"x_0-scale", "scale-under-masks"}

    def _lambda(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        return 1 + view.sigma**-2


class EpsForm(EpsPlain):
    """Predicts the added noise by (c / sigma) eps_hat."""

    name = "seven-eps-form"

    def _error(self, x_0_hat, x_t, batch, z, c, sigma_t, floor) -> Tensor:
        return c / sigma_t * (x_t - x_0_hat) / sigma_t - z


class TwoViews(Plain):
    """Two views of each row at one level, and the mean of their values."""

    name = "seven-two-views"

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        return super()._estimate(denoiser, view, batch, tools)

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        sigma = self._levels(batch, tools)
        value = torch.zeros_like(sigma)
        for _ in range(2):
            view = self._view(batch, sigma, tools)
            x_0_hat = self._estimate(denoiser, view, batch, tools)
            value = value + self._value(x_0_hat, view, batch, tools) / 2
        return {self.name: Term(edm_weight(sigma, tools.signal.sigma_data) * value, sigma)}


class ShuffledRight(Plain):
    """Rows are shuffled before use, with all that they carry."""

    name = "seven-shuffled-with-all"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        return super().loss(
            denoiser, take(batch, uniform(torch.empty(len(batch.x_n)), tools.generator).argsort()), tools
        )


class TurnedNoise(OwnNoise):
    """The noise is drawn as its cosine transform along the last axis, which leaves white noise white."""

    name = "seven-turned-noise"

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        z = standard_normal(batch.x_n, tools.generator)
        n = z.shape[-1]
        k = torch.arange(n, dtype=torch.float64)
        basis = torch.cos(math.pi * (k[None] + 0.5) * k[:, None] / n) * (2 / n) ** 0.5
        basis[0] /= 2**0.5
        return z @ basis.to(z)


class GaussianProbe(OwnSure):
    """Stein's risk estimate with a normal probe."""

    name = "seven-gaussian-probe"

    def _probe(self, x: Tensor, tools: Tools) -> Tensor:
        return standard_normal(x, tools.generator)


class CentralDifference(OwnSure):
    """The divergence by a central difference over a twentieth of the level on both sides."""

    name = "seven-central-difference"

    def _slope(self, x_0_hat, x, probe, sigma, view, denoiser) -> Tensor:
        step = 0.05 * per_row(sigma, x)
        above, below = (denoiser(view.x + sign * step * probe, sigma, **view.cond).to(x.dtype) for sign in (1, -1))
        return (above - below) / (2 * step)


class BufferOfTeacher(PosteriorBuffer):
    """Posterior draws of the EMA teacher."""

    name = "seven-buffer-of-teacher"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        super()._draw(tools.teacher, batch, tools)


class UStatistic(Hopping):
    """Three ends: the mean over their pairs of the product of two defects."""

    name = "seven-u-statistic"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        usable = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        if len(usable) == 0 or "reverse-kernel" not in tools.sampler.claims:
            return super().loss(denoiser, batch, tools)
        batch = take(batch, usable[: math.ceil(self.fraction * len(batch.x_n))])
        with torch.no_grad():
            anchor = self._anchor(denoiser, batch, tools)
            sigma_s = self._lower(anchor, tools)
            target = self._target(denoiser, anchor, tools)
            cond = {name: value.repeat(3, *[1] * (value.ndim - 1)) for name, value in anchor.cond.items()}
            x, grid = (
                anchor.x.repeat(3, *[1] * (anchor.x.ndim - 1)),
                torch.stack([anchor.sigma.repeat(3), sigma_s.repeat(3)]),
            )
            ends = tools.sampler.sample(denoiser, x, grid, tools.generator, cond)
        defects = denoiser(ends, grid[1], **cond).to(batch.x_n.dtype).unflatten(0, (3, -1)) - target
        value = (defects.sum(0) ** 2 - (defects**2).sum(0)).flatten(1).mean(1) / 6
        return {self.name: Term(edm_weight(sigma_s, tools.signal.sigma_data) * value, sigma_s)}


class ChainOfStudent(Hopping):
    """Anchors are reached by the denoiser itself, without gradients, and not by its average."""

    name = "seven-chain-of-student"

    def _anchor(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> View:
        own = Tools(
            tools.corruption,
            tools.sampler,
            denoiser,
            tools.signal,
            tools.generator,
            tools.levels,
            tools.memory,
        )
        return super()._anchor(denoiser, batch, own)


class RiskAndTweedie(Plain):
    """Two terms: ambient Tweedie, and Stein's risk at sigma_n."""

    name = "seven-risk-and-tweedie"
    claims = FullNoiseMean.claims - {"levels-above-floor"}

    share: float = Field(0.5, ge=0)
    """Weight of the second."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """Two terms."""
        (risk,) = OwnSure().loss(denoiser, batch, tools).values()
        return {**super().loss(denoiser, batch, tools), "risk": risk._replace(value=self.share * risk.value)}


class Windowed(Plain):
    """Half of the levels lie within a factor 2 of the floor, the others anywhere above it."""

    name = "seven-windowed"

    def _levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch)
        low = floor.clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty(len(low), 2), tools.generator)
        near = log_uniform(u[:, 0].to(low.dtype), low, (2 * low).clamp(max=tools.levels.sigma_max))
        far = truncated_lognormal(u[:, 0], low, tools.levels.sigma_max, self.p_mean, self.p_std).to(low.dtype)
        return torch.where(u[:, 1] < 0.5, near, far)


PARTS = (
    Plain,
    Hopping,
    OwnNoise,
    OwnSure,
    OneLevel,
    Stratified,
    LogUniform,
    FlowTimes,
    NoisyOnly,
    VelocityScale,
    EpsForm,
    TwoViews,
    ShuffledRight,
    TurnedNoise,
    GaussianProbe,
    CentralDifference,
    BufferOfTeacher,
    UStatistic,
    ChainOfStudent,
    RiskAndTweedie,
    Windowed,
)
