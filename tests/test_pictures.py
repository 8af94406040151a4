"""Pictures: one fixed mapping, any count, channels and aspect."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ambientkit.maths.randomness import keyed_generator
from ambientkit.sample.picture import grid, panels, png


def test_grey_values_are_a_fixed_function_of_the_data():
    """Cases D-07 and D-09: -1, -.5, 0, .5, 1 are 0, 64, 128, 191, 255, also beside an outlier and for a constant image."""
    values = torch.tensor([-1, -0.5, 0, 0.5, 1])
    image = values.reshape(1, 1, 1, 5)
    shown = np.asarray(grid(image, scale=1))[2, 2:7, 0]
    assert np.abs(shown.astype(int) - [0, 64, 128, 191, 255]).max() <= 1
    outlier = torch.cat([image, torch.full((1, 1, 1, 5), 40.0)])
    assert (np.asarray(grid(outlier, columns=1, scale=1))[2, 2:7, 0] == shown).all()
    assert (np.asarray(grid(torch.zeros(1, 1, 1, 5), scale=1))[2, 2:7, 0] == shown[2]).all()


@pytest.mark.parametrize("n", [1, 5, 7])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 48)])
def test_grids_take_any_count_and_aspect(n, shape):
    """Case D-13."""
    images = torch.rand(n, *shape, generator=keyed_generator(0, "x")) * 2 - 1
    picture = grid(images, columns=3, scale=1)
    columns = min(3, n)
    assert picture.size == (columns * (shape[2] + 2) + 2, -(-n // columns) * (shape[1] + 2) + 2)


def test_other_channel_counts_have_no_picture():
    assert grid(torch.zeros(2, 2, 8, 8)) is None
    assert grid(torch.zeros(2, 4, 8, 8)) is None
    assert grid(torch.zeros(2, 5)) is None


def test_points_of_the_plane_are_drawn_where_they_are():
    points = torch.tensor([[2.0, 0.0]]).expand(50, 2)
    picture = np.asarray(grid(points).convert("L"))
    rows, columns = np.nonzero(picture < 128)
    assert abs(columns.mean() / picture.shape[1] - (2.0 + 2.5) / 5) < 0.02
    assert abs(rows.mean() / picture.shape[0] - 0.5) < 0.02
    up = np.asarray(grid(torch.tensor([[0.0, 2.0]]).expand(50, 2)).convert("L"))
    assert np.nonzero(up < 128)[0].mean() / up.shape[0] < 0.2  # y points up


def test_panels_keep_every_pixel_of_their_pictures():
    left, right = Image.new("RGB", (30, 20), (255, 0, 0)), Image.new("RGB", (10, 40), (0, 0, 255))
    page = np.asarray(Image.open(io.BytesIO(png(panels([("left", left), ("right", right)])))))
    assert (page == (255, 0, 0)).all(-1).sum() == 600
    assert (page == (0, 0, 255)).all(-1).sum() == 400
