"""Levels, grids, broadcasting and keyed randomness."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ambientkit.maths.levels import edm_grid, geometric_grid, log_uniform, truncated_lognormal
from ambientkit.maths.noise import Mirrored, as_row_levels, per_row, standard_normal, uniform
from ambientkit.maths.randomness import derive_seed, isolated_global_generator, keyed_generator
from ambientkit.maths.statistics import hotelling_f, sliced_wasserstein


@given(st.floats(0, 70), st.floats(0, 1, exclude_max=True))
def test_levels_stay_above_their_floor_and_below_the_ceiling(floor, u):
    sigma = float(truncated_lognormal(torch.tensor([u], dtype=torch.float64), floor, 80.0, -1.2, 1.2))
    assert floor <= sigma <= 80


def test_levels_follow_the_restricted_density_and_pile_up_nowhere():
    """Kolmogorov-Smirnov at level 1e-4 against the truncated law; a clamp, which puts 37 % of the draws on .2, is
    rejected."""
    u = torch.rand(5000, generator=keyed_generator(0, "u"), dtype=torch.float64)
    law = stats.norm(-1.2, 1.2)
    low, high = law.cdf(torch.tensor(0.2).log()), law.cdf(torch.tensor(80.0).log())
    transformed = lambda sigma: (law.cdf(sigma.log().numpy()) - low) / (high - low)  # noqa: E731
    assert stats.kstest(transformed(truncated_lognormal(u, 0.2, 80.0, -1.2, 1.2)), "uniform").pvalue > 1e-4
    clamped = truncated_lognormal(u, 0.0, 80.0, -1.2, 1.2).clamp(min=0.2)
    assert stats.kstest(transformed(clamped), "uniform").pvalue < 1e-4


def test_each_row_has_its_own_floor_far_into_the_tail():
    floor = torch.tensor([0.0, 0.2, 5.0, 60.0, 79.9], dtype=torch.float64)
    for u in (0.0, 0.5, 0.999999):
        sigma = truncated_lognormal(torch.full((5,), u, dtype=torch.float64), floor, 80.0, -1.2, 1.2)
        assert ((sigma >= floor) & (sigma <= 80) & sigma.isfinite()).all()


@pytest.mark.parametrize("steps", range(1, 11))
def test_grids_fall_strictly_from_the_highest_level_to_the_lowest(steps):
    grid = edm_grid(steps, 0.002, 80.0)
    assert len(grid) == steps
    assert float(grid[0]) == 80.0
    assert (grid.diff() < 0).all()
    if steps > 1:
        assert abs(float(grid[-1]) - 0.002) < 1e-12
        i = torch.arange(steps, dtype=torch.float64)  # arXiv 2206.00364, eq. 5, written out once more
        expected = (80 ** (1 / 7) + i / (steps - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
        torch.testing.assert_close(grid, expected, rtol=1e-10, atol=0)


def test_a_grid_needs_a_step():
    with pytest.raises(ValueError, match="at least 1"):
        edm_grid(0, 0.002, 80)


@given(st.floats(0.01, 1), st.floats(1.0, 30), st.integers(2, 8))
def test_geometric_grids_have_equal_ratios(end, ratio, levels):
    grid = geometric_grid(
        torch.tensor([end * ratio], dtype=torch.float64), torch.tensor([end], dtype=torch.float64), levels
    )
    steps = grid[1:] / grid[:-1]
    torch.testing.assert_close(steps, steps[:1].expand_as(steps))
    assert (float(grid[0, 0]), float(grid[-1, 0])) == (end * ratio, end)


def test_log_uniform_levels_reach_both_ends():
    low, high = torch.tensor(0.1, dtype=torch.float64), torch.tensor(0.9, dtype=torch.float64)
    found = log_uniform(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), low, high)
    torch.testing.assert_close(found, torch.tensor([0.1, 0.3, 0.9], dtype=torch.float64))


def test_log_uniform_levels_never_leave_their_range_by_a_rounding_error():
    """low (high / low) alone exceeds high = 20 for the first two of these, and for about one low in eighty."""
    low = 1e-3 + torch.rand(2000, generator=keyed_generator(0, "low"), dtype=torch.float64)
    low[:2] = torch.tensor([0.2731837106053647, 0.5668438596011792], dtype=torch.float64)
    for u in (0.0, 0.5, 1.0):
        sigma = log_uniform(torch.full_like(low, u), low, 20.0)
        assert ((sigma >= low) & (sigma <= 20.0)).all()


def test_a_level_by_row_is_never_spread_along_the_width():
    images = torch.zeros(8, 1, 8, 8)
    sigma = torch.arange(1.0, 9.0)
    scaled = per_row(sigma, images) * torch.ones_like(images)
    assert scaled.flatten(1).std(1).max() == 0
    assert scaled[:, 0, 0, 0].tolist() == sigma.tolist()


@pytest.mark.parametrize(
    "level",
    [0.5, torch.tensor(0.5), torch.full((3,), 0.5), torch.full((3, 1, 1, 1), 0.5), torch.full((3, 1, 4, 4), 0.5)],
)
def test_equal_levels_in_every_form_are_equal(level):
    assert torch.equal(per_row(level, torch.ones(3, 2, 4, 4)) * torch.ones(3, 2, 4, 4), torch.full((3, 2, 4, 4), 0.5))


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 4), (2, 1, 1, 1), (3, 3, 4, 4)])
def test_levels_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="noise level of shape"):
        per_row(torch.ones(shape), torch.zeros(3, 2, 4, 4))


def test_a_map_of_levels_is_not_one_level_a_row():
    with pytest.raises(ValueError, match="sigma must be"):
        as_row_levels(torch.ones(3, 1), torch.zeros(3, 2))


def test_a_row_with_its_own_generator_does_not_depend_on_its_neighbours():
    sources = lambda rows: [keyed_generator(1, "s", row=row) for row in rows]  # noqa: E731
    three = standard_normal(torch.empty(3, 5), sources([0, 1, 2]))
    alone = standard_normal(torch.empty(1, 5), sources([2]))
    assert torch.equal(three[2:], alone)
    with pytest.raises(ValueError, match="2 generators for 3 rows"):
        standard_normal(torch.empty(3, 5), sources([0, 1]))


def test_keys_that_differ_in_anything_give_different_streams():
    keys = [dict(), dict(rank=1), dict(step=1), dict(row=1), dict(rank=1, step=1)]
    seeds = {derive_seed(seed, purpose, **key) for seed in (0, 1) for purpose in ("a", "b") for key in keys}
    assert len(seeds) == 20
    assert derive_seed(5, "x", row=7) == derive_seed(5, "x", row=7)


def test_no_two_of_a_million_rows_share_a_seed():
    """A 32-bit hash of the row would have about 116 collisions here."""
    assert len({derive_seed(0, "observe", row=row) for row in range(1_000_000)}) == 1_000_000


def test_the_isolated_global_generator_is_keyed_and_put_back():
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with isolated_global_generator(3, "init"):
            draws.append(torch.randn(4))
    assert torch.equal(*draws)
    assert torch.equal(before, torch.get_rng_state())


def test_two_threads_have_the_global_generator_in_turn():
    """Otherwise each draws from what the other has left, and puts the other's state back at the end."""
    before, inside, draws = torch.get_rng_state(), threading.Event(), {}

    def own(name: str, wait: float) -> None:
        with isolated_global_generator(3, "init"):
            first = torch.randn(2)
            inside.set()
            threading.Event().wait(wait)
            draws[name] = torch.cat([first, torch.randn(2)])

    early, late = threading.Thread(target=own, args=("early", 0.2)), threading.Thread(target=own, args=("late", 0.4))
    early.start()
    inside.wait()
    late.start()
    early.join()
    late.join()
    assert torch.equal(draws["early"], draws["late"])
    assert torch.equal(before, torch.get_rng_state())


def test_hotellings_statistic_follows_its_null_law_and_sees_a_shift():
    """P-values of 400 null data sets are uniform (Kolmogorov-Smirnov, level 1e-4); a mean of a fifth of a std is
    found."""
    generator = keyed_generator(0, "h")
    mixing = torch.randn(3, 3, generator=generator, dtype=torch.float64)

    def p_value(shift):
        f = hotelling_f(torch.randn(200, 3, generator=generator, dtype=torch.float64) @ mixing + shift)
        return stats.f.sf(f.statistic, f.numerator, f.denominator)

    assert stats.kstest([p_value(0.0) for _ in range(400)], "uniform").pvalue > 1e-4
    assert p_value(torch.tensor([0.0, 0.0, 0.5 * float(mixing[:, 2].norm())])) < 1e-4
    with pytest.raises(ValueError, match="more than 3 samples"):
        hotelling_f(torch.zeros(3, 3))


def test_sliced_wasserstein_of_shifted_points_is_the_shift_over_the_root_of_the_dimension():
    x = torch.randn(500, 4, generator=keyed_generator(0, "x"))
    shift = torch.tensor([2.0, 0, 0, 0])
    assert sliced_wasserstein(x, x, keyed_generator(0, "p")) == 0
    assert abs(sliced_wasserstein(x, x + shift, keyed_generator(0, "p"), 4000) - 1.0) < 0.05


@given(rows=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_a_mirrored_source_draws_a_half_and_its_mirror_image(rows, seed):
    like = torch.empty(2 * rows, 3, dtype=torch.float64)
    z = standard_normal(like, Mirrored(torch.Generator().manual_seed(seed)))
    assert torch.equal(z[:rows], standard_normal(like[:rows], torch.Generator().manual_seed(seed)))
    assert torch.equal(z[rows:], -z[:rows])


def test_uniform_draws_of_a_mirrored_source_are_independent():
    u = uniform(torch.empty(4000, dtype=torch.float64), Mirrored(torch.Generator().manual_seed(0)))
    first, second = u[:2000] - 0.5, u[2000:] - 0.5
    z = float((first * second).mean() / (first.std() * second.std()) * 2000**0.5)
    assert abs(z) < 4.0  # false alarm: 6e-5; a mirrored draw has z = -45


def test_a_mirrored_source_refuses_a_batch_without_halves():
    with pytest.raises(ValueError, match="3 rows"):
        standard_normal(torch.empty(3, 2), Mirrored(torch.Generator()))
