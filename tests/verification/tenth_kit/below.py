"""Objectives that go wrong below the noise of the data: hops, anchors and gradients."""

from __future__ import annotations

import torch

from ambientkit.batch import View
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.tenth_kit.bases import BELOW, Below

UNPAIRED = BELOW - {"value-unbiased", "half-backward"}


class SquareOfMean(Below):
    """The square of the mean of two hops: the variance of the hops is added."""

    name = "ten-square-of-the-mean"
    claims = UNPAIRED

    def product(self, first, second):
        return ((first + second) / 2) ** 2


class AnchorGradient(Below):
    """The target keeps its gradient."""

    name = "ten-target-with-gradient"

    def target(self, denoiser, anchor, tools):
        with torch.enable_grad():
            return denoiser(anchor.x, anchor.sigma, **anchor.cond)


class UpperOnly(Below):
    """The lower level is the teacher of the upper one; the upper one has the gradient."""

    name = "ten-gradient-at-the-upper-end"

    def target(self, denoiser, anchor, tools):
        with torch.enable_grad():
            return denoiser(anchor.x, anchor.sigma, **anchor.cond)

    def answers(self, denoiser, ends, sigma_s, anchor, tools):
        return super().answers(denoiser, ends, sigma_s, anchor, tools).detach()


class GradientThroughHop(Below):
    """The hop is made with gradients on."""

    name = "ten-gradient-through-the-hop"

    def ends(self, denoiser, anchor, sigma_s, tools):
        with torch.enable_grad():
            return super().ends(denoiser, anchor, sigma_s, tools)


class OneSideTwice(Below):
    """Half the backward, without the factor 2: half the gradient."""

    name = "ten-half-backward-half-gradient"

    def product(self, first, second):
        return first * second.detach()


class TwiceTheValue(Below):
    """Half the backward, with the factor 2 in the value too."""

    name = "ten-half-backward-twice-the-value"

    def product(self, first, second):
        return 2 * first * second.detach()


class AlongTheOde(Below):
    """Ends lie on the deterministic flow, as in consistency models, where D is no martingale."""

    name = "ten-along-the-flow"
    claims = UNPAIRED

    def hop(self, denoiser, anchor, sigma_s, tools):
        slope = (anchor.x - denoiser(anchor.x, anchor.sigma, **anchor.cond)) / per_row(anchor.sigma, anchor.x)
        return anchor.x + per_row(sigma_s - anchor.sigma, anchor.x) * slope


class Renoised(Below):
    """Ends are the estimate with fresh noise of the lower level."""

    name = "ten-renoised-estimate"
    claims = BELOW - {"views-in-law"}

    def hop(self, denoiser, anchor, sigma_s, tools):
        x_0_hat = denoiser(anchor.x, anchor.sigma, **anchor.cond)
        return x_0_hat + per_row(sigma_s, x_0_hat) * standard_normal(x_0_hat, tools.generator)


class SharedHopNoise(Below):
    """Both hops begin with a generator of one state."""

    name = "ten-hops-of-one-state"

    def hop(self, denoiser, anchor, sigma_s, tools):
        state = tools.generator.get_state()
        end = super().hop(denoiser, anchor, sigma_s, tools)
        tools.generator.set_state(state)
        return end


class AnySampler(Below):
    """Whether the sampler draws from the reverse kernel is not asked."""

    name = "ten-any-sampler"

    def suits(self, tools):
        pass


class BelowTheRange(Below):
    """Hops go below sigma_min."""

    name = "ten-hops-below-sigma-min"

    def lower(self, sigma_t, tools):
        return sigma_t * torch.exp(-0.5 * uniform(sigma_t, tools.generator))

    def anchor(self, batch, tools):
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        sigma = torch.full_like(floor, tools.levels.sigma_min)
        grid = torch.stack([floor, (floor * sigma).sqrt(), sigma])
        return View(tools.sampler.sample(tools.teacher, view.x, grid, tools.generator, view.cond), sigma, view.cond)


class OnlyFromRows(Below):
    """Anchors are observations alone, and hops are short: most levels below are never reached."""

    name = "ten-anchors-at-sigma-n-alone"

    def anchor(self, batch, tools):
        floor = tools.corruption.floor(batch)
        return tools.corruption.degrade(batch, floor, tools.generator)


class Interleaved(Below):
    """Ends are asked together; points are repeated as blocks, levels and conditions row by row."""

    name = "ten-repeat-and-repeat-interleave"

    def answers(self, denoiser, ends, sigma_s, anchor, tools):
        cond = {name: value.repeat_interleave(2, 0) for name, value in anchor.cond.items()}
        found = denoiser(ends.flatten(0, 1), sigma_s.repeat_interleave(2), **cond)
        return found.unflatten(0, (2, -1))


class CondOfBatch(Below):
    """Ends are asked together, without their conditions: the labels of n rows do not fit 2 n points."""

    name = "ten-conditions-not-repeated"

    def answers(self, denoiser, ends, sigma_s, anchor, tools):
        return denoiser(ends.flatten(0, 1), sigma_s.repeat(2), **anchor.cond).unflatten(0, (2, -1))


class SaidAnchor(Below):
    """Term.sigma is the level of the anchor."""

    name = "ten-says-level-of-anchor"

    def told(self, sigma_s, anchor):
        return anchor.sigma


class CleanToo(Below):
    """Clean rows are not left out."""

    name = "ten-hops-of-clean-rows"

    def usable(self, batch, tools):
        return batch


class TargetIsRow(Below):
    """Below sigma_n the answer is held to the row itself."""

    name = "ten-held-to-the-row"
    claims = UNPAIRED

    def anchor(self, batch, tools):
        return super().anchor(batch, tools)._replace(cond={**batch.cond, "row": batch.x_n})

    def target(self, denoiser, anchor, tools):
        return anchor.cond["row"]

    def ends(self, denoiser, anchor, sigma_s, tools):
        own = {name: value for name, value in anchor.cond.items() if name != "row"}
        return super().ends(denoiser, anchor._replace(cond=own), sigma_s, tools)

    def answers(self, denoiser, ends, sigma_s, anchor, tools):
        own = {name: value for name, value in anchor.cond.items() if name != "row"}
        return super().answers(denoiser, ends, sigma_s, anchor._replace(cond=own), tools)


PARTS = (
    SquareOfMean,
    AnchorGradient,
    UpperOnly,
    GradientThroughHop,
    OneSideTwice,
    TwiceTheValue,
    AlongTheOde,
    Renoised,
    SharedHopNoise,
    AnySampler,
    BelowTheRange,
    OnlyFromRows,
    Interleaved,
    CondOfBatch,
    SaidAnchor,
    CleanToo,
    TargetIsRow,
)
