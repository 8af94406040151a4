"""Objectives: Tweedie, denoising of clean data, consistency and SURE, each with one fault."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Batch, Term, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import geometric_grid, log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.second_kit.tweedie import TWEEDIE, Tw, rows_mean
from tests.verification.variants import variants


class Ceiling(Objective):
    """lambda(sigma) mean((D(x_0 + sigma z) - x_0)^2) on clean rows."""

    name = "kit2-denoising"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "x_0-scale", "needs-clean-data"})
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        f, g = self.fault, tools.generator
        if f != "takes-noisy" and (tools.corruption.floor(batch) > 0).any():
            raise InputError("clean rows only")
        u = uniform(batch.x_n.new_empty(len(batch.x_n)), g)
        sigma = log_uniform(u, tools.levels.sigma_min, tools.levels.sigma_max)
        x = batch.x_n + per_row(sigma, batch.x_n) * standard_normal(batch.x_n, g)
        h = denoiser(x, sigma, **batch.cond)
        lent = 0.5 if f == "sigma-data" else tools.signal.sigma_data
        w = 1 / sigma**2 if f == "no-data-term" else edm_weight(sigma, lent)
        if f == "weight-of-mean":
            w = edm_weight(sigma.mean().expand_as(sigma), lent)
        value = w * (h - batch.x_n).square().flatten(1).mean(1)
        if f == "summed":
            value = w * (h - batch.x_n).square().flatten(1).sum(1)
        if f == "halved":
            value = value / 2
        if f == "by-batch":
            value = value / len(value)
        if f == "huber":
            value = w * torch.nn.functional.huber_loss(h, batch.x_n, reduction="none", delta=0.1).flatten(1).mean(1)
        if f == "eps-scale":
            value = ((h - batch.x_n) / per_row(sigma, x)).square().flatten(1).mean(1)
        return {"kit": Term(value, sigma)}


class Cons(Objective):
    """The two-draw consistency loss with half its gradient's paths: 2 <d', sg d''> symmetrised."""

    name = "kit2-consistency"
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
        if f != "anchor-not-detached":
            anchor = anchor.detach()
        if f == "anchor-teacher":
            anchor = tools.teacher(view.x, top, **view.cond).detach() * 0.98
        asked = {} if f == "no-condition" else view.cond

        def hop(source):
            grid = geometric_grid(top, low, 2)
            with torch.no_grad():
                return tools.sampler.sample(denoiser, view.x, grid, source, view.cond)

        first = hop(g)
        second = first if f == "one-draw" else hop(g)
        level = top if f == "asks-at-top" else low
        d1 = denoiser(first, level, **asked) - anchor
        d2 = denoiser(second, level, **asked) - anchor
        if f == "teacher-below":
            d1 = tools.teacher(first, level, **asked) - anchor
        w = edm_weight(low, tools.signal.sigma_data)
        if f == "stops-one":
            d2 = d2.detach()
        value = (d1 * d2).flatten(1).mean(1)
        if f == "clamped":
            value = value.clamp(min=0)
        if f == "mean-squared":
            value = ((d1 + d2) / 2).square().flatten(1).mean(1)
        reported = top if f == "reports-top" else low
        return {"kit": Term(w * value, reported)}


class Stein(Objective):
    """SURE with one probe of random signs."""

    name = "kit2-sure"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law"})
    fault: ClassVar[str] = ""

    def loss(self, denoiser, batch, tools):
        f, g = self.fault, tools.generator
        if f != "keeps-clean":
            batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        top = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, g)
        x = view.x if f == "marks-rows" else view.x.detach().clone()
        x.requires_grad_()
        v = torch.where(uniform(x, g) < 0.5, -1.0, 1.0).to(x)
        if f == "normal-probe-of-row":
            v = v[:, :1].expand_as(v) if v.ndim == 2 else v[:, :, :1].expand_as(v)
        h = denoiser(x, top, **view.cond)
        graph = f != "no-second-derivative"
        (slope,) = torch.autograd.grad((h * v).sum(), x, create_graph=graph, retain_graph=True)
        k = 1.0 if f == "half-divergence" else 2.0
        s = per_row(top, x)
        if f == "std-for-variance":
            div = s * v * slope
        else:
            div = s**2 * v * slope
        value = ((h - view.x.detach()) ** 2 + k * div - s**2).flatten(1).mean(1)
        return {"kit": Term(edm_weight(top, tools.signal.sigma_data) * value, top)}


CEILING = {
    "sigma-data": "sigma_data 0.5 hard-coded in the weight",
    "no-data-term": "weight 1 / sigma^2",
    "weight-of-mean": "one weight for the batch",
    "summed": "sum over pixels",
    "halved": "half the loss",
    "by-batch": "divided by the number of rows",
    "huber": "Huber's loss: not the mean",
    "eps-scale": "the loss of eps",
}
CONS = {
    "anchor-not-detached": "gradient through the anchor",
    "anchor-teacher": "anchor: the teacher's answer, shrunk",
    "no-condition": "does not hand on conditions",
    "one-draw": "both ends are the same draw",
    "asks-at-top": "asks at the anchor's level",
    "teacher-below": "the first end is judged by the teacher",
    "stops-one": "half of the gradient",
    "clamped": "negative values clamped",
    "mean-squared": "the mean of two draws, squared",
    "reports-top": "reports the anchor's level",
}
STEIN = {
    "keeps-clean": "keeps clean rows: asks at level 0",
    "normal-probe-of-row": "one sign for neighbouring pixels",
    "no-second-derivative": "no gradient through the divergence",
    "half-divergence": "half the divergence",
    "std-for-variance": "sigma for sigma^2",
}
WRONG = [*variants(Tw, TWEEDIE), *variants(Ceiling, CEILING), *variants(Cons, CONS), *variants(Stein, STEIN)]


class TwoTerms(Objective):
    """Two terms, above and below the middle of the range, each with the rows of its own; one may be empty."""

    name = "kit2-two-terms"
    claims = Tw.claims

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch)
        sigma = log_uniform(
            uniform(floor, tools.generator), floor.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max
        )
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        residual = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        value = edm_weight(sigma, tools.signal.sigma_data) * rows_mean(residual**2)
        high = sigma > 1
        return {"high": Term(value[high], sigma[high]), "low": Term(value[~high], sigma[~high])}


class NoisyOnly(Objective):
    """Tweedie on a third of the rows, those with noise, weight 1."""

    name = "kit2-noisy-only"
    claims = Tw.claims

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1)[: max(len(floor) // 3, 1)])
        floor = tools.corruption.floor(batch)
        sigma = log_uniform(uniform(floor, tools.generator), floor, 3 * floor).clamp(max=tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        residual = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        return {"kit": Term(rows_mean(residual**2), sigma)}


class EpsForm(Objective):
    """Noise prediction without division: ((c / sigma) eps_hat - z)^2, eps_hat = (x - D) / sigma; rows of one level."""

    name = "kit2-eps"
    claims = frozenset({"stationary-at-oracle", "views-in-law"})

    def loss(self, denoiser, batch, tools):
        x_n = batch.x_n
        floor = tools.corruption.floor(batch)
        sigma = log_uniform(
            uniform(floor, tools.generator), floor.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max
        )
        z = standard_normal(x_n, tools.generator)
        c = (per_row(sigma, x_n) ** 2 - per_row(floor, x_n) ** 2).clamp(min=0).sqrt()
        top = x_n if batch.sigma_n.ndim <= 1 else tools.corruption.degrade(batch, floor, tools.generator).x
        x = top + c * z
        eps = (x - denoiser(x, sigma, **batch.cond)) / per_row(sigma, x)
        return {"kit": Term(rows_mean((c / per_row(sigma, x) * eps - z) ** 2), sigma)}


class Replay(Objective):
    """Tweedie on the last batch's rows, kept in memory."""

    name = "kit2-replay"
    claims = frozenset({"stationary-at-oracle"})

    def loss(self, denoiser, batch, tools):
        m = tools.memory
        kept = (
            Batch(m["x_n"], m["sigma_n"], batch.row, {k[5:]: v for k, v in m.items() if k.startswith("cond.")})
            if m
            else batch
        )
        m["x_n"], m["sigma_n"] = batch.x_n.clone(), batch.sigma_n.clone()
        for k, v in batch.cond.items():
            m["cond." + k] = v.clone()
        floor = tools.corruption.floor(kept)
        sigma = log_uniform(
            uniform(floor, tools.generator), floor.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max
        )
        view = tools.corruption.degrade(kept, sigma, tools.generator)
        residual = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, kept) - kept.x_n
        return {"kit": Term(rows_mean(residual**2), sigma)}


RIGHT = [Tw, Ceiling, Cons, Stein, TwoTerms, NoisyOnly, EpsForm, Replay]

NOT_WRONG = {
    "kit2-tweedie-half-teacher": "half a gradient of Tweedie's, and a pull to the average of the network itself, "
    "which moves with it: slow, not biased",
}
