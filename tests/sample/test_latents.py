"""Rows that are latents: trained, sampled and saved as they are, and decoded for pictures alone."""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from ambientkit.batch import Clean
from ambientkit.config import Source, resolve
from ambientkit.data import observed
from ambientkit.interfaces import Data
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import Entry, Registry, load
from ambientkit.rows import Rows, as_rows, decodes
from ambientkit.run.demo import draw_demo
from ambientkit.run.folder import save_average
from ambientkit.sample import load_run
from ambientkit.sample.load import about_data
from ambientkit.sample.picture import grid, panels, restored_picture
from ambientkit.training import build
from ambientkit.units.ranges import to_uint8
from tests.support.engine import SMALL

SIZE = 6


class _Latents(Rows):
    """Three numbers a row: the grey values of the left and of the right half, and of a cross."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return Clean(0.5 * torch.randn(3, generator=keyed_generator(0, "latents", row=index)), {})

    def decode(self, rows):
        assert rows.shape[1:] == (3,)
        pictures = rows[:, :1].reshape(-1, 1, 1, 1).repeat(1, 1, SIZE, SIZE)
        pictures[:, :, :, SIZE // 2 :] = rows[:, 1].reshape(-1, 1, 1, 1)
        pictures[:, :, SIZE // 2] = rows[:, 2].reshape(-1, 1, 1)
        return pictures


class Latents(Data):
    """Rows of three numbers, which are pictures once they are decoded."""

    name = "test-latents"
    gone: ClassVar[bool] = False

    def rows(self):
        if self.gone:
            from ambientkit.errors import InputError

            raise InputError("latents.npy: there is no such file")
        return _Latents()


def registry():
    return Registry([*load().entries(), Entry("data", Latents, "tests", "0")])


@pytest.fixture
def run(tmp_path):
    """(a training, its folder with the averaged weights)."""
    config = resolve(Source({**SMALL, "data": "test-latents", "sample_n": 9}), registry())
    training = build(config)
    training.about_data = about_data(config.data.rows(), (0.2, 0.2))
    save_average(training, tmp_path, training.average_of_all())
    return training, tmp_path


def test_a_data_set_says_whether_its_rows_are_decoded():
    assert decodes(_Latents())
    assert not decodes(load().build("data", "mixture").rows())

    class Foreign:
        def __init__(self):
            self.inner = _Latents()

        def __len__(self):
            return 40

        def __getitem__(self, index):
            return self.inner[index]

    assert not decodes(Foreign())
    Foreign.decode = lambda self, rows: self.inner.decode(rows)
    assert decodes(Foreign())
    assert as_rows(Foreign()).decode(torch.zeros(2, 3)).shape == (2, 1, SIZE, SIZE)
    x = torch.zeros(2, 5)
    assert as_rows([1, 2]).decode(x) is x


def test_a_grid_shows_what_is_decoded():
    rows = torch.tensor([[-1.0, 1.0, 0.0], [1.0, -1.0, 0.0]])
    found, expected = grid(rows, decode=_Latents().decode), grid(_Latents().decode(rows))
    assert np.array_equal(np.asarray(found), np.asarray(expected))
    assert grid(rows) is None
    assert grid(rows, decode=lambda rows: None) is None


def test_the_picture_of_training_is_decoded(run):
    training, folder = run
    path = folder / "samples" / "demo.png"
    assert draw_demo(training, path, registry())
    given = training.observations.__getitems__(list(range(9)))
    noisy = np.asarray(grid(given.x_n, decode=_Latents().decode))
    page = np.asarray(Image.open(path).convert("RGB"))
    assert any(
        np.array_equal(page[y : y + noisy.shape[0], x : x + noisy.shape[1]], noisy)
        for y in range(0, page.shape[0] - noisy.shape[0] + 1)
        for x in range(0, page.shape[1] - noisy.shape[1] + 1)
        if page[y, x].tolist() == noisy[0, 0].tolist()
    )


def test_samples_are_latents_and_their_picture_is_decoded(run, ambientkit, monkeypatch, tmp_path):
    folder, out = run[1], tmp_path / "out"
    whole = registry()
    monkeypatch.setattr("ambientkit.registry.environment", lambda: whole)
    status, _, err = ambientkit("sample", folder, "-n", 4, "--steps", 3, "--out", out, "--device", "cpu")
    assert status == 0, err
    samples = torch.from_numpy(np.load(out / "samples.npy"))
    assert samples.shape == (4, 3)
    assert np.array_equal(
        np.asarray(Image.open(out / "samples.png").convert("RGB")), np.asarray(grid(samples, decode=_Latents().decode))
    )
    pictures = sorted((out / "pictures").iterdir())
    assert [path.name for path in pictures] == [f"{index:08}.png" for index in range(4)]
    for path, row in zip(pictures, _Latents().decode(samples), strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), to_uint8(row[0].numpy()))


def test_restored_latents_are_decoded_one_by_one_with_their_draws(run, ambientkit, monkeypatch, tmp_path):
    whole, out = registry(), tmp_path / "out"
    monkeypatch.setattr("ambientkit.registry.environment", lambda: whole)
    given = ("--from", "test-latents", "-n", 2, "--draws", 2, "--steps", 2, "--out", out, "--device", "cpu")
    status, _, err = ambientkit("sample", run[1], *given)
    assert status == 0, err
    names = [f"{index:08}{draw}.png" for index in range(2) for draw in ("-000", "-001", "")]
    assert sorted(path.name for path in (out / "pictures").iterdir()) == sorted(names)
    draws = _Latents().decode(torch.from_numpy(np.load(out / "draws.npy"))[1])
    assert np.array_equal(np.asarray(Image.open(out / "pictures" / "00000001-001.png")), to_uint8(draws[1, 0].numpy()))


def test_restored_latents_are_shown_decoded_and_without_their_spread():
    x = 0.3 * torch.randn(4, 3, generator=keyed_generator(0, "x"))
    shown = {"noisy": x, "mean": x / 2, "draws": torch.stack([x, -x], dim=1), "std": x.abs()}
    arrays = {name: value.numpy() for name, value in shown.items()}
    found = Image.open(io.BytesIO(restored_picture(arrays, 0.2, _Latents().decode)))
    pages = {"noisy": x, "mean": x / 2, "draw 1": x, "draw 2": -x}
    expected = panels([(title, grid(rows, 1, decode=_Latents().decode)) for title, rows in pages.items()])
    assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(expected))
    assert restored_picture(arrays, 0.2) is None  # three numbers are neither an image nor a point of the plane


def test_where_the_data_set_is_gone_samples_are_drawn_all_the_same_without_a_picture(
    run, monkeypatch, ambientkit, tmp_path
):
    monkeypatch.setattr(Latents, "gone", True)
    whole = registry()
    monkeypatch.setattr("ambientkit.registry.environment", lambda: whole)
    status, out, err = ambientkit("sample", run[1], "-n", 4, "--steps", 3, "--out", tmp_path / "out", "--device", "cpu")
    assert status == 0, err
    assert "no pictures: the rows of this run are latents" in out + err
    assert (tmp_path / "out" / "samples.npy").is_file()
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_run_remembers_that_its_rows_are_latents_and_others_say_nothing(run):
    assert load_run(run[1], registry()).latents
    assert "latents" not in about_data(load().build("data", "mixture").rows(), (0.2, 0.2))


def test_augmented_rows_decode_as_their_own():
    class Pictures(_Latents):
        def __getitem__(self, index):
            return Clean(torch.zeros(1, 4, 4), {})

        def decode(self, rows):
            return rows.repeat(1, 3, 1, 1)

    config = resolve(Source(SMALL), load())
    rows = observed(Pictures(), config.corruption, 0, ("flip-horizontal",))
    assert rows.decode(torch.zeros(2, 1, 4, 4)).shape == (2, 3, 4, 4)
