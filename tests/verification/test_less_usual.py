"""Faults that show only where a part is used in a less usual way: pictures with channels, noise per pixel under masks,
a sampler that draws nothing, low levels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from ambientkit.batch import Term
from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.checks.drawn import Flow, without_draws
from ambientkit.builtin.checks.picture_law import PictureLaw
from ambientkit.builtin.checks.points_at_level import PointsAtLevel
from ambientkit.builtin.checks.stationarity import Stationarity
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants import consistency, mask, posterior_buffer, sure
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Check, Part
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attempt
from ambientkit.operators.blur import Blur
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


class FilledUp(Tweedie):
    """The default, which fills a batch up to a multiple of eight rows by zeros."""

    name = "filled-up"

    def loss(self, denoiser, batch, tools):
        """As `tweedie`, of a denoiser that is asked about more rows than it answers."""

        def asked(x, sigma, **cond):
            more = torch.arange(-(-len(x) // 8) * 8 - len(x)) * 0
            filled = {key: torch.cat([value, value[more]]) for key, value in cond.items()}
            points = torch.cat([x, torch.zeros_like(x)[more]])
            answer = denoiser(points, torch.cat([sigma, torch.ones_like(sigma)[more]]), **filled)
            return self.counted(answer, len(x))

        return super().loss(asked, batch, tools)

    def counted(self, answer, rows):
        """The answers to the rows alone."""
        return answer[:rows]


class FilledAndCounted(FilledUp):
    """The answers for the filling are in those for the rows: wrong."""

    name = "filled-and-counted"

    def counted(self, answer, rows):
        """The answers to the rows, and a little of that to the last of all."""
        return answer[:rows] + 1e-3 * answer[-1:].detach()


class ValueFirst(Tweedie):
    """The default, whose value is computed without gradient first."""

    name = "value-first"

    def loss(self, denoiser, batch, tools):
        """As `tweedie`, of a denoiser that is asked twice."""

        def asked(x, sigma, **cond):
            with torch.no_grad():
                value = denoiser(x, sigma, **cond)
            again = denoiser(x, sigma, **cond)
            return value + (again - again.detach())

        return super().loss(asked, batch, tools)


class ByThrees(MLP):
    """An `mlp` that is asked about three rows at a time."""

    name = "by-threes"

    def denoiser(self, network, signal):
        """The answers to all chunks."""
        inner = super().denoiser(network, signal)
        return lambda x, sigma: torch.cat([inner(*own) for own in zip(x.split(3), sigma.split(3), strict=True)])


class SharedNoise(Denoising):
    """Denoising of rows two of which share their noise."""

    name = "shared-noise"
    sign: float = -1.0
    """Of the noise of the second."""

    def loss(self, denoiser, batch, tools):
        """As `denoising`, at one level for all rows."""
        half = (len(batch.x_n) + 1) // 2
        z = standard_normal(batch.x_n[:half], tools.generator)
        z = torch.cat([z, self.sign * z])[: len(batch.x_n)]
        sigma = torch.full_like(batch.sigma_n.reshape(len(z), -1)[:, 0], 0.5)
        error = denoiser(batch.x_n + 0.5 * z, sigma, **batch.cond) - batch.x_n
        return {"denoising": Term(error.square().flatten(1).mean(1), sigma)}


class Backwards(MLP):
    """An `mlp` whose network is asked about two rows at a time, the last ones first."""

    name = "backwards"

    def denoiser(self, network, signal):
        """The answers in the order of the rows."""
        inner = super().denoiser(network, signal)

        def asked(x, sigma, **cond):
            both = reversed(list(zip(x.split(2), sigma.split(2), strict=True)))
            return torch.cat([inner(*own) for own in both][::-1])

        return asked


class OtherWay(Backwards):
    """The answers are not put back into the order of the rows: wrong."""

    name = "other-way"

    def denoiser(self, network, signal):
        """Those of the last rows first."""
        inner = super().denoiser(network, signal)
        return lambda x, sigma, **cond: torch.cat([inner(x, sigma, **cond)[2:], inner(x, sigma, **cond)[:2]])


@pytest.mark.parametrize(
    ("check", "right"),
    [
        ("objective-contract", Checkpointed()),
        ("detached-anchor", Checkpointed()),
        ("objective-contract", FilledUp()),
        ("objective-contract", ValueFirst()),
        ("stationarity-under-masks", ValueFirst()),
        ("preconditioning", ByThrees(width=16)),
        ("preconditioning", Backwards(width=16)),
        ("model-scaling", ByThrees(width=16)),
        ("model-scaling", Backwards(width=16)),
        ("further-mask", Mask(missing=0.25, drop=0.6)),
        ("further-mask", Mask(missing=0.25, drop=0.95)),
        ("further-mask", Mask(kind="boxes", missing=0, drop=0.7)),
        ("mask-law", Mask(kind="columns", missing=0)),
        ("operator-views", Linear(operator=Blur(width=0.6), kind="boxes", drop=0.7, sigma_n=0.1)),
    ],
)
def test_right_parts_that_were_rejected_for_how_they_work_are_not(check: str, right: Part) -> None:
    """Cases: right parts of the authors of the seventeenth and eighteenth kit, who had not read the checks."""
    assert p_value(load().build("check", check), right) > LEVEL


class ErrorOfTheRowItself(Loss):
    """The error of D at the row, without noise: it may be asked, and the level says what it is taken for."""

    def attempt(self, x, keys, target):
        """One answer for each row."""
        draws = target.denoised(x, torch.full((len(x),), target.sigma_data)).unsqueeze(1)
        return Attempt(x, draws, (draws[:, 0] - x).flatten(1).square().mean(1).sqrt())


class ErrorAtAnotherLevel(Loss):
    """The error of D for noise that is not that of the level."""

    def attempt(self, x, keys, target):
        """Half of the noise that the level says."""
        noisy = x + 0.5 * target.sigma_data * standard_normal(x, target.generators("half", keys))
        draws = target.denoised(noisy, torch.full((len(x),), target.sigma_data)).unsqueeze(1)
        return Attempt(noisy, draws, (draws[:, 0] - x).flatten(1).square().mean(1).sqrt())


def test_questions_with_noise_say_how_much_it_is_and_questions_without_may_be_asked() -> None:
    check = load().build("check", "null-attack")
    assert p_value(check, ErrorAtAnotherLevel()) < LEVEL < p_value(check, ErrorOfTheRowItself())


@pytest.mark.parametrize("check", ["preconditioning", "model-scaling"])
def test_chunks_have_to_be_put_back_into_their_order(check: str) -> None:
    assert p_value(load().build("check", check), OtherWay(width=16)) < LEVEL


def test_two_rows_may_share_noise_with_opposite_signs_alone() -> None:
    opposite, same = (p_value(load().build("check", "picture-views"), SharedNoise(sign=sign)) for sign in (-1.0, 1.0))
    assert same < LEVEL < opposite


def test_what_a_batch_is_filled_up_with_must_not_be_counted() -> None:
    assert p_value(load().build("check", "objective-contract"), FilledAndCounted()) < LEVEL


def test_gradients_that_are_nearly_all_means_leave_no_direction_out() -> None:
    """Case: long hops at low levels, of a right objective, at these seeds."""
    check, part = load().build("check", "objective-contract"), Consistency(fraction=0.473, max_hop=0.697)
    assert [check.measure(part, case_for(part, seed=seed)).p_value for seed in (8, 9, 18)] == [1, 1, 1]
