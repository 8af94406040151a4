"""What a scan of the rows accepts and refuses. Thresholds are tried from both sides."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.scan import RowScan
from ambientkit.text import listed
from ambientkit.units.clipping import KEPT
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange


def noisy(sigma: float | NDArray, n: int = 20, d: int = 100, seed: int = 0) -> NDArray[np.float32]:
    """n rows of d values: +-0.5 plus noise of level sigma."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-0.5, 0.5], (n, d)) + sigma * rng.standard_normal((n, d))).astype(np.float32)


def scan(
    rows: NDArray,
    sigma_n: NDArray | float,
    values: ValueRange | CountRange | None = None,
    size: int = 7,
    **options: bool,
) -> None:
    """Feed rows in chunks of `size`."""
    check = RowScan("rows.npy", rows.dtype, values or ValueRange.of(rows.dtype), assumed=values is None, **options)
    for start in range(0, len(rows), size):
        level = sigma_n[start : start + size] if isinstance(sigma_n, np.ndarray) else sigma_n
        check.add(rows[start : start + size], level)
    check.finish()


def refused(
    rows: NDArray, sigma_n: NDArray | float, values: ValueRange | CountRange | None = None, **options: bool
) -> str:
    with pytest.raises(InputError) as caught:
        scan(rows, sigma_n, values, **options)
    return str(caught.value)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0])
def test_good_rows_pass(sigma: float) -> None:
    scan(noisy(sigma), sigma)
    scan(noisy(sigma), 0.0)


def test_values_that_are_not_finite_are_counted_by_row() -> None:
    rows = noisy(0.3)
    rows[3, :32] = np.nan
    rows[15, 4] = -np.inf
    message = refused(rows, 0.3)
    assert "2 of 20 rows" in message
    assert "row 3 (32 values), row 15 (1 value)" in message


def test_a_value_too_large_for_single_precision_is_not_finite() -> None:
    rows = noisy(0.3).astype(np.float64)
    rows[2, 0] = 1e39
    assert "row 2 (1 value)" in refused(rows, 0.3, ValueRange(-1, 1))


def test_bad_noise_levels_are_listed_by_row() -> None:
    level = np.full((20, 1), 0.3)
    level[1], level[8], level[19] = -0.1, math.nan, math.inf
    assert "3 of 20 rows: row 1 (-0.1), row 8 (nan), row 19 (inf)" in refused(noisy(0.3), level)


def test_many_culprits_are_counted_and_the_first_are_named() -> None:
    rows = noisy(0.3, n=50)
    rows[:, 0] = np.nan
    message = refused(rows, 0.3)
    assert "50 of 50 rows" in message
    assert "row 7 (1 value) and 42 more" in message
    assert "row 8" not in message
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c"], limit=1) == "a and 2 more"


def test_a_constant_row_cannot_hold_noise() -> None:
    rows = noisy(0.3)
    rows[2], rows[14] = 0, 0.25
    assert "2 of 20 rows are constant: row 2, row 14" in refused(rows, 0.3)
    scan(rows, 0.0)
    level = np.full((20, 1), 0.3)
    level[[2, 14]] = 0
    scan(rows, level)


def test_a_row_of_few_values_may_be_constant_by_accident() -> None:
    rows = noisy(0.3, d=15)
    rows[2] = 0
    scan(rows, 0.3)


@pytest.mark.parametrize("sigma", [25.0, 1.0])
def test_more_noise_than_the_data_vary_is_a_mistake_of_units(sigma: float) -> None:
    rows = np.rint(127.5 + 40 * noisy(0.3)).astype(np.uint8)
    message = refused(rows, sigma)
    assert "std of the data" in message
    assert f"{sigma:g} in the file's units is {sigma / 127.5:.4g} there" in message


def test_pure_noise_at_its_own_level_is_no_mistake() -> None:
    for seed in range(20):
        pure = (0.3 * np.random.default_rng(seed).standard_normal((4, 25))).astype(np.float32)
        scan(pure, 0.3)
    assert "std of the data" in refused(noisy(0.3), 0.7)  # their std is 0.58


def test_the_row_with_the_largest_level_is_named() -> None:
    level = np.full((20, 1), 0.3)
    level[13] = 30
    message = refused(noisy(0.3), level)
    assert "at most 30, in row 13" in message
    assert "value_range" in message


def test_a_level_below_a_thousandth_of_the_range_is_a_mistake_of_units() -> None:
    rows = noisy(0.001)
    assert "1/1000" in refused(rows, 0.0009)
    scan(rows, 0.0011)


def test_float_values_far_beyond_the_units_need_a_range() -> None:
    rows = 127.5 + 127.5 * noisy(0.1)
    assert "value_range" in refused(rows, 0.1)
    assert "value_range" in refused(rows, 0.0)
    scan(rows, 0.1, ValueRange(0, 255))


def test_noise_may_reach_as_far_as_it_does_and_a_range_given_by_the_user_holds() -> None:
    scan(noisy(30.0), 30.0)
    scan(100 * noisy(0.1), 0.0, ValueRange(-1, 1))


def test_clipped_noise_is_refused() -> None:
    clipped = np.rint((noisy(0.5).clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    message = refused(clipped, 0.4)
    assert "exactly 0 or 255" in message
    assert "clipped" in message
    scan(clipped, 0.0)
    assert "exactly -1 or 1" in refused(noisy(0.5).clip(-1, 1), 0.4)


def test_clipping_below_one_in_a_thousand_is_let_pass() -> None:
    rows = np.rint(127.5 + 40 * noisy(0.3, n=60)).astype(np.uint8)
    rows[0, :6] = 0
    scan(rows, 0.09)
    rows[1, 0] = 0
    assert "exactly 0," in refused(rows, 0.09)


def test_a_few_clipped_values_can_be_kept_knowingly_and_many_cannot(caplog: pytest.LogCaptureFixture) -> None:
    """The law of the docstring of `units.clipping`: E[min(x + sigma z, x)] = x - sigma / sqrt(2 pi)."""
    rows = np.rint(127.5 + 40 * noisy(0.3, n=60)).astype(np.uint8)
    rows[:59, 0] = 255
    share = (rows == 255).mean()
    assert 0.001 < share <= KEPT
    assert "`clipped: keep`" in refused(rows, 0.09)
    with caplog.at_level(logging.WARNING, "ambientkit"):
        scan(rows, 0.09, keep_clipped=True)
    assert " % of the noisy values are exactly 255" in caplog.text
    assert "taken as they are" in caplog.text
    rows[:, 1] = 255
    assert "takes up to 1 %" in refused(rows, 0.09, keep_clipped=True)
    assert "`clipped: keep` in" not in refused(rows, 0.09)
    z = np.random.default_rng(1).standard_normal(1_000_000)
    assert abs(np.minimum(z, 0).mean() + (2 * np.pi) ** -0.5) < 5e-3


def test_counts_of_nothing_are_not_clipped() -> None:
    """Case: counts of a detector without read noise, a few of which are 0, as they have to be."""
    rng = np.random.default_rng(0)
    rows = rng.poisson(np.linspace(5, 60, 400), (20, 400)).astype(np.uint16)
    rows[:, 0] = 0
    scan(rows, 0.2, CountRange(0.0, float(rows.max()), 1.0))
    rows[:, -3:] = rows.max()
    assert "clipped" in refused(rows, 0.2, CountRange(0.0, float(rows.max()), 1.0))
    assert "exactly 0" in refused(np.maximum(rows, 8) - 8, 0.1, CountRange(0.0, 150.0, 1.0, -8.0))


def test_only_noisy_values_count_as_clipped() -> None:
    rows = np.rint(127.5 + 40 * noisy(0.3)).astype(np.uint8)
    rows[:10, :50] = 255
    level = np.where(np.arange(20) < 10, 0.0, 0.09)[:, None]
    scan(rows, level)
    refused(rows, level[::-1])


def test_an_end_of_the_given_range_inside_the_data_is_an_ordinary_value() -> None:
    rows = np.rint(1000 + 3 * noisy(1.0)).astype(np.uint16)  # about 8 levels, each of them common
    scan(rows, 0.8, ValueRange(997, 1003))


def test_a_scale_of_0_to_1_is_a_doubt_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    rows = np.random.default_rng(0).uniform(0, 1, (5, 100)).astype(np.float32)
    with caplog.at_level(logging.WARNING, "ambientkit"):
        scan(rows, 0.0)
    assert "value_range: [0, 1]" in caplog.text
    caplog.clear()
    scan(rows, 0.0, ValueRange(0, 1))
    scan(2 * rows - 1, 0.0)
    assert caplog.text == ""


def test_chunks_do_not_change_the_verdict() -> None:
    rows = noisy(0.3)
    rows[[5, 19], 0] = np.nan
    messages = set()
    for size in (1, 6, 20):
        with pytest.raises(InputError) as caught:
            scan(rows, 0.3, size=size)
        messages.add(str(caught.value))
    assert len(messages) == 1
