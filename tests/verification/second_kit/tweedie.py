"""Of the second kit: Tweedie denoising, right and with one fault."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Term, take
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import log_uniform
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
