"""Pixels that hold nothing, which nobody named: those that files flag, and those of a camera that are always bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from astropy.io import fits

import ambientkit as ak
from ambientkit.data.run_proposal import RunProposal
from ambientkit.inspection.lone import dead_pixels, hot_lines, stuck_pixels
from ambientkit.interfaces import Data
from ambientkit.proposing.noise import noise_model
from ambientkit.proposing.unmeasured import Unmeasured, unmeasured
from ambientkit.readers import Stored
from ambientkit.readers.own_values import own_values
from ambientkit.registry import load
from tests.inspection.test_photon import camera, scenes

HOT = [(2, 37), (10, 29), (10, 33), (40, 7)]


def frames(hot: bool = True) -> np.ndarray:
    """(40, 48, 48): photons of a camera, some of whose pixels are always bright."""
    rng = np.random.default_rng(3)
    values = camera(rng, scenes(rng, 40), 2.1, 100.0, 4.0)[:, 0]
    for line, column in HOT if hot else []:
        values[:, line, column] += rng.normal(300, 20, 40)
    return values


def what_becomes_of(spec: dict[str, Any]) -> Unmeasured:
    part = load().build(Data, spec)
    assert isinstance(part, Stored)
    return unmeasured(part, spec, own_values(part, 100), 100, load())


@pytest.fixture
def camera_files(tmp_path: Path) -> dict[str, Any]:
    np.save(tmp_path / "frames.npy", frames().round().astype(np.uint16))
    return {"name": "array", "path": str(tmp_path / "frames.npy"), "layout": "NHW", "value_range": [90, 400]}


def test_hot_pixels_are_named_and_trained_around(camera_files: dict[str, Any]) -> None:
    found = what_becomes_of(camera_files)
    assert found.fields == {"dead": [list(one) for one in HOT], "missing": "mask"}
    assert found.corruption == {"name": "mask", "missing": 0.005, "allow_unseen": True}
    assert np.isnan(found.values.rows).sum() == 40 * len(HOT)
    noise = noise_model(found.values.rows)
    assert noise.fields["counts"]["gain"] == pytest.approx(2.1, rel=0.1)
    written = RunProposal({"data": {**camera_files, **found.fields}}, {}).yaml()
    assert "dead: [[2, 37], [10, 29], [10, 33], [40, 7]]\n" in written


def test_columns_that_hold_one_value_are_named_and_trained_around(tmp_path: Path) -> None:
    """Cases: dead columns of a camera (0 and 4095), and a gap between modules (-1), were called clipped values."""
    values = frames().round().clip(0, 4095).astype(np.int32)
    values[:, :, 17], values[:, :, 40:42] = 0, 4095
    values[:, 30] = -1
    values[:, 5, 6] = 77
    np.save(tmp_path / "frames.npy", values)
    spec = {"name": "array", "path": str(tmp_path / "frames.npy"), "layout": "NHW", "value_range": [90, 400]}
    found = what_becomes_of(spec)
    lines = [["*", 17], ["*", 40], ["*", 41], [30, "*"]]
    assert found.fields["dead"][:5] == [*lines, [5, 6]]
    assert sorted(found.fields["dead"][5:]) == [list(one) for one in HOT if one[1] < 40]  # beside the columns, too
    gone = 4 * 48 - 3 + 1 + len(HOT)
    assert np.isnan(found.values.rows).sum() == 40 * gone
    assert "190 pixels hold the same value in every row" in found.reasons["data", "dead"]
    assert noise_model(found.values.rows).fields["counts"]["gain"] == pytest.approx(2.1, rel=0.1)
    text = RunProposal({"data": {**spec, **found.fields}}, {}).yaml()
    assert yaml.safe_load(text)["data"]["dead"] == found.fields["dead"]


def test_honest_values_that_stay_are_no_stuck_pixels() -> None:
    rng = np.random.default_rng(5)
    faint = rng.poisson(np.full((40, 1, 48, 48), 0.1))  # some pixels have no count in any row
    assert (faint == 0).all(0).any()
    assert stuck_pixels(faint) == []
    assert stuck_pixels(np.full((40, 1, 8, 8), 3.0)) == []
    noisy = rng.normal(100, 5, (7, 1, 16, 16)).round()
    noisy[:, :, 3] = 0
    assert stuck_pixels(noisy) == []  # too few rows to say so
    assert len(stuck_pixels(np.concatenate([noisy, noisy]))) == 16
    colours = rng.normal(100, 5, (20, 3, 16, 16))
    colours[:, 1, 2, 5] = 255
    assert stuck_pixels(colours) == [(2, 5)]
    assert stuck_pixels(np.where(colours == 255, np.nan, colours)) == []


def test_bright_things_that_move_and_noise_are_no_dead_pixels() -> None:
    clean = frames(hot=False)[:, None]
    assert dead_pixels(clean) == []
    rng = np.random.default_rng(4)
    rays = clean + 400 * (rng.random(clean.shape) < 0.002)
    assert dead_pixels(rays) == []
    assert dead_pixels(np.zeros((5, 1, 48, 48))) == []
    assert dead_pixels(clean[:2]) == []


@pytest.mark.parametrize("along", ["columns", "lines"])
@pytest.mark.parametrize(("amount", "found"), [(0, False), (6, False), (30, True), (-30, True), (400, True)])
def test_a_column_or_line_that_stands_out_throughout_is_hot_although_it_is_noisy(along, amount, found) -> None:
    """Case: a hot column whose values change from row to row was trained on as a thing of the pictures."""
    rng = np.random.default_rng(3)
    values = frames(hot=False)[:24, None].astype(float)
    values[..., 17] += amount + np.sqrt(abs(amount)) * rng.standard_normal(values[..., 17].shape)
    values[..., 0] += 500  # the outermost is an edge
    seen = values if along == "columns" else values.swapaxes(-1, -2)
    assert hot_lines(seen) == ([("*", 17) if along == "columns" else (17, "*")] if found else [])
    assert hot_lines(seen[:7]) == []  # too few rows to say so


def test_edges_gratings_and_lines_that_end_are_no_hot_columns() -> None:
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((16, 1, 40, 48))
    step = np.where(np.arange(48) < 20, 0.0, 50.0)
    grating = 50 * (np.arange(48) % 4 == 0)
    short = 50 * (np.arange(48) == 20) * (np.arange(40) < 34)[:, None]
    for picture in (step, grating, short):
        assert hot_lines(noise + picture) == []
    holes = noise + 50 * (np.arange(48) == 20)
    assert hot_lines(holes) == [("*", 20)]
    holes[:, :, :10] = np.nan
    assert hot_lines(holes) == [("*", 20)]
    holes[:, :, :30] = np.nan
    assert hot_lines(holes) == []


def test_a_hot_column_is_proposed_as_dead_and_violates_the_model_where_it_is_not_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    values = frames(hot=False).astype(float)
    values[:, :, 17] += np.random.default_rng(5).normal(60, 8, values[:, :, 17].shape)
    np.save(tmp_path / "a.npy", np.round(values).astype(np.uint16))
    found = ak.inspect(tmp_path / "a.npy", write=tmp_path / "run.yaml")
    assert found.proposal.config["data"]["dead"] == [["*", 17]]
    assert "1 columns or lines stand out" in found.proposal.reasons["data", "dead"]
    assert not found.violated
    data = {"name": "array", "path": str(tmp_path / "a.npy"), "value_range": [90, 400], "sigma_n": 0.1}
    tails = next(one for one in ak.inspect(data).findings if one.name == "tails")
    assert tails.reason.startswith("column 17 (from 0) stand")


def test_the_search_for_hot_pixels_goes_on_beside_a_constant_that_stands_for_nothing(tmp_path, monkeypatch) -> None:
    """Case: a value of -9999 ended it, and the run was refused for lone pixels, or trained on them."""
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    values = frames().round()
    values[:, :, 20] = 250
    values = np.where(np.random.default_rng(6).random(values.shape) < 0.02, -9999, values)
    np.save(tmp_path / "a.npy", values.astype(np.int16))
    found = ak.inspect(tmp_path / "a.npy", write=tmp_path / "run.yaml")
    data = found.proposal.config["data"]
    assert data["missing"] == -9999
    assert data["dead"] == [["*", 20], *map(list, HOT)]
    assert found.proposal.config["corruption"]["allow_unseen"]
    given = {"name": "array", "path": str(tmp_path / "a.npy"), "layout": "NHW", "missing": -9999, "dead": [["*", 20]]}
    also = what_becomes_of(given)
    assert also.fields == {"dead": [["*", 20], *map(list, HOT)], "missing": -9999}
    assert also.reasons["data", "missing"].startswith("Given with the data")


@pytest.mark.parametrize("share", [0.02, 0.4])
def test_flags_of_files_are_found_and_used_where_enough_is_left(tmp_path: Path, share: float) -> None:
    """Case: rows with an extension DQ were called clipped, by the values under the flags."""
    rng = np.random.default_rng(5)
    for number, values in enumerate(frames(hot=False)[:12].astype(np.float32)):
        flags = np.where(rng.random(values.shape) < share, 4, 0).astype(np.int16)
        values[flags > 0] = 65000
        units = [fits.PrimaryHDU(), fits.ImageHDU(values, name="SCI"), fits.ImageHDU(flags, name="DQ")]
        fits.HDUList(units).writeto(tmp_path / f"{number}.fits")
    found = what_becomes_of({"name": "fits", "path": str(tmp_path), "value_range": [90, 400]})
    if share == 0.02:
        assert found.fields == {"flags": "DQ", "missing": "mask"}
        assert found.corruption == {"name": "mask", "missing": pytest.approx(0.02, rel=0.1)}
        assert np.nanmax(found.values.rows) < 1000
        assert found.reasons["data", "flags"].startswith("Every file flags pixels in DQ")
    else:  # the noise between so many gaps is not found on them, but may be declared
        assert found.missing[0].startswith("the noise of what was measured")
        assert "counts: {gain, offset, read_std}" in found.missing[0]
        counts = {"gain": 2.1, "offset": 100, "read_std": 4}
        found = what_becomes_of({"name": "fits", "path": str(tmp_path), "value_range": [90, 400], "counts": counts})
        assert found.fields == {"flags": "DQ", "missing": "mask"}
        assert found.corruption == {"name": "mask", "missing": pytest.approx(0.4, rel=0.1)}


@pytest.mark.parametrize(
    "declared", [{"missing": "mask"}, {"missing": "mask", "dead": [[5, 5]]}, {}], ids=["mask", "dead", "nothing"]
)
@pytest.mark.parametrize("form", ["npy", "tiff"])
def test_a_run_is_proposed_for_declared_counts_with_many_missing_pixels(
    form, declared, tmp_path: Path, monkeypatch
) -> None:
    """Case: rows declared as counts with a mask were asked for --sigma-n, or got a run without the corruption mask."""
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    rng = np.random.default_rng(6)
    values = frames(hot=False)[:12].astype(np.float32)
    values[rng.random(values.shape) < 0.35] = np.nan
    path = tmp_path / ("a.npy" if form == "npy" else "a.tif")
    if form == "npy":
        np.save(path, values)
    else:
        tifffile.imwrite(path, values, metadata={"axes": "TYX"})
    counts = {"gain": 2.1, "offset": 100.0, "read_std": 4.0}
    spec = {"name": "array" if form == "npy" else "tiff-stack", "path": str(path), "counts": counts, **declared}
    found = ak.inspect({**spec, "value_range": [90, 400]}, write=tmp_path / "run.yaml")
    assert found.proposal is not None
    assert found.proposal.missing == (), found.proposal.missing
    config = ak.configure(config=tmp_path / "run.yaml", model={"name": "mlp", "width": 8, "depth": 1}, end_step=1)
    assert config.corruption.name == "mask"
    assert config.corruption.missing == pytest.approx(0.35, abs=0.01)
    assert config.corruption.allow_unseen == ("dead" in declared)
    assert config.data.counts.gain == 2.1
    assert [step.step for step in ak.steps(ak.build(config))] == [1]


def test_frames_of_a_scene_show_the_noise_of_rows_with_many_missing_pixels(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    rng = np.random.default_rng(7)
    values = frames(hot=False)[:12].astype(np.float32)
    values[rng.random(values.shape) < 0.35] = np.nan
    np.save(tmp_path / "a.npy", values)
    light = scenes(rng, 1)
    np.save(tmp_path / "repeats.npy", np.concatenate([camera(rng, light, 2.1, 100.0, 4.0)[:, 0] for _ in range(16)]))
    found = ak.inspect(tmp_path / "a.npy", repeats=[tmp_path / "repeats.npy"], write=tmp_path / "run.yaml")
    assert found.proposal is not None
    assert found.proposal.missing == (), found.proposal.missing
    proposed = yaml.safe_load((tmp_path / "run.yaml").read_text())
    assert proposed["data"]["missing"] == "mask"
    assert proposed["data"]["counts"]["gain"] == pytest.approx(2.1, rel=0.2)
    assert proposed["corruption"] == {"name": "mask", "missing": pytest.approx(0.35, abs=0.01)}


def test_few_rows_with_missing_pixels_are_left_out_and_whole_ones_stay_as_they_are(camera_files, tmp_path) -> None:
    values = frames(hot=False).astype(np.float32)
    np.save(camera_files["path"], values)
    assert what_becomes_of(camera_files)[2:] == ({}, None, {}, ())
    values[3, 5, 5] = np.nan
    np.save(camera_files["path"], values)
    assert what_becomes_of(camera_files).fields == {"on_bad_file": "skip"}


def test_the_line_of_the_noise_is_the_same_with_gaps() -> None:
    rows = frames(hot=False)[:, None]
    gaps = np.where(np.random.default_rng(6).random(rows.shape) < 0.01, np.nan, rows)
    whole, seen = noise_model(rows).photon, noise_model(gaps).photon
    assert whole is not None
    assert seen is not None
    assert seen.gain == pytest.approx(whole.gain, abs=3 * whole.gain_error)
    assert 0.4 * whole.blocks < seen.blocks < 0.8 * whole.blocks


def test_a_channel_without_light_shares_the_gain_of_the_others_if_its_noise_is_theirs() -> None:
    """Case: of two channels, one dark, the gains were 2.19 and -0.166, and nothing was proposed."""
    rng = np.random.default_rng(7)
    light = scenes(rng, 40)
    for read, shared in ((4.0, True), (9.0, False)):
        dark = 100 + read * rng.standard_normal(light.shape)
        found = noise_model(np.concatenate([camera(rng, light, 2.1, 100.0, 4.0), dark], 1))
        assert ("counts" in found.fields) == shared, found.missing
