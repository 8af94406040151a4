"""Objectives: Tweedie, denoising of clean data, consistency and SURE, each with one fault."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Term, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import geometric_grid, log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.variants import variants


def rows_mean(x):
    return x.flatten(1).mean(1)


class Tw(Objective):
    """mean((a D + b x_t - x_n)^2), with a view made here, at log-uniform levels above the floor."""

    name = "kit4-tweedie"
    claims = frozenset(
        {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor"}
    )
    fault: ClassVar[str] = ""
    kept: ClassVar[dict] = {}

    def loss(self, denoiser, batch, tools):
        f, g = self.fault, tools.generator
        floor = tools.corruption.floor(batch)
        if f == "drops-clean-in-mixed" and (floor > 0).any():
            batch = take(batch, (floor > 0).nonzero().squeeze(1))
        if f == "drops-noisy-in-mixed" and (floor == 0).any():
            batch = take(batch, (floor == 0).nonzero().squeeze(1))
        floor = tools.corruption.floor(batch)
        x_n, cond = batch.x_n, dict(batch.cond)
        level = batch.sigma_n
        if f == "reshapes-sigma-n":
            level = level.reshape(len(x_n), *level.shape[1:])
        if f == "keeps-first-levels":
            level = self.kept.setdefault((level.shape, level.dtype), level.clone())
        n = level.view(-1, 1) if f == "broadcast-view" and level.ndim == 1 else per_row(level, x_n)
        low, high = floor.clamp(min=tools.levels.sigma_min), torch.full_like(floor, tools.levels.sigma_max)
        if f == "levels-below-20":
            high = high.clamp(max=20.0)
        if f == "levels-above-1":
            low = low.clamp(min=1.0)
        if f == "levels-below-3-sigma-n":
            high = torch.minimum(high, 3 * low)
        if f == "no-levels-in-the-middle":
            u = uniform(floor, g)
            sigma = torch.where(
                u < 0.5, log_uniform(2 * u, low, 1.2 * low), log_uniform(2 * u - 1, (8 * low).clamp(max=40), high)
            )
        else:
            sigma = log_uniform(uniform(floor, g), low, high)
        s = per_row(sigma, x_n)
        z = standard_normal(x_n, g)
        if f == "noise-centred":
            z = z - per_row(rows_mean(z), z)
        if f == "noise-normed":
            z = z / per_row(z.flatten(1).square().mean(1).sqrt(), z)
        if f == "noise-truncated":
            z = z.clamp(-2, 2)
        if f == "noise-kept":
            z = self.kept.setdefault((z.shape, z.dtype), z)
        missing = (s**2 - n**2).clamp(min=0).sqrt()
        if f == "tops-up-the-maximum":
            missing = (s**2 - per_row(floor, x_n) ** 2).clamp(min=0).sqrt()
        x = x_n + missing * z
        if f == "view-quantised":
            x = (x * 127.5).round() / 127.5
        if f == "interpolates-levels":
            u = uniform(floor, g)
            sigma = low + u * (sigma - low)
        told = sigma
        if f == "told-added-noise":
            told = (sigma**2 - low**2).clamp(min=tools.levels.sigma_min**2).sqrt()
        if f == "told-in-bfloat16":
            told = sigma.bfloat16().to(sigma.dtype)
        if f == "told-total":
            told = (sigma**2 + low**2).sqrt()
        if f == "condition-centred":
            cond = {k: v - v.float().mean(0).to(v.dtype) for k, v in cond.items()}
        if f == "condition-changed-in-place":
            for v in cond.values():
                v.mul_(2).sub_(v.clone() / 2)
        if f == "condition-rounded":
            cond = {k: v.round() if v.is_floating_point() else v for k, v in cond.items()}
        h = denoiser(x, told, **cond)
        if f == "high-levels-detached":
            h = torch.where(s > 5, h.detach(), h)
        if f == "low-levels-detached":
            h = torch.where(s < 2 * per_row(low, x_n), h.detach(), h)
        if f == "every-second-pixel-detached":
            flat = h.flatten(1).clone()
            flat[:, 1::2] = flat[:, 1::2].detach()
            h = flat.reshape(h.shape)
        b = (n / s) ** 2
        if f == "b-squared":
            b = b**2
        if f == "b-rounded":
            b = (b * 50).round() / 50
        target = x_n
        if f == "target-clipped":
            target = target.clamp(-1, 1)
        if f == "target-without-mean":
            target = target - per_row(rows_mean(target), target)
        if f == "noise2noise":
            target = x_n + missing * standard_normal(x_n, g)
        if f == "target-smoothed" and target.ndim == 4:
            target = 0.9 * target + 0.05 * (target.roll(1, -1) + target.roll(-1, -1))
        residual = (1 - b) * h + b * x - target
        if f == "naive-total":
            residual = h - x_n
        if f == "centred-residual":
            residual = residual - per_row(rows_mean(residual), residual)
        if f == "centred-batch":
            residual = residual - residual.mean(0)
        if f == "channels-averaged" and residual.ndim == 4:
            residual = residual.mean(1)
        value = rows_mean(residual**2)
        if f == "root":
            value = (value + 1e-12).sqrt()
        if f == "pseudo-huber":
            value = (value + 0.03**2).sqrt() - 0.03
        if f == "squared-again":
            value = value**2
        if f == "pixel-maximum":
            value = residual.flatten(1).square().amax(1)
        if f == "over-batch-std":
            value = value / (value.detach().std() + 1e-8)
        if f == "softmax-weights":
            value = value * torch.softmax(value.detach(), 0) * len(value)
        if f == "drops-largest" and len(value) > 3:
            value = value.sort().values
            value = torch.cat([value[:-1], value[-1:] * 0])
        if f == "small-values-ignored":
            value = (value - 0.05).clamp(min=0)
        if f == "first-rows-only":
            value = value * (torch.arange(len(value)) < 8).to(value.dtype)
        if f == "bright-rows-ignored":
            value = value * (rows_mean(x_n) < 0.5).to(value.dtype)
        reported = sigma.sort().values if f == "reports-sorted" else sigma
        return {"kit": Term(value, reported)}


class Ceiling(Objective):
    """lambda(sigma) mean((D(x_0 + sigma z) - x_0)^2) on clean rows."""

    name = "kit4-denoising"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "x_0-scale", "needs-clean-data"})
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        f, g = self.fault, tools.generator
        if (tools.corruption.floor(batch) > 0).any():
            raise InputError("clean rows only")
        x_0 = batch.x_n
        u = uniform(x_0.new_empty(len(x_0)), g)
        sigma = log_uniform(u, tools.levels.sigma_min, tools.levels.sigma_max)
        if f == "levels-rounded":
            sigma_true, sigma = sigma, (sigma * 10).ceil() / 10
        else:
            sigma_true = sigma
        s = per_row(sigma_true, x_0)
        x = x_0 + s * standard_normal(x_0, g)
        if f == "variance-preserving-view":
            x = x / (1 + s**2).sqrt()
        h = denoiser(x, sigma, **batch.cond)
        target = x_0
        if f == "target-shrunk":
            target = 0.95 * x_0
        if f == "target-noise":
            target = (x - x_0) / s
        if f == "mixes-rows":
            target = 0.9 * x_0 + 0.1 * x_0.roll(1, 0)
        w = edm_weight(sigma, tools.signal.sigma_data)
        if f == "weight-clipped":
            w = w.clamp(max=5.0)
        value = w * rows_mean((h - target) ** 2)
        if f == "cosine":
            value = 1 - torch.nn.functional.cosine_similarity(h.flatten(1), target.flatten(1))
        return {"kit": Term(value, sigma)}


class Cons(Objective):
    """The two-draw consistency loss 2 d' d'' / 2 with the anchor at the row's own level."""

    name = "kit4-consistency"
    claims = frozenset(
        {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "value-unbiased", "detached-anchor", "half-backward"}
    )
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        f, g = self.fault, tools.generator
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError("draws from the reverse kernel are needed")
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        top = tools.corruption.floor(batch)
        if not len(top):
            return {"kit": Term(batch.x_n.new_zeros(0), top)}
        with torch.no_grad():
            view = tools.corruption.degrade(batch, top, g)
            u = uniform(top, g)
            low = top * torch.exp(-u * torch.log(top / tools.levels.sigma_min).clamp(max=0.5))
            anchor = denoiser(view.x, top, **view.cond)
        start = view.x
        if f == "two-views":
            start = tools.corruption.degrade(batch, top, g).x
        if f == "hops-from-observation":
            start = batch.x_n + 0.1 * per_row(top, batch.x_n) * standard_normal(batch.x_n, g)
        if f == "levels-sorted":
            low = low.sort().values

        def hop():
            with torch.no_grad():
                return tools.sampler.sample(denoiser, start, geometric_grid(top, low, 2), g, view.cond)

        first = hop()
        second = first.flip(0) if f == "flipped-draw" else hop()
        d1 = denoiser(first, low, **view.cond) - anchor
        d2 = denoiser(second, low, **view.cond) - anchor
        if f == "mean-of-anchors":
            d1 = d1 + anchor - anchor.mean(0)
        w = edm_weight(low, tools.signal.sigma_data)
        value = rows_mean(d1 * d2)
        if f == "difference-of-draws":
            value = rows_mean((d1 - d2) ** 2)
        if f == "mean-squared-of-each":
            value = rows_mean(d1**2 + d2**2) / 2
        return {"kit": Term(w * value, low)}


class Stein(Objective):
    """SURE with one probe of random signs."""

    name = "kit4-sure"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        f, g = self.fault, tools.generator
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        top = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, g)
        x = view.x.detach().clone().requires_grad_()
        v = torch.where(uniform(x, g) < 0.5, -1.0, 1.0).to(x)
        if f == "uniform-probe":
            v = 2 * uniform(x, g) - 1
        if f == "probe-of-ones":
            v = torch.ones_like(x)
        h = denoiser(x, top, **view.cond)
        score = (h * v).mean() if f == "mean-for-sum" else (h * v).sum()
        (slope,) = torch.autograd.grad(score, x, create_graph=True, retain_graph=True)
        s = per_row(top, x)
        if f == "level-of-batch":
            s = top.mean()
        value = rows_mean((h - view.x.detach()) ** 2 + 2 * s**2 * v * slope - s**2)
        if f == "positive-part":
            value = value.clamp(min=0)
        return {"kit": Term(value, top)}


TWEEDIE = {
    "drops-clean-in-mixed": "clean rows teach nothing where a batch holds noisy ones too",
    "drops-noisy-in-mixed": "noisy rows teach nothing where a batch holds clean ones too",
    "reshapes-sigma-n": "takes a pattern of levels shared by all rows for one level a row",
    "keeps-first-levels": "the levels of the first batch are used ever after",
    "broadcast-view": "sigma.view(-1, 1) beside pictures",
    "levels-below-20": "never asks above 20",
    "levels-above-1": "never asks below 1",
    "levels-below-3-sigma-n": "never asks above three times the level of a row",
    "no-levels-in-the-middle": "asks just above sigma_n and far above, not between",
    "noise-centred": "the noise has no mean in a row",
    "noise-normed": "the noise has the same norm in each row",
    "noise-truncated": "the noise is clipped at 2",
    "noise-kept": "the noise of the first call is used ever after",
    "tops-up-the-maximum": "noise by pixel is topped up as if the maximum were everywhere",
    "view-quantised": "the view is rounded to 8 bits",
    "interpolates-levels": "the level told is not that of the view",
    "told-added-noise": "told the noise that was added",
    "told-in-bfloat16": "the level told is rounded to bfloat16",
    "told-total": "told the root of both variances' sum",
    "condition-centred": "conditions lose the mean of the batch",
    "condition-changed-in-place": "conditions are changed in place",
    "condition-rounded": "conditions are rounded",
    "high-levels-detached": "no gradient at levels above 5",
    "low-levels-detached": "no gradient next to sigma_n",
    "every-second-pixel-detached": "no gradient from every second pixel",
    "b-squared": "b squared",
    "b-rounded": "b rounded to 0.02",
    "target-clipped": "the target is clipped to [-1, 1]",
    "target-without-mean": "the target loses its mean",
    "noise2noise": "the target is another view of the same observation",
    "target-smoothed": "the target is blurred, for pictures",
    "naive-total": "the answer is compared with x_n itself",
    "centred-residual": "the mean of a picture is not compared",
    "centred-batch": "the mean of a batch is not compared",
    "channels-averaged": "channels are averaged before they are compared",
    "root": "the root of the mean square of a row",
    "pseudo-huber": "pseudo-Huber loss",
    "squared-again": "the square of a row's loss",
    "pixel-maximum": "the worst pixel of a row alone",
    "over-batch-std": "divided by the std over the batch: NaN for one row",
    "softmax-weights": "rows with large values count more",
    "drops-largest": "the largest value of a batch is dropped",
    "small-values-ignored": "values below 0.05 teach nothing",
    "first-rows-only": "only the first 8 rows of a batch teach",
    "bright-rows-ignored": "bright rows teach nothing",
    "reports-sorted": "levels are reported in another order",
}
CEILING = {
    "levels-rounded": "the level told is rounded up to 0.1",
    "variance-preserving-view": "the view is scaled, the level is not",
    "target-shrunk": "the target is shrunk by 5 %",
    "target-noise": "the target is the noise",
    "mixes-rows": "the target is mixed with the next row",
    "weight-clipped": "the weight is clipped at 5, and another scale claimed",
    "cosine": "cosine similarity",
}
CONS = {
    "two-views": "hops start at another view than the anchor's",
    "hops-from-observation": "hops start at the observation with a tenth of the noise on top",
    "levels-sorted": "the lower levels are sorted",
    "flipped-draw": "the second draw is the next row's first",
    "mean-of-anchors": "one anchor for the batch",
    "difference-of-draws": "compares the draws with each other",
    "mean-squared-of-each": "each draw squared",
}
STEIN = {
    "uniform-probe": "a probe of variance 1/3",
    "probe-of-ones": "the sum of all derivatives for the trace",
    "mean-for-sum": "the derivative of a mean",
    "level-of-batch": "the mean level of the batch",
    "positive-part": "negative values clamped",
}
WRONG = [*variants(Tw, TWEEDIE), *variants(Ceiling, CEILING), *variants(Cons, CONS), *variants(Stein, STEIN)]


class MinSnr(Objective):
    """Denoising of clean rows with the weight min(1 / sigma^2, 5)."""

    name = "kit4-min-snr"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "needs-clean-data"})

    def loss(self, denoiser, batch, tools):
        if (tools.corruption.floor(batch) > 0).any():
            raise InputError("clean rows only")
        sigma = log_uniform(
            uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator),
            tools.levels.sigma_min,
            tools.levels.sigma_max,
        )
        x = batch.x_n + per_row(sigma, batch.x_n) * standard_normal(batch.x_n, tools.generator)
        h = denoiser(x, sigma, **batch.cond)
        return {"kit": Term((1 / sigma**2).clamp(max=5) * rows_mean((h - batch.x_n) ** 2), sigma)}


class Bootstrap(Objective):
    """Tweedie on as many rows, drawn with replacement."""

    name = "kit4-bootstrap"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor"})

    def loss(self, denoiser, batch, tools):
        index = torch.randint(len(batch.x_n), (len(batch.x_n),), generator=tools.generator)
        batch = take(batch, index)
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        sigma = log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        residual = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        return {"kit": Term(rows_mean(residual**2), sigma)}


class SomePixels(Objective):
    """Tweedie compared at a random half of the pixels."""

    name = "kit4-some-pixels"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor"})

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        sigma = log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        residual = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        seen = (uniform(residual, tools.generator) < 0.5).to(residual.dtype)
        return {"kit": Term(rows_mean(seen * residual**2), sigma)}


class NormalProbe(Objective):
    """SURE with a probe of normal numbers."""

    name = "kit4-normal-probe"
    claims = Stein.claims

    def loss(self, denoiser, batch, tools):
        g = tools.generator
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        top = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, g)
        x = view.x.detach().clone().requires_grad_()
        v = standard_normal(x, g)
        h = denoiser(x, top, **view.cond)
        (slope,) = torch.autograd.grad((h * v).sum(), x, create_graph=True, retain_graph=True)
        s2 = per_row(top, x) ** 2
        value = rows_mean((h - view.x.detach()) ** 2 + 2 * s2 * v * slope - s2)
        return {"kit": Term(value / top**2, top)}


RIGHT = [Tw, Ceiling, Cons, Stein, MinSnr, Bootstrap, SomePixels, NormalProbe]

NOT_WRONG = {
    "kit4-tweedie-drops-clean-in-mixed": "an objective may use a part of the rows: wasteful, not biased",
    "kit4-tweedie-drops-noisy-in-mixed": "an objective may use a part of the rows: wasteful, not biased",
    "kit4-tweedie-first-rows-only": "a part of a batch whose rows come in random order, as `consistency` takes",
    "kit4-tweedie-levels-below-3-sigma-n": "one objective of a recipe need not cover all levels: as the second "
    "kit's noisy-only",
    "kit4-tweedie-noise2noise": "the second view's noise is independent of the first's, so that the mean is E[x_n "
    "| x_t]",
    "kit4-tweedie-reshapes-sigma-n": "no data set gives rows that share one pattern without repeating it",
}
