"""Pixels without a value as harmonic functions: Laplace's equation holds, planes come back, other pixels stay."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.maths.harmonic import filled

PLACES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=20)


def neighbours(picture: torch.Tensor, line: int, column: int) -> list[float]:
    height, width = picture.shape
    at = ((line - 1, column), (line + 1, column), (line, column - 1), (line, column + 1))
    return [float(picture[i, j]) for i, j in at if 0 <= i < height and 0 <= j < width]


@given(PLACES, st.integers(0, 2**31))
def test_each_is_the_mean_of_its_neighbours_and_the_others_stay(places, seed) -> None:
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = filled(x, places)
    gone = torch.zeros(6, 7, dtype=torch.bool)
    for line, column in places:
        gone[line, column] = True
        around = neighbours(found[1, 2], line, column)
        assert float(found[1, 2, line, column]) == pytest.approx(sum(around) / len(around), rel=1e-9, abs=1e-12)
    assert torch.equal(found[..., ~gone], x[..., ~gone])
    assert torch.allclose(filled(torch.where(gone, 1e6, x), places), found)  # what stood there does not count


def test_a_plane_comes_back_inside_and_single_precision_stays_single() -> None:
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    plane = 2 * y - 3 * x + 1
    found = filled(plane.masked_fill((y == 2) & (x < 4) & (x > 1), 99), [(2, 2), (2, 3)])
    assert found.dtype == torch.float32
    assert torch.allclose(found, plane)


def test_without_places_nothing_changes_and_without_values_it_is_refused() -> None:
    x = torch.zeros(1, 2, 2)
    assert filled(x, []) is x
    assert filled(torch.zeros(2, 0, 4, 4), [(1, 1)]).shape == (2, 0, 4, 4)  # no draws
    with pytest.raises(ValueError, match="no pixel has a value"):
        filled(x, [(0, 0), (0, 1), (1, 0), (1, 1)])
