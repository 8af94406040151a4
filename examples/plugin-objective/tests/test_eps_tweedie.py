"""The objective where the answer is known: a Gaussian mixture, whose exact denoiser must be where the mean gradient is zero."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
from ambientkit_eps_tweedie import EpsTweedie, register_objectives

from ambientkit.batch import Batch
from ambientkit.builtin.ancestral import Ancestral
from ambientkit.builtin.gaussian import Gaussian
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels, Signal, Tools
from ambientkit.maths.ambient import tweedie_mix
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator

LAW = GaussianMixture([0.5, 0.3, 0.2], [[-0.6, -0.3], [0.5, -0.5], [0.2, 0.7]], [[[0.03, 0.01], [0.01, 0.02]]] * 3)
EXACT = LAW.denoiser()
ROWS = 40_000


def tools(name: str) -> Tools:
    return Tools(Gaussian(), Ancestral(), EXACT, Signal((2,), 0.55), keyed_generator(0, name), Levels(0.01, 20.0))


def observations(sigma_n) -> Batch:
    """Noise of one level, of one level a row between two, or of one level a coordinate."""
    x_0, row = LAW.sample(ROWS, keyed_generator(0, "rows")), torch.arange(ROWS)
    if isinstance(sigma_n, torch.Tensor):
        level = sigma_n.expand(ROWS, 2)
        return Batch(x_0 + level * standard_normal(x_0, keyed_generator(0, "noise")), level, row, {})
    return Gaussian(sigma_n=sigma_n).observe(x_0, row, keyed_generator(0, "noise"))


def mean_gradient(denoiser: Denoiser, batch: Batch) -> float:
    """The largest |mean| / standard error of the loss's derivative as the denoiser is pushed along a constant, tanh x and tanh 3x."""
    pushes = torch.zeros(ROWS, 3, dtype=torch.float64, requires_grad=True)

    def pushed(x, sigma, /):
        directions = torch.stack([torch.ones_like(x), x.tanh(), (3 * x).tanh()], dim=1)
        scale = per_row(sigma / (1 + sigma), x)  # the error of any denoiser vanishes with sigma
        return denoiser(x, sigma) + scale * torch.einsum("bk,bkd->bd", pushes, directions)

    value = EpsTweedie().loss(pushed, batch, tools("loss"))["eps-tweedie"].value
    (each,) = torch.autograd.grad(value.sum(), pushes)
    return float((each.mean(0) / (each.std(0) / math.sqrt(ROWS))).abs().max())


@pytest.mark.parametrize("sigma_n", [0.0, 0.3, (0.1, 0.4), torch.tensor([0.05, 0.3], dtype=torch.float64)], ids=str)
def test_the_mean_gradient_is_zero_at_the_exact_denoiser(sigma_n):
    """Three normal scores below 4: a false alarm in 5,000 seeds."""
    assert mean_gradient(EXACT, observations(sigma_n)) < 4


def test_the_mean_gradient_is_not_zero_at_a_shrunken_denoiser_or_at_one_that_takes_noisy_data_for_clean():
    batch = observations(0.3)
    assert mean_gradient(lambda x, sigma, /: 0.9 * EXACT(x, sigma), batch) > 8
    assert mean_gradient(lambda x, sigma, /: tweedie_mix(EXACT(x, sigma), x, sigma, 0.3), batch) > 8


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
    lent = dataclasses.replace(tools("loss"), corruption=SimpleNamespace(name="mask", floor=lambda batch: batch.sigma_n))
    with pytest.raises(InputError, match="knows Gaussian noise only, not the corruption 'mask'"):
        EpsTweedie().loss(EXACT, observations(0.3), lent)


def test_the_hook_returns_the_objective():
    assert register_objectives() == [EpsTweedie]
