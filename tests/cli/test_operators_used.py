"""Rows that were measured through an operator, from training to restored rows, and the command that is named next."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.cli.test_masks_misused import SMALL, _scan, write_kspace

pytestmark = pytest.mark.slow
N, SIDE = 200, 6
MATRIX = np.random.default_rng(0).standard_normal((10, SIDE * SIDE)) / SIDE


class Sums:
    """An operator of a user, from pictures of 6 x 6 to ten sums of their pixels."""

    def forward(self, x: Any) -> Any:
        return MATRIX.astype(x.dtype) @ x.ravel()

    def adjoint(self, y: Any) -> Any:
        return (MATRIX.T.astype(y.dtype) @ y).reshape(1, SIDE, SIDE)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_sums")
    module.__dict__["SUMS"] = Sums()
    monkeypatch.setitem(sys.modules, "own_sums", module)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    x_0 = np.cumsum(rng.uniform(-0.3, 0.3, (N, SIDE * SIDE)), -1)
    y = x_0 @ MATRIX.T + 0.05 * rng.standard_normal((N, 10))
    there = rng.random((N, 10)) < 0.8
    np.save("sums.npy", np.where(there, y, np.nan).astype(np.float32))
    np.save("filled.npy", np.where(there, y, 0).astype(np.float32))
    np.save("there.npy", there)
    np.save("whole.npy", np.round(100 * y).astype(np.int16))


OWN = "linear{operator: {name: python, object: 'own_sums:SUMS'}, missing: 0.2, allow_unseen: true}"


def trained(ambientkit: Any, data: str, name: str, *words: Any) -> str:
    status, out, err = ambientkit(
        "train", "--data", data, *words, "--objective", "tweedie", *SMALL, "--output-dir", name
    )
    assert status == 0, (out, err)
    return str(out)


def refused(ambientkit: Any, *arguments: Any) -> str:
    status, out, err = ambientkit(*arguments)
    assert status == 2, (out, err)
    assert err.count("error:") == 1
    assert "Traceback" not in err
    return str(err)


def test_measurements_of_an_own_operator_with_gaps_are_trained_on_and_restored(ambientkit: Any) -> None:
    data = "masked{path: sums.npy, missing: nan, measurements: true, sigma_n: 0.05}"
    beside = "masked{path: filled.npy, masks: there.npy, measurements: true, sigma_n: 0.05}"
    assert "next: ambientkit sample run --from ROWS\n" in trained(ambientkit, data, "run", "--corruption", OWN)
    for rows, out in ((data, "one"), (beside, "other")):
        status, said, err = ambientkit("sample", "run", "--from", rows, "-n", 3, "--device", "cpu", "--out", out)
        assert status == 0, (said, err)
        assert not Path(out, "draws.npy").exists()
    mean = np.load("one/mean.npy")
    assert mean.shape == (3, 1, SIDE, SIDE)
    assert np.array_equal(mean, np.load("other/mean.npy"))
    err = refused(ambientkit, "sample", "run", "--from", data, "--draws", 2, "--device", "cpu", "--out", "new")
    assert "(--draws 0)" in err
    assert not Path("new").exists()
    err = refused(ambientkit, "sample", "run", "-n", 2, "--device", "cpu", "--out", "new")
    assert "samples are those of x_0 only where A^T A = I" in err
    assert "--from ROWS" in err
    assert not Path("new").exists()


def test_measurements_and_pictures_are_not_taken_for_each_other(ambientkit: Any) -> None:
    pictures = "masked{path: sums.npy, missing: nan, sigma_n: 0.05}"
    words = ("train", *SMALL, "--output-dir", "run", "--data")
    err = refused(ambientkit, *words, pictures, "--corruption", OWN)
    assert "give the data set measurements: true (masked) where the rows are measurements of the operator" in err
    measured = "masked{path: sums.npy, missing: nan, measurements: true, sigma_n: 0.05}"
    assert "give --corruption linear" in refused(ambientkit, *words, measured, "--corruption", "mask")
    whole = "masked{path: whole.npy, missing: 0, measurements: true, sigma_n: 0.05}"
    assert "the value of 0 is not known" in refused(ambientkit, *words, whole, "--corruption", OWN)
    moved = "masked{path: whole.npy, missing: 0, measurements: true, value_range: [0, 100]}"
    assert "value_range of measurements goes from -a to a" in refused(ambientkit, *words, moved, "--corruption", OWN)


def test_rows_that_brought_maps_are_restored_and_never_drawn_with_made_up_ones(ambientkit: Any) -> None:
    write_kspace("coils.h5", coils=4)
    out = trained(ambientkit, _scan("coils.h5")[1], "maps", *_scan("coils.h5", "{name: fourier, coils: 4}")[2:4])
    assert "next: ambientkit sample maps --from ROWS\n" in out
    err = refused(ambientkit, "sample", "maps", "-n", 2, "--device", "cpu", "--out", "drawn")
    assert "rows that brought coils of their own" in err
    assert not Path("drawn").exists()
    write_kspace("one.h5")
    assert "next: ambientkit sample one\n" in trained(ambientkit, _scan("one.h5")[1], "one", *_scan("one.h5")[2:4])
    status, said, err = ambientkit("sample", "one", "-n", 1, "--steps", 2, "--device", "cpu", "--out", "drawn")
    assert status == 0, (said, err)
