"""The mapping of file values to [-1, 1], and 8-bit values for display."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.units.ranges import ValueRange, to_uint8

ends = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_mapping_of_whole_numbers_is_increasing_and_has_an_exact_inverse(dtype: type) -> None:
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    mapping = ValueRange.of(values.dtype)
    x = mapping.to_unit(values)
    assert x.dtype == np.float32
    assert (x[0], x[-1]) == (-1, 1)
    assert (np.diff(x) > 0).all()
    assert np.array_equal(np.rint(mapping.from_unit(x)), values)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_floating_point_is_taken_as_it_is(values: list[float]) -> None:
    x = np.array(values, np.float32)
    mapping = ValueRange.of(x.dtype)
    assert np.array_equal(mapping.to_unit(x), x)
    assert np.array_equal(mapping.from_unit(x), x)


@given(ends, ends, st.floats(-3, 3))
def test_any_range_is_mapped_by_a_line_that_does_not_clip(low: float, high: float, x: float) -> None:
    if low >= high:
        low, high = high, low + 1
    mapping = ValueRange(low, high)
    scale = abs(low) + abs(high)
    assert mapping.from_unit(x) == pytest.approx(low + (high - low) * (x + 1) / 2, abs=1e-12 * scale)
    assert mapping.to_unit(mapping.from_unit(x)) == pytest.approx(x, abs=1e-6 + 1e-12 * scale / (high - low))


@given(ends, ends, st.floats(0, 100))
def test_a_noise_level_is_scaled_and_not_shifted(low: float, high: float, sigma: float) -> None:
    if low >= high:
        low, high = high, low + 1
    mapping = ValueRange(low, high)
    assert mapping.sigma_to_unit((high - low) / 2) == pytest.approx(1)
    assert mapping.sigma_from_unit(mapping.sigma_to_unit(sigma)) == pytest.approx(sigma)
    assert mapping.sigma_from_unit(0) == 0


def test_half_precision_is_computed_in_single_precision() -> None:
    assert ValueRange(0, 1).to_unit(np.array([0.1], np.float16))[0] == np.float32(2 * np.float64(np.float16(0.1)) - 1)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32, np.int64, np.bool_, np.complex64, "U1"])
def test_a_type_without_an_agreed_range_is_refused(dtype: type) -> None:
    with pytest.raises(ValueError, match=rf"{np.dtype(dtype).name}.*value_range"):
        ValueRange.of(np.dtype(dtype))


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, math.inf), (math.nan, 1)])
def test_a_range_must_be_ordered_and_finite(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low < high"):
        ValueRange(low, high)


def test_display_values_follow_one_fixed_mapping() -> None:
    assert to_uint8([-1, -0.5, 0, 0.5, 1]).tolist() == [0, 64, 128, 191, 255]
    assert to_uint8([-7, 7]).tolist() == [0, 255]


def test_an_outlier_does_not_change_the_display_of_other_pixels() -> None:
    x = np.linspace(-0.4, 0.4, 50)
    assert np.array_equal(to_uint8(np.append(x, 30))[:-1], to_uint8(x))
    assert to_uint8(np.full((2, 3), 0.25)).tolist() == [[159] * 3] * 2


def test_eight_bit_values_survive_the_way_there_and_back() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_uint8(ValueRange.of(values.dtype).to_unit(values)), values)


def test_a_value_that_is_not_finite_has_no_colour() -> None:
    with pytest.raises(ValueError, match="2 of 3"):
        to_uint8([0, math.nan, math.inf])
