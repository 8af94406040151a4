"""The objective where the answer is known, a Gaussian mixture: the checks of ambientkit find its claims true."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from ambientkit_eps_tweedie import EpsTweedie, register_objectives

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels, Signal, Tools
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.testing import parametrize_with_checks

LAW = GaussianMixture([0.5, 0.3, 0.2], [[-0.6, -0.3], [0.5, -0.5], [0.2, 0.7]], [[[0.03, 0.01], [0.01, 0.02]]] * 3)
EXACT = LAW.denoiser()
ROWS = 4_000


def tools(name: str) -> Tools:
    return Tools(Gaussian(), Ancestral(), EXACT, Signal((2,), 0.55), keyed_generator(0, name), Levels(0.01, 20.0))


def observations(sigma_n) -> Batch:
    """Noise of one level, or of one level per row between two."""
    x_0, row = LAW.sample(ROWS, keyed_generator(0, "rows")), torch.arange(ROWS)
    return Gaussian(sigma_n=sigma_n).observe(x_0, row, keyed_generator(0, "noise"))


@parametrize_with_checks([EpsTweedie()])
def test_the_objective_keeps_what_it_claims(part, check):
    check(part)


def test_every_row_is_used_at_a_level_above_its_own_noise():
    batch = observations((0.1, 0.4))
    term = EpsTweedie().loss(EXACT, batch, tools("loss"))["eps-tweedie"]
    assert term.value.shape == term.sigma.shape == (ROWS,)
    assert (term.sigma >= batch.sigma_n).all()
    assert term.value.isfinite().all()


def test_the_loss_is_finite_where_a_row_stands_at_the_top_of_its_levels():
    """c = 0: nothing can be learnt from such a draw, and nothing may be divided by it."""
    batch = observations(0.3)
    close = dataclasses.replace(tools("loss"), levels=Levels(0.01, 0.3 * (1 + 1e-15)))
    assert EpsTweedie().loss(EXACT, batch, close)["eps-tweedie"].value.isfinite().all()


def test_rows_as_noisy_as_sigma_max_are_refused():
    batch = observations(0.3)
    noisy = batch._replace(sigma_n=batch.sigma_n.clone())
    noisy.sigma_n[17] = 20.0
    with pytest.raises(InputError, match="row 17 of the data is as noisy as sigma_max = 20"):
        EpsTweedie().loss(EXACT, noisy, tools("loss"))


def test_other_noise_than_gaussian_is_refused():
    lent = dataclasses.replace(
        tools("loss"), corruption=SimpleNamespace(name="mask", floor=lambda batch: batch.sigma_n)
    )
    with pytest.raises(InputError, match="knows Gaussian noise only, not the corruption 'mask'"):
        EpsTweedie().loss(EXACT, observations(0.3), lent)


def test_the_hook_returns_the_objective():
    assert register_objectives() == [EpsTweedie]
