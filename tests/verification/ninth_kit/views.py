"""Objectives that see other points than they say."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.ninth_kit.bases import FREE, Over, Own, lacking, lowest


class InputPerturbation(Own):
    """The trick of DDPM-IP: the network is shown a little more noise than it is told."""

    name = "nine-input-perturbation"

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """z + 0.3 z'."""
        return super().z(batch, sigma, tools) + 0.3 * standard_normal(batch.x_n, tools.generator)


class PyramidNoise(Own):
    """Multi-resolution noise: coarse noise on top, at unit variance."""

    name = "nine-pyramid-noise"

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """Of two scales."""
        z = super().z(batch, sigma, tools)
        if z.ndim < 4:
            return z
        coarse = torch.nn.functional.interpolate(standard_normal(z, tools.generator)[..., ::2, ::2], size=z.shape[2:])
        return (z + 0.4 * coarse) / 1.16**0.5


class Truncated(Own):
    """Noise truncated at two standard deviations, drawn again outside."""

    name = "nine-truncated-noise"

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """By inversion."""
        u = uniform(batch.x_n, tools.generator)
        return torch.special.ndtri(0.02275 + 0.9545 * u)


class Rejects(Own):
    """Views that leave the range of the pictures too far are drawn again."""

    name = "nine-rejects-far-views"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """Drawn a second time where the largest value is too large."""
        first, second = super().view(batch, sigma, tools), super().view(batch, sigma, tools)
        far = first.x.flatten(1).abs().amax(1) > 1 + 1.5 * sigma
        return first._replace(x=torch.where(per_row(far.to(first.x.dtype), first.x) > 0, second.x, first.x))


class LevelByContrast(Over):
    """Rows of strong contrast are taken at higher levels."""

    name = "nine-level-by-contrast"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """As far up as the row is strong."""
        floor = lowest(batch, tools)
        strong = torch.tanh(batch.x_n.flatten(1).square().mean(1)).to(floor.dtype)
        u = uniform(floor, tools.generator)
        return log_uniform((0.3 * u + 0.7 * strong).clamp(max=0.9999), floor, tools.levels.sigma_max)


class LevelOfNoise(Own):
    """The level told is the one measured on the view: the realised noise, not the nominal one."""

    name = "nine-realised-level"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """sigma from the noise that was drawn."""
        z = self.z(batch, sigma, tools)
        added = lacking(batch, sigma) * z
        own = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n)
        real = (added.square() + own.square()).flatten(1).mean(1).sqrt()
        real = torch.maximum(real.to(sigma.dtype), tools.corruption.floor(batch))
        return View(batch.x_n + added, real, batch.cond)


class SameStream(Own):
    """The noise comes from a copy of the generator, taken before the levels were drawn."""

    name = "nine-same-stream"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """Log-uniform, from a copy."""
        floor = lowest(batch, tools)
        return log_uniform(uniform(floor, _copied(tools)), floor, tools.levels.sigma_max)

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """From another copy of the same state."""
        u = uniform(batch.x_n, _copied(tools))
        return torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))


def _copied(tools: Tools) -> torch.Generator:
    copied = torch.Generator(tools.generator.device)
    copied.set_state(tools.generator.get_state())
    return copied


class NumpyLevels(Over):
    """Levels from numpy's global generator."""

    name = "nine-numpy-levels"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """Log-uniform."""
        floor = lowest(batch, tools)
        u = torch.from_numpy(np.random.rand(len(floor))).to(floor)
        return log_uniform(u, floor, tools.levels.sigma_max)


class PythonCoin(Own):
    """A coin of Python's own generator: which half of the batch is mirrored."""

    name = "nine-python-coin"

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """With random signs by row."""
        sign = torch.tensor([random.choice((-1.0, 1.0)) for _ in range(len(batch.x_n))])
        return super().z(batch, sigma, tools) * per_row(sign, batch.x_n).to(batch.x_n.dtype)


class SeededByRow(Own):
    """The noise of a view is keyed by the row alone, so that it is the same in each epoch."""

    name = "nine-view-keyed-by-row"

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """From one generator a row."""
        keyed = [torch.Generator().manual_seed(1000 + int(row)) for row in batch.row]
        return standard_normal(batch.x_n, keyed)


class Flips(Over):
    """Mirrors the pictures of every second call, and their levels."""

    name = "nine-flips"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict:
        """With pictures mirrored by a coin."""
        if batch.x_n.ndim == 4 and float(uniform(torch.empty(1), tools.generator)) < 0.5:
            sigma_n = batch.sigma_n.flip(-1) if batch.sigma_n.ndim == 4 else batch.sigma_n
            batch = batch._replace(x_n=batch.x_n.flip(-1), sigma_n=sigma_n)
        return super().loss(denoiser, batch, tools)


class Mixup(Over):
    """Mixup of neighbouring rows, with the level that their mean has."""

    name = "nine-mixup"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict:
        """Of 0.9 of a row and 0.1 of the next."""
        own = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n)
        x = 0.9 * batch.x_n + 0.1 * batch.x_n.roll(1, 0)
        level = (0.81 * own**2 + 0.01 * own.roll(1, 0) ** 2).sqrt()
        if batch.sigma_n.ndim <= 1:
            level = level.flatten(1)[:, 0]
        return super().loss(denoiser, batch._replace(x_n=x, sigma_n=level), tools)


class ToldTime(Over):
    """The denoiser is told t = sigma / (1 + sigma) of the flow."""

    name = "nine-told-time"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """D(x, t)."""
        return denoiser(view.x, view.sigma / (1 + view.sigma), **view.cond)


class Nearest(Over):
    """The denoiser is told the nearest of 64 levels, as a discrete network would be."""

    name = "nine-nearest-of-64"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """D(x, level of the table)."""
        low, high = tools.levels
        table = torch.logspace(np.log10(low), np.log10(high), 64).to(view.sigma)
        near = (table.log() - view.sigma.log().unsqueeze(1)).abs().argmin(1)
        return denoiser(view.x, table[near], **view.cond)


class MeanLevel(Own):
    """sigma_n of the batch is its mean."""

    name = "nine-mean-sigma-n"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict:
        """With one level for all rows."""
        mean = batch.sigma_n.float().square().mean().sqrt().to(batch.x_n.dtype)
        return super().loss(denoiser, batch._replace(sigma_n=mean.expand(len(batch.x_n))), tools)


class MeanFloor(Own):
    """The level of a row with noise per pixel is its mean; brighter noise is not topped up."""

    name = "nine-mean-floor"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """Above the mean level."""
        own = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)
        floor = own.clamp(min=tools.levels.sigma_min)
        return log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)


class DropsLabels(Over):
    """Ten per cent of the conditions are put to 0 inside the objective, for guidance."""

    name = "nine-drops-conditions"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """With zeros in the place of some conditions."""
        drop = uniform(view.sigma, tools.generator) < 0.1
        cond = {
            name: torch.where(drop.reshape(-1, *[1] * (value.ndim - 1)), torch.zeros_like(value), value)
            for name, value in view.cond.items()
        }
        return denoiser(view.x, view.sigma, **cond)


class SortsRows(Over):
    """Views are sorted by level before the network sees them, and the conditions are not."""

    name = "nine-sorts-views"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """In the order of the levels, and back."""
        order = view.sigma.argsort()
        return denoiser(view.x[order], view.sigma[order], **view.cond)[order.argsort()]


class BatchMask(Over):
    """Conditions are those of the batch, not of the view."""

    name = "nine-conditions-of-batch"
    claims = FREE | {"serves-masks"}

    def factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        """The corruption's own."""
        cap = torch.full_like(view.sigma, 25.0)
        return tools.corruption.weight(view, batch, cap, torch.ones_like(cap))

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """With the mask of the row."""
        return denoiser(view.x, view.sigma, **batch.cond)


class ClippedView(Own):
    """Views are clipped at three standard deviations beyond the range of pictures."""

    name = "nine-clipped-view"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """Within 0.5 + 2 sigma."""
        view = super().view(batch, sigma, tools)
        edge = per_row(0.5 + 2 * sigma, view.x)
        return view._replace(x=torch.minimum(torch.maximum(view.x, -edge), edge))


class Centred(Own):
    """Noise of which each row's mean is taken off, so that brightness is kept."""

    name = "nine-centred-noise"

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """Of mean 0 in each row."""
        z = super().z(batch, sigma, tools)
        return z - per_row(z.flatten(1).mean(1), z)


class BatchNoise(Own):
    """The first half of the batch lends its noise to the other, unsigned."""

    name = "nine-noise-of-batch-standardised"

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """Standardised over the batch, value by value."""
        z = super().z(batch, sigma, tools)
        return (z - z.mean(0)) / z.std(0).clamp(min=1e-3) if len(z) > 1 else z


PARTS: tuple[type[Objective], ...] = (
    InputPerturbation,
    PyramidNoise,
    Truncated,
    Rejects,
    LevelByContrast,
    LevelOfNoise,
    SameStream,
    NumpyLevels,
    PythonCoin,
    SeededByRow,
    Flips,
    Mixup,
    ToldTime,
    Nearest,
    MeanLevel,
    MeanFloor,
    DropsLabels,
    SortsRows,
    BatchMask,
    ClippedView,
    Centred,
    BatchNoise,
)
