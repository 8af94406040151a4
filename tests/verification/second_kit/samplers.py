"""Samplers: Euler, ancestral and Heun, each with one fault."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal
from tests.verification.variants import variants


class Anc(Sampler):
    """One draw from the Gaussian reverse kernel a level."""

    name = "kit2-ancestral"
    claims = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})
    fault: ClassVar[str] = ""

    def sample(self, denoiser, x, sigmas, generator, cond):
        f = self.fault
        if f == "first-generator" and not isinstance(generator, torch.Generator):
            generator = generator[0]
        if f == "grid-of-first-row":
            sigmas = sigmas[:, :1].expand_as(sigmas)
        if f == "mean-grid":
            sigmas = sigmas.mean(1, keepdim=True).expand_as(sigmas)
        if f == "starts-later":
            sigmas = torch.cat([sigmas[:1], sigmas[2:]]) if len(sigmas) > 2 else sigmas
        if f == "no-last-step":
            sigmas = sigmas[:-1]
        if f == "geometric":
            s = sigmas.clamp(min=1e-3)
            steps = len(s)
            t = torch.linspace(0, 1, steps).unsqueeze(1).to(s)
            sigmas = torch.cat([(s[:1] ** (1 - t) * s[-1:] ** t)[:-1], sigmas[-1:]])
        if f == "two-levels":
            sigmas[1]
            sigmas[2]
        if f == "sets-grad":
            torch.set_grad_enabled(False)
        if f == "single-row":
            x = x.squeeze(0).reshape(x.shape) if len(x) > 1 else x.squeeze(0)
        if f == "flat-only":
            x.reshape(len(x), 2)
        given, kept = x, None
        for k, (t, s) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            at = {
                "asks-below": s.clamp(min=1e-3),
                "asks-mean": ((t + s) / 2),
                "asks-first-row": t[:1].expand_as(t),
            }.get(f, t)
            if f == "asks-scalar":
                at = t[0]
            c = (
                {}
                if f == "no-condition"
                else {n: v.roll(1, 0) for n, v in cond.items()}
                if f == "rolled-condition"
                else dict(cond)
            )
            if f == "no-grad":
                with torch.no_grad():
                    h = denoiser(x, at, **c)
            else:
                h = denoiser(x, at, **c)
            if f == "clips":
                h = h.clamp(-1, 1)
            if f == "detaches":
                h = h.detach()
            T, S = per_row(t, x), per_row(s, x)
            r = (S / T) ** 2
            if f == "ratio":
                r = S / T
            std = S * (1 - r).clamp(min=0).sqrt()
            if f == "std-of-t":
                std = T * (1 - r).clamp(min=0).sqrt() * (S > 0)
            if f == "no-root":
                std = S * (1 - r)
            if f == "variance-for-std":
                std = std**2
            if f == "full-std":
                std = S * torch.ones_like(r)
            if f == "no-noise":
                std = 0 * std
            if f == "noise-at-end":
                std = std + 0.02 * (S == 0)
            if f == "no-noise-in-last" and k == len(sigmas) - 2:
                std = 0 * std
            if f == "no-noise-in-first" and k == 0:
                std = 0 * std
            if f == "five-percent":
                std = 1.05 * std
            z = standard_normal(x, generator)
            if f == "global-rng":
                z = torch.randn_like(x)
            if f == "seed":
                z = standard_normal(x, torch.Generator().manual_seed(k))
            if f == "same-noise-a-step":
                z = z if k == 0 else kept
                kept = z
            if f == "one-noise-a-row":
                z = z.flatten(1)[:, :1].reshape(-1, *[1] * (x.ndim - 1)).expand_as(x)
            if f == "one-noise-a-batch":
                z = z[:1].expand_as(z)
            if f == "same-for-channels" and x.ndim == 4:
                z = z[:, :1].expand_as(z)
            if f == "mean-swapped":
                x = (1 - r) * x + r * h + std * z
            elif f == "x_0-at-end" and k == len(sigmas) - 2:
                x = h
            elif f == "in-place":
                x.mul_(r).add_((1 - r) * h + std * z)
            elif f == "nan-on-equal":
                x = r * x + (1 - r) * h * ((T - S) / (T - S)) + std * z
            elif f == "batch-mean":
                x = r * x + (1 - r) * (h + 0.05 * (h.mean(0) - h)) + std * z
            else:
                x = r * x + (1 - r) * h + std * z
        if f == "float64":
            x = x.double()
        if f == "half":
            x = x.half().to(given.dtype)
        if f == "clips-end":
            x = x.clamp(-1, 1)
        if f == "shuffles":
            x = x.flip(0)
        if f == "extra-denoise":
            x = denoiser(x, sigmas[-1].clamp(min=0.05), **cond)
        return x


class Det(Sampler):
    """Heun's rule on the probability-flow equation; `order` 1 is Euler's."""

    name = "kit2-heun"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})
    fault: ClassVar[str] = ""

    def sample(self, denoiser, x, sigmas, generator, cond):
        f = self.fault
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            T, S = per_row(t, x), per_row(s, x)
            slope = (x - denoiser(x, t, **cond).to(x.dtype)) / T
            if f == "wrong-sign":
                slope = -slope
            step = S - T
            ahead = x + step * slope
            if f == "corrects-where-all" and not bool((s > 0).all()):
                x = ahead
                continue
            inside = s > 0
            level = torch.where(inside, s, t)
            if f == "asks-at-0":
                level = s
            if f == "corrector-level":
                level = t
            c = {} if f == "corrector-condition" else cond
            after = (ahead - denoiser(ahead, level, **c).to(x.dtype)) / per_row(level, x)
            if f == "corrector-at-x":
                after = (x - denoiser(ahead, level, **c).to(x.dtype)) / per_row(level, x)
            w = 0.6 if f == "weights" else 0.5
            if f == "forgets-half":
                better = x + step * (slope + after)
            else:
                better = x + step * ((1 - w) * slope + w * after)
            if f == "euler":
                better = ahead
            x = torch.where(per_row(inside.to(x.dtype), x) > 0, better, ahead)
            if f == "drift":
                x = x * 0.999
        return x


ANC = {
    "first-generator": "rows share the first generator",
    "grid-of-first-row": "the first row's grid for all rows",
    "mean-grid": "the mean grid for all rows",
    "starts-later": "leaves the second level out",
    "no-last-step": "stops one level early",
    "geometric": "a grid of its own between the ends",
    "two-levels": "needs three levels",
    "sets-grad": "switches gradients off for good",
    "single-row": "squeezes a batch of one row",
    "flat-only": "takes two pixels a row only",
    "asks-below": "asks at the lower level",
    "asks-mean": "asks at the middle level",
    "asks-first-row": "asks at the first row's level",
    "asks-scalar": "asks at a scalar level",
    "no-condition": "hands on no conditions",
    "rolled-condition": "hands on the next row's condition",
    "no-grad": "calls the denoiser without gradient",
    "clips": "clips x_0_hat",
    "detaches": "detaches x_0_hat",
    "ratio": "r from stds",
    "std-of-t": "noise of sigma_t",
    "no-root": "root forgotten",
    "variance-for-std": "variance for std",
    "full-std": "noise of sigma_s",
    "no-noise": "no noise",
    "noise-at-end": "noise in the step to 0",
    "no-noise-in-last": "no noise in the last step, wherever it ends",
    "no-noise-in-first": "no noise in the first step",
    "five-percent": "noise 5 % too strong",
    "global-rng": "draws from the global generator",
    "seed": "noise from a generator of its own",
    "same-noise-a-step": "the same noise in each step",
    "one-noise-a-row": "one normal number for all pixels of a row",
    "one-noise-a-batch": "the same noise for all rows",
    "same-for-channels": "the same noise in all channels",
    "mean-swapped": "r and 1 - r exchanged",
    "x_0-at-end": "ends with x_0_hat, wherever the grid ends",
    "in-place": "changes x in place",
    "nan-on-equal": "NaN where two levels are equal",
    "batch-mean": "pulls to the batch's mean",
    "float64": "float64 for float32",
    "half": "half precision",
    "clips-end": "clips the end to [-1, 1]",
    "shuffles": "gives rows back in another order",
    "extra-denoise": "denoises the end once more",
}
DET = {
    "wrong-sign": "sign of the slope",
    "corrects-where-all": "a row that ends at 0 spoils the others' correction",
    "asks-at-0": "asks at level 0",
    "corrector-level": "corrector at the upper level",
    "corrector-condition": "corrector without condition",
    "corrector-at-x": "corrector's slope from x",
    "weights": "0.4 and 0.6",
    "forgets-half": "slopes added",
    "euler": "no correction",
    "drift": "shrinks in each step",
}


WRONG = [*variants(Anc, ANC), *variants(Det, DET)]


class Ddim(Sampler):
    """Euler's rule as DDIM writes it: x_s = D + (sigma_s / sigma_t) (x - D)."""

    name = "kit2-ddim"
    claims = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            h = denoiser(x, t, **cond)
            x = h + per_row(s / t, x) * (x - h)
        return x


class Multistep(Sampler):
    """DPM-Solver++(2M) with one grid a row."""

    name = "kit2-2m"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = before = None
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            h = denoiser(x, t, **cond)
            if old is None:
                better = h
            else:
                last = per_row(
                    torch.where(s > 0, torch.log(before / t) / torch.log(t / s.clamp(min=1e-30)), torch.ones_like(t)), x
                )
                better = torch.where(per_row((s > 0).to(x.dtype), x) > 0, h + (h - old) / (2 * last), h)
            x = better + per_row(s / t, x) * (x - better)
            old, before = h, t
        return x


RIGHT = [Anc, Det, Ddim, Multistep]

NOT_WRONG = {"kit2-ancestral-nan-on-equal": "a grid decreases, so two levels are never equal"}
