"""Corruptions: white Gaussian noise, with one fault."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.variants import variants


class Gauss(Corruption):
    """x_n = x_0 + sigma_n z, one level a row, log-uniform in [0.05, 0.5]."""

    name = "kit4-gaussian"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})
    fault: ClassVar[str] = ""
    kept: ClassVar[dict] = {}

    def observe(self, x_0, row, generator):
        f = self.fault
        u = uniform(x_0.new_empty(len(x_0), 1), generator)[:, 0]
        sigma_n = 0.05 * 10**u
        z = standard_normal(x_0, generator)
        if f == "antithetic-rows" and len(z) > 1:
            z = z.clone()
            z[1::2] = -z[::2][: len(z[1::2])]
        if f == "speckle":
            z = z * (1 + 0.5 * x_0)
        if f == "without-mean":
            z = z - per_row(z.flatten(1).mean(1), z)
        if f == "normed":
            z = z / per_row(z.flatten(1).square().mean(1).sqrt(), z)
        if f == "clipped-noise":
            z = z.clamp(-2.5, 2.5)
        scale = per_row(sigma_n, x_0)
        if f == "realised-level":
            sigma_n = (scale * z).flatten(1).square().mean(1).sqrt()
        if f == "late-rows":
            z = torch.where(per_row((row >= 100).to(x_0.dtype), x_0) > 0, 2 * z, z)
        if f == "positive":
            return Batch((x_0 + scale * z).clamp(min=-1), sigma_n, row, {})
        if f == "level-in-bfloat16":
            sigma_n = sigma_n.bfloat16().to(sigma_n.dtype)
        if f == "brightness":
            z = z + 0.3 * standard_normal(x_0.flatten(1)[:, :1], generator).reshape(-1, *[1] * (x_0.ndim - 1))
        return Batch(x_0 + scale * z, sigma_n, row, {})

    def degrade(self, batch, sigma, generator):
        f, x = self.fault, batch.x_n
        low = self.floor(batch)
        if f == "refuses-the-floor" and (sigma <= low).any():
            raise ValueError(f"row {int(batch.row[int((sigma <= low).nonzero()[0])])}: too low")
        if (sigma < low).any():
            first = int((sigma < low).nonzero()[0])
            raise ValueError(f"row {int(batch.row[first])} cannot be seen at sigma {float(sigma[first]):g}")
        n = per_row(batch.sigma_n, x)
        missing = (per_row(sigma, x) ** 2 - n**2).clamp(min=0).sqrt()
        if f == "a-little-more":
            missing = missing + 0.01
        if f == "one-row-for-pixels" and batch.sigma_n.ndim > 1:
            missing = missing.flatten(1)[:, :1].reshape(-1, *[1] * (x.ndim - 1))
        z = standard_normal(x, generator)
        if f == "degrade-kept":
            z = self.kept.setdefault((z.shape, z.dtype), z)
        if f == "degrade-clipped":
            z = z.clamp(-2, 2)
        if f == "degrade-normed":
            z = z / per_row(z.flatten(1).square().mean(1).sqrt(), z)
        if f == "degrade-from-mean":
            x = x + 0.02 * (x.mean(0) - x)
        if f == "view-shares-condition-of-first":
            return View(x + missing * z, sigma, {k: v[:1].expand_as(v) for k, v in batch.cond.items()})
        return View(x + missing * z, sigma, dict(batch.cond))

    def expect(self, x_0_hat, view, batch):
        f, x = self.fault, view.x
        n = per_row(batch.sigma_n, x)
        if f == "expect-first-channel" and n.ndim == 4:
            n = n[:, :1]
        if f == "expect-in-bfloat16":
            n = n.bfloat16().to(x.dtype)
        b = (n / per_row(view.sigma, x)) ** 2
        if f == "expect-linear":
            b = b.sqrt() * b
        if f == "expect-adds-offset":
            return x_0_hat + b * (x - x_0_hat) + 1e-2
        if f == "expect-of-batch":
            return x_0_hat + b * (x - x_0_hat.mean(0))
        return x_0_hat + b * (x - x_0_hat)

    def floor(self, batch):
        f = self.fault
        if f == "floor-not-expanded":
            return batch.sigma_n.flatten(1).amax(1) if batch.sigma_n.ndim > 1 else batch.sigma_n
        flat = per_row(batch.sigma_n, batch.x_n).expand(batch.x_n.shape).flatten(1)
        if f == "floor-rms":
            return flat.square().mean(1).sqrt()
        if f == "floor-margin":
            return 1.1 * flat.amax(1)
        return flat.amax(1)


FAULTS = {
    "antithetic-rows": "the noise of every second row is that of the row before, with the other sign",
    "speckle": "noise grows with brightness",
    "without-mean": "the noise of a row has no mean",
    "normed": "the noise of a row always has the same norm",
    "clipped-noise": "noise clipped at 2.5",
    "realised-level": "sigma_n is the std of the noise that was drawn",
    "late-rows": "rows from the 100th on have twice the noise",
    "positive": "observations below -1 are clipped",
    "level-in-bfloat16": "the stated level is rounded to bfloat16",
    "brightness": "a part of the noise is common to a row",
    "refuses-the-floor": "refuses sigma = sigma_n",
    "a-little-more": "adds 0.01 more",
    "one-row-for-pixels": "noise by pixel: topped up as the first pixel needs",
    "degrade-kept": "the noise of the first call is used ever after",
    "degrade-clipped": "the noise of a view is clipped at 2",
    "degrade-normed": "the noise of a view always has the same norm",
    "degrade-from-mean": "views are pulled to the batch's mean",
    "view-shares-condition-of-first": "the first row's condition for all",
    "expect-first-channel": "noise by pixel: the first channel's levels for all",
    "expect-in-bfloat16": "sigma_n rounded to bfloat16",
    "expect-linear": "b to the power 1.5",
    "expect-adds-offset": "0.01 too bright",
    "expect-of-batch": "the mean answer of the batch in one place",
    "floor-not-expanded": "one floor where rows share a pattern of levels",
    "floor-rms": "noise by pixel: the root mean square",
    "floor-margin": "a tenth above",
}
WRONG = variants(Gauss, FAULTS)


class ByPixel(Gauss):
    """A level for each pixel, drawn for each row."""

    name = "kit4-by-pixel"

    def observe(self, x_0, row, generator):
        level = 0.1 + 0.3 * uniform(x_0, generator)
        return Batch(x_0 + level * standard_normal(x_0, generator), level, row, {})


RIGHT = [Gauss, ByPixel]

NOT_WRONG: dict[str, str] = {}
