"""Shares and splits: `fraction` of tweedie, `clean_share` of gaussian, and data sets whose test part is not trained
on."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from ambientkit.batch import Clean
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.data import photo_patches
from ambientkit.builtin.data.digits import Digits
from ambientkit.builtin.data.photo_patches import PhotoPatches
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.data import Observations
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.verification import make_case


@pytest.mark.parametrize(("fraction", "expected"), [(1.0, 30), (0.5, 15), (0.26, 8), (0.01, 1)])
def test_tweedie_uses_that_share_of_the_rows_from_the_front(fraction, expected):
    """Levels of the rows tell them apart: row i has sigma_n = 2^i units, and no level lies below it."""
    case = make_case(Gaussian(sigma_n=0.1), 0)
    batch = case.observe(30, keyed_generator(0, "b"))
    used = []

    def watching(x, sigma, /, **cond):
        used.append(cond["row"])
        return case.oracle(x, sigma)

    batch = batch._replace(cond={"row": batch.row})
    tools = dataclasses.replace(case.tools, generator=keyed_generator(0, "o"))
    term = Tweedie(fraction=fraction).loss(watching, batch, tools)["tweedie"]
    assert len(term.value) == len(term.sigma) == expected
    assert set(torch.cat(used).tolist()) <= set(range(expected + expected % 2))


class Zeros:
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return Clean(torch.zeros(1, 2, 2), {})


def test_the_share_of_clean_rows_is_the_one_asked_for_and_they_are_exactly_clean():
    """3,000 rows: within 4.5 standard errors of a binomial share."""
    for share in (0.1, 0.5, 0.9):
        rows = Observations(Zeros(3000), Gaussian(sigma_n=0.2, clean_share=share), seed=3)
        batch = rows.__getitems__(list(range(3000)))
        clean = batch.sigma_n == 0
        assert abs(float(clean.double().mean()) - share) < 4.5 * math.sqrt(share * (1 - share) / 3000)
        assert not batch.x_n[clean].any()
        assert batch.x_n[~clean].flatten(1).any(1).all()
        assert batch.sigma_n[~clean].unique().tolist() == pytest.approx([0.2])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_row_or_every_row_is_clean(share):
    batch = Observations(Zeros(200), Gaussian(sigma_n=(0.1, 0.3), clean_share=share), seed=0).__getitems__(
        list(range(200))
    )
    assert bool((batch.sigma_n == 0).all() if share else (batch.sigma_n >= 0.1).all())


def test_whether_a_row_is_clean_depends_on_the_row_and_the_seed_alone():
    corruption = Gaussian(sigma_n=(0.1, 0.3), clean_share=0.5)
    rows = Observations(Zeros(60), corruption, seed=1)
    together = rows.__getitems__(list(range(60)))
    shuffled = torch.randperm(60, generator=keyed_generator(0, "order"))
    again = rows.__getitems__(shuffled.tolist())
    assert torch.equal(together.sigma_n[shuffled], again.sigma_n)
    assert torch.equal(together.x_n[shuffled], again.x_n)
    assert torch.equal(together.x_n[7], rows[7].x_n)
    other = Observations(Zeros(60), corruption, seed=2).__getitems__(list(range(60)))
    assert not torch.equal(other.sigma_n == 0, together.sigma_n == 0)


def test_without_clean_rows_the_noise_has_the_bits_it_always_had():
    """x_0 + sigma_n z with the first draws of the generator of the row; a further draw for the share would move
    them."""
    rows = Observations(Zeros(5), Gaussian(sigma_n=0.2), seed=4)
    for row in range(5):
        z = standard_normal(torch.empty(1, 1, 2, 2), keyed_generator(4, "observe", row=row))
        assert torch.equal(rows[row].x_n, 0.2 * z[0])


def test_no_pixel_of_a_test_patch_is_in_a_training_patch(monkeypatch):
    """Photographs in which every pixel has a number of its own, of several sizes."""
    pictures, first = [], 0
    for height, width in ((40, 64), (33, 110), (70, 47)):
        numbers = np.arange(first, first + height * width).reshape(height, width)
        pictures.append(np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=2).astype(np.uint8))
        first += height * width
    monkeypatch.setattr(photo_patches, "_photographs", lambda: pictures)

    def pixels(split):
        rows = PhotoPatches(size=6, stride=4, split=split).rows()
        patches = torch.stack([rows[index].x_0 for index in range(len(rows))])
        assert patches.shape[1:] == (3, 6, 6)
        bytes_ = ((patches.double() + 1) * 127.5).round().long()
        return set((bytes_[:, 0] + 256 * bytes_[:, 1] + 65536 * bytes_[:, 2]).flatten().tolist())

    train, test = pixels("train"), pixels("test")
    assert len(train) > 3000
    assert len(test) > 300
    assert not train & test


def test_the_photographs_are_there_and_every_one_of_them_gives_patches_of_both_kinds():
    train, test = (PhotoPatches(size=32, stride=32, split=split).rows() for split in ("train", "test"))
    assert {corner[0] for corner in train._corners} == set(range(10))
    assert {corner[0] for corner in test._corners} == set(range(10))
    row = train[0].x_0
    assert row.shape == (3, 32, 32)
    assert row.dtype == torch.float32
    assert row.is_contiguous()
    assert -1 <= float(row.min()) < float(row.max()) <= 1


def test_the_splits_of_digits_are_the_whole_and_share_nothing():
    every, train, test = (Digits(split=split).rows() for split in ("all", "train", "test"))
    assert (len(every), len(train), len(test)) == (1797, 1500, 297)
    assert torch.equal(train[1499].x_0, every[1499].x_0)
    assert torch.equal(test[0].x_0, every[1500].x_0)
    assert torch.equal(test[296].x_0, every[1796].x_0)
    assert Digits() == Digits(split="all")
