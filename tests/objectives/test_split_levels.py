"""The objective `split-levels`: what clean rows teach, what their copies teach, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientkit.batch import take
from ambientkit.builtin.checks.clean_rows_low import CleanRowsLow
from ambientkit.builtin.checks.probe import fixed_level
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.errors import InputError
from ambientkit.maths.randomness import keyed_generator
from ambientkit.verification.case import make_case

CASE = make_case(Gaussian(), 0)


def loss(part, batch, key: int = 0):
    tools = dataclasses.replace(CASE.tools, generator=keyed_generator(key, "test.split"), memory={})
    (term,) = part.loss(lambda x, sigma: 0.9 * CASE.oracle(x, sigma) + 0.1, batch, tools).values()
    return term


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 20.0))
def test_on_clean_rows_it_is_ordinary_denoising_restricted_to_the_low_levels(key: int, top: float) -> None:
    batch = fixed_level(CASE, 64, 0.0, key)
    term = loss(SplitLevels(clean_below=top), batch, key)
    assert float(term.sigma.max()) <= top


def test_up_to_sigma_max_it_is_ordinary_denoising_to_the_bit() -> None:
    batch = fixed_level(CASE, 64, 0.0, 3)
    term, same = loss(SplitLevels(clean_below=20.0), batch), loss(Denoising(), batch)
    assert torch.equal(term.sigma, same.sigma)
    assert torch.allclose(term.value, same.value, rtol=1e-12)


def test_of_copies_the_cost_of_an_error_is_that_of_tweedie_in_the_mean() -> None:
    batch = fixed_level(CASE, 40_000, 0.4, 1)
    split, tweedie = (loss(part, batch) for part in (SplitLevels(), Tweedie(near=0)))
    difference = split.value.mean() - tweedie.value.mean()
    error = (split.value.var() / len(split.value) + tweedie.value.var() / len(tweedie.value)) ** 0.5
    assert abs(float(difference)) < 4.5 * float(error)  # false alarm 7e-6
    assert abs(float(split.value.mean() - 1.3 * tweedie.value.mean())) > 4.5 * float(error)  # the control


def test_a_clean_row_is_never_seen_above_the_level_whatever_stands_beside_it() -> None:
    floor = torch.tensor([0.0, 0.4, 0.0, 1.5, 0.0], dtype=torch.float64).repeat(400)
    term = loss(SplitLevels(clean_below=0.4), fixed_level(CASE, len(floor), floor, 2))
    assert float(term.sigma[floor == 0].max()) <= 0.4
    assert bool((term.sigma >= floor).all())
    check = CleanRowsLow()
    assert check.measure(SplitLevels(clean_below=0.7), CASE).p_value == 1
    assert check.measure(check.control(SplitLevels()), CASE).p_value == 0
    assert check.measure(Denoising(), CASE).p_value == 0  # it states no such level


def test_copies_are_seen_from_a_multiple_of_their_noise_on() -> None:
    floor = torch.tensor([0.0, 0.1, 0.4, 1.5], dtype=torch.float64).repeat(600)
    term = loss(SplitLevels(clean_below=0.8, copies_from=2), fixed_level(CASE, len(floor), floor, 2))
    for level, low, high in ((0.0, 0.0, 0.8), (0.1, 0.2, 20.0), (0.4, 0.8, 20.0), (1.5, 3.0, 20.0)):
        seen = term.sigma[floor == level]
        assert low <= float(seen.min()) < 1.1 * max(low, 0.05)
        assert 0.9 * min(high, 3.5) < float(seen.max()) <= high
    assert "levels-above-floor" in SplitLevels().claims - SplitLevels(copies_from=2).claims
    with pytest.raises(InputError, match="row 1 of the data is as noisy as sigma_max / copies_from = 10"):
        loss(SplitLevels(copies_from=2), fixed_level(CASE, 2, torch.tensor([0.0, 11.0], dtype=torch.float64), 0))


@pytest.mark.parametrize("top", [0.005, 21.0])
def test_a_level_outside_the_range_is_refused(top: float) -> None:
    batch = take(fixed_level(CASE, 4, 0.0, 0), torch.arange(2))
    with pytest.raises(InputError, match="clean_below"):
        loss(SplitLevels(clean_below=top), batch)


def test_a_row_as_noisy_as_the_highest_level_is_refused_by_number() -> None:
    floor = torch.tensor([0.0, 20.0], dtype=torch.float64)
    with pytest.raises(InputError, match="row 1 of the data"):
        loss(SplitLevels(), fixed_level(CASE, 2, floor, 0))
