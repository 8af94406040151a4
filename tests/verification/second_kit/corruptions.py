"""Corruptions: white Gaussian noise, with one fault."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.variants import variants


class Gauss(Corruption):
    """x_n = x_0 + sigma_n z, one level a row in [0.1, 0.4]."""

    name = "kit2-gaussian"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})
    fault: ClassVar[str] = ""
    seen: ClassVar[dict] = {}

    def observe(self, x_0, row, generator):
        f = self.fault
        if f == "first-generator" and isinstance(generator, list):
            generator = [generator[0]] * len(x_0)
        u = uniform(x_0.new_empty(len(x_0), 1), generator)[:, 0]
        sigma_n = 0.1 + 0.3 * u
        if f == "level-a-batch":
            sigma_n = sigma_n[:1].expand_as(sigma_n).clone()
        z = standard_normal(x_0, generator)
        if f == "global-rng":
            z = torch.randn_like(x_0)
        if f == "one-noise-a-row":
            z = z.flatten(1)[:, :1].reshape(-1, *[1] * (x_0.ndim - 1)).expand_as(x_0)
        if f == "one-noise-a-channel" and x_0.ndim == 4:
            z = z[:, :, :1, :1].expand_as(x_0)
        if f == "same-noise-for-channels" and x_0.ndim == 4:
            z = z[:, :1].expand_as(x_0)
        if f == "one-noise-a-batch":
            z = z[:1].expand_as(z)
        if f == "neighbours" and x_0.ndim == 4:
            z = (z + z.roll(1, -1)) / 2**0.5
        if f == "neighbours" and x_0.ndim == 2:
            z = (z + z.roll(1, -1)) / 2**0.5
        if f == "uniform-noise":
            z = (uniform(x_0, generator) - 0.5) * 12**0.5
        if f == "laplace":
            v = uniform(x_0, generator) - 0.5
            z = -v.sign() * torch.log1p(-2 * v.abs().clamp(max=0.4999999)) / 2**0.5
        scale = per_row(sigma_n, x_0)
        if f == "variance":
            scale = scale.sqrt()
        if f == "five-percent":
            scale = scale * 1.05
        if f == "pattern":
            scale = scale * torch.linspace(0.8, 1.2, x_0.flatten(1).shape[1]).reshape(x_0.shape[1:]).to(x_0)
        if f == "mean-shift":
            z = z + 0.1
        x_n = x_0 + scale * z
        if f == "in-place":
            x_n = x_0.add_(scale * z)
        if f == "clips":
            x_n = x_n.clamp(-1, 1)
        if f == "rounds":
            x_n = (x_n * 32).round() / 32
        if f == "float64":
            x_n = x_n.double()
        if f == "half":
            x_n = x_n.half().to(x_0.dtype)
        if f == "row-lost":
            row = torch.arange(len(x_0))
        if f == "signal-dependent":
            x_n = x_0 + scale * (0.5 + x_0.abs()) * z
        if f == "scalar-level":
            sigma_n = sigma_n.mean()
        if f == "column-level":
            sigma_n = sigma_n.unsqueeze(1)
        if f == "float64-level":
            sigma_n = sigma_n.double()
        if f == "stateful":
            self.seen["n"] = self.seen.get("n", 0) + 1
            x_n = x_n + 1e-4 * self.seen["n"]
        return Batch(x_n, sigma_n, row, {})

    def degrade(self, batch, sigma, generator):
        f = self.fault
        floor = self.floor(batch)
        if (sigma < floor.reshape(-1)[: len(sigma)]).any():
            if f == "clamps-below-floor":
                sigma = torch.maximum(sigma, floor)
            elif f == "nan-below-floor":
                pass
            elif f == "row-not-named":
                raise ValueError("too low")
            elif f == "takes-below-floor":
                return View(batch.x_n, sigma, batch.cond)
            else:
                first = int((sigma < floor).nonzero()[0])
                raise ValueError(f"row {int(batch.row[first])} cannot be seen at sigma {float(sigma[first]):g}")
        x = batch.x_n
        n = per_row(batch.sigma_n, x)
        if f == "pixel-levels-as-max":
            n = per_row(floor, x)
        missing = (per_row(sigma, x) ** 2 - n**2).clamp(min=0).sqrt()
        if f == "difference":
            missing = (per_row(sigma, x) - n).clamp(min=0)
        if f == "all":
            missing = per_row(sigma, x).expand_as(x)
        if f == "nan-at-floor":
            missing = missing * (missing / missing)
        if f == "bigger-at-high":
            missing = missing * torch.where(per_row(sigma, x) > 2, 1.1, 1.0)
        z = standard_normal(x, generator)
        if f == "degrade-one-noise-a-row":
            z = z.flatten(1)[:, :1].reshape(-1, *[1] * (x.ndim - 1)).expand_as(x)
        if f == "degrade-same-for-channels" and x.ndim == 4:
            z = z[:, :1].expand_as(x)
        if f == "degrade-global-rng":
            z = torch.randn_like(x)
        if f == "degrade-one-noise-a-batch":
            z = z[:1].expand_as(x)
        if f == "degrade-absolute":
            z = (z.abs() - 0.7978846) / 0.6028103
        out = x + missing.to(x.dtype) * z
        if f == "degrade-in-place":
            out = x.add_(missing.to(x.dtype) * z)
        if f == "degrade-clips":
            out = out.clamp(-3, 3)
        if f == "view-of-sigma-n":
            return View(out, floor, batch.cond)
        if f == "no-condition":
            return View(out, sigma, {})
        if f == "rolled-condition":
            return View(out, sigma, {k: v.roll(1, 0) for k, v in batch.cond.items()})
        if f == "degrade-float64":
            out = out.double()
        if f == "level-by-pixel":
            return View(out, per_row(sigma, x).expand_as(x), batch.cond)
        return View(out, sigma, batch.cond)

    def expect(self, x_0_hat, view, batch):
        f = self.fault
        x = view.x
        n, s = per_row(batch.sigma_n, x), per_row(view.sigma, x)
        if f == "expect-max":
            n = per_row(self.floor(batch), x)
        if f == "expect-mean" and batch.sigma_n.ndim > 1:
            n = per_row(batch.sigma_n.expand_as(x).flatten(1).mean(1), x)
        if f == "expect-first":
            n = n[:1] if n.ndim else n
        if f == "expect-batch-mean":
            n = n.mean()
        b = n**2 / s**2
        if f == "expect-std":
            b = n / s
        if f == "expect-swapped":
            return b * x_0_hat + (1 - b) * x
        if f == "expect-of-x_n":
            return (1 - b) * x_0_hat + b * batch.x_n
        if f == "expect-detached":
            x_0_hat = x_0_hat.detach()
        if f == "expect-clean-nan":
            b = n**4 / (n**2 * s**2)
        if f == "expect-half":
            return ((1 - b) * x_0_hat + b * x).half().to(x.dtype)
        if f == "expect-in-place":
            return x_0_hat.mul_(1 - b).add_(b * x)
        if f == "expect-clips":
            return ((1 - b) * x_0_hat + b * x).clamp(-1, 1)
        if f == "expect-capped":
            b = b.clamp(max=0.9)
        return (1 - b) * x_0_hat + b * x

    def floor(self, batch):
        f = self.fault
        level = per_row(batch.sigma_n, batch.x_n)
        flat = level.expand(batch.x_n.shape).flatten(1)
        if f == "floor-mean":
            return flat.mean(1)
        if f == "floor-min":
            return flat.amin(1)
        if f == "floor-batch":
            return flat.amax().expand(len(flat)).clone()
        if f == "floor-column":
            return flat.amax(1, keepdim=True)
        if f == "floor-scalar":
            return flat.amax()
        if f == "floor-raised":
            return flat.amax(1).clamp(min=0.05)
        if f == "floor-first-pixel":
            return flat[:, 0]
        if f == "floor-float64":
            return flat.amax(1).double()
        return flat.amax(1)


FAULTS = {
    "first-generator": "rows share the first generator",
    "level-a-batch": "one level for all rows of a batch",
    "global-rng": "observe draws from the global generator",
    "one-noise-a-row": "one normal number for all pixels of a row",
    "one-noise-a-channel": "one normal number for all pixels of a channel",
    "same-noise-for-channels": "the same noise in all channels",
    "one-noise-a-batch": "the same noise in all rows",
    "neighbours": "noise of neighbours is correlated",
    "uniform-noise": "uniform noise",
    "laplace": "Laplace noise",
    "variance": "sigma_n taken for a variance",
    "five-percent": "5 % more noise than declared",
    "pattern": "noise by pixel, declared by row",
    "mean-shift": "noise of mean 0.1 std",
    "in-place": "observe changes the clean rows",
    "clips": "observations clipped to [-1, 1]",
    "rounds": "observations rounded to 6 bits",
    "float64": "float64 observations of float32 rows",
    "row-lost": "numbers rows from 0",
    "signal-dependent": "noise depends on the signal",
    "column-level": "sigma_n of shape (B, 1)",
    "stateful": "counts its calls",
    "clamps-below-floor": "raises the level in silence where it is below the floor",
    "takes-below-floor": "takes levels below the floor",
    "nan-below-floor": "does not refuse levels below the floor",
    "pixel-levels-as-max": "tops up noise by pixel as if its maximum were everywhere",
    "difference": "adds noise of std sigma - sigma_n",
    "all": "adds noise of std sigma",
    "nan-at-floor": "NaN where no noise is missing",
    "bigger-at-high": "10 % too much noise at levels above 2",
    "degrade-one-noise-a-row": "degrade: one normal number for all pixels of a row",
    "degrade-same-for-channels": "degrade: the same noise in all channels",
    "degrade-global-rng": "degrade draws from the global generator",
    "degrade-one-noise-a-batch": "degrade: the same noise in all rows",
    "degrade-absolute": "degrade: skewed noise",
    "degrade-in-place": "degrade changes the batch",
    "degrade-clips": "degrade clips to [-3, 3]",
    "view-of-sigma-n": "the view says sigma_n",
    "no-condition": "degrade drops conditions",
    "rolled-condition": "degrade gives the next row's condition",
    "degrade-float64": "float64 views of float32 rows",
    "level-by-pixel": "a view with a level a pixel",
    "expect-max": "expect: maximum for noise by pixel",
    "expect-mean": "expect: mean for noise by pixel",
    "expect-first": "expect: the first row's level",
    "expect-batch-mean": "expect: the batch's mean level",
    "expect-std": "expect: b from stds",
    "expect-swapped": "expect: a and b exchanged",
    "expect-of-x_n": "expect: b times x_n",
    "expect-detached": "expect: no gradient",
    "expect-clean-nan": "expect: NaN for clean rows",
    "expect-half": "expect: half precision",
    "expect-in-place": "expect changes the answer in place",
    "expect-clips": "expect clips to [-1, 1]",
    "expect-capped": "expect: b at most 0.9",
    "floor-mean": "floor: mean for noise by pixel",
    "floor-min": "floor: minimum for noise by pixel",
    "floor-batch": "floor: maximum of the batch",
    "floor-column": "floor of shape (B, 1)",
    "floor-scalar": "floor of shape ()",
    "floor-raised": "floor: at least 0.05",
    "floor-first-pixel": "floor: the first pixel's level",
}
WRONG = variants(Gauss, FAULTS)


class LevelOfData(Corruption):
    """One level, 0.25, for all rows, handed on as (B,); a list of generators is not taken."""

    name = "kit2-one-level"
    claims = frozenset({"gaussian-noise", "symmetric-degrade"})

    def observe(self, x_0, row, generator):
        z = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        return Batch(x_0 + 0.25 * z, x_0.new_full((len(x_0),), 0.25), row, {})

    def degrade(self, batch, sigma, generator):
        low = self.floor(batch)
        for number, (a, b) in enumerate(zip(sigma.tolist(), low.tolist(), strict=True)):
            if a < b:
                raise ValueError(f"row {int(batch.row[number])} has noise {b:g}, above {a:g}")
        missing = (per_row(sigma, batch.x_n).square() - per_row(batch.sigma_n, batch.x_n).square()).sqrt()
        return View(
            batch.x_n + missing * torch.randn(batch.x_n.shape, generator=generator, dtype=batch.x_n.dtype),
            sigma,
            dict(batch.cond),
        )

    def expect(self, x_0_hat, view, batch):
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        return x_0_hat + b * (view.x - x_0_hat)

    def floor(self, batch):
        return per_row(batch.sigma_n, batch.x_n).expand(batch.x_n.shape).flatten(1).amax(1)


RIGHT = [Gauss, LevelOfData]

NOT_WRONG: dict[str, str] = {}
