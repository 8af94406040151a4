"""Restored rows that are a part of what their file holds: axes, sizes and names say what is there, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from astropy.io import fits

from tests.support.sampling import ok, write_run


@pytest.fixture
def restore(sample, tmp_path):
    """Restores the first rows of a path; returns the folder of the posterior means."""

    def run(name, path, *options, fields="", shape=(1, 8, 8)):
        folder = write_run(tmp_path / "run", shape=shape)
        data = f"{name}{{path: {path}, value_range: [0, 800], sigma_n: 0.3{fields}}}"
        more = ("--draws", 0, "--steps", 2, "--out", tmp_path / "out")
        ok(sample(folder, "--from", data, *more, *options))
        return tmp_path / "out" / "mean"

    return run


def stack(*shape):
    return np.random.default_rng(0).integers(0, 800, shape).astype(np.uint16)


@pytest.mark.parametrize("axes", ["TZCYX", "CTZYX", "TCZYX"])
def test_whole_steps_of_an_ome_series_keep_axes_and_pixel_sizes(restore, tmp_path, axes):
    """Case: the first 5 of 20 times of two channels came back as one time of ten channels."""
    sizes = {"T": 4, "Z": 3, "C": 2, "Y": 8, "X": 8}
    values = stack(*(sizes[name] for name in axes))
    metadata = {"axes": axes, "PhysicalSizeX": 0.11, "Channel": {"Name": ["GFP", "mCherry"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", values, photometric="minisblack", metadata=metadata)
    mean = restore("tiff-stack", tmp_path / "a.ome.tif", "-n", 6, shape=(2, 8, 8))
    with tifffile.TiffFile(mean / "a.ome.tif") as new:
        assert (new.series[0].axes, new.series[0].shape) == (axes, tuple({**sizes, "T": 2}[name] for name in axes))
        found = np.moveaxis(new.asarray(), [axes.index(name) for name in "TCZYX"], range(5))
        pixels = tifffile.xml2dict(new.ome_metadata)["OME"]["Image"]["Pixels"]
    old = np.moveaxis(values, [axes.index(name) for name in "TCZYX"], range(5))[:2].astype(float)
    assert np.corrcoef(found.ravel(), old.ravel())[0, 1] > 0.9999
    assert pixels["PhysicalSizeX"] == 0.11
    assert [channel["Name"] for channel in pixels["Channel"]] == ["GFP", "mCherry"]


def test_rows_that_are_no_whole_steps_are_pages_without_axes(restore, tmp_path):
    values = stack(4, 3, 2, 8, 8)
    tifffile.imwrite(tmp_path / "a.ome.tif", values, photometric="minisblack", metadata={"axes": "TZCYX"})
    mean = restore("tiff-stack", tmp_path / "a.ome.tif", "-n", 4, shape=(2, 8, 8))
    with tifffile.TiffFile(mean / "a.ome.tif") as new:
        assert not new.is_ome
        assert len(new.pages) == 8


def test_an_imagej_stack_keeps_the_labels_of_what_is_there(restore, tmp_path):
    metadata = {"axes": "TCYX", "unit": "um", "Labels": [f"page {k}" for k in range(8)]}
    tifffile.imwrite(tmp_path / "a.tif", stack(4, 2, 8, 8), imagej=True, resolution=(5, 5), metadata=metadata)
    mean = restore("tiff-stack", tmp_path / "a.tif", "-n", 3, shape=(2, 8, 8))
    with tifffile.TiffFile(mean / "a.tif") as new:
        assert new.is_imagej
        assert (new.series[0].axes, new.series[0].shape) == ("TCYX", (3, 2, 8, 8))
        assert new.imagej_metadata["Labels"] == [f"page {k}" for k in range(6)]
        assert new.imagej_metadata["unit"] == "um"


@pytest.mark.parametrize("kind", ["plain", "imagej"])
def test_single_pictures_keep_pixel_size_and_description(restore, tmp_path, kind):
    """Case: a micrograph lost its pixel size and what was written in it."""
    (tmp_path / "em").mkdir()
    more = {"description": "HAADF 300 kV", "metadata": None} if kind == "plain" else {"imagej": True}
    tifffile.imwrite(tmp_path / "em" / "a.tif", stack(8, 8), resolution=(4, 4), resolutionunit=3, **more)
    mean = restore("image-folder", tmp_path / "em")
    with tifffile.TiffFile(mean / "a.tif") as new:
        assert new.pages[0].resolution == (4, 4)
        assert new.pages[0].dtype == np.float32
        assert (new.pages[0].description == "HAADF 300 kV") if kind == "plain" else new.is_imagej


def test_planes_of_a_cube_keep_its_axes_of_one_point(restore, tmp_path):
    image = fits.PrimaryHDU(stack(1, 6, 8, 8))
    image.header["CTYPE4"] = "STOKES"
    image.writeto(tmp_path / "cube.fits")
    mean = restore("fits", tmp_path / "cube.fits", "-n", 2, fields=", planes: rows")
    assert fits.getdata(mean / "cube.fits").shape == (1, 2, 8, 8)


def write_plate(path, form=2, wells=("A/1", "A/2", "B/1")):
    """A plate of OME-Zarr with two fields in each well, of two levels; returns the values, in the order of the
    paths."""
    said = (lambda **what: {"ome": {"version": "0.5", **what}}) if form == 3 else (lambda **what: what)
    plate = zarr.open_group(str(path), mode="w", zarr_format=form)
    plate.attrs.update(said(plate={"name": "drugs", "wells": [{"path": path} for path in wells]}))
    values = np.random.default_rng(1).integers(1, 800, (len(wells), 2, 3, 1, 8, 8)).astype(np.uint16)
    for number, name in enumerate(wells):
        well = plate.require_group(name)
        well.attrs.update(said(well={"images": [{"path": "0"}, {"path": "1"}]}))
        for field in (0, 1):
            image = well.create_group(str(field))
            axes = [{"name": name} for name in "tcyx"]
            image.attrs.update(said(multiscales=[{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]))
            for level in "01":
                array = image.create_array(level, shape=(3, 1, 8, 8), chunks=(1, 1, 8, 8), dtype="uint16")
                array[:] = values[number, field]
    return values


def test_a_plate_of_ome_zarr_names_the_image_that_was_restored(restore, tmp_path):
    """Case: the plate of the results named wells and fields that are not there."""
    write_plate(tmp_path / "plate.zarr")
    mean = restore("zarr", tmp_path / "plate.zarr", fields=", key: A/2/1")
    found = zarr.open_group(str(mean / "plate.zarr"), mode="r")
    assert found.attrs["plate"] == {"name": "drugs", "wells": [{"path": "A/2"}]}
    assert found["A/2"].attrs["well"] == {"images": [{"path": "1"}]}
    assert [one["path"] for one in found["A/2/1"].attrs["multiscales"][0]["datasets"]] == ["0"]
    assert found["A/2/1/0"].shape == (3, 1, 8, 8)


@pytest.mark.parametrize("form", [2, 3])
def test_all_fields_of_a_plate_or_a_well_are_rows_and_come_back_as_fields(restore, tmp_path, form):
    """Case: a plate of 4 fields had to be trained on field by field."""
    values = write_plate(tmp_path / "plate.zarr", form).astype(float)
    mean = restore("zarr", tmp_path / "plate.zarr", fields=", images: all, key: A")
    found = zarr.open_group(str(mean / "plate.zarr"), mode="r")
    said = dict(found.attrs)
    assert (said.get("ome") or said)["plate"]["wells"] == [{"path": "A/1"}, {"path": "A/2"}]
    well = dict(found["A/2"].attrs)
    assert (well.get("ome") or well)["well"] == {"images": [{"path": "0"}, {"path": "1"}]}
    assert sorted(found["A/2"]) == ["0", "1"]
    for number, name in enumerate(("A/1", "A/2")):
        for field in (0, 1):
            new = found[f"{name}/{field}/0"][:]
            assert np.corrcoef(new.ravel(), values[number, field].ravel())[0, 1] > 0.9999
    assert "B" not in found


def test_a_plate_is_restored_whole_or_not_like_its_files(sample, tmp_path):
    write_plate(tmp_path / "plate.zarr")
    data = f"zarr{{path: {tmp_path / 'plate.zarr'}, images: all, value_range: [0, 800], sigma_n: 0.3}}"
    folder = write_run(tmp_path / "run", shape=(1, 8, 8))
    status, _, err = sample(folder, "--from", data, "-n", 4, "--draws", 0, "--steps", 2, "--out", tmp_path / "out")
    assert status == 2
    assert "its 6 images have 18 rows, and this would be 4" in err
    assert "--n 18" in err


def test_a_folder_of_zarr_folders_comes_back_as_one(restore, tmp_path):
    """Case: a folder of OME-Zarr images was taken for a folder of pictures that holds none."""
    (tmp_path / "runs" / "day2").mkdir(parents=True)
    values = [stack(5, 8, 8) + 1, stack(2, 8, 8) + 3]
    for name, one in zip(("b.zarr", "day2/a.zarr"), values, strict=True):
        array = zarr.create_array(str(tmp_path / "runs" / name), shape=one.shape, chunks=(1, 8, 8), dtype=one.dtype)
        array[:] = one
        array.attrs["camera"] = name
    mean = restore("zarr", tmp_path / "runs", "-n", 6)
    for name, one, rows in zip(("b.zarr", "day2/a.zarr"), values, (5, 1), strict=True):
        new = zarr.open_array(str(mean / name), mode="r")
        assert new.attrs["camera"] == name
        assert np.corrcoef(new[:].ravel(), one[:rows].astype(float).ravel())[0, 1] > 0.9999
