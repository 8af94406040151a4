"""Corruptions by Gaussian noise."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.interfaces import Corruption
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []


@marked(RIGHT, "written anew from the guide, one level for all rows")
class Plain(Corruption):
    """x_n = x_0 + sigma_n z, in steps that the others change."""

    name = "six-plain-noise"
    source = "arXiv 2404.10177, Lemma 3.1"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})

    sigma_n: float = Field(0.3, gt=0)
    """Std of the noise."""

    def noise(self, like, generator):
        return standard_normal(like, generator)

    def level(self, x_0, generator):
        return x_0.new_full((len(x_0),), self.sigma_n)

    def observe(self, x_0, row, generator):
        sigma_n = self.level(x_0, generator)
        return Batch(x_0 + per_row(sigma_n, x_0) * self.noise(x_0, generator), sigma_n, row, {})

    def check(self, batch, sigma):
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} lies above the level asked for")

    def missing(self, batch, sigma):
        return (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()

    def degrade(self, batch, sigma, generator):
        self.check(batch, sigma)
        added = self.missing(batch, sigma).to(batch.x_n.dtype) * self.noise(batch.x_n, generator)
        return View(batch.x_n + added, sigma, batch.cond)

    def b(self, view, batch):
        return (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2

    def expect(self, x_0_hat, view, batch):
        b = self.b(view, batch)
        return (1 - b) * x_0_hat + b * view.x

    def floor(self, batch):
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1)


@marked(RIGHT, "a checkerboard of two levels, given per pixel with a channel axis of 1")
class Checkerboard(Plain):
    name = "six-checkerboard"

    def observe(self, x_0, row, generator):
        place = torch.arange(x_0[0].numel(), device=x_0.device).reshape(x_0.shape[1:]) % 2
        sigma_n = (self.sigma_n * (1 + place) / 2).to(x_0.dtype).expand_as(x_0)
        return Batch(x_0 + sigma_n * self.noise(x_0, generator), sigma_n, row, {})


@marked(RIGHT, "a level for each row by its number, computed by numpy: deterministic")
class ByNumber(Plain):
    name = "six-by-number"

    def observe(self, x_0, row, generator):
        level = 0.1 + 0.3 * np.modf(row.cpu().numpy() * 0.618034)[0]
        sigma_n = torch.from_numpy(level).to(x_0)
        return Batch(x_0 + per_row(sigma_n, x_0) * self.noise(x_0, generator), sigma_n, row, {})


@marked(RIGHT, "observations of the VP form, divided by alpha as they should be")
class FromVP(Plain):
    """alpha x_0 + s z over alpha, s = 0.3, alpha = sqrt(1 - s^2)."""

    name = "six-from-vp"

    def observe(self, x_0, row, generator):
        s, alpha = 0.3, (1 - 0.3**2) ** 0.5
        y = alpha * x_0 + s * self.noise(x_0, generator)
        return Batch(y / alpha, x_0.new_full((len(x_0),), s / alpha), row, {})


@marked(RIGHT, "a subclass of gaussian with levels log-uniform over the rows, and half of them clean")
class LogLevels(Gaussian):
    name = "six-log-levels"
    clean_share: float = Field(0.5, ge=0, le=1)
    low: float = Field(0.05, gt=0)
    high: float = Field(0.5, gt=0)

    def observe(self, x_0, row, generator):
        u = uniform(x_0.new_empty(len(x_0), 2), generator)
        sigma_n = self.low * (self.high / self.low) ** u[:, 0]
        sigma_n = torch.where(u[:, 1] < self.clean_share, torch.zeros_like(sigma_n), sigma_n)
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})


@marked(WRONG, "the variance multiplies the noise")
class Variance(Plain):
    name = "six-variance"

    def observe(self, x_0, row, generator):
        sigma_n = self.level(x_0, generator)
        return Batch(x_0 + per_row(sigma_n, x_0) ** 2 * self.noise(x_0, generator), sigma_n, row, {})


@marked(WRONG, "observations of the VP form, not divided by alpha")
class StillVP(Plain):
    name = "six-still-vp"

    def observe(self, x_0, row, generator):
        s, alpha = 0.3, (1 - 0.3**2) ** 0.5
        return Batch(alpha * x_0 + s * self.noise(x_0, generator), x_0.new_full((len(x_0),), s), row, {})


@marked(WRONG, "a level is drawn for each row, and the middle of the range declared")
class MiddleDeclared(Plain):
    name = "six-middle-declared"

    def observe(self, x_0, row, generator):
        drawn = self.sigma_n * (0.7 + 0.6 * uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1))
        x_n = x_0 + per_row(drawn, x_0) * self.noise(x_0, generator)
        return Batch(x_n, self.level(x_0, generator), row, {})


@marked(WRONG, "the level is declared by the noise that was drawn: its sample std")
class SampleStd(Plain):
    name = "six-sample-std"

    def observe(self, x_0, row, generator):
        noise = self.sigma_n * self.noise(x_0, generator)
        sigma_n = noise.flatten(1).square().mean(1).sqrt()
        return Batch(x_0 + noise, sigma_n, row, {})


@marked(WRONG, "observations are clipped to the range of a camera")
class ClippedRange(Plain):
    name = "six-clipped-range"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=batch.x_n.clamp(-1, 1))


@marked(WRONG, "observations are rounded to 32 grey values")
class Rounded(Plain):
    name = "six-rounded"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=(batch.x_n * 15.5).round() / 15.5)


@marked(WRONG, "shot noise: its std grows with the brightness, and one level is declared")
class ShotNoise(Plain):
    name = "six-shot-noise"

    def observe(self, x_0, row, generator):
        bright = ((x_0 + 1.5) / 1.5).clamp(min=0.1).sqrt()
        return Batch(x_0 + self.sigma_n * bright * self.noise(x_0, generator), self.level(x_0, generator), row, {})


@marked(WRONG, "Laplacian noise of the same std")
class Laplacian(Plain):
    name = "six-laplacian"

    def noise(self, like, generator):
        u = uniform(like, generator) - 0.5
        return -u.sign() * torch.log1p(-2 * u.abs().clamp(max=0.4999999)) / 2**0.5


@marked(WRONG, "salt and pepper: one value in fifty is thrown to an end of the range, std declared for the rest")
class DeadPixels(Plain):
    name = "six-dead-pixels"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        u = uniform(x_0, generator)
        x_n = torch.where(u < 0.01, -torch.ones_like(x_0), torch.where(u > 0.99, torch.ones_like(x_0), batch.x_n))
        return batch._replace(x_n=x_n)


@marked(WRONG, "the noise of neighbours is correlated, as after demosaicing; its std is right")
class Demosaiced(Plain):
    name = "six-demosaiced"

    def noise(self, like, generator):
        z = standard_normal(like, generator)
        return (z + 0.3 * z.roll(1, -1)) / (1 + 0.3**2) ** 0.5


@marked(WRONG, "the three channels of a pixel share their noise")
class GreyNoise(Plain):
    name = "six-grey"

    def noise(self, like, generator):
        z = standard_normal(like, generator)
        return z[:, :1].expand_as(z) if z.ndim > 2 else z


@marked(WRONG, "the noise of all rows of a batch is one draw")
class OneDraw(Plain):
    name = "six-one-draw"

    def noise(self, like, generator):
        first = generator if isinstance(generator, torch.Generator) else generator[0]
        return torch.randn(like.shape[1:], generator=first, dtype=like.dtype).to(like).expand_as(like)


@marked(WRONG, "one generator of the list serves the whole batch: a row depends on its place")
class FirstGenerator(Plain):
    name = "six-first-generator"

    def noise(self, like, generator):
        first = generator if isinstance(generator, torch.Generator) else generator[0]
        return torch.randn(like.shape, generator=first, dtype=like.dtype).to(like)


@marked(WRONG, "torch's global generator")
class GlobalNoise(Plain):
    name = "six-global-noise"

    def noise(self, like, generator):
        return torch.randn_like(like)


@marked(WRONG, "degrade is seeded by the row: the same noise in each epoch")
class SameEachEpoch(Plain):
    name = "six-same-each-epoch"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, [torch.Generator().manual_seed(int(row)) for row in batch.row])


@marked(WRONG, "observe is seeded by the place in the batch, not by what it is given")
class SeedOfPlace(Plain):
    name = "six-seed-of-place"

    def observe(self, x_0, row, generator):
        return super().observe(x_0, row, [torch.Generator().manual_seed(i) for i in range(len(x_0))])
