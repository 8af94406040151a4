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
    """Cases D-07 and D-09: -1, -.5, 0, .5, 1 are 0, 64, 128, 191, 255, also beside an outlier and for a constant
    image."""
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


@pytest.mark.parametrize("channels", [2, 4])
def test_of_other_channel_counts_each_channel_is_a_grey_image(channels):
    """Case D-13."""
    images = torch.linspace(-1, 1, channels).reshape(1, channels, 1, 1).expand(5, channels, 6, 8)
    shown = np.asarray(grid(images, columns=2, scale=1))
    width = channels * 9 - 1
    gap = 8
    assert shown.shape == (3 * (6 + gap) + gap, 2 * (width + gap) + gap, 3)
    for channel in range(channels):
        tile = shown[gap : gap + 6, gap + channel * 9 : gap + 8 + channel * 9]
        assert np.abs(tile - 255 * channel / (channels - 1)).max() <= 1


def test_other_shapes_have_no_picture():
    assert grid(torch.zeros(2, 5)) is None
    assert grid(torch.zeros(2, 1, 4, 4, 4)) is None


def test_labels_stand_below_their_images_and_cover_none_of_them():
    images = -torch.ones(3, 1, 8, 40)
    plain, labelled = (
        np.asarray(grid(images, columns=2, scale=1, labels=labels)) for labels in (None, ["3", "", "12"])
    )
    assert labelled.shape == (plain.shape[0] + 2 * 13, plain.shape[1], 3)
    assert (labelled == 0).all(-1).sum() == (plain == 0).all(-1).sum() == 3 * 8 * 40
    ink = labelled.min(-1) < 250
    assert ink[10:23, 2:42].any()
    assert not ink[10:23, 44:84].any()
    assert ink[33:46, 2:42].any()
    assert not ink[33:46, 43:].any()


def test_no_label_and_no_title_is_cut_however_narrow_the_image():
    """A class that is cut would be another class."""
    images = torch.ones(2, 1, 24, 4)  # white: all ink is text

    def ink(picture, left, right):
        return int((np.asarray(picture.convert("L"))[:, left:right] < 250).sum())

    wide = grid(torch.ones(2, 1, 24, 200), columns=2, scale=1, labels=["17", "1000000"])
    narrow = grid(images, columns=2, scale=1, labels=["17", "1000000"])
    assert ink(narrow, 0, narrow.width) == ink(wide, 0, wide.width)
    half = (narrow.width - 2) // 2
    assert ink(narrow, half - 2, half + 3) == 0  # the two do not touch
    one, two = Image.new("RGB", (4, 9), (255, 255, 255)), Image.new("RGB", (400, 9), (255, 255, 255))
    narrow, wide = panels([("std (white: 0.3)", one)] * 2), panels([("std (white: 0.3)", two)] * 2)
    assert ink(narrow, 0, narrow.width) == ink(wide, 0, wide.width)


def test_long_images_are_enlarged_so_that_something_can_be_seen():
    assert grid(torch.zeros(1, 1, 8, 8)).size == (52, 52)
    assert grid(torch.zeros(1, 1, 4, 24)).size == (24 * 5 + 4, 4 * 5 + 4)
    assert grid(torch.zeros(1, 1, 1, 100)).size == (104, 5)


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


@pytest.mark.parametrize("channels", [1, 3])
def test_empty_cells_of_a_grid_on_a_page_are_transparent(channels: int) -> None:
    """Case: in the dark theme the cells that five pictures leave of six were white."""
    rows = torch.rand(5, channels, 8, 8, generator=keyed_generator(0, "x")) * 2 - 1
    whole = grid(rows, columns=3, scale=1)
    shown = np.asarray(Image.open(io.BytesIO(png(grid(rows, columns=3, scale=1, paper=False)))).convert("RGBA"))
    assert (shown[12:20, 22:30, 3] == 0).all()  # the sixth
    assert (shown[:2, :, 3] == 0).all()
    assert (shown[2:10, 2:10, 3] == 255).all()
    assert (shown[2:10, 2:10, :3] == np.asarray(whole)[2:10, 2:10]).all()
    assert whole.mode == "RGB"
