"""Errors that files state for each pixel: whether they follow the values as those of counts do."""

from __future__ import annotations

import numpy as np
import pytest

from ambientkit.proposing.said_errors import _line


def test_errors_of_counts_give_their_gain_and_zero() -> None:
    rng = np.random.default_rng(0)
    light = rng.uniform(50, 2000, 20_000)
    errors = np.sqrt(2.0 * (light + 30))
    found = _line(light + errors * rng.standard_normal(len(light)), errors)
    assert found == pytest.approx((2.0, -30.0), rel=0.05)


def test_values_that_lie_about_no_line_are_no_counts() -> None:
    """No value is within six errors of the first line, and nothing is left to fit."""
    errors = np.array([1.0, 1.5, 2.0, 2.5] * 100)
    assert _line(np.array([0.0, 1e6, 0.0, 1e6] * 100), errors) is None
