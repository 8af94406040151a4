"""Tiles cover every pixel, and their weights sum to 1 to the last bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.errors import InputError
from ambientkit.maths.tiles import Tiling, windows


@st.composite
def axes(draw):
    tile = draw(st.integers(2, 40))
    return draw(st.integers(tile, 200)), tile, draw(st.integers(0, tile // 2))


@given(axes())
def test_weights_along_an_axis_sum_to_exactly_one(axis):
    length, tile, overlap = axis
    total, count = torch.zeros(length), torch.zeros(length)
    found = windows(length, tile, overlap)
    for start, weights in found:
        assert (weights >= 0).all()
        total[start : start + tile] += weights
        count[start : start + tile] += weights > 0
    assert (total == 1).all()
    assert count.max() <= 2
    assert (found[0].start, found[-1].start) == (0, length - tile)
    assert all(a.start + tile - b.start >= overlap for a, b in zip(found, found[1:]))


@given(axes(), axes())
def test_weights_of_a_picture_sum_to_exactly_one(high, wide):
    total = torch.zeros(high[0], wide[0])
    for tile in Tiling(*zip(high, wide, strict=True)):
        total[tile.where] += tile.weights
    assert (total == 1).all()


@given(st.integers(2, 10), st.integers(0, 90))
def test_the_edges_of_inner_tiles_weigh_nothing(quarter, more):
    tile, overlap = 4 * quarter, 2 * quarter
    margin = overlap // 4
    found = windows(tile + more, tile, overlap)
    for before, after in zip(found, found[1:]):
        assert (before.weights[tile - margin :] == 0).all()
        assert (after.weights[:margin] == 0).all()


def test_what_is_no_overlap_is_refused():
    for overlap in (-1, 9):
        with pytest.raises(InputError, match="half a tile, 8 pixels"):
            windows(64, 16, overlap)
    with pytest.raises(InputError, match="do not fit into an axis of 8"):
        windows(8, 16, 4)
