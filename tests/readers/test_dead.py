"""Pixels of a camera that hold nothing: missing in every row, whatever the format, and not in the way of anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import ambientkit as ak
from ambientkit.builtin.data.array import Array
from ambientkit.builtin.data.image_folder import ImageFolder
from ambientkit.errors import InputError
from ambientkit.readers.own_values import own_values

SHAPES = {"NHW": (6, 8, 9), "NCHW": (6, 2, 8, 9), "NHWC": (6, 8, 9, 2)}


@pytest.mark.parametrize("layout", SHAPES)
def test_a_dead_pixel_is_missing_in_all_channels_of_every_row(tmp_path: Path, layout: str) -> None:
    values = np.random.default_rng(0).integers(100, 200, SHAPES[layout]).astype(np.uint16)
    np.save(tmp_path / "rows.npy", values)
    fields = {"path": tmp_path / "rows.npy", "layout": layout, "value_range": (0, 300), "sigma_n": 0.1}
    whole = Array(**fields).rows()
    dead = Array(**fields, dead=((2, 3), (7, 0), ("*", 5), (4, "*")), missing="mask").rows()
    assert dead.stored == "uint16"
    hole = np.zeros((8, 9), bool)
    hole[2, 3] = hole[7, 0] = hole[:, 5] = hole[4] = True
    for row in range(6):
        assert np.array_equal(dead[row].cond["mask"].numpy(), np.broadcast_to(~hole, dead[row].x_n.shape))
        assert np.array_equal(dead[row].x_n.numpy(), np.where(hole, 0, whole[row].x_n.numpy()))


def test_counts_may_have_missing_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "rows.npy", (2.0 * rng.poisson(50, (6, 8, 8)) + 100).astype(np.uint16))
    fields = {
        "path": tmp_path / "rows.npy",
        "layout": "NHW",
        "value_range": (110, 300),
        "counts": {"gain": 2.0, "offset": 100.0},
    }
    part = Array(**fields, dead=((1, 1),), missing="mask")
    row = part.rows()[0]
    assert float(row.sigma_n) == pytest.approx(Array(**fields).rows()[0].sigma_n)
    assert int((~row.cond["mask"]).sum()) == 1
    assert np.isnan(own_values(part, 6).rows).sum() == 6


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"dead": (("*", 8),)}, r"dead names \(\*, 8\), which is outside rows"),
        ({"dead": ((8, 0),)}, r"dead names \(8, 0\), which is outside rows of \(8, 8\)"),
        ({"dead": ((0, 0),), "missing": "refuse"}, "dead pixels are missing: give missing: mask"),
    ],
)
def test_dead_pixels_that_make_no_sense_are_refused(tmp_path: Path, fields: dict, told: str) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((4, 8, 8), np.float32))
    with pytest.raises((InputError, ValueError), match=told):
        Array(**{"path": tmp_path / "rows.npy", "layout": "NHW", "sigma_n": 0.1, "missing": "mask", **fields}).rows()


def test_results_are_files_like_the_input_and_files_that_are_left_out_stay_so(tmp_path: Path, caplog) -> None:
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    data.mkdir()
    for number in range(6):
        picture = 150 + 20 * np.mgrid[:8, :8][number % 2] + rng.normal(0, 30, (8, 8))
        tifffile.imwrite(data / f"{number}.tif", picture.round().astype(np.uint16))
    (data / "3.tif").write_bytes(b"")
    fields = {"path": data, "dead": ((2, 3),), "missing": "mask", "value_range": (20, 420), "sigma_n": 0.15}
    rows = ImageFolder(**fields, on_bad_file="skip").rows()
    assert len(rows) == 5
    assert ["3.tif" in one for one in rows.left_out] == [True]
    assert rows.blocks is None
    run = ak.train(
        {"name": "image-folder", **fields, "path": str(data), "on_bad_file": "skip"},
        **{"corruption": {"name": "mask", "missing": 0.02, "allow_unseen": True}, "skip_preflight": True},
        **{"model": {"name": "mlp", "width": 8, "depth": 1}, "end_step": 1, "batch_size": 2, "sample_n": 1},
        **{"device": "cpu", "output_dir": tmp_path / "run", "hold_out": 0},
    )
    with caplog.at_level("INFO", "ambientkit"):
        run.restore(run.config.data, draws=0, out=tmp_path / "out")
        run.restore(run.config.data, n=1, draws=1, steps=1)
        assert "its mean given the drawn ones" not in caplog.text  # few are missing: one particle draws them
        assert "take the mean as the estimate" in caplog.text
        run.restore(run.config.data, n=1, draws=1, steps=1, particles=0)
    assert "1 pixels hold nothing in any row (dead)" in caplog.text
    assert caplog.text.count("a missing value is its mean given the drawn ones") == 1
    assert sorted(path.name for path in (tmp_path / "out" / "mean").iterdir()) == [f"{i}.tif" for i in (0, 1, 2, 4, 5)]
