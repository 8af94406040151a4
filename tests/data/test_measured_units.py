"""Measurements in files are scaled to the units of their operator, and neither moved nor bent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.data import Observations, Survey, survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from tests.support.formats import open_rows

FOURIER, BLUR = {"name": "fourier", "real": True}, {"name": "blur", "width": 0.6}
SMALLER = {"name": "downsample", "factor": 2}


def surveyed(folder: Path, operator: dict[str, Any], scale: float, offset: float, **fields: Any) -> Survey:
    """A look at measurements that a file holds as scale y + offset, with noise of std 0.05 before."""
    corruption = Linear(operator=operator, sigma_n=0.05, allow_unseen=operator is SMALLER)
    waves = 0.5 * torch.sin(
        torch.arange(64.0).reshape(8, 8) / 9 + 6 * torch.rand(64, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    )
    rows = corruption.observe(waves, torch.arange(64), torch.Generator().manual_seed(0))
    np.save(folder / "y.npy", scale * rows.x_n.numpy() + offset)
    spec = {"name": "array", "path": str(folder / "y.npy"), "layout": "NCHW", **fields}
    observations = Observations(open_rows(spec), corruption, 0)
    return survey(observations, corruption, Levels(), None)


def test_a_range_that_moves_measurements_is_refused(tmp_path: Path) -> None:
    """Case: `value_range: data` gave frequencies an offset that no picture has."""
    with pytest.raises(InputError, match=r"operator fourier: value_range .* takes a measurement of 0 to -0\.5"):
        surveyed(tmp_path, FOURIER, 1, 0, sigma_n=0.025, value_range=[-1, 3])
    with pytest.raises(InputError, match=r"goes from -a to a, such as \[-3, 3\]"):
        surveyed(tmp_path, FOURIER, 1, 0, sigma_n=0.025, value_range=[-1, 3])
    even = surveyed(tmp_path, FOURIER, 2, 0, sigma_n=0.05, value_range=[-2, 2])
    assert even.signal.sigma_data == pytest.approx(0.35, abs=0.05)


def test_an_operator_that_leaves_constants_has_no_offset_of_its_own(tmp_path: Path) -> None:
    assert surveyed(tmp_path, BLUR, 127.5, 127.5, sigma_n=0.05, value_range=[0, 255]).rows == 64
    with pytest.raises(InputError, match=r"operator downsample: value_range \(0, 255\) takes a measurement of 0 to -1"):
        surveyed(tmp_path, SMALLER, 127.5, 127.5, sigma_n=0.05, value_range=[0, 255])  # it makes 2 of 1


def test_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the transform of counts is not linear"):
        surveyed(tmp_path, BLUR, 400, 1000, counts={"gain": 2.0}, value_range=[200, 1800])
