"""Restored rows have the names, axes, type, units and metadata of the files that they were read from."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.support.sampling import files, ok, write_run

LOW, HIGH = 1100.0, 2100.0
SIGMA_N = 0.3


def noisy(n, height=8, width=8, dtype=np.uint16, seed=1):
    """(n, height, width) file values about .2 of [-1, 1] with spread .58, on the range 1100..2100."""
    x = 0.2 + 0.58 * np.random.default_rng(seed).standard_normal((n, height, width))
    values = 1600 + 500 * x
    return np.rint(values.clip(0)).astype(dtype) if np.dtype(dtype).kind in "ui" else values.astype(dtype)


def exact(values):
    """The posterior mean of N(.2, .5^2) under noise .3, in file values."""
    x = (np.asarray(values, np.float64) - 1600) / 500
    return 1600 + 500 * (0.2 + 0.25 / (0.25 + SIGMA_N**2) * (x - 0.2))


@pytest.fixture
def restore(sample, tmp_path):
    """Restores a path as a data set of this name; returns (folder, lines of the table, what was printed)."""

    def run(name, path, *options, fields="", shape=(1, 8, 8), draws=2, low=LOW, high=HIGH, out="out"):
        folder = write_run(tmp_path / "run", shape=shape)
        data = f"{name}{{path: {path}, value_range: [{low}, {high}], sigma_n: {SIGMA_N}{fields}}}"
        out = tmp_path / out
        told = ok(sample(folder, "--from", data, "--draws", draws, "--steps", 2, "--output-dir", out, *options))
        with (out / "restored.csv").open() as stream:
            return out, list(csv.DictReader(stream)), told

    return run


def same_names(out, source, draws=2):
    """Every series has a file for each of the input, and nothing else lies there."""
    names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    for series in ("mean", "std", *(f"draws/{k:03}" for k in range(draws))):
        assert {p.relative_to(out / series).as_posix() for p in (out / series).rglob("*") if p.is_file()} == names


def test_ome_stacks_keep_names_axes_channels_and_sizes(restore, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    source, values = tmp_path / "cells", noisy(12).reshape(3, 2, 2, 8, 8)
    (source / "day 1").mkdir(parents=True)
    metadata = {
        "axes": "TCYX",
        "PhysicalSizeX": 0.11,
        "PhysicalSizeXUnit": "µm",
        "TimeIncrement": 2.5,
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    for name, stack in (("a.ome.tif", values[0]), ("b.ome.tif", values[1]), ("day 1/c.ome.tif", values[2])):
        tifffile.imwrite(source / name, stack, ome=True, photometric="minisblack", metadata=metadata)
    out, table, told = restore("tiff-stack", source, shape=(2, 8, 8))
    same_names(out, source)
    with tifffile.TiffFile(out / "mean" / "day 1" / "c.ome.tif") as new:
        assert new.is_ome
        assert (new.series[0].axes, new.series[0].shape) == ("TCYX", (2, 2, 8, 8))
        assert new.series[0].dtype == np.float32
        np.testing.assert_allclose(new.asarray(), exact(values[2]), rtol=1e-5)
        pixels = tifffile.xml2dict(new.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"], pixels["TimeIncrement"]) == (0.11, "µm", 2.5)
        assert [channel["Name"] for channel in pixels["Channel"]] == ["DAPI", "GFP"]
    assert [(line["input"], line["row"]) for line in table[-2:]] == [("day 1/c.ome.tif", "0"), ("day 1/c.ome.tif", "1")]
    assert table[-1]["mean"] == "mean/day 1/c.ome.tif[1]"
    assert table[-1]["draws/001"] == "draws/001/day 1/c.ome.tif[1]"
    assert float(table[0]["sigma"]) == SIGMA_N
    assert "which input each row is" in told
    manifest = json.loads((out / "restored.json").read_text())
    assert (manifest["format"], manifest["dtype"], manifest["finished"]) == ("like-input", "float32", True)
    draws = np.stack([tifffile.imread(out / "draws" / f"{k:03}" / "a.ome.tif") for k in range(2)])
    np.testing.assert_allclose(tifffile.imread(out / "std" / "a.ome.tif"), draws.std(0, ddof=1), rtol=1e-4)


def test_imagej_stacks_stay_imagej(restore, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    source, values = tmp_path / "cells", noisy(5)
    source.mkdir()
    metadata = {"axes": "TYX", "spacing": 0.5, "unit": "um", "finterval": 3.0}
    tifffile.imwrite(source / "s.tif", values, imagej=True, resolution=(9.0, 9.0), metadata=metadata)
    out, _, _ = restore("tiff-stack", source)
    with tifffile.TiffFile(out / "mean" / "s.tif") as new:
        assert (new.is_imagej, new.series[0].axes) == (True, "TYX")
        kept = new.imagej_metadata
        assert (kept["spacing"], kept["unit"], kept["finterval"]) == (0.5, "um", 3.0)
        assert new.pages[0].resolution == (9.0, 9.0)
        np.testing.assert_allclose(new.asarray(), exact(values), rtol=1e-5)


def test_whole_numbers_on_request_and_clipped_values_are_counted_by_file(restore, tmp_path):
    """On the range 160..260 the draws of 8-bit files lie beyond 255 now and then, and are clipped."""
    tifffile = pytest.importorskip("tifffile")
    source = tmp_path / "cells"
    source.mkdir()
    dark, light = (
        np.random.default_rng(1).integers(140, 200, (8, 8)),
        np.random.default_rng(2).integers(225, 254, (8, 8)),
    )
    tifffile.imwrite(source / "dark.tif", dark.astype(np.uint8), resolution=(4.0, 4.0), description="ward 7")
    tifffile.imwrite(source / "light.tif", light.astype(np.uint8))
    out, table, told = restore("tiff-stack", source, "--dtype", "stored", low=160, high=260)
    whole, _, _ = restore("tiff-stack", source, low=160, high=260, out="float")
    for name in ("dark", "light"):
        for series in ("mean", "draws/001"):
            stored, real = (tifffile.imread(folder / series / f"{name}.tif") for folder in (out, whole))
            assert stored.dtype == np.uint8
            np.testing.assert_array_equal(stored, np.rint(real).clip(0, 255))
        assert tifffile.imread(out / "std" / f"{name}.tif").dtype == np.float32
    beyond = [
        sum(int((np.rint(tifffile.imread(whole / "draws" / f"{k:03}" / f"{name}.tif")) > 255).sum()) for k in range(2))
        for name in ("dark", "light")
    ]
    assert beyond[1] > 0
    assert [int(line["clipped"]) for line in table] == beyond
    assert f"{sum(beyond)} values did not fit the number type of the input files and were clipped" in told
    assert f"light.tif ({beyond[1]})" in told
    with tifffile.TiffFile(out / "mean" / "dark.tif") as new:
        assert (new.pages[0].description, new.pages[0].resolution) == ("ward 7", (4.0, 4.0))


@pytest.mark.parametrize(("dtype", "suffix"), [("float32", ".fits"), ("stored", ".fits.gz")])
def test_fits_images_keep_header_and_world_coordinates(restore, tmp_path, dtype, suffix):
    fits = pytest.importorskip("astropy.io.fits")
    source, values = tmp_path / "night", noisy(2)
    source.mkdir()
    for index, image in enumerate(values):
        science = fits.ImageHDU(image, name="SCI")
        science.header.update({"BUNIT": "adu", "CRVAL1": 83.6, "CTYPE1": "RA---TAN", "EXPTIME": 30.0})
        primary = fits.PrimaryHDU()
        primary.header["TELESCOP"] = "small"
        fits.HDUList([primary, science, fits.ImageHDU(image * 0, name="DQ")]).writeto(source / f"{index}{suffix}")
    out, _, _ = restore("fits", source, "--dtype", dtype)
    same_names(out, source)
    with fits.open(out / "mean" / f"1{suffix}") as new:
        assert [unit.name for unit in new] == ["PRIMARY", "SCI"]
        assert new[0].header["TELESCOP"] == "small"
        header = new["SCI"].header
        assert (header["BUNIT"], header["CRVAL1"], header["EXPTIME"]) == ("adu", 83.6, 30.0)
        assert "restored, posterior mean" in str(header["HISTORY"])
        found = new["SCI"].data
        assert found.dtype.newbyteorder("=") == (np.float32 if dtype == "float32" else np.uint16)
        np.testing.assert_allclose(found, exact(values[1]), atol=1e-3 if dtype == "float32" else 0.51)
    assert (out / "mean" / f"1{suffix}").read_bytes()[:2] == (b"\x1f\x8b" if suffix.endswith("gz") else b"SI")


def test_scaled_whole_numbers_are_stored_under_their_scale(restore, tmp_path):
    """BSCALE and BZERO of FITS, slope and intercept of NIfTI: the results stand under the same."""
    fits, nibabel = pytest.importorskip("astropy.io.fits"), pytest.importorskip("nibabel")
    source, values = tmp_path / "night", noisy(1, dtype=np.float64)[0]
    source.mkdir()
    unit = fits.PrimaryHDU(values.copy())
    unit.scale("int16", bscale=0.25, bzero=1700)
    unit.writeto(source / "a.fits")
    out, _, _ = restore("fits", source, "--dtype", "stored")
    with fits.open(out / "mean" / "a.fits", do_not_scale_image_data=True) as new:
        assert new[0].data.dtype.newbyteorder("=") == np.int16
        assert (new[0].header["BSCALE"], new[0].header["BZERO"]) == (0.25, 1700)
    np.testing.assert_allclose(fits.getdata(out / "mean" / "a.fits"), exact(values), atol=0.3)
    assert nibabel is not None


@pytest.mark.parametrize("dtype", ["float32", "stored"])
def test_nifti_slices_become_the_volume_again(restore, tmp_path, dtype):
    nibabel = pytest.importorskip("nibabel")
    source, values = tmp_path / "scans", noisy(5, dtype=np.int16)
    source.mkdir()
    affine = np.array([[2.0, 0, 0, -90], [0, 2, 0, -126], [0, 0, 3, -72], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(np.moveaxis(values, 0, -1), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_slope_inter(1, 0)
    nibabel.save(image, source / "s.nii.gz")
    out, table, _ = restore("nifti", source, "--dtype", dtype, fields=", slices: z")
    same_names(out, source)
    new = nibabel.load(out / "mean" / "s.nii.gz")
    np.testing.assert_array_equal(new.affine, affine)
    assert new.header.get_xyzt_units() == ("mm", "sec")
    assert new.shape == (8, 8, 5)
    assert new.get_data_dtype() == (np.float32 if dtype == "float32" else np.int16)
    found = np.moveaxis(np.asarray(new.dataobj), -1, 0)
    np.testing.assert_allclose(found, exact(values), atol=1e-3 if dtype == "float32" else 0.51)
    assert table[4]["mean"] == "mean/s.nii.gz[4]"


def dicom(path, frames, **more):
    """A CT-like image of 12 bits under slope 2 and intercept -1000."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    data.SeriesInstanceUID, data.StudyInstanceUID = (generate_uid(entropy_srcs=[text]) for text in ("series", "study"))
    data.PatientID, data.Modality, data.SeriesDescription, data.SliceThickness = "P1", "CT", "thorax", "1.5"
    data.ImageType, data.PixelSpacing = ["ORIGINAL", "PRIMARY", "AXIAL"], [0.7, 0.7]
    data.RescaleSlope, data.RescaleIntercept = 2, -1000
    for name, value in more.items():
        setattr(data, name, value)
    data.set_pixel_data(frames, "MONOCHROME2", 12, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("dtype", ["float32", "stored"])
def test_dicom_images_become_a_derived_series_of_the_study(restore, tmp_path, dtype):
    pydicom = pytest.importorskip("pydicom")
    source, values = tmp_path / "ct", noisy(2)
    source.mkdir()
    for index, image in enumerate(values):
        dicom(source / f"{index}.dcm", ((image.astype(int) + 1000) // 2).astype(np.uint16))
    real = (values.astype(int) + 1000) // 2 * 2 - 1000
    out, _, _ = restore("dicom", source, "--dtype", dtype)
    same_names(out, source)
    old = pydicom.dcmread(source / "1.dcm")
    new, other = (pydicom.dcmread(out / "mean" / f"{k}.dcm") for k in (1, 0))
    assert (new.PatientID, new.StudyInstanceUID) == ("P1", old.StudyInstanceUID)
    assert (new.PixelSpacing, new.SliceThickness) == (old.PixelSpacing, old.SliceThickness)
    assert new.SeriesInstanceUID == other.SeriesInstanceUID != old.SeriesInstanceUID
    assert len({new.SOPInstanceUID, other.SOPInstanceUID, old.SOPInstanceUID}) == 3
    assert new.SeriesInstanceUID != pydicom.dcmread(out / "std" / "1.dcm").SeriesInstanceUID
    assert list(new.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert new.SeriesDescription == "thorax restored: posterior mean"
    found = new.pixel_array * float(new.RescaleSlope) + float(new.RescaleIntercept)
    tolerance = 0.51 * float(new.RescaleSlope)
    assert new.RescaleSlope == 2 if dtype == "stored" else float(new.RescaleSlope) < 0.1
    np.testing.assert_allclose(found, exact(real[1]), atol=tolerance)


def test_mrc_stacks_keep_voxel_size_labels_and_extended_header(restore, tmp_path):
    mrcfile = pytest.importorskip("mrcfile")
    source, values = tmp_path / "particles", noisy(6, dtype=np.float32)
    source.mkdir()
    for name, part in (("a.mrcs", values[:4]), ("b.mrcs", values[4:])):
        with mrcfile.new(source / name) as file:
            file.set_data(part)
            file.set_image_stack()
            file.voxel_size = 1.35
            file.set_extended_header(np.zeros(1, dtype="V768"))
            file.add_label("picked")
    out, _, _ = restore("mrc", source)
    same_names(out, source)
    with mrcfile.open(out / "mean" / "b.mrcs") as new:
        assert new.is_image_stack()
        assert float(new.voxel_size.x) == pytest.approx(1.35)
        assert new.header.nsymbt == 768
        assert "picked" in str(new.get_labels())
        np.testing.assert_allclose(new.data, exact(values[4:]), rtol=1e-5)
        assert float(new.header.dmean) == pytest.approx(float(new.data.mean()), rel=1e-5)


def test_arrays_in_hdf5_and_zarr_keep_key_attributes_and_layout(restore, tmp_path):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    values = noisy(4, dtype=np.float32)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["entry/images"] = values
        file["entry/images"].attrs["units"] = "counts"
        file["entry"].attrs["sample"] = "yeast"
        file["other"] = np.arange(3)
    out, table, _ = restore("hdf5", tmp_path / "scan.h5", fields=", key: entry/images, layout: NHW")
    with h5py.File(out / "mean" / "scan.h5") as new:
        assert (new["entry/images"].attrs["units"], new["entry"].attrs["sample"]) == ("counts", "yeast")
        assert "other" not in new
        np.testing.assert_allclose(new["entry/images"], exact(values), rtol=1e-5)
    assert (table[3]["input"], table[3]["mean"]) == ("scan.h5", "mean/scan.h5[3]")

    group = zarr.open_group(str(tmp_path / "scan.zarr"), mode="w")
    group.attrs["sample"] = "yeast"
    array = group.create_array("images", shape=values.shape, chunks=(1, 8, 8), dtype=values.dtype)
    array[:] = values
    array.attrs["units"] = "counts"
    (tmp_path / "out").rename(tmp_path / "earlier")
    out, _, _ = restore("zarr", tmp_path / "scan.zarr", fields=", layout: NHW")
    new = zarr.open(str(out / "draws" / "001" / "scan.zarr"), mode="r")
    assert (new["images"].attrs["units"], new.attrs["sample"]) == ("counts", "yeast")
    np.testing.assert_allclose(
        zarr.open(str(out / "mean" / "scan.zarr"), mode="r")["images"][:], exact(values), rtol=1e-5
    )


def test_pictures_become_tiff_or_png_and_two_that_would_be_one_file_do_not(restore, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    from PIL import Image

    source, values = tmp_path / "pictures", noisy(3)
    source.mkdir()
    Image.fromarray(values[0]).save(source / "a.png")
    Image.fromarray(values[1]).save(source / "a.tif")
    Image.fromarray(values[2]).save(source / "b.png")
    out, table, _ = restore("image-folder", source)
    assert sorted(files(out / "mean")) == ["a.png.tif", "a.tif", "b.tif"]
    np.testing.assert_allclose(tifffile.imread(out / "mean" / "b.tif"), exact(values[2]), rtol=1e-5)
    assert [line["mean"] for line in table] == ["mean/a.png.tif", "mean/a.tif", "mean/b.tif"]
    (tmp_path / "out").rename(tmp_path / "earlier")
    out, _, _ = restore("image-folder", source, "--dtype", "stored")
    assert sorted(files(out / "mean")) == ["a.png", "a.tif", "b.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(out / "mean" / "b.png")), np.rint(exact(values[2])))


def test_the_first_rows_of_a_stack_and_a_killed_call(restore, sample, tmp_path, monkeypatch):
    """--n 3 of 4 and 2 rows: the first file alone, cut; a call that died while it wrote files goes on to the same."""
    tifffile = pytest.importorskip("tifffile")
    source, values = tmp_path / "cells", noisy(6)
    source.mkdir()
    tifffile.imwrite(source / "a.tif", values[:4], photometric="minisblack")
    tifffile.imwrite(source / "b.tif", values[4:], photometric="minisblack")
    out, table, _ = restore("tiff-stack", source, "--n", 3)
    assert sorted(files(out / "mean")) == ["a.tif"]
    np.testing.assert_allclose(tifffile.imread(out / "mean" / "a.tif"), exact(values[:3]), rtol=1e-5)
    assert len(table) == 3
    (tmp_path / "out").rename(tmp_path / "earlier")

    from ambientkit.sample.like_files import LikeFiles

    whole, calls = LikeFiles._write, []

    def dies(self, one, rows, target, series):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(target)
        whole(self, one, rows, target, series)

    monkeypatch.setattr(LikeFiles, "_write", dies)
    with pytest.raises((KeyboardInterrupt, AssertionError)):
        restore("tiff-stack", source)
    monkeypatch.setattr(LikeFiles, "_write", whole)
    out, _, _ = restore("tiff-stack", source)
    same_names(out, source)
    assert not list(out.rglob(".*tmp-*"))


def test_rows_restored_in_memory_are_written_to_the_same_files(restore, tmp_path, monkeypatch):
    import ambientkit as ak
    from tests.support.sampling import registry

    tifffile = pytest.importorskip("tifffile")
    source, values = tmp_path / "cells", noisy(4)
    source.mkdir()
    tifffile.imwrite(source / "a.tif", values[:3], photometric="minisblack")
    tifffile.imwrite(source / "b.tif", values[3:], photometric="minisblack")
    out, _, _ = restore("tiff-stack", source)
    monkeypatch.setattr("ambientkit.api.run.load_registry", registry)
    run = ak.load(tmp_path / "run", device="cpu")
    data = {"name": "tiff-stack", "path": str(source), "value_range": [LOW, HIGH]}
    found = run.restore(data, sigma_n=SIGMA_N, draws=2, steps=2)
    record = run.write_restored(found, data, tmp_path / "again", sigma_n=SIGMA_N)
    for series in ("mean", "std", "draws/000", "draws/001"):
        assert files(record.folder / series) == files(out / series)
    assert record.table.read_bytes() == (out / "restored.csv").read_bytes()
    with pytest.raises(ak.InputError, match="give the noisy rows that these were restored from"):
        run.write_restored(found, {**data, "path": str(source / "b.tif")}, tmp_path / "other", sigma_n=SIGMA_N)


def test_what_does_not_go_together_is_refused(sample, tmp_path):
    run = write_run(tmp_path / "run", shape=(1, 8, 8))
    np.save(tmp_path / "x.npy", noisy(2, dtype=np.float32))
    data = f"array{{path: {tmp_path / 'x.npy'}, layout: NHW, value_range: [{LOW}, {HIGH}], sigma_n: 0.3}}"
    for options, why in (
        (["--dtype", "stored"], "array has none"),
        (["--dtype", "int8"], "should be one of float32, stored"),
        (["--format", "like-input"], "should be one of npy"),
    ):
        status, _, err = sample(run, "--from", data, *options, "--out", tmp_path / "out")
        assert status == 2
        assert why in err
    assert "belongs to --from" in sample(run, "--dtype", "stored")[2]
