"""Faults that show only where a part is used in a less usual way: pictures with channels, noise per pixel under masks,
a sampler that draws nothing, low levels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from ambientkit.builtin.checks.drawn import Flow, without_draws
from ambientkit.builtin.checks.picture_law import PictureLaw
from ambientkit.builtin.checks.points_at_level import PointsAtLevel
from ambientkit.builtin.checks.stationarity import Stationarity
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants import consistency, mask, posterior_buffer, sure
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Check, Part
from ambientkit.registry import load
from ambientkit.verification import case_for
from ambientkit.verification.plan import LEVEL


def p_value(check: Check, part: Part) -> float:
    return check.measure(part, case_for(part)).p_value


def test_derivatives_between_channels_show_on_pictures_whose_channels_go_together() -> None:
    assert p_value(PictureLaw(), sure.ProbeOfAllChannels()) < LEVEL < p_value(PictureLaw(), Sure())
    assert p_value(PictureLaw(), Tweedie()) > LEVEL


@pytest.mark.parametrize(
    ("check", "wrong"), [("masked-expect", mask.ExpectsByTheFloor()), ("further-mask", mask.TopsUpByTheFloor())]
)
def test_noise_per_pixel_under_a_mask_is_used_pixel_by_pixel(check: str, wrong: Part) -> None:
    assert p_value(load().build("check", check), wrong) < LEVEL < p_value(load().build("check", check), mask.RIGHT)


def test_an_objective_that_needs_draws_is_measured_with_a_sampler_without_them_unless_it_refuses_it() -> None:
    few = Stationarity(batches=48, batch_size=128)
    assert p_value(few, consistency.AnySampler()) < LEVEL
    assert without_draws(Consistency(), case_for(Consistency())) is None
    assert without_draws(Tweedie(), case_for(Tweedie())) is None


def test_an_objective_that_keeps_something_is_measured_after_a_few_calls_too() -> None:
    assert p_value(Stationarity(batches=48, batch_size=128), posterior_buffer.AveragesDraws()) < LEVEL


class Divides(Ancestral):
    """Its noise is computed by a quotient that is 0/0 where a hop has no length."""

    name = "divides"

    def sample(self, denoiser, x, sigmas, generator, cond):
        """As `ancestral`, but for hops between equal levels."""
        moved = super().sample(denoiser, x, sigmas, generator, cond)
        length = (sigmas[0] - sigmas[-1]).reshape(-1, *[1] * (x.ndim - 1))
        return moved * (length / length)


def test_a_hop_between_equal_levels_leaves_a_point_where_it_is() -> None:
    check = load().build("check", "sampler-contract")
    assert p_value(check, Divides()) < LEVEL < p_value(check, Ancestral())


def test_the_flow_that_is_lent_keeps_the_law_of_each_level() -> None:
    assert p_value(PointsAtLevel(steps=20), Flow()) == 1


@pytest.mark.parametrize("right", [Heun(), Ancestral()])
def test_points_are_at_the_levels_that_the_denoiser_is_given(right: Heun | Ancestral) -> None:
    few, case = PointsAtLevel(steps=40), case_for(right)
    assert few.measure(right, case).p_value == 1
    assert few.measure(few.control(right), case).p_value == 0
    assert few.measure(right, replace(case, seed=1)).p_value == 1


class Checkpointed(Tweedie):
    """The default, which makes the denoiser's activations again in the backward pass."""

    name = "checkpointed"

    def loss(self, denoiser, batch, tools):
        """As `tweedie`, of a denoiser that is asked twice."""

        def asked(x, sigma, **cond):
            return checkpoint(denoiser, x, sigma, use_reentrant=False, preserve_rng_state=False, **cond)

        return super().loss(asked, batch, tools)


class ByThrees(MLP):
    """An `mlp` that is asked about three rows at a time."""

    name = "by-threes"

    def denoiser(self, network, signal):
        """The answers to all chunks."""
        inner = super().denoiser(network, signal)
        return lambda x, sigma: torch.cat([inner(*own) for own in zip(x.split(3), sigma.split(3), strict=True)])


@pytest.mark.parametrize(
    ("check", "right"),
    [
        ("objective-contract", Checkpointed()),
        ("detached-anchor", Checkpointed()),
        ("preconditioning", ByThrees(width=16)),
        ("further-mask", Mask(missing=0.25, drop=0.6)),
        ("further-mask", Mask(missing=0.25, drop=0.95)),
    ],
)
def test_right_parts_that_were_rejected_for_how_they_work_are_not(check: str, right: Part) -> None:
    """Cases: right parts of the seventeenth kit's author, who had not read the checks."""
    assert p_value(load().build("check", check), right) > LEVEL
