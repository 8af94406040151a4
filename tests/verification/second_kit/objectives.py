"""Objectives: Tweedie, denoising of clean data, consistency and SURE, each with one fault."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Batch, Term, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import geometric_grid, log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.weights import edm_weight


def rows_mean(x):
    return x.flatten(1).mean(1)


class Tw(Objective):
    """lambda(sigma) mean((expect(D) - x_n)^2) at log-uniform levels above the floor."""

    name = "kit2-tweedie"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor"})
    fault: ClassVar[str] = ""
    calls: ClassVar[list] = []

    def loss(self, denoiser, batch, tools):
        f, c, g = self.fault, tools.corruption, tools.generator
        if f == "seed":
            g = torch.Generator().manual_seed(0)
        if f == "row-noise":
            g = keyed_generator(0, "kit", row=int(batch.row[0]))
        if f == "mutates-rows":
            batch.x_n.mul_(1.0001)
        if f == "pops-condition":
            batch.cond.clear()
        if f == "odd":
            batch.x_n.view(2, -1)
        if f == "divides-by-sigma-n":
            batch = batch._replace(
                x_n=batch.x_n / per_row(batch.sigma_n, batch.x_n) * per_row(batch.sigma_n, batch.x_n)
            )
        if f == "clean-as-noisy":
            batch = batch._replace(
                sigma_n=torch.where(batch.sigma_n > 0, batch.sigma_n, 0.1 * torch.ones_like(batch.sigma_n))
            )
        if f == "drops-noisiest":
            batch = take(batch, (c.floor(batch) < 0.3).nonzero().squeeze(1))
        if f == "mean-level":
            batch = batch._replace(sigma_n=torch.full_like(batch.sigma_n, float(batch.sigma_n.mean())))
        if f == "level-of-first":
            batch = batch._replace(sigma_n=batch.sigma_n[:1].expand_as(batch.sigma_n))
        if f == "roll-levels":
            batch = batch._replace(sigma_n=batch.sigma_n.roll(1, 0))
        if f == "max-level-by-pixel":
            batch = batch._replace(sigma_n=c.floor(batch))
        if f == "mean-level-by-pixel" and batch.sigma_n.ndim > 1:
            batch = batch._replace(sigma_n=batch.sigma_n.flatten(1).mean(1))
        x_n = batch.x_n
        floor = c.floor(batch)
        low = floor.clamp(min=tools.levels.sigma_min)
        top = tools.levels.sigma_max
        if f == "default-range":
            low, top = floor.clamp(min=0.002), 80.0
        if f == "beyond-range":
            top = 2 * top
        u = uniform(floor, g)
        sigma = log_uniform(u, low, top)
        if f == "clamped":
            sigma = torch.maximum(log_uniform(u, tools.levels.sigma_min, top), low)
        if f == "clamps-high":
            sigma = (sigma).clamp(min=float(floor.max()))
        if f == "global-rng":
            z = torch.randn_like(x_n)
            x = x_n + (per_row(sigma, x_n) ** 2 - per_row(batch.sigma_n, x_n) ** 2).sqrt() * z
        elif f == "one-noise-a-row":
            z = standard_normal(x_n.flatten(1)[:, :1], g).reshape(-1, *[1] * (x_n.ndim - 1)).expand_as(x_n)
            x = x_n + (per_row(sigma, x_n) ** 2 - per_row(batch.sigma_n, x_n) ** 2).sqrt() * z
        elif f == "one-noise-a-batch":
            z = standard_normal(x_n[:1], g).expand_as(x_n)
            x = x_n + (per_row(sigma, x_n) ** 2 - per_row(batch.sigma_n, x_n) ** 2).sqrt() * z
        elif f == "adds-difference":
            x = x_n + (per_row(sigma, x_n) - per_row(batch.sigma_n, x_n)) * standard_normal(x_n, g)
        elif f == "adds-all":
            x = x_n + per_row(sigma, x_n) * standard_normal(x_n, g)
        elif f == "in-place":
            x = c.degrade(batch, sigma, g).x
            batch.x_n.copy_(x)
        else:
            x = c.degrade(batch, sigma, g).x
        if f == "clips-view":
            x = x.clamp(-1, 1)
        cond = batch.cond
        if f == "no-condition":
            cond = {}
        if f == "rolled-condition":
            cond = {k: v.roll(1, 0) for k, v in cond.items()}
        if f == "zero-condition":
            cond = {k: torch.zeros_like(v) for k, v in cond.items()}
        asked = sigma.unsqueeze(1) if f == "sigma-column" else sigma.mean() if f == "sigma-scalar" else sigma
        if f == "asks-at-sigma-n":
            asked = low
        if f == "no-grad":
            with torch.no_grad():
                h = denoiser(x, asked, **cond)
        else:
            h = denoiser(x, asked, **cond)
        if f == "leaves-grad-off":
            torch.set_grad_enabled(False)
        if f == "detached":
            h = h.detach()
        if f == "clips-answer":
            h = h.clamp(-1, 1)
        if f == "half":
            h = h.half().to(x_n.dtype)
        s, n = per_row(sigma, x_n), per_row(batch.sigma_n, x_n)
        b = n**2 / s**2
        a = 1 - b
        if f == "no-a":
            a = torch.ones_like(a)
        if f == "no-b":
            b = torch.zeros_like(b)
        if f == "b-sign":
            b = -b
        if f == "b-std":
            b = n / s
            a = 1 - b
        if f == "transposed" and h.ndim > 2:
            h = h.transpose(-1, -2)
        target = x_n
        if f == "target-teacher":
            with torch.no_grad():
                target = a * tools.teacher(x, sigma, **cond) + b * x
        if f == "half-teacher":
            with torch.no_grad():
                target = 0.5 * x_n + 0.5 * (a * tools.teacher(x, sigma, **cond) + b * x)
        if f == "target-own":
            target = a * h.detach() + b * x
        if f == "roll-target":
            target = x_n.roll(1, 0)
        residual = a * h + b * x - target
        w = edm_weight(sigma, tools.signal.sigma_data)
        if f == "absolute":
            value = w * rows_mean(residual.abs())
        elif f == "eps-with-division":
            missing = (s**2 - n**2).sqrt()
            value = w * rows_mean((residual / missing * missing.sqrt()) ** 2)
        elif f == "outer":
            value = rows_mean(w.unsqueeze(1) * rows_mean(residual**2))
        elif f == "row-of-last-axis":
            value = w * residual.square().mean(-1) if residual.ndim == 2 else (residual.square().mean(-1) * w[0])
        elif f == "maximises":
            value = -w * rows_mean(residual**2)
        elif f == "huge":
            value = torch.exp(50 + w * rows_mean(residual**2))
        else:
            value = w * rows_mean(residual**2)
        if f == "scalar":
            value = value.mean()
        if f == "by-pixel":
            value = residual.square().flatten(1)
        if f == "column":
            value = value.unsqueeze(1)
        if f == "float64":
            value = value.double()
        if f == "half-value":
            value = value.half()
        reported = batch.sigma_n if f == "reports-sigma-n" else sigma[:1] if f == "reports-one" else sigma
        if f == "reports-rolled":
            reported = sigma.roll(1, 0)
        if f == "reports-log":
            reported = sigma.log()
        if f == "tensor":
            return {"kit": value}
        if f == "bare":
            return Term(value, reported)
        if f == "empty-name":
            return {}
        if f == "grows":
            self.calls.append(1)
            value = value * (1 + len(self.calls))
        if f == "memory-of-graph":
            tools.memory["last"] = value
        if f == "memory-grows":
            tools.memory[f"at{len(tools.memory)}"] = value.detach()
        if f == "nan-for-one" and len(value) > 3:
            value = torch.where(torch.arange(len(value)) == 3, value * float("nan"), value)
        if f == "cpu-float-level":
            reported = reported.double()
        return {"kit": Term(value, reported)}


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


def variants(base, faults):
    return [
        (
            type(
                f"{base.__name__}_{name.replace('-', '_')}",
                (base,),
                {"name": f"{base.name}-{name}", "fault": name, "__module__": __name__},
            ),
            text,
        )
        for name, text in faults.items()
    ]


TWEEDIE = {
    "seed": "draws from a generator of its own, the same in every call",
    "row-noise": "noise keyed by the row, not by the step",
    "mutates-rows": "changes the batch in place",
    "pops-condition": "empties the batch's conditions",
    "odd": "needs an even number of rows",
    "divides-by-sigma-n": "NaN for clean rows",
    "clean-as-noisy": "takes clean rows for rows of noise 0.1",
    "mean-level": "one sigma_n for the batch: the mean",
    "level-of-first": "one sigma_n for the batch: that of the first row",
    "roll-levels": "sigma_n of the next row",
    "max-level-by-pixel": "noise by pixel: a of the maximum",
    "mean-level-by-pixel": "noise by pixel: a of the mean",
    "default-range": "levels in the default range, not in the one lent",
    "beyond-range": "levels up to twice sigma_max",
    "clamped": "levels clamped onto the floor",
    "global-rng": "draws from the global generator",
    "one-noise-a-row": "one normal number for all pixels of a row",
    "one-noise-a-batch": "the same noise for all rows",
    "adds-difference": "adds noise of std sigma - sigma_n",
    "adds-all": "adds noise of std sigma",
    "in-place": "writes the view into the batch",
    "clips-view": "clips x_t to [-1, 1]",
    "no-condition": "does not hand on conditions",
    "rolled-condition": "hands on the next row's condition",
    "zero-condition": "hands on zeros as conditions",
    "sigma-column": "asks at sigma of shape (B, 1)",
    "sigma-scalar": "asks at one level for the batch",
    "asks-at-sigma-n": "asks at sigma_n",
    "no-grad": "the model is called without gradient",
    "leaves-grad-off": "leaves gradients switched off",
    "detached": "the model's answer is detached",
    "clips-answer": "clips the model's answer to [-1, 1]",
    "half": "the model's answer is rounded to half precision",
    "no-a": "a forgotten",
    "no-b": "b forgotten",
    "b-sign": "b with the wrong sign",
    "b-std": "b from stds, not variances",
    "transposed": "height and width exchanged",
    "target-teacher": "the target is the EMA teacher's answer",
    "half-teacher": "half of the target is the EMA teacher's answer",
    "target-own": "the target is its own answer",
    "roll-target": "the target is the next row",
    "absolute": "absolute error: the median, not the mean",
    "outer": "broadcasts (B, 1) against (B,): every row gets the mean",
    "row-of-last-axis": "averages the last axis only",
    "maximises": "sign of the loss",
    "huge": "overflows",
    "scalar": "one value for the batch",
    "by-pixel": "one value a pixel",
    "column": "values of shape (B, 1)",
    "half-value": "values in half precision",
    "reports-sigma-n": "reports sigma_n as the level",
    "reports-one": "reports one level for all rows",
    "reports-rolled": "reports the next row's level",
    "reports-log": "reports log sigma",
    "tensor": "returns a tensor for a term",
    "bare": "returns a term for a dict of terms",
    "empty-name": "returns no term",
    "grows": "keeps a count in the class",
    "memory-of-graph": "keeps a tensor with its graph in memory",
    "memory-grows": "a new name in memory in each call",
    "nan-for-one": "one row NaN",
}
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
    "kit2-tweedie-half-teacher": "half a gradient of Tweedie's, and a pull to the average of the network itself, which moves with it: slow, not biased",
}
