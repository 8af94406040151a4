"""A range around the mean, where a few bright values make all others lie at one end of the range."""

from __future__ import annotations

import numpy as np
import pytest

from ambientkit.proposing.centred import centred


def test_a_bright_star_moves_the_range_to_the_sky_and_even_rows_keep_theirs() -> None:
    rng = np.random.default_rng(0)
    sky = rng.normal(100.0, 2.0, 10_000)
    sky[:3] = 5000.0
    moved = centred([90.0, 5000.0], sky, None)
    assert moved is not None
    low, high = moved[0]
    assert (low + high) / 2 == pytest.approx(sky.mean(), rel=1e-3)
    assert high - low == pytest.approx(8 * sky.std(), rel=1e-3)
    assert "0.03 % lie outside" in moved[1]
    assert centred([90.0, 110.0], sky[3:], None) is None


def test_values_that_are_all_alike_have_no_range_of_their_own() -> None:
    assert centred([0.0, 255.0], np.full(100, 7.0), None) is None
