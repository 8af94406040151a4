"""Rows held out: what is measured on them is exact for known denoisers, a right denoiser is not accused, and one that
learns its rows by heart is."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.interfaces import Levels
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.weights import edm_weight
from ambientkit.testing.strategies import batches
from ambientkit.training.holdout import (
    BY_HEART,
    COST,
    HIGHEST,
    LATER,
    LOWEST,
    PATIENCE,
    POINTS,
    SURE,
    HoldOut,
    measuring_steps,
    tweedie_by_row,
)
from tests.support.shares import some

SIGMA_N, SIGMA_DATA, PIXELS = 0.5, 1.0, 16
LAW = GaussianMixture([0.4, 0.6], [[-0.9] * PIXELS, [0.6] * PIXELS], torch.eye(PIXELS).repeat(2, 1, 1) * 0.3)
GAUSSIAN = Gaussian(sigma_n=SIGMA_N)


def observed(n: int, seed: int, sigma_n: float = SIGMA_N) -> Batch:
    generator = keyed_generator(seed, "rows")
    return Gaussian(sigma_n=sigma_n).observe(LAW.sample(n, generator), torch.arange(n), generator)


def measured(denoiser, batch, seed=0):
    return tweedie_by_row(denoiser, batch, GAUSSIAN, Levels(), SIGMA_DATA, seed)


def by_heart(batch: Batch):
    """The denoiser of least Tweedie loss on these rows: (E[x_n | x_t] - b x_t) / a for the empirical law of x_n."""

    def denoiser(x, sigma, /, **cond):
        c = (sigma**2 - SIGMA_N**2).sqrt().unsqueeze(1)
        weight = torch.softmax(-((x.unsqueeze(1) - batch.x_n) ** 2).sum(2) / (2 * c**2), dim=1)
        b = (SIGMA_N / sigma).unsqueeze(1) ** 2
        return (weight @ batch.x_n - b * x) / (1 - b)

    return denoiser


@given(batch=batches(), seed=st.integers(0, 1000), sigma_data=st.floats(0.2, 3))
def test_giving_back_the_row_scores_minus_its_noise(batch, seed, sigma_data):
    """Exact: D = x_n has rho = b (x_t - x_n), so that each view has the value -lambda(sigma) times the mean of
    sigma_n^2, whatever z is."""
    found = tweedie_by_row(lambda x, sigma, **cond: batch.x_n, batch, GAUSSIAN, Levels(), sigma_data, seed)
    low = (GAUSSIAN.floor(batch) * LOWEST).clamp(min=Levels().sigma_min)
    grid = geometric_grid(low, torch.maximum(2 * low, torch.full_like(low, HIGHEST * sigma_data)), POINTS)
    noise = batch.sigma_n.square().reshape(len(batch.x_n), -1).mean(1)
    expected = torch.stack([-edm_weight(sigma, sigma_data) * noise for sigma in grid])
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-8 * float(edm_weight(grid[0], sigma_data).max()))


@pytest.mark.parametrize("seed", range(4))
def test_the_measurement_is_the_error_of_the_denoiser(seed):
    """Unbiased for lambda(sigma) E|D - x_0|^2: a normal score by level; 4.5 errors: false alarm 7e-6 each, 24 in
    all. The control scores the loss as published."""
    n = 4000
    generator = keyed_generator(seed, "rows")
    x_0 = LAW.sample(n, generator)
    batch = GAUSSIAN.observe(x_0, torch.arange(n), generator)
    denoiser = lambda x, sigma, **cond: 0.7 * LAW.posterior_mean(x, sigma) + 0.1 * x  # noqa: E731
    found = measured(denoiser, batch, seed)
    grid = geometric_grid(torch.full((n,), LOWEST * SIGMA_N), torch.full((n,), HIGHEST * SIGMA_DATA), POINTS).double()
    far = []
    for level, values in zip(grid, found, strict=True):
        seen = x_0 + level.unsqueeze(1) * standard_normal(x_0, generator)
        error = edm_weight(level, SIGMA_DATA) * (denoiser(seen, level) - x_0).square().mean(1)
        spread = math.hypot(float(values.std()), float(error.std())) / math.sqrt(n)
        assert abs(float(values.mean() - error.mean())) < 4.5 * spread
        far.append(
            abs(float((values + edm_weight(level, SIGMA_DATA) * SIGMA_N**2).mean() - error.mean())) > 4.5 * spread
        )
    assert any(far)  # without what is taken off, the mean would be too high by lambda sigma_n^2 / a


def test_a_measurement_depends_on_its_rows_and_seed_alone():
    batch, denoiser = observed(100, 0), LAW.denoiser()
    one = measured(denoiser, batch)
    assert torch.equal(one, measured(denoiser, batch))
    assert not torch.equal(one, measured(denoiser, batch, seed=1))
    assert torch.equal(one[:, :64], measured(denoiser, Batch(*(value[:64] for value in batch[:3]), {})))


@pytest.mark.parametrize("n", some([16, 64], [16]))
@pytest.mark.slow
def test_a_right_denoiser_is_not_accused(n):
    """Null law: for a denoiser that was not fitted to the rows each of 300 trials has two scores of mean >= 0 or 0.
    Beyond 4.5 errors a normal one is found with probability 3e-6, Student's with 15 degrees of freedom with 2e-4; so at
    most one accusation in 600 trials has a probability above .99."""
    accused = 0
    for seed in range(300):
        held, own = (measured(LAW.denoiser(), observed(n, 2 * seed + which), seed) for which in (0, 1))
        accused += bool(HoldOut().seen(100, held, own).by_heart)
    assert accused <= 1


@pytest.mark.parametrize("seed", range(10))
def test_one_that_learned_its_rows_by_heart_is_accused(seed):
    """The control: in each trial, and with the right cause; told once."""
    own, held = observed(128, 2 * seed), observed(128, 2 * seed + 1)
    denoiser, watch = by_heart(own), HoldOut()
    found = watch.seen(100, measured(denoiser, held), measured(denoiser, own))
    assert "on its own rows is -" in found.by_heart
    assert "cannot be below 0" in found.by_heart
    assert watch.seen(200, measured(denoiser, held), measured(denoiser, own)).by_heart == ""
    assert watch.said == [f"{BY_HEART}: {found.by_heart}"]


def test_rows_half_learned_by_heart_are_told_from_others():
    """A mixture of the right answers and those by heart, whose own loss is not below 0: what differs is the loss on
    rows held out."""
    own, held = observed(512, 0), observed(512, 1)
    wrong, right = by_heart(own), LAW.denoiser()
    denoiser = lambda x, sigma, **cond: 0.04 * wrong(x, sigma) + 0.96 * right(x, sigma)  # noqa: E731
    ours, others = measured(denoiser, own), measured(denoiser, held)
    assert float(ours[0].mean()) > 0
    assert "below the" in HoldOut().seen(100, others, ours).by_heart


def run_of(rises: list[float], n=32, noise=0.01, seed=0):
    """What is decided of a run whose loss by row is 1 + rise, with some noise by row and look."""
    generator, watch, told = keyed_generator(seed, "run"), HoldOut(), []
    base = 1 + 0.3 * torch.randn(n, generator=generator)
    for number, rise in enumerate(rises):
        held = (base + rise + noise * torch.randn(n, generator=generator)).expand(POINTS, n)
        told.append(watch.seen(100 * 2**number, held, held))
        watch = HoldOut(json.loads(json.dumps(watch.state)))  # as through a checkpoint
    return told, watch


def test_a_run_that_improves_keeps_its_last_weights():
    told, watch = run_of([-0.05 * k for k in range(10)])
    assert [one.keep for one in told] == [True] * 10
    assert not any(one.stop for one in told)
    assert watch.kept == 100 * 2**9


def test_a_run_that_gets_worse_is_stopped_and_says_why():
    told, watch = run_of([0.0, -0.2, -0.3, -0.1, 0.1, 0.3, 0.5])
    first = next(number for number, one in enumerate(told) if one.stop)
    assert first == 2 + PATIENCE
    assert watch.kept == 400
    assert "from 0." in told[first].stop
    assert "at step 400" in told[first].stop
    assert "the weights of step 400 are kept" in told[first].stop
    assert not any(one.keep for one in told[3:])


def test_a_rise_within_the_tolerance_is_kept_and_one_beyond_it_is_not():
    """The noise of a difference is 0.001 sqrt(2 / 32) = 2.5e-4 per error, so all of these rises are 40 errors or more.
    Rises are in units of a loss of about 1; the lowest stays the measure, so that small rises do not add up."""
    told, watch = run_of([0.0, 0.01, 0.02, 0.045, 0.02], noise=0.001)
    assert [one.keep for one in told] == [True, True, True, False, True]
    assert watch.state["best"] == 100
    assert not any(one.stop for one in run_of([0.0, 0.02, 0.02, 0.02, 0.02], noise=0.001)[0])


def test_a_loss_that_is_not_finite_is_never_kept():
    told, watch = run_of([0.0, math.nan, math.nan, math.nan, math.nan])
    assert [one.keep for one in told] == [True, False, False, False, False]
    assert told[-1].stop
    assert watch.kept == 100


@pytest.mark.slow
def test_a_run_that_stays_as_it_is_is_not_stopped():
    """Null law: differences by row of mean 0. The lowest of 30 looks is low by chance, yet three looks in a row beyond
    4 errors came in none of 9,000 trials when this was written; here at most 1 of 300. The control, a rise of an error
    with each look, is stopped each time."""
    stopped = sum(any(one.stop for one in run_of([0.0] * 30, seed=seed, n=16)[0]) for seed in range(300))
    assert stopped <= 1
    assert all(
        any(one.stop for one in run_of([0.003 * k for k in range(30)], seed=seed, n=16)[0]) for seed in range(20)
    )


def test_a_resumed_watch_decides_as_an_unbroken_one():
    generator = keyed_generator(0, "looks")
    looks = [torch.randn(POINTS, 20, generator=generator) + 0.2 * k for k in range(8)]
    unbroken = HoldOut()
    expected = [unbroken.seen(100 * k + 100, look, look) for k, look in enumerate(looks)]
    first = HoldOut()
    found = [first.seen(100 * k + 100, look, look) for k, look in enumerate(looks[:4])]
    resumed = HoldOut(json.loads(json.dumps(first.state)))
    found += [resumed.seen(100 * k + 100, look, look) for k, look in enumerate(looks[4:], 4)]
    assert found == expected
    assert resumed.state == unbroken.state


@given(rows=st.integers(2, 512), per_step=st.integers(1, 4096))
def test_measuring_costs_its_share_and_no_more(rows, per_step):
    """From the first measurement on, calls of the network for n of them are at most COST of those in training."""
    steps = measuring_steps(rows, per_step)
    taken = [next(steps) for _ in range(40)]
    calls = [2 * POINTS * rows * (number + 1) for number in range(40)]
    assert all(call <= COST * 3 * per_step * step * (1 + 1e-9) for call, step in zip(calls, taken, strict=True))
    assert all(two / one > 1.0 for one, two in zip(taken, taken[1:], strict=False))
    # Whole steps: 1.25 times, rounded up.
    assert taken[-1] <= 1.25 * taken[-2] + 1 or taken[-1] - taken[-2] == taken[-2] - taken[-3]


def test_constants():
    assert SURE >= 4
    assert LATER > 1
