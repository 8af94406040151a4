"""What a noise level given for a data set means: declared with rows that carry noise, simulated on clean ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ambientkit.batch import Clean
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.data.array import Array
from ambientkit.builtin.data.digits import Digits
from ambientkit.config.noise import noise_level, noise_place, says_the_same, with_noise
from ambientkit.errors import InputError
from ambientkit.registry import load

RUN = Gaussian(sigma_n=0.4)


def test_levels_are_read_as_the_command_line_takes_them(tmp_path):
    (tmp_path / "levels.csv").write_text("sigma_n\n0.1\n")
    assert noise_level("0.3") == 0.3
    assert noise_level("0.1,0.5") == [0.1, 0.5]
    assert noise_level("estimate") == "estimate"
    assert noise_level(str(tmp_path / "levels.csv")) == str(tmp_path / "levels.csv")
    for wrong in ("loud", "0.1,0.2,0.3", ""):
        with pytest.raises(InputError, match=r"--sigma-n .*should be a number, LOW,HIGH"):
            noise_level(wrong)


def test_a_level_is_declared_with_noisy_data_and_simulated_on_clean_ones():
    array = {"name": "array", "path": "x.npy"}
    assert noise_place("digits", 0.2, load()) == noise_place(Digits(), [0.1, 0.2], load()) == "corruption"
    assert noise_place(array, 0.2, load()) == noise_place(Array(path="x.npy"), "levels.csv", load()) == "data"
    assert (
        noise_place({**array, "clean": True}, 0.2, load())
        == noise_place(Array(path="x.npy", clean=True), 0.2, load())
        == "corruption"
    )
    with pytest.raises(InputError, match=r"--sigma-n 0\.1,0\.2: a range is for simulated noise"):
        noise_place(array, [0.1, 0.2], load())
    with pytest.raises(InputError, match="--sigma-n estimate: this data set is clean"):
        noise_place("digits", "estimate", load())


class Rows(torch.utils.data.Dataset):
    def __init__(self, clean):
        self.clean = clean

    def __len__(self):
        return 3

    def __getitem__(self, index):
        x = torch.full((1, 2, 2), float(index))
        return Clean(x, {}) if self.clean else x


def test_data_and_corruption_follow_from_whatever_stands_for_data(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 1, 4, 4), np.float32))
    for data, sigma_n, declared, simulated in (
        ("digits", None, None, 0.4),
        ("digits", "0.1", None, 0.1),
        (Digits(), (0.1, 0.2), None, (0.1, 0.2)),
        (str(tmp_path / "x.npy"), 0.3, 0.3, 0.4),
        (tmp_path / "x.npy", 1, 1.0, 0.4),
        (Array(path=tmp_path / "x.npy"), 0.3, 0.3, 0.4),
        (Array(path=tmp_path / "x.npy", clean=True), 0.3, None, 0.3),
        (np.zeros((3, 1, 4, 4), np.float32), 0.3, 0.3, 0.4),
        (Rows(clean=False), 0.3, 0.3, 0.4),
        (Rows(clean=True), 0.3, None, 0.3),
        (Rows(clean=True), None, None, 0.4),
    ):
        part, corruption = with_noise(data, sigma_n, RUN, load())
        assert getattr(part, "sigma_n", None) == declared, data
        assert corruption.sigma_n == simulated, data
    assert RUN.sigma_n == 0.4


def test_what_is_given_of_a_data_set_is_compared_with_what_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Array(path=tmp_path / "x.npy", sigma_n=0.3, value_range=(0, 1))
    assert says_the_same(Array(path="x.npy"), own)
    assert says_the_same(Array(path="x.npy", sigma_n=0.3), own)
    assert not says_the_same(Array(path="x.npy", sigma_n=0.2), own)
    assert not says_the_same(Array(path="y.npy"), own)
    assert not says_the_same(Digits(), own)
    assert not says_the_same(own, Array(path="x.npy"))
