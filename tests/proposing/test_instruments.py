"""What the files of instruments say without being asked: errors per pixel, axes of pages, volumes, fields of view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from astropy.io import fits

from ambientkit.config.datapath import data_spec
from ambientkit.inspection.lone import dead_pixels
from ambientkit.interfaces import Data
from ambientkit.proposing.centred import centred
from ambientkit.proposing.said_errors import said_noise
from ambientkit.proposing.slices import slices_of
from ambientkit.proposing.unmeasured import unmeasured
from ambientkit.readers import Stored
from ambientkit.readers.own_values import own_values
from ambientkit.registry import load
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange

SAID = {"sigma_n": "ERR", "sigma_units": "file"}


def part_of(spec: dict[str, Any]) -> Stored:
    part = load().build(Data, spec)
    assert isinstance(part, Stored)
    return part


def sky(kind: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(values, errors) of 20 pictures of 24 x 24 with a bright star each, electrons."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24]
    light = 150 + rng.uniform(2000, 20_000, (20, 1, 1)) * np.exp(-((y - 11) ** 2 + (x - 13) ** 2) / 6)
    error = np.sqrt(0.5 * light + 49)  # gain 0.5 file units per electron
    if kind == "even":
        error = np.full(light.shape, 30.0) * rng.uniform(0.99, 1.01, light.shape)
    if kind == "flat field":
        error = 10 + 60.0 * (x > 20) + 0 * light
    values = light + error * rng.standard_normal(light.shape)
    if kind == "from the values":
        error = np.sqrt(0.5 * values.clip(0) + 49)
    if kind == "other":
        error = error[:, ::-1]
    return values, error


def written(folder: Path, values: np.ndarray, error: np.ndarray) -> dict[str, Any]:
    for number, (one, level) in enumerate(zip(values, error)):
        units = [fits.ImageHDU(one.astype(np.float32), name="SCI"), fits.ImageHDU(level.astype(np.float32), name="ERR")]
        fits.HDUList([fits.PrimaryHDU(), *units]).writeto(folder / f"{number:02}.fits")
    return {"name": "fits", "path": str(folder), "value_range": [100, 5000]}


@pytest.mark.parametrize("kind", ["counts", "from the values", "even", "flat field", "other"])
def test_errors_that_follow_the_values_are_those_of_counts(tmp_path: Path, kind: str) -> None:
    """Case: every picture was topped up to the error in its brightest star, and restored worse than it was."""
    part = part_of(written(tmp_path, *sky(kind)))
    found = said_noise(part, SAID, own_values(part, 100), load())
    if kind in ("counts", "from the values"):
        counts = found.fields["counts"]
        assert counts["gain"] == pytest.approx(0.5, rel=0.02)
        zero = counts["offset"] - counts["read_std"] ** 2 / counts["gain"]
        assert zero == pytest.approx(-98, abs=6)  # error^2 = 0.5 (value + 98)
        assert set(found.fields) == {"counts"}
    elif kind == "even":
        assert found.fields == {"sigma_n": pytest.approx(30, rel=0.01), "sigma_units": "file"}
    else:
        assert found.fields == SAID
        assert ("7 times the usual one" in " ".join(found.notes)) == (kind == "flat field")


def test_volumes_are_proposed_by_slices_unless_something_else_was_asked_for(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((9, 10, 11), np.float32), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii.gz")
    spec = {"name": "nifti", "path": str(tmp_path)}
    part = part_of(spec)
    shape = own_values(part, 5).rows.shape[1:]
    assert shape == (1, 9, 10, 11)
    fields, reasons = slices_of(part, spec, shape)
    assert fields == {"slices": "z"}
    assert "9 x 10 x 11" in reasons["data", "slices"]
    assert own_values(part_of({**spec, **fields}), 50).rows.shape == (11, 1, 9, 10)
    assert slices_of(part, {**spec, "slices": "none"}, shape) == ({}, {})
    assert slices_of(part, spec, (1, 9, 10)) == ({}, {})
    array = part_of({"name": "array", "path": "rows.npy"})
    assert slices_of(array, {}, shape) == ({}, {})


def test_a_folder_of_tiff_files_that_name_their_pages_is_read_by_pages(tmp_path: Path) -> None:
    for name, axes in (("ome", "TYX"), ("bare", None), ("single", "YX")):
        (tmp_path / name).mkdir()
        frames = np.zeros((8, 8) if name == "single" else (5, 8, 8), np.uint16)
        ome = name == "ome"
        path = tmp_path / name / ("a.ome.tif" if ome else "a.tif")
        tifffile.imwrite(path, frames, metadata={"axes": axes} if ome else None, photometric="minisblack", ome=ome)
    found = {name: data_spec(str(tmp_path / name), load())["name"] for name in ("ome", "bare", "single")}
    assert found == {"ome": "tiff-stack", "bare": "image-folder", "single": "image-folder"}
    (tmp_path / "ome" / "0.tif").write_bytes(b"II*\0")  # a damaged one comes first: the reader says so
    assert data_spec(str(tmp_path / "ome"), load())["name"] == "image-folder"


def test_corners_that_no_row_measures_do_not_count_as_missing_pixels_of_rows(tmp_path: Path) -> None:
    """Case: a series of CT slices with padding around a round field was refused for 14 % of missing values."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:32, :32]
    outside = np.hypot(y - 15.5, x - 15.5) > 16
    rows = rng.normal(100, 5, (30, 32, 32)).astype(np.float32)
    spec = {"name": "array", "path": str(tmp_path / "rows.npy"), "layout": "NHW", "value_range": [80, 120]}
    for more, share in ((0.0, 0.005), (0.03, 0.03), (0.2, None)):
        np.save(tmp_path / "rows.npy", np.where(outside | (rng.random(rows.shape) < more), np.nan, rows))
        part = part_of(spec)
        found = unmeasured(part, spec, own_values(part, 100), 100, load())
        if share is None:
            assert found.missing
        else:
            assert found.corruption == {"name": "mask", "missing": pytest.approx(share, rel=0.1), "allow_unseen": True}


def test_hot_pixels_on_the_rim_of_the_camera_are_found() -> None:
    """Case: 3 of 12 hot pixels were in the outermost lines and columns, and were trained on."""
    rng = np.random.default_rng(2)
    frames = rng.normal(100, 5, (20, 1, 24, 24))
    places = [(0, 0), (0, 7), (9, 23), (12, 12), (23, 4)]
    for line, column in places:
        frames[:, 0, line, column] += 200
    assert dead_pixels(frames) == places


def test_a_range_whose_middle_is_far_from_the_mean_is_moved_there() -> None:
    """Case: the sky around bright stars lay at -0.94 +- 0.02, and restored rows were no better than they were."""
    values, _ = sky("counts")
    counts = {"gain": 0.5, "offset": 0.0, "read_std": 7.0}
    few = values.copy()
    few[2:] = few[2:].clip(max=300)  # stars in two pictures of twenty
    for counted in (counts, None):
        found = [float(end) for end in np.quantile(few, [0.001, 0.9999])]
        moved = centred(found, few, counted)
        assert moved is not None
        mapping = CountRange(*moved[0], **counted) if counted else ValueRange(*moved[0])
        x = mapping.to_unit(few)
        assert abs(float(x.mean())) < 0.02
        assert 0.05 < float(x.std()) < 0.6
    assert centred([100.0, 200.0], np.random.default_rng(0).uniform(100, 200, 999), None) is None
