"""What `ambientkit sample` writes: the units, axes and formats of the data, never clipped unless asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ambientkit.batch import Clean
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.sample import read_samples
from ambientkit.sample.load import load_run
from ambientkit.sample.own_units import OwnUnits
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange, to_uint8
from tests.support.sampling import ok, write_run

WIDE = OwnUnits(ValueRange(0, 4000), "NHW")


def test_samples_are_in_the_units_and_axes_of_the_data_and_never_clipped(sample, tmp_path):
    run = write_run(tmp_path / "run", units=WIDE, values=(0.9,))
    ok(sample(run, "--n", 40, "--out", tmp_path / "own"))
    ok(sample(run, "--n", 40, "--units", "unit", "--out", tmp_path / "unit"))
    own, unit = (np.load(tmp_path / name / "samples.npy") for name in ("own", "unit"))
    assert own.shape == (40, 4, 6)
    assert unit.shape == (40, 1, 4, 6)
    assert own.dtype == np.float32
    np.testing.assert_allclose(own, 2000 + 2000 * unit[:, 0], rtol=1e-6)
    assert own.max() > 4000
    np.testing.assert_allclose(read_samples(tmp_path / "own").numpy(), unit, atol=1e-6)
    np.testing.assert_allclose(read_samples(tmp_path / "unit", [7, 2]).numpy(), unit[[7, 2]])
    ok(sample(run, "--n", 2, "--format", "npz", "--out", tmp_path / "npz"))
    with pytest.raises(InputError, match=r"samples\.npy: is not there; draw with --format npy"):
        read_samples(tmp_path / "npz")
    with pytest.raises(InputError, match=r"samples\.json: cannot be read"):
        read_samples(tmp_path)


def test_a_trained_run_knows_what_its_files_meant(ambientkit, tmp_path):
    noisy = np.random.default_rng(0).normal(500, 100, (64, 6, 6, 3)).astype(np.float32)
    np.save(tmp_path / "rows.npy", noisy)
    setup = [
        "--set",
        "data.value_range=[0,1000]",
        "--set",
        "data.layout=NHWC",
        "--set",
        "model.width=8",
        "--set",
        "model.depth=1",
    ]
    flags = [
        *setup,
        "--device",
        "cpu",
        "--skip-preflight",
        "--end-step",
        2,
        "--sigma-n",
        "0.1",
        "--output-dir",
        tmp_path / "run",
    ]
    assert ambientkit("train", "--data", tmp_path / "rows.npy", *flags)[0] == 0
    trained = load_run(tmp_path / "run", load())
    assert trained.units == OwnUnits(ValueRange(0, 1000), "NHWC")
    assert trained.sigma_n == (pytest.approx(0.1), pytest.approx(0.1))
    status, out, _ = ambientkit("sample", tmp_path / "run", "--n", 3, "--device", "cpu")
    assert status == 0
    assert "values: those of the data (0 and 1000 stand for -1 and 1)" in out
    samples = np.load(tmp_path / "run" / "samples" / "step-00000002-seed-0" / "samples.npy")
    assert samples.shape == (3, 6, 6, 3)
    assert 200 < samples.mean() < 800


def test_units_keep_what_float32_would_round_and_invert_counts_without_bias():
    far = OwnUnits(ValueRange(1e6, 1e6 + 2))
    x = torch.tensor([[0.125, -0.3]])
    assert far.values(x).dtype == np.float64
    np.testing.assert_allclose(far.values(x), 1e6 + 1 + x.double().numpy(), rtol=1e-12)
    counts = OwnUnits(CountRange(0, 200, gain=2.0, offset=10.0, read_std=3.0))
    values = counts.values(torch.linspace(-1, 1, 9).reshape(1, 9))
    np.testing.assert_allclose(values[0], counts.mapping.from_unit(np.linspace(-1, 1, 9)), rtol=1e-5)
    assert OwnUnits.from_plain(json.loads(json.dumps(counts.plain()))) == counts


@pytest.mark.parametrize(
    ("format_", "data"),
    [("hdf5", "hdf5"), ("tiff", "tiff-stack"), ("fits", "fits"), ("nifti", "nifti"), ("npz", "array")],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_format_is_read_back_by_the_data_set_of_that_format(sample, tmp_path, format_, data, channels):
    units = OwnUnits(ValueRange(0, 4000), "NCHW")
    run = write_run(tmp_path / "run", units=units, shape=(channels, 5, 7))
    answer = sample(run, "--n", 3, "--format", format_, "--out", tmp_path / "out")
    if format_ == "nifti" and channels == 3:
        assert answer[0] == 2
        assert "--format nifti holds volumes or pictures of one channel" in answer[2]
        return
    ok(answer)
    ok(sample(run, "--n", 3, "--out", tmp_path / "npy"))
    expected = np.load(tmp_path / "npy" / "samples.npy")
    path = next(iter((tmp_path / "out").glob("samples.[hn]*[5z]")), tmp_path / "out" / "samples")
    fields = {"name": data, "path": str(path), "clean": True, "value_range": [0, 4000]}
    fields |= {"layout": "NCHW"} if format_ in ("npz", "hdf5") else {"planes": "channels"} if format_ == "fits" else {}
    if format_ == "tiff" and channels == 1:
        assert Image.open(path / "00000000.tif").mode == "F"
    rows = load().build("data", fields).rows()
    assert len(rows) == 3
    for index in range(3):
        item = rows[index]
        assert isinstance(item, Clean)
        x_0 = item.x_0.numpy()
        if format_ == "nifti":
            assert x_0.shape == (1, 5, 7)
        np.testing.assert_allclose(2000 + 2000 * x_0, expected[index], rtol=1e-5)


def test_png_files_are_written_when_asked_and_say_that_they_are_clipped(sample, tmp_path):
    run = write_run(tmp_path / "run", units=WIDE, values=(0.9,))
    told = ok(sample(run, "--n", 3, "--format", "png", "--out", tmp_path / "png"))
    assert "clipped to [-1, 1] and rounded" in told
    ok(sample(run, "--n", 3, "--units", "unit", "--out", tmp_path / "npy"))
    expected = to_uint8(np.load(tmp_path / "npy" / "samples.npy"))
    for index in range(3):
        assert (np.asarray(Image.open(tmp_path / "png" / "samples" / f"{index:08}.png")) == expected[index, 0]).all()
