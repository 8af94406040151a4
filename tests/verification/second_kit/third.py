"""The third list: kinds of mistakes that the second kit lacks, written down before it was tried which checks reject
them.

Most are of the kind that small batches, square pictures, short grids or a first call do not show.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Term
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Objective, Part
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.variants import variants


class Tw(Objective):
    """lambda(sigma) mean((expect(D) - x_n)^2) in its plainest form, at log-uniform levels."""

    name = "kit3-tweedie"
    claims = frozenset(
        {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor"}
    )
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        f, c, g = self.fault, tools.corruption, tools.generator
        low, high = c.floor(batch).clamp(min=tools.levels.sigma_min), tools.levels.sigma_max
        if f == "levels-below-1":
            high = 1.0
            low = low.clamp(max=0.9)
        sigma = log_uniform(
            uniform(torch.empty_like(low), g), low, torch.maximum(low * 1.01, torch.full_like(low, high))
        )
        if f == "levels-near-floor":
            sigma = low * (1.001 + 0.05 * uniform(torch.empty_like(low), g))
        if f == "levels-far-above":
            sigma = log_uniform(
                uniform(torch.empty_like(low), g), (4 * low).clamp(max=0.9 * high), torch.full_like(low, high)
            )
        sigma = torch.maximum(sigma, c.floor(batch) * (1 + 1e-6))
        view = c.degrade(batch, sigma, g)
        x, cond = view.x, dict(view.cond)
        if f == "flips" and x.ndim == 4:
            flip = per_row((uniform(torch.empty_like(low), g) < 0.5).to(x.dtype), x) > 0
            x = torch.where(flip, x.flip(-1), x)
        if f == "shifts" and x.ndim == 4:
            x = x.roll(1, -1)
        if f == "condition-dropout":
            keep = uniform(torch.empty_like(low), g) < 0.8
            cond = {name: value * per_row(keep.to(value.dtype), value) for name, value in cond.items()}
        h = denoiser(x, sigma, **cond)
        error = c.expect(h, view, batch) - batch.x_n
        if f == "clips-residual":
            error = error.clamp(-1, 1)
        if f == "first-channel" and error.ndim == 4:
            error = error[:, :1]
        if f == "centre" and error.ndim == 4:
            error = error[..., 1:-1, 1:-1]
        if f == "mean-of-picture" and error.ndim == 4:
            error = error.flatten(1).mean(1, keepdim=True)
        value = error.square().flatten(1).mean(1)
        if f == "log-loss":
            value = (value + 1e-4).log()
        if f == "self-weighted":
            value = value / (value.detach() + 0.1)
        if f == "weight-by-observation":
            value = value / (1 + batch.x_n.square().flatten(1).mean(1))
        if f == "weight-by-view":
            value = value / (1 + (x - h.detach()).square().flatten(1).mean(1))
        if f == "hard-half":
            value = value * (value >= value.median()).to(value.dtype)
        if f == "without-outliers":
            value = value * (value < 4 * value.detach().mean()).to(value.dtype)
        if f == "even-rows":
            value = value * (batch.row % 2 == 0).to(value.dtype)
        if f == "quits":
            calls = tools.memory.setdefault("calls", torch.zeros(()))
            calls += 1
            if calls > 1:
                value = (value * 0).detach()
        found = {self.name: Term(value / sigma**2, sigma)}
        if f == "side-term":
            z = standard_normal(batch.x_n, g)
            low = low * 1.5
            naive = (
                (denoiser(batch.x_n + per_row(low, z) * z, low, **view.cond) - batch.x_n).square().flatten(1).mean(1)
            )
            found["side"] = Term(0.2 * naive / low**2, low)
        return found


class Gauss(Gaussian):
    """The built-in corruption, one level a row."""

    name = "kit3-gaussian"
    sigma_n: tuple[float, float] = (0.1, 0.4)
    fault: ClassVar[str] = ""

    def observe(self, x_0, row, generator):
        f = self.fault
        found = super().observe(x_0, row, generator)
        if f == "level-by-content":
            level = 0.1 + 0.3 * torch.sigmoid(4 * x_0.flatten(1).mean(1))
            z = (found.x_n - x_0) / per_row(found.sigma_n, x_0)
            found = found._replace(x_n=x_0 + per_row(level, x_0) * z, sigma_n=level)
        if f == "outliers":
            far = uniform(x_0, generator) < 0.002
            found = found._replace(x_n=torch.where(far, x_0 + 8 * (found.x_n - x_0), found.x_n))
        if f == "dead-corner" and x_0.ndim == 4:
            x_n = found.x_n.clone()
            x_n[..., 0, 0] = x_0[..., 0, 0]
            found = found._replace(x_n=x_n)
        if f == "stripes" and x_0.ndim == 4:
            z = standard_normal(x_0[..., :1], generator).expand_as(x_0)
            level = per_row(found.sigma_n, x_0)
            found = found._replace(x_n=x_0 + 0.9**0.5 * (found.x_n - x_0) + 0.1**0.5 * level * z)
        if f == "repeats" and len(x_0) > 64:
            z = (found.x_n - x_0) / per_row(found.sigma_n, x_0)
            z = z[torch.arange(len(z)) % 64]
            found = found._replace(x_n=x_0 + per_row(found.sigma_n, x_0) * z)
        if f == "rounded-level":
            found = found._replace(sigma_n=(found.sigma_n * 20).round() / 20)
        return found

    def degrade(self, batch, sigma, generator):
        f = self.fault
        view = super().degrade(batch, sigma, generator)
        if f == "degrade-repeats" and len(sigma) > 64:
            z = (view.x - batch.x_n)[torch.arange(len(sigma)) % 64]
            view = view._replace(x=batch.x_n + z)
        if f == "degrade-clips":
            view = view._replace(x=batch.x_n + (view.x - batch.x_n).clamp(-3, 3))
        if f == "degrade-skips-large":
            view = view._replace(x=torch.where(per_row((sigma > 5).to(view.x.dtype), view.x) > 0, batch.x_n, view.x))
        return view


class Anc(Ancestral):
    """The built-in sampler."""

    name = "kit3-ancestral"
    fault: ClassVar[str] = ""
    kept: ClassVar[dict] = {}

    def sample(self, denoiser, x, sigmas, generator, cond):
        f = self.fault

        def other(y, sigma, /, **given):
            if f == "condition-in-first-step" and float(sigma.max()) < float(sigmas[0].max()):
                given = {}
            h = denoiser(y, sigma, **given)
            if f == "guided" and given:
                h = h + 0.5 * (h - denoiser(y, sigma, **{k: torch.zeros_like(v) for k, v in given.items()}))
            if f == "thresholds":
                size = h.flatten(1).abs().amax(1).clamp(min=1)
                h = h / per_row(size, h)
            if f == "blurs" and h.ndim == 4:
                h = 0.9 * h + 0.05 * (h.roll(1, -1) + h.roll(-1, -1))
            if f == "rescales-std" and len(h) > 1:
                h = h * (0.5 / h.std().clamp(min=1e-6)) if float(sigma.max()) < 0.5 else h
            return h

        if f == "long-grids" and len(sigmas) > 16:
            sigmas = torch.cat([sigmas[:-1:2], sigmas[-1:]])
        if f == "keeps-grid":
            sigmas = self.kept.setdefault(sigmas.shape, sigmas)
        end = super().sample(other, x, sigmas, generator, cond)
        if f == "large-batch" and len(x) > 64:
            end = torch.cat([end[:64], end[:64].repeat(len(x) // 64, *[1] * (x.ndim - 1))])[: len(x)]
        if f == "transposes" and x.ndim == 4 and x.shape[-1] == x.shape[-2]:
            end = end.transpose(-1, -2)
        return end


class Hn(Heun):
    """The built-in deterministic sampler, which draws nothing."""

    name = "kit3-heun"
    fault: ClassVar[str] = ""

    def sample(self, denoiser, x, sigmas, generator, cond):
        end = super().sample(denoiser, x, sigmas, generator, cond)
        return (
            end + 0.05 * standard_normal(end, generator) * per_row(sigmas[-1] == 0, end)
            if self.fault == "dithers"
            else end
        )


class Mlp(MLP):
    """The built-in model."""

    name = "kit3-mlp"
    fault: ClassVar[str] = ""
    num_classes: int | None = None

    def denoiser(self, network, signal):
        f, inner = self.fault, super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            if f == "level-wraps":
                sigma = torch.where(sigma > 10, sigma - 9, sigma)
            if f == "one-class" and cond:
                cond = {name: value.clamp(max=1) for name, value in cond.items()}
            h = inner(x, sigma, **cond)
            if f == "odd-width" and x.ndim == 4 and x.shape[-1] % 2:
                h = torch.cat([h[..., :-1], torch.zeros_like(h[..., -1:])], -1)
            if f == "not-square" and x.ndim == 4 and x.shape[-1] != x.shape[-2]:
                h = h.transpose(-1, -2).reshape(h.shape)
            if f == "three-channels" and x.ndim == 4 and x.shape[1] > 3:
                h = torch.cat([h[:, :3], x[:, 3:]], 1)
            if f == "large-batch" and len(x) > 64:
                h = h.flip(0)
            return h

        return denoise


class Con(Consistency):
    """The built-in consistency objective."""

    name = "kit3-consistency"
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        found = super().loss(denoiser, batch, tools)
        if self.fault == "noisiest-only":
            floor = tools.corruption.floor(batch)
            return {
                name: Term(t.value * (t.sigma > 0.5 * floor.max()).to(t.value.dtype), t.sigma)
                for name, t in found.items()
            }
        return found


class Den(Denoising):
    """The built-in objective for clean data."""

    name = "kit3-denoising"
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        if self.fault == "dequantises":
            batch = batch._replace(x_n=batch.x_n + 0.1 * standard_normal(batch.x_n, tools.generator))
        return super().loss(denoiser, batch, tools)


class Fancy(Tweedie):
    """The built-in Tweedie objective, whose values are averaged with those of the rows beside."""

    name = "kit3-pairs"
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        found = super().loss(denoiser, batch, tools)["tweedie"]
        if self.fault == "neighbours":
            return {"tweedie": Term((found.value + found.value.roll(1, 0)) / 2, found.sigma)}
        return {"tweedie": found}


FAULTS = {
    Tw: {
        "levels-below-1": "never asks above sigma 1, where sampling starts",
        "levels-near-floor": "asks only just above the level of the data",
        "levels-far-above": "asks only at four times the level of the data and more",
        "flips": "the view of a picture is flipped half of the time, what it is compared with is not",
        "shifts": "the view of a picture is moved by a pixel",
        "condition-dropout": "a fifth of the rows is told another condition",
        "clips-residual": "residuals beyond 1 have no gradient",
        "first-channel": "only the first channel of a picture is compared",
        "centre": "the border of a picture is not compared",
        "mean-of-picture": "only the means of pictures are compared",
        "log-loss": "the logarithm of the squared error",
        "self-weighted": "the value over itself",
        "weight-by-observation": "a weight that depends on x_n",
        "weight-by-view": "a weight that depends on the residual of the view",
        "hard-half": "only the half of the batch with the largest values",
        "without-outliers": "rows with large values are dropped",
        "even-rows": "rows of odd number teach nothing",
        "quits": "nothing is learnt after the first call",
        "side-term": "a second term that takes noisy for clean",
    },
    Gauss: {
        "level-by-content": "bright rows are noisier",
        "outliers": "one value in 500 has eight times the noise",
        "dead-corner": "a pixel without noise",
        "stripes": "a tenth of the variance is common to a line of the picture",
        "repeats": "the noise repeats after 64 rows",
        "rounded-level": "the level that is stated is rounded",
        "degrade-repeats": "the noise of a view repeats after 64 rows",
        "degrade-clips": "the noise of a view is clipped at 3",
        "degrade-skips-large": "no noise is added at levels above 5",
    },
    Anc: {
        "condition-in-first-step": "conditions are handed on at the first level alone",
        "guided": "guidance that nobody asked for",
        "thresholds": "answers are scaled into [-1, 1]",
        "blurs": "answers are blurred, for pictures",
        "rescales-std": "answers are scaled to the std of the batch",
        "long-grids": "every other level of a long grid is left out",
        "keeps-grid": "the first grid of a shape is used ever after",
        "large-batch": "rows after the 64th repeat the first ones",
        "transposes": "square pictures are transposed",
    },
    Hn: {"dithers": "noise is added at the end"},
    Mlp: {
        "level-wraps": "levels above 10 are told as another",
        "one-class": "classes from 2 on are told as 1",
        "odd-width": "the last column of an odd width is 0",
        "not-square": "pixels are mixed up in pictures that are not square",
        "three-channels": "channels from the fourth on are handed through",
        "large-batch": "rows are mixed up in batches of more than 64",
    },
    Con: {"noisiest-only": "only levels above half of the batch's largest are learnt"},
    Den: {"dequantises": "noise is added to the data, and not told"},
    Fancy: {"neighbours": "a row's value is the mean of its own and the neighbour's"},
}
WRONG = [pair for base, faults in FAULTS.items() for pair in variants(base, faults)]
globals().update({made.__name__: made for made, _ in WRONG})
RIGHT = [Tw, Gauss, Anc, Hn, Mlp, Con, Den, Fancy]
NOT_WRONG = {
    "kit3-tweedie-weight-by-view": "the weight is a function of x_t alone, so that the minimum stays where it is",
    "kit3-mlp-one-class": "by default the model takes no classes",
}
"""Parts that turned out not to be wrong as far as a verdict goes, each with its reason."""

LET_PASS: dict[str, tuple[str, ...]] = {}


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    return [part for part in (cls() for cls, _ in WRONG) if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part."""
    return [cls() for cls in RIGHT]
