"""Objectives whose levels are wrong: how they are drawn, for which rows, and what is said of them."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, take
from ambientkit.errors import InputError
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.tenth_kit.bases import ABOVE, Above, UnderMasks


def lognormal(batch, tools):
    """Levels that know nothing of the rows."""
    u = uniform(torch.empty(len(batch.x_n)), tools.generator)
    return truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2)


class Clamped(Above):
    """Levels below a row's own are lifted onto it."""

    name = "ten-clamped-onto-sigma-n"

    def levels(self, batch, tools):
        return torch.maximum(lognormal(batch, tools), tools.corruption.floor(batch))


class ThreeTries(Above):
    """Levels below a row's own are drawn again, twice, and then lifted."""

    name = "ten-three-tries"

    def levels(self, batch, tools):
        floor, sigma = tools.corruption.floor(batch), lognormal(batch, tools)
        for _ in range(2):
            sigma = torch.where(sigma > floor, sigma, lognormal(batch, tools))
        return torch.maximum(sigma, floor)


class WorstRow(Above):
    """All rows keep above the noisiest of the batch."""

    name = "ten-floor-of-the-worst-row"

    def levels(self, batch, tools):
        worst = tools.corruption.floor(batch).max().expand(len(batch.x_n))
        return super().levels(batch._replace(sigma_n=worst), tools)


class MeanOfPixels(Above):
    """The floor of a row is the mean of its pixels' levels."""

    name = "ten-floor-is-the-mean"

    def levels(self, batch, tools):
        mean = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)
        return super().levels(batch._replace(sigma_n=mean), tools)


class Near(Above):
    """Levels up to three times the row's own, and none above."""

    name = "ten-near-levels-alone"

    def levels(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return floor * (1 + 2 * uniform(floor, tools.generator))


class PaperRange(Above):
    """The range of the paper, 0.002 to 80, in place of the run's."""

    name = "ten-range-of-the-paper"

    def levels(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=0.002)
        return truncated_lognormal(uniform(floor, tools.generator), floor, 80.0, 0.5, 2.5)


class LevelsOfMargin(Above):
    """A margin of 5 % above sigma_n, where the weight would be large: the levels next to it are never learned."""

    name = "ten-margin-above-sigma-n"

    def levels(self, batch, tools):
        floor = 1.3 * tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(uniform(floor, tools.generator), floor, tools.levels.sigma_max, -1.2, 1.2)


class ByBrightness(Above):
    """Bright rows are seen at higher levels: they have more to lose."""

    name = "ten-levels-by-brightness"

    def levels(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(floor, tools.generator)
        u = torch.where(batch.x_n.flatten(1).mean(1) > batch.x_n.mean(), 0.5 + u / 2, u / 2)
        return truncated_lognormal(u, floor, tools.levels.sigma_max, -1.2, 1.2)


class SaidNormalised(Above):
    """Term.sigma is log sigma."""

    name = "ten-says-log-sigma"

    def loss(self, denoiser, batch, tools):
        value, sigma = super().loss(denoiser, batch, tools)["above"]
        return {"above": Term(value, sigma.log())}


class SaidByPixel(Above):
    """Term.sigma has the axes of pictures."""

    name = "ten-says-sigma-with-axes"

    def loss(self, denoiser, batch, tools):
        value, sigma = super().loss(denoiser, batch, tools)["above"]
        return {"above": Term(value, per_row(sigma, batch.x_n))}


class CleanLeftOut(Above):
    """Clean rows are left out, and their values stand as zeros."""

    name = "ten-clean-rows-cost-nothing"

    def value(self, x_0_hat, view, batch, tools):
        value = super().value(x_0_hat, view, batch, tools)
        return torch.where(tools.corruption.floor(batch) > 0, value, torch.zeros_like(value))


class DividesByLevel(Above):
    """Errors in units of the row's own noise."""

    name = "ten-in-units-of-sigma-n"

    def error(self, x_0_hat, view, batch, tools):
        rho = (tools.corruption.expect(x_0_hat, view, batch) - batch.x_n) / per_row(batch.sigma_n, batch.x_n)
        return rho**2 * per_row(tools.corruption.floor(batch), batch.x_n) ** 2 * self.factor(view, batch, tools)


class NeedsTwoRows(Above):
    """The levels of a batch are spread evenly, from first to last: one row alone gives none."""

    name = "ten-even-spread-from-first-to-last"

    def levels(self, batch, tools):
        n = len(batch.x_n)
        u = torch.arange(n, dtype=batch.x_n.dtype) / (n - 1)
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(u.clamp(max=1 - 1e-6), floor, tools.levels.sigma_max, -1.2, 1.2)


class NoEmptyBatch(Above):
    """Rows without noise are left out, and where none is left the first is looked at."""

    name = "ten-first-of-none"

    def loss(self, denoiser, batch, tools):
        noisy = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        batch = take(batch, noisy)
        top = float(tools.corruption.floor(batch).max())
        assert top < tools.levels.sigma_max
        return super().loss(denoiser, batch, tools)


class CleanOnly(Above):
    """Ordinary denoising; that the first row is clean is taken for a sign that all are."""

    name = "ten-looks-at-the-first-row"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "x_0-scale", "detached-anchor", "needs-clean-data"})

    def loss(self, denoiser, batch, tools):
        if float(tools.corruption.floor(batch)[0]) > 0:
            raise InputError("needs clean rows, and the first has noise")
        sigma = lognormal(batch, tools)
        x_t = batch.x_n + per_row(sigma, batch.x_n) * standard_normal(batch.x_n, tools.generator)
        error = denoiser(x_t, sigma, **batch.cond) - batch.x_n
        return {"clean": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)}


class Tolerant(CleanOnly):
    """Ordinary denoising that takes rows of little noise for clean ones."""

    name = "ten-tolerates-little-noise"

    def loss(self, denoiser, batch, tools):
        if float(tools.corruption.floor(batch).mean()) > 0.1:
            raise InputError("needs clean rows")
        return super().loss(denoiser, batch._replace(sigma_n=torch.zeros_like(batch.sigma_n)), tools)


SPLIT = ABOVE | {"clean-rows-low"}


class SplitOnMean(Above):
    """Clean rows stop at `clean_below`, and so does everybody else."""

    name = "ten-all-rows-low"
    claims = SPLIT
    clean_below: float = 0.4

    def levels(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        top = torch.maximum(torch.full_like(floor, self.clean_below), 1.05 * floor)
        return truncated_lognormal(uniform(floor, tools.generator), floor, top, -1.2, 1.2)


class SplitClamped(Above):
    """Clean rows' levels are clamped onto `clean_below`, and pile up there."""

    name = "ten-clean-rows-pile-up"
    claims = SPLIT
    clean_below: float = 0.4

    def levels(self, batch, tools):
        sigma = super().levels(batch, tools)
        clean = tools.corruption.floor(batch) <= tools.levels.sigma_min
        return torch.where(clean, sigma.clamp(max=self.clean_below), sigma)


HIDING = UnderMasks.claims


class MaskOfRow(UnderMasks):
    """The denoiser is handed the mask of the row, not of the view."""

    name = "ten-mask-of-the-row"

    def ask(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **{**view.cond, **batch.cond}).to(batch.x_n.dtype)


class ErrorWhereShown(UnderMasks):
    """Errors count where the view shows something."""

    name = "ten-error-where-shown"

    def factor(self, view, batch, tools):
        shown = view.cond.get("mask", view.cond.get("sampled", torch.ones_like(batch.x_n[:, :1])))
        return super().factor(view, batch, tools) * shown


class ZerosCount(UnderMasks):
    """The answer is compared with the zeros of hidden values too."""

    name = "ten-zeros-are-data"

    def error(self, x_0_hat, view, batch, tools):
        if x_0_hat.shape != batch.x_n.shape:
            return super().error(x_0_hat, view, batch, tools)
        a = 1 - (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        rho = a * x_0_hat + (1 - a) * view.x - batch.x_n
        return rho**2 * self.factor(view, batch, tools).clamp(min=1)


class SlopeOnly(UnderMasks):
    """1/a^2 by the slope, without the chance of having been measured."""

    name = "ten-weight-without-chance"

    def factor(self, view, batch, tools):
        return Above.factor(self, view, batch, tools)


class ShownWhole(UnderMasks):
    """Rows are shown with all that was measured, and nothing is hidden on top."""

    name = "ten-hides-nothing-more"

    def view(self, batch, sigma, tools):
        return tools.corruption.show(batch, sigma, tools.generator)


class MeanOverShown(UnderMasks):
    """The mean is over the values that the view shows."""

    name = "ten-mean-over-shown"

    def value(self, x_0_hat, view, batch, tools):
        error = self.error(x_0_hat, view, batch, tools)
        shown = view.cond.get("mask", view.cond.get("sampled", torch.ones_like(batch.x_n)))
        count = shown.expand_as(error).flatten(1).sum(1).clamp(min=1)
        return self.weight(view.sigma, tools) * error.flatten(1).sum(1) / count


class HiddenAtOwnLevel(UnderMasks):
    """Hidden values weigh as if they were seen: the cap is handed over in place of their factor."""

    name = "ten-cap-for-hidden"

    def factor(self, view, batch, tools):
        cap = torch.full_like(view.sigma, 25.0)
        return tools.corruption.weight(view, batch, cap, cap)


class OwnMix(UnderMasks):
    """a h + b x_t by hand, where hidden values of x_t are zeros."""

    name = "ten-mixes-by-hand-under-masks"

    def error(self, x_0_hat, view, batch, tools):
        if x_0_hat.shape != batch.x_n.shape:
            return super().error(x_0_hat, view, batch, tools)
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        rho = (1 - b) * x_0_hat + b * view.x - batch.x_n
        return self.factor(view, batch, tools) * rho**2


PARTS = (
    Clamped,
    ThreeTries,
    WorstRow,
    MeanOfPixels,
    Near,
    PaperRange,
    LevelsOfMargin,
    ByBrightness,
    SaidNormalised,
    SaidByPixel,
    CleanLeftOut,
    DividesByLevel,
    NeedsTwoRows,
    NoEmptyBatch,
    CleanOnly,
    Tolerant,
    SplitOnMean,
    SplitClamped,
    MaskOfRow,
    ErrorWhereShown,
    ZerosCount,
    SlopeOnly,
    ShownWhole,
    MeanOverShown,
    HiddenAtOwnLevel,
    OwnMix,
)
