"""Objectives whose question is wrong: views, what the denoiser is handed, conditions, the batch itself."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, View
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.tenth_kit.bases import ABOVE, Above


class Difference(Above):
    """The missing noise is sigma - sigma_n."""

    name = "ten-difference-of-stds"

    def view(self, batch, sigma, tools):
        missing = per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)
        return View(batch.x_n + missing * standard_normal(batch.x_n, tools.generator), sigma, batch.cond)


class TrueLevelKeptQuiet(Above):
    """Noise of a drawn level is added, and the denoiser is told that level, not the sum of both."""

    name = "ten-added-level-told"

    def levels(self, batch, tools):
        drawn = super().levels(batch._replace(sigma_n=torch.zeros_like(batch.sigma_n)), tools)
        return torch.hypot(drawn, tools.corruption.floor(batch))

    def ask(self, denoiser, view, batch, tools):
        added = (view.sigma**2 - tools.corruption.floor(batch) ** 2).clamp(min=1e-6).sqrt()
        return denoiser(view.x, added, **view.cond).to(batch.x_n.dtype)


class GreyNoise(Above):
    """One draw for all channels."""

    name = "ten-grey-noise"

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        z = standard_normal(batch.x_n[:, :1] if batch.x_n.ndim > 2 else batch.x_n, tools.generator)
        return View(batch.x_n + missing * z, sigma, batch.cond)


class UniformNoise(Above):
    """Uniform noise of the right std."""

    name = "ten-uniform-noise"

    def view(self, batch, sigma, tools):
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        z = (uniform(batch.x_n, tools.generator) - 0.5) * 12**0.5
        return View(batch.x_n + missing * z, sigma, batch.cond)


class KeyedByRow(Above):
    """The noise of a view is keyed by its row, for the sake of repeatable runs: it is the same in every epoch."""

    name = "ten-noise-keyed-by-row"

    def view(self, batch, sigma, tools):
        own = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        return View(batch.x_n + missing * standard_normal(batch.x_n, own), sigma, batch.cond)


class SameSeedTwice(Above):
    """Levels and noise come from two generators of one seed."""

    name = "ten-two-generators-one-seed"

    def view(self, batch, sigma, tools):
        again = torch.Generator().manual_seed(tools.generator.initial_seed())
        return tools.corruption.degrade(batch, sigma, again)


class LastAxis(Above):
    """Levels (B,) are left to broadcasting, unsqueezed once."""

    name = "ten-levels-unsqueezed-once"

    def view(self, batch, sigma, tools):
        missing = (sigma**2 - tools.corruption.floor(batch) ** 2).clamp(min=0).sqrt()[:, None]
        return View(batch.x_n + missing * standard_normal(batch.x_n, tools.generator), sigma, batch.cond)


class FloorForAllPixels(Above):
    """Noise by pixel is topped up by the largest level of the row, everywhere."""

    name = "ten-tops-up-by-the-worst-pixel"

    def view(self, batch, sigma, tools):
        missing = per_row((sigma**2 - tools.corruption.floor(batch) ** 2).clamp(min=0).sqrt(), batch.x_n)
        return View(batch.x_n + missing * standard_normal(batch.x_n, tools.generator), sigma, batch.cond)


class MeanLevelOfRow(Above):
    """Noise by pixel is replaced by its mean square in the row, in the estimate."""

    name = "ten-mean-square-level-of-row"

    def error(self, x_0_hat, view, batch, tools):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).square().flatten(1).mean(1).sqrt()
        return super().error(x_0_hat, view, batch._replace(sigma_n=level), tools)


class LevelOfFirstRow(Above):
    """One level for the data set: that of the first row."""

    name = "ten-level-of-the-first-row"

    def error(self, x_0_hat, view, batch, tools):
        level = batch.sigma_n[:1].expand_as(batch.sigma_n)
        return super().error(x_0_hat, view, batch._replace(sigma_n=level), tools)


class EstimatedLevel(Above):
    """The level is measured on the row, by the median of its differences, since it may be declared wrongly."""

    name = "ten-measures-the-level-itself"

    def error(self, x_0_hat, view, batch, tools):
        steps = (batch.x_n[..., 1:] - batch.x_n[..., :-1]).abs().flatten(1)
        level = steps.median(1).values / (0.6745 * 2**0.5)
        return super().error(x_0_hat, view, batch._replace(sigma_n=torch.minimum(level, view.sigma)), tools)


class ToldFlowTime(Above):
    """The denoiser is told t of the flow, and shown its input."""

    name = "ten-told-flow-time"

    def ask(self, denoiser, view, batch, tools):
        t = view.sigma / (1 + view.sigma)
        return denoiser(view.x / (1 + per_row(view.sigma, view.x)), t, **view.cond).to(batch.x_n.dtype)


class ToldMean(Above):
    """All rows are told the mean level."""

    name = "ten-told-the-mean-level"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma.mean().expand_as(view.sigma), **view.cond).to(batch.x_n.dtype)


class NoCond(Above):
    """Conditions are not handed on."""

    name = "ten-without-conditions"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma).to(batch.x_n.dtype)


class CondsAsOne(Above):
    """Conditions are handed on as floating-point numbers."""

    name = "ten-conditions-as-floats"

    def ask(self, denoiser, view, batch, tools):
        cond = {name: value.to(batch.x_n.dtype) for name, value in view.cond.items()}
        return denoiser(view.x, view.sigma, **cond).to(batch.x_n.dtype)


class OwnDropout(Above):
    """A tenth of the rows lose their conditions here, to zeros, although the run does that."""

    name = "ten-own-condition-dropout"

    def ask(self, denoiser, view, batch, tools):
        kept = uniform(view.sigma, tools.generator) >= 0.1
        cond = {
            name: torch.where(kept.reshape(-1, *[1] * (value.ndim - 1)), value, torch.zeros_like(value))
            for name, value in view.cond.items()
        }
        return denoiser(view.x, view.sigma, **cond).to(batch.x_n.dtype)


class ShuffledRows(Above):
    """Rows are taken in another order for the view, and their conditions are not."""

    name = "ten-conditions-of-other-rows"

    def ask(self, denoiser, view, batch, tools):
        order = torch.arange(len(view.x)).flip(0)
        answer = denoiser(view.x[order], view.sigma[order], **view.cond)
        return answer[order].to(batch.x_n.dtype)


class ClippedView(Above):
    """Views are clipped to the range of pictures."""

    name = "ten-view-clipped"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x.clamp(-3, 3), view.sigma, **view.cond).to(batch.x_n.dtype)


class Centred(Above):
    """Rows are centred by the mean of the batch, and the answer is moved back."""

    name = "ten-centred-by-the-batch"

    def ask(self, denoiser, view, batch, tools):
        mean = batch.x_n.mean(0, keepdim=True)
        return denoiser(view.x - mean, view.sigma, **view.cond).to(batch.x_n.dtype) + mean


class Rolled(Above):
    """Rows are moved by a few pixels before they are seen; their levels by pixel stay where they are."""

    name = "ten-moved-rows-unmoved-levels"
    claims = ABOVE

    def loss(self, denoiser, batch, tools):
        by = int(uniform(torch.empty(1), tools.generator) * 4)
        return super().loss(denoiser, batch._replace(x_n=batch.x_n.roll(by, -1)), tools)


class InPlace(Above):
    """The noise is added to the batch in place."""

    name = "ten-adds-in-place"

    def view(self, batch, sigma, tools):
        clean = batch._replace(x_n=batch.x_n.clone())
        batch.x_n.copy_(tools.corruption.degrade(clean, sigma, tools.generator).x)
        return View(batch.x_n, sigma, batch.cond)


class LevelsInPlace(Above):
    """Levels of the batch are kept away from 0 in place."""

    name = "ten-clamps-levels-in-place"

    def levels(self, batch, tools):
        batch.sigma_n.clamp_(min=0.01)
        return super().levels(batch, tools)


class ClearsCond(Above):
    """Conditions are cleared once they are used, to save memory; they are those of the batch."""

    name = "ten-clears-conditions"

    def ask(self, denoiser, view, batch, tools):
        answer = denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)
        view.cond.clear()
        return answer


class FirstHalf(Above):
    """Half of the rows are used, and the levels of all are returned."""

    name = "ten-values-of-half-levels-of-all"

    def loss(self, denoiser, batch, tools):
        value, sigma = super().loss(denoiser, batch, tools)["above"]
        return {"above": Term(value[: (len(value) + 1) // 2], sigma)}


PARTS = (
    Difference,
    TrueLevelKeptQuiet,
    GreyNoise,
    UniformNoise,
    KeyedByRow,
    SameSeedTwice,
    LastAxis,
    FloorForAllPixels,
    MeanLevelOfRow,
    LevelOfFirstRow,
    EstimatedLevel,
    ToldFlowTime,
    ToldMean,
    NoCond,
    CondsAsOne,
    OwnDropout,
    ShuffledRows,
    ClippedView,
    Centred,
    Rolled,
    InPlace,
    LevelsInPlace,
    ClearsCond,
    FirstHalf,
)
