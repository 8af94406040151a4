"""Pixels that were never measured are missing: read as NaN, named, and never a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambientkit.errors import InputError
from tests.support.formats import array, open_rows, rows

RNG = np.random.default_rng(0)


def counts(n: int = 6) -> np.ndarray:
    """(n, 12, 10): whole numbers of 500 to 3000."""
    return RNG.integers(500, 3000, (n, 12, 10))


def fits(folder: Path, packed: bool) -> dict[str, Any]:
    """uint16 by BZERO, as cameras write it; three pixels of file 2 hold BLANK."""
    module = pytest.importorskip("astropy.io.fits")
    folder.mkdir()
    for i, values in enumerate(counts()):
        raw = (values - 32768).astype(np.int16)
        if i == 2:
            raw[5, 5:8] = -32768
        unit = module.CompImageHDU(raw, compression_type="RICE_1") if packed else module.PrimaryHDU(raw)
        file = folder / f"{i}.fits"
        module.HDUList([module.PrimaryHDU(), unit] if packed else [unit]).writeto(file)
        with module.open(
            file, mode="update", disable_image_compression=True, do_not_scale_image_data=True, ignore_blank=True
        ) as units:
            for key, value in (("BZERO", 32768), ("BSCALE", 1), ("BLANK", -32768)):
                units[-1].header[key] = value
    return {"name": "fits", "path": str(folder), "value_range": [0, 5000]}


def dicom(folder: Path, value: int = -2000, limit: int | None = None) -> dict[str, Any]:
    """CT with padding in file 2."""
    pydicom = pytest.importorskip("pydicom")
    folder.mkdir()
    for i, values in enumerate(counts()):
        raw = values.astype(np.int16)
        if i == 2:
            raw[5, 5:8] = [value, value, value if limit is None else (value + limit) // 2]
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid()
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 12, 10, 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.RescaleSlope, data.RescaleIntercept, data.PixelPaddingValue = 1, -1024, value
        if limit is not None:
            data.PixelPaddingRangeLimit = limit
        data.PixelData = raw.tobytes()
        data.save_as(folder / f"{i}.dcm", enforce_file_format=True)
    return {"name": "dicom", "path": str(folder), "value_range": [-1024, 3071]}


def with_dead_pixels(dtype: str) -> np.ndarray:
    """Three pixels of row 2 hold the largest number of the type."""
    values = counts().astype(dtype)
    values[2, 5, 5:8] = np.iinfo(dtype).max
    return values


def hdf5(folder: Path, **options: Any) -> dict[str, Any]:
    """A detector's file."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder.with_suffix(".h5"), "w") as file:
        file.create_dataset("x", data=options.pop("data"), fillvalue=options.pop("fillvalue", None))
        file["x"].attrs.update(options)
    return {"name": "hdf5", "path": str(folder.with_suffix(".h5")), "layout": "NHW", "value_range": [0, 5000]}


def zarr(folder: Path, data: np.ndarray, fill: Any = None, **attributes: Any) -> dict[str, Any]:
    """A Zarr array."""
    module = pytest.importorskip("zarr")
    made = module.create_array(str(folder), shape=data.shape, chunks=(2, 12, 10), dtype=data.dtype, fill_value=fill)
    made[:] = data
    made.attrs.update(attributes)
    return {"name": "zarr", "path": str(folder), "layout": "NHW", "value_range": [0, 5000]}


def tiff(folder: Path) -> dict[str, Any]:
    """A GeoTIFF's tag for "no data"."""
    tifffile = pytest.importorskip("tifffile")
    folder.mkdir()
    for i, values in enumerate(marked()):
        tifffile.imwrite(
            folder / f"{i}.tif",
            values.astype(np.uint16),
            photometric="minisblack",
            extratags=[(42113, "s", 0, "77", True)],
        )
    return {"name": "tiff-stack", "path": str(folder), "value_range": [0, 5000]}


def marked() -> np.ndarray:
    """Three pixels of row 2 hold 77."""
    values = counts().astype(np.int16)
    values[2, 5, 5:8] = 77
    return values


MADE = {
    "fits": (lambda p: fits(p, False), "BLANK"),
    "fits, Rice": (lambda p: fits(p, True), "BLANK"),
    "dicom": (dicom, "PixelPaddingValue"),
    "dicom, a range": (lambda p: dicom(p, -2000, -1990), "PixelPaddingValue"),
    "dicom, other sign": (lambda p: dicom(p, -1), "PixelPaddingValue"),
    "hdf5, uint32": (lambda p: hdf5(p, data=with_dead_pixels("uint32")), r"the largest uint32 \(4294967295\)"),
    "array, int32": (
        lambda p: {**array(p, with_dead_pixels("int32")), "layout": "NHW", "value_range": [0, 5000]},
        r"the largest int32 \(2147483647\)",
    ),
    "hdf5, attribute": (lambda p: hdf5(p, data=marked(), _FillValue=77), r"_FillValue \(77\)"),
    "hdf5, fill value": (lambda p: hdf5(p, data=marked(), fillvalue=77), r"the fill value \(77\)"),
    "zarr, attribute": (lambda p: zarr(p, marked(), missing_value=[77, -1]), r"missing_value\[0\] \(77\)"),
    "zarr, fill value": (lambda p: zarr(p, marked(), fill=77), r"the fill value \(77\)"),
    "tiff-stack": (tiff, r"GDAL_NODATA \(77\)"),
}


@pytest.mark.parametrize(("make", "named"), MADE.values(), ids=list(MADE))
def test_missing_pixels_are_refused_by_row_and_name_and_can_be_left_out(make: Any, named: str, tmp_path: Path) -> None:
    spec = make(tmp_path / "d")
    with pytest.raises(
        InputError, match=r"1 of 6 rows hold NaN or infinite values: \S+ (2 )?\(3 values\)|row 2 \(3 values\)"
    ) as caught:
        open_rows(spec, clean=True)
    with pytest.raises(InputError, match=named):
        open_rows(spec, clean=True)
    assert "on_bad_file: skip" in str(caught.value)
    kept = open_rows(spec, clean=True, on_bad_file="skip")
    assert len(kept) == 5
    assert [kept.number(i) for i in range(5)] == [0, 1, 3, 4, 5]
    assert "3 of its values are not finite or missing" in kept.left_out[0]


def test_a_missing_pixel_is_nan_also_in_a_row_that_nobody_looked_at(tmp_path: Path) -> None:
    data = np.repeat(with_dead_pixels("uint32"), 1500, 0)  # 9,000 rows, of which 4,096 are looked at
    data[np.arange(9000) != 3001] = 600 + np.arange(120).reshape(12, 10)
    spec = {**array(tmp_path / "d", data), "layout": "NHW", "value_range": [0, 5000]}
    found = open_rows(spec, clean=True, check="sample")
    assert [int(found[i].x_0.isnan().sum()) for i in (3000, 3001)] == [0, 3]


def test_zero_as_fill_value_is_a_value(tmp_path: Path) -> None:
    data = marked()
    data[2, 5, 5:8] = 0
    assert len(open_rows(hdf5(tmp_path / "a", data=data, fillvalue=0), clean=True)) == 6
    assert len(open_rows(zarr(tmp_path / "b", data, fill=0), clean=True)) == 6


@pytest.mark.parametrize("slope", [np.nan, np.inf, 0.0])
def test_a_slope_that_is_no_number_is_refused_and_zero_means_unscaled(
    tmp_path: Path, slope: float, caplog: Any
) -> None:
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(rows(8, 12, 10)[:, 0], np.eye(4)), tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[112:116] = np.float32(slope).tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    spec = {"name": "nifti", "path": str(tmp_path / "a.nii"), "slices": "x"}
    if slope == 0:
        assert np.array_equal(open_rows(spec, clean=True)[3].x_0, rows(8, 12, 10)[3])
        assert "scl_slope is 0" in caplog.text
    else:
        with pytest.raises(InputError, match="scl_slope is"):
            open_rows(spec, clean=True)


def test_a_filter_that_is_not_installed_is_named_with_its_package(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    if h5py.h5z.filter_avail(32008):
        pytest.skip("the filter is installed")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((1, 32, 32))
        settings.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, (0, 2))
        made = h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT16, h5py.h5s.create_simple((4, 32, 32)), settings)
        for i in range(4):
            made.write_direct_chunk((i, 0, 0), bytes(1000))
    with pytest.raises(InputError, match=r"32008 \(Bitshuffle\).*\n?.*pip install hdf5plugin"):
        open_rows({"name": "hdf5", "path": str(tmp_path / "x.h5")}, clean=True)


def test_a_picture_that_marks_missing_pixels_is_sent_to_the_reader_that_knows_them(tmp_path: Path) -> None:
    spec = tiff(tmp_path / "d")
    with pytest.raises(InputError, match=r"GDAL_NODATA 77.*tiff-stack"):
        open_rows({**spec, "name": "image-folder"}, clean=True)
