"""What files say about their numbers and axes: it is heard, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ambientkit.errors import InputError
from tests.support.formats import open_rows, rows

BYTES = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
"""Half of them 128 or more."""


def refused(spec: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        open_rows(spec, **{"clean": True, **fields})
    return str(caught.value)


def hdf5(file: Path, x: Any, attributes: dict[str, Any], names: tuple[str, ...] = ()) -> dict[str, Any]:
    h5py = pytest.importorskip("h5py")
    with h5py.File(file, "w") as opened:
        array = opened.create_dataset("x", data=x)
        array.attrs.update(attributes)
        for axis, name in zip(array.dims, names):
            axis.label = name
    return {"name": "hdf5", "path": str(file)}


def zarr(folder: Path, x: Any, attributes: dict[str, Any], names: tuple[str, ...] = ()) -> dict[str, Any]:
    library = pytest.importorskip("zarr")
    version = 3 if names else 2
    array = library.create_array(
        str(folder), shape=x.shape, dtype=x.dtype, chunks=x.shape, dimension_names=names or None, zarr_format=version
    )
    array[:] = x
    array.attrs.update(attributes)
    return {"name": "zarr", "path": str(folder)}


@pytest.mark.parametrize("make", [hdf5, zarr])
@pytest.mark.parametrize("said", ["true", "True"])
def test_whole_numbers_that_an_attribute_takes_the_sign_from_are_refused(make: Any, said: str, tmp_path: Path) -> None:
    spec = make(tmp_path / "x.zarr", BYTES.view(np.int8), {"_Unsigned": said})
    assert "its attribute _Unsigned says" in refused(spec, value_range=[0, 255])
    spec = make(tmp_path / "y.zarr", BYTES.view(np.int8), {"_Unsigned": "false"})
    assert len(open_rows(spec, clean=True, value_range=[-128, 127])) == 6


@pytest.mark.parametrize("make", [hdf5, zarr])
def test_a_valid_range_that_is_not_applied_is_told(make: Any, tmp_path: Path, caplog: Any) -> None:
    open_rows(make(tmp_path / "x.zarr", rows()[:, 0], {"valid_min": -1.0, "valid_max": 1.5}), clean=True)
    assert "the attributes valid_min = -1.0, valid_max = 1.5 are not applied" in caplog.text


@pytest.mark.parametrize("make", [hdf5, zarr])
def test_axes_with_names_that_contradict_the_layout_by_lengths_are_refused(make: Any, tmp_path: Path) -> None:
    x = np.moveaxis(rows()[:, 0], 0, -1)  # (12, 10, 5): rows of 10 x 5 by their lengths
    told = refused(make(tmp_path / "a.zarr", x, {}, ("y", "x", "time")))
    assert "its axes are named (y, x, time)" in told
    assert "layout NHW would take y for rows" in told
    assert "give layout: NHW if it is meant so" in told
    few = np.stack([rows()[:, 0]] * 3, 1)  # (5, 3, 12, 10)
    assert "would take time for channels" in refused(make(tmp_path / "b.zarr", few, {}, ("sample", "time", "y", "x")))
    assert "would take Band for rows" in refused(make(tmp_path / "c.zarr", few, {}, ("Band", "c", "y", "x")))
    for names in (("time", "band", "lat", "lon"), ("any", "", "y", "x"), ("z", "c", "u", "v")):
        assert len(open_rows(make(tmp_path / f"{names[0]}.zarr", few, {}, names), clean=True)) == 5
    spec = make(tmp_path / "d.zarr", x, {}, ("y", "x", "time"))
    assert len(open_rows(spec, clean=True, layout="NHW")) == 12


def test_axes_that_xarray_and_netcdf_name_are_heard(tmp_path: Path) -> None:
    x = np.moveaxis(rows()[:, 0], 0, -1)
    assert "(y, x, time)" in refused(zarr(tmp_path / "a.zarr", x, {"_ARRAY_DIMENSIONS": ["y", "x", "time"]}))
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.nc", "w") as opened:
        opened["x"] = x
        for axis, name in enumerate(("lat", "lon", "time")):
            opened[name] = np.arange(x.shape[axis])
            opened[name].make_scale(name)
            opened["x"].dims[axis].attach_scale(opened[name])
    assert "its axes are named (lat, lon, time)" in refused({"name": "hdf5", "path": str(tmp_path / "a.nc")})
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.nc").rename(tmp_path / "folder" / "a.h5")
    told = refused({"name": "array-folder", "path": str(tmp_path / "folder"), "key": "x"})
    assert "a.h5: its axes are named (lat, lon, time)" in told


@pytest.mark.parametrize("order", ["<", ">"])
def test_bytes_without_sign_of_imod_are_refused(order: str, tmp_path: Path) -> None:
    mrcfile, file = pytest.importorskip("mrcfile"), tmp_path / "a.mrcs"
    with mrcfile.new(file) as new:
        new.set_data(BYTES.view(np.int8).astype(f"{order}i1"))
        new.set_image_stack()
    spec = {"name": "mrc", "path": str(file), "value_range": [-128, 127]}
    stored = bytearray(file.read_bytes())
    if order == ">":  # mrcfile writes bytes in native order: turn the header's numbers
        stored[:96] = np.frombuffer(bytes(stored[:96]), "<i4").astype(">i4").tobytes()
        stored[108:112] = np.array([20141], ">i4").tobytes()
        stored[212:216] = b"\x11\x11\0\0"
    for mark, flags, good in ((1146047817, 0, False), (1146047817, 2, False), (1146047817, 1, True), (0, 0, True)):
        stored[152:160] = np.array([mark, flags], f"{order}i4").tobytes()
        file.write_bytes(stored)
        if good:
            found = open_rows(spec, clean=True)[0].x_0[0]
            assert torch.allclose(found, torch.from_numpy(BYTES.view(np.int8)[0] / 127.5 + 0.5 / 127.5).float())
        else:
            assert "a.mrcs: its bytes are without sign" in refused(spec)


def test_dicom_pixels_that_do_not_lie_in_the_lowest_bits_are_refused(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    slide = pydicom.dcmread(str(get_testdata_file("MR_small.dcm")))
    slide.BitsStored, slide.HighBit = 12, 15
    slide.PixelData = (slide.pixel_array.astype(np.uint16) << 4).tobytes()
    slide.save_as(tmp_path / "a.dcm")
    spec = {"name": "dicom", "path": str(tmp_path), "value_range": [0, 4095]}
    assert "a.dcm: the highest of its 12 bits is bit 15" in refused(spec)


def test_pages_that_are_stored_turned_are_refused(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    spec = {"name": "tiff-stack", "path": str(tmp_path / "a.tif")}
    for orientation in (1, 6):
        told = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(tmp_path / "a.tif", rows()[0, 0], photometric="minisblack", extratags=told)
        if orientation == 1:
            assert len(open_rows(spec, clean=True)) == 1
        else:
            assert "a.tif: its pixels are stored turned or mirrored (Orientation 6)" in refused(spec)
