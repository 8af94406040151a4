"""Levels that are left out, and losses that are no squares: rejected, by that reason; right laws of levels are not."""

from __future__ import annotations

import pytest
import torch

from ambientkit.batch import Term
from ambientkit.builtin.checks.affine import gradient_is_affine_in_the_data, noise_counts_as_its_level_says
from ambientkit.builtin.checks.coverage import (
    no_hole_above,
    no_hole_at_the_top,
    no_hole_below,
    within_the_range_lent,
)
from ambientkit.builtin.checks.labelled import Broken
from ambientkit.builtin.mutants import coverage as mutants
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import uniform
from ambientkit.verification import case_for


class OneLevelForAll(Objective):
    """Tweedie with one draw for the whole batch: slow to learn, but right."""

    name = "one-draw-for-all"
    claims = frozenset({"stationary-at-oracle", "levels-above-floor"})

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(floor[:1], tools.generator).expand(len(floor))
        sigma = log_uniform(u, floor, tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        rho = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        return {"one": Term(self.of(rho).flatten(1).mean(1), sigma)}

    def of(self, rho):
        """The square."""
        return rho.square()


class Clipped(OneLevelForAll):
    """Residuals beyond 10 are outliers."""

    name = "clipped"

    def of(self, rho):
        """The square, flat beyond 10."""
        return rho.clamp(-10, 10).square()


class OneSided(OneLevelForAll):
    """Counts errors of one sign twice."""

    name = "one-sided"

    def of(self, rho):
        """The square, twice where it is positive."""
        return rho.square() * torch.where(rho > 0, 2.0, 1.0)


def named(probe, part: Objective) -> str | None:
    """What a probe says is wrong; None where it finds nothing."""
    try:
        probe(part, case_for(part, 3))
    except Broken as fault:
        return str(fault)
    return None


@pytest.mark.parametrize("part", [Tweedie(), Tweedie(near=0.0), SplitLevels(), OneLevelForAll()])
def test_a_right_law_of_levels_has_no_hole(part: Objective):
    assert [named(probe, part) for probe in (within_the_range_lent, no_hole_above, no_hole_at_the_top)] == [None] * 3


@pytest.mark.parametrize("part", [Consistency(), PosteriorBuffer(), SplitLevels()])
def test_what_trains_below_the_noise_reaches_all_levels_there(part: Objective):
    assert [named(probe, part) for probe in (within_the_range_lent, no_hole_below)] == [None] * 2


@pytest.mark.parametrize(
    ("part", "probe", "why"),
    [
        (mutants.HoleInLevels, no_hole_above, "left out"),
        (mutants.StopsShort, no_hole_above, "left out"),
        (mutants.NothingAbove20, no_hole_at_the_top, "high levels are left out"),
        (mutants.RoundedShare, noise_counts_as_its_level_says, "otherwise than their levels say"),
        (mutants.CleanRowsHigh, no_hole_above, "never seen at low levels"),
        (mutants.OwnRange, within_the_range_lent, "beyond the range of the run"),
        (mutants.FirstHopOnly, no_hole_below, "below the noise of the data"),
        (mutants.SmallValuesLeftOut, gradient_is_affine_in_the_data, "not affine"),
        (Clipped, gradient_is_affine_in_the_data, "not affine"),
        (OneSided, gradient_is_affine_in_the_data, "not affine"),
    ],
)
def test_what_is_left_out_is_named(part: type[Objective], probe, why: str):
    with pytest.raises(Broken, match=why):
        probe(part(), case_for(part(), 3))


@pytest.mark.parametrize("part", [Tweedie(), Consistency(), PosteriorBuffer(), Sure(), Denoising(), OneLevelForAll()])
def test_a_square_is_affine_in_the_data(part: Objective):
    assert named(gradient_is_affine_in_the_data, part) is None


@pytest.mark.parametrize("part", [Tweedie(), Consistency(), PosteriorBuffer(), Sure(), SplitLevels(), OneLevelForAll()])
def test_what_is_unbiased_counts_the_noise_as_its_level_says(part: Objective):
    assert named(noise_counts_as_its_level_says, part) is None
