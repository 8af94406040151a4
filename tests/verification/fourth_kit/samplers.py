"""Samplers: ancestral steps, Heun's rule and churn, each with one fault."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal
from tests.verification.variants import variants


class Anc(Sampler):
    """One draw from the Gaussian reverse kernel a level."""

    name = "kit4-ancestral"
    claims = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})
    fault: ClassVar[str] = ""
    kept: ClassVar[dict] = {}

    def sample(self, denoiser, x, sigmas, generator, cond):
        f = self.fault
        if f == "ends-at-sigma-min":
            sigmas = sigmas.clamp(min=0.002)
        if f == "half-grid":
            sigmas = sigmas.half().to(sigmas.dtype)
        if f == "sorts-wrong-axis":
            sigmas = sigmas.sort(dim=1, descending=True).values
        if f == "float32-out":
            x = x.float()
        if f == "skips-small-steps":
            keep = [0, *[k for k in range(1, len(sigmas)) if (sigmas[k] < 0.9 * sigmas[k - 1]).all()]]
            sigmas = sigmas[keep]
        c, before = dict(cond), x
        if f == "condition-to-float":
            c = {k: v.to(x.dtype) for k, v in c.items()}
        if f == "condition-kept":
            c = {k: self.kept.setdefault((k, v.shape), v) for k, v in c.items()}
        for k, (t, s) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            told = t.clamp(max=10) if f == "told-at-most-10" else t
            told = t.bfloat16().to(t.dtype) if f == "told-bfloat16" else told
            h = denoiser(x, told, **c).to(x.dtype)
            if f == "centred-answer":
                h = h - 0.02 * h.mean(0)
            T, S = per_row(t, x).to(x.dtype), per_row(s, x).to(x.dtype)
            r = (S / T) ** 2
            std = S * (1 - r).clamp(min=0).sqrt()
            if f == "cancels":
                std = (S**2 - S**4 / T**2).sqrt()
            if f == "eta-half":
                std = 0.5 * std
            if f == "floor-of-noise":
                std = torch.where(S > 0, std.clamp(min=0.05), std)
            if f == "no-noise-below":
                std = torch.where(S < 0.05, torch.zeros_like(std), std)
            z = standard_normal(x, generator)
            if f == "noise-normed":
                z = z / per_row(z.flatten(1).square().mean(1).sqrt(), z)
            if f == "noise-centred":
                z = z - per_row(z.flatten(1).mean(1), z)
            if f == "noise-clipped":
                z = z.clamp(-2, 2)
            if f == "noise-kept":
                z = self.kept.setdefault((k, z.shape, z.dtype), z)
            if f == "antithetic-rows" and len(z) > 1:
                z = z.clone()
                z[1::2] = -z[::2][: len(z[1::2])]
            if f == "antithetic-steps":
                z = z if k % 2 == 0 else -before
                before = z
            if f == "renoises":
                x = h + S * z
            elif f == "linear-mean":
                x = (S / T) * x + (1 - S / T) * h + std * z
            elif f == "noise-before-mean":
                x = r * (x + std * z) + (1 - r) * h
            else:
                x = r * x + (1 - r) * h + std * z
            if f == "clamps-state":
                x = x.clamp(-3 * float(t.max()), 3 * float(t.max()))
        return x


class Det(Sampler):
    """Heun's rule on the probability-flow equation."""

    name = "kit4-heun"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})
    fault: ClassVar[str] = ""

    def sample(self, denoiser, x, sigmas, generator, cond):
        f = self.fault
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            T, S = per_row(t, x), per_row(s, x)
            h = denoiser(x, t, **cond).to(x.dtype)
            slope = (x - h) / T
            ahead = x + (S - T) * slope
            inside = s > 0
            level = torch.where(inside, s, t)
            after_h = denoiser(ahead, level, **cond).to(x.dtype)
            L = per_row(level, x)
            after = (ahead - after_h) / L
            if f == "averaged-answers":
                after = (x - after_h) / T
            if f == "after-over-t":
                after = (ahead - after_h) / T
            if f == "minus":
                better = x + (S - T) * (1.5 * slope - 0.5 * after)
            else:
                better = x + (S - T) * (slope + after) / 2
            if f == "corrects-first-row":
                better = torch.cat([better[:1], ahead[1:]])
            if f == "corrects-high-only":
                better = torch.where(S > 0.5, better, ahead)
            x = torch.where(per_row(inside.to(x.dtype), x) > 0, better, ahead)
            if f == "ends-early":
                x = torch.where(per_row(inside.to(x.dtype), x) > 0, x, T * slope * 0.05 + ahead)
        return x


ANC = {
    "ends-at-sigma-min": "ends at 0.002 where 0 is asked for",
    "half-grid": "levels in half precision",
    "sorts-wrong-axis": "rows exchange their grids",
    "float32-out": "float32 for float64",
    "skips-small-steps": "levels close to the one before are left out",
    "condition-to-float": "labels become floats",
    "condition-kept": "the conditions of the first call are used ever after",
    "told-at-most-10": "told 10 above 10",
    "told-bfloat16": "told a rounded level",
    "centred-answer": "a part of the batch's mean is taken off",
    "cancels": "NaN by cancellation in short steps",
    "eta-half": "half the noise",
    "floor-of-noise": "noise of 0.05 at least",
    "no-noise-below": "no noise below 0.05",
    "noise-normed": "noise of one norm",
    "noise-centred": "noise without mean",
    "noise-clipped": "noise clipped at 2",
    "noise-kept": "the noise of the first call is used ever after",
    "antithetic-rows": "every second row has the noise of the one before, with the other sign",
    "antithetic-steps": "every second step has the noise of the one before, with the other sign",
    "renoises": "x_0_hat with new noise",
    "linear-mean": "Euler's mean with the kernel's noise",
    "noise-before-mean": "noise is shrunk with x",
    "clamps-state": "clamps x to 3 sigma",
}
DET = {
    "averaged-answers": "corrector from x",
    "after-over-t": "corrector divided by the upper level",
    "minus": "extrapolates",
    "corrects-first-row": "corrects the first row alone",
    "corrects-high-only": "no correction below 0.5",
    "ends-early": "a twentieth of the last noise stays",
}
WRONG = [*variants(Anc, ANC), *variants(Det, DET)]


class Twice(Sampler):
    """Two reverse steps in each, over the geometric middle; one where the step ends at 0."""

    name = "kit4-twice"
    claims = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            middle = torch.where(s > 0, (t * s).sqrt(), t / 2)
            for a, b in ((t, middle), (middle, s)):
                A, B = per_row(a, x), per_row(b, x)
                r = (B / A) ** 2
                x = (
                    r * x
                    + (1 - r) * denoiser(x, a, **cond).to(x.dtype)
                    + B * (1 - r).clamp(min=0).sqrt() * standard_normal(x, generator)
                )
        return x


class Exponential(Sampler):
    """Euler's rule in log sigma, written with expm1: x_s = (s / t) x - expm1(-h) D, h = log(t / s)."""

    name = "kit4-exponential"
    claims = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            h = torch.log(t) - torch.log(s)  # inf at 0
            x = per_row(torch.exp(-h), x) * x - per_row(torch.expm1(-h), x) * denoiser(x, t, **cond).to(x.dtype)
        return x


RIGHT = [Anc, Det, Twice, Exponential]

NOT_WRONG = {
    "kit4-ancestral-cancels": "NaN only between levels that are equal to rounding in float32, which no grid has",
    "kit4-heun-averaged-answers": "the mean of both answers in the exponential integrator: a rule of second order",
}
