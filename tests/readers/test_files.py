"""What each file format refuses before anything starts, and what its values mean."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ambientkit.errors import InputError
from tests.support.formats import fits, hdf5, open_rows, rows, shards, tiff_stack, zarr_array


def refused(spec: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        open_rows(spec, **{"clean": True, **fields})
    assert str(spec["path"]) in str(caught.value)
    return str(caught.value)


# --- TIFF -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float16", "float32", "float64"])
def test_every_page_of_a_stack_is_read_at_full_depth(tmp_path: Path, dtype: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    pages = (np.arange(7 * 16 * 16).reshape(7, 16, 16) / (1 if dtype != "uint8" else 8)).astype(dtype)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    high = float(pages.max())
    data = open_rows({"name": "tiff-stack", "path": str(tmp_path / "stack.tif")}, clean=True, value_range=[0, high])
    assert len(data) == 7
    found = np.stack([data.mapping.from_unit(data[i].x_0.numpy())[0] for i in range(7)])
    assert np.allclose(found, pages.astype(float), atol=high * 1e-6)


def test_pages_may_be_channels_and_colours_come_first(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    (tmp_path / "deep").mkdir()
    pages = np.arange(2 * 5 * 8 * 9, dtype=np.uint16).reshape(2, 5, 8, 9)
    for i in range(2):
        tifffile.imwrite(tmp_path / "deep" / f"{i}.tif", pages[i], photometric="minisblack")
    data = open_rows({"name": "tiff-stack", "path": str(tmp_path / "deep")}, clean=True, pages="channels")
    assert data[1].x_0.shape == (5, 8, 9)
    assert np.array_equal(np.rint(data.mapping.from_unit(data[1].x_0.numpy())), pages[1])
    colour = np.random.default_rng(0).integers(0, 65535, (16, 18, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb")
    row = open_rows({"name": "tiff-stack", "path": str(tmp_path / "rgb.tif")}, clean=True)
    assert np.array_equal(np.rint(row.mapping.from_unit(row[0].x_0.numpy())), np.moveaxis(colour, -1, 0))


def test_bad_tiffs_are_listed_by_name_and_cause_or_left_out(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    spec = tiff_stack(tmp_path / "d", rows())
    whole = (tmp_path / "d" / "a.tif").read_bytes()
    (tmp_path / "d" / "c_cut.tif").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "d" / "d_empty.tif").write_bytes(b"")
    (tmp_path / "d" / "e_text.tif").write_text("not a picture")
    tifffile.imwrite(tmp_path / "d" / "f_white.tif", rows()[:, 0].astype(np.uint16), photometric="miniswhite")
    tifffile.imwrite(
        tmp_path / "d" / "g_alpha.tif", np.zeros((12, 10, 4), np.uint8), photometric="rgb", extrasamples=["unassalpha"]
    )
    message = refused(spec)
    assert "5 of 7 files cannot be used" in message
    for name in ("c_cut", "d_empty", "e_text", "f_white", "g_alpha"):
        assert name in message
    data = open_rows(spec, clean=True, on_bad_file="skip")
    assert len(data) == 5
    assert torch.equal(data[4].x_0, torch.from_numpy(rows()[4]))


def test_pixels_that_end_early_are_found_where_the_header_is_whole(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "x.tif", rows()[0, 0], photometric="minisblack")
    whole = (tmp_path / "x.tif").read_bytes()
    (tmp_path / "x.tif").write_bytes(whole[:-100])
    assert "cut short" in refused({"name": "tiff-stack", "path": str(tmp_path / "x.tif")})


def test_a_tiff_larger_than_allowed_is_refused_by_its_header(tmp_path: Path) -> None:
    assert "max_pixels = 100" in refused(tiff_stack(tmp_path / "d", rows()), max_pixels=100)


# --- HDF5 and Zarr --------------------------------------------------------------------------------------------------


def test_several_arrays_need_a_key_and_a_level_may_be_one_of_them(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["b"], file["sigma_n"], file["levels"] = rows(), rows() + 1, np.full(5, 0.3), np.full(5, 0.30001)
    spec = {"name": "hdf5", "path": str(tmp_path / "x.h5")}
    assert "several arrays" in refused(spec)
    assert "no array 'c'" in refused(spec, key="c")
    assert open_rows(spec, key="/b")[1].sigma_n == torch.tensor(0.3)
    assert open_rows(spec, key="b", sigma_n="levels")[1].sigma_n == torch.tensor(0.30001)


def test_links_to_other_hdf5_files_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    hdf5(tmp_path / "secret", rows())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["rows"] = h5py.ExternalLink("secret.h5", "entry/images")
        layout = h5py.VirtualLayout(shape=(5, 1, 12, 10), dtype="f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "entry/images", shape=(5, 1, 12, 10))
        file.create_virtual_dataset("virtual", layout)
    message = refused({"name": "hdf5", "path": str(tmp_path / "x.h5")})
    assert "refused: rows (a link to the file secret.h5)" in message
    assert "refused: virtual" in message


def test_hdf5_that_is_cut_or_no_hdf5_or_no_numbers_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    spec = hdf5(tmp_path / "x", rows())
    whole = Path(spec["path"]).read_bytes()
    Path(spec["path"]).write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refused(spec)
    Path(spec["path"]).write_bytes(b"hello")
    assert "cannot be read as HDF5" in refused(spec)
    assert "no such file" in refused({**spec, "path": str(tmp_path / "none.h5")})
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["x"] = [[b"a", b"b"]]
        file["z"] = np.zeros((4, 4), complex)
    text = {"name": "hdf5", "path": str(tmp_path / "s.h5")}
    assert "no array that could be the rows" in refused(text)
    assert "complex128" in refused(text, key="z")


@pytest.mark.parametrize("form", [2, 3])
def test_zarr_of_both_formats_is_read_and_a_lost_chunk_is_noticed(tmp_path: Path, form: int) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        str(tmp_path / "z"), shape=(5, 1, 12, 10), chunks=(2, 1, 12, 10), dtype="f4", zarr_format=form
    )
    array[:] = rows()
    spec = {"name": "zarr", "path": str(tmp_path / "z")}
    assert torch.equal(open_rows(spec, clean=True)[4].x_0, torch.from_numpy(rows()[4]))
    lost = [
        p for p in (tmp_path / "z").rglob("*") if p.is_file() and p.suffix != ".json" and not p.name.startswith(".z")
    ]
    lost[0].unlink()
    assert "1 of 3 chunks are missing" in refused(spec)


def test_a_codec_of_zarr_that_runs_code_is_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        str(tmp_path / "z"), shape=(5, 1, 12, 10), chunks=(5, 1, 12, 10), dtype="f4", zarr_format=2
    )
    array[:] = rows()
    header = json.loads((tmp_path / "z" / ".zarray").read_text())
    header["compressor"] = {"id": "pickle", "protocol": 2}
    (tmp_path / "z" / ".zarray").write_text(json.dumps(header))
    assert "runs code" in refused({"name": "zarr", "path": str(tmp_path / "z")})
    (tmp_path / "z" / ".zarray").write_text("{")
    assert "no readable metadata" in refused({"name": "zarr", "path": str(tmp_path / "z")})


def test_a_damaged_chunk_of_zarr_is_an_error_with_its_rows(tmp_path: Path) -> None:
    spec = zarr_array(tmp_path / "z", rows())
    chunk = max((p for p in (tmp_path / "z" / "images" / "c").rglob("*") if p.is_file()), key=str)
    chunk.write_bytes(chunk.read_bytes()[:20])
    message = refused(spec)
    assert "1 of 5 rows cannot be used" in message
    assert "row 4: cannot be read" in message


# --- FITS, NIfTI, DICOM ---------------------------------------------------------------------------------------------


def test_fits_values_are_physical_in_native_order(tmp_path: Path) -> None:
    module = pytest.importorskip("astropy.io.fits")
    counts = np.random.default_rng(0).integers(0, 65535, (12, 10), dtype=np.uint16)
    module.PrimaryHDU(counts).writeto(tmp_path / "u16.fits")  # stored as int16 with BZERO 32768
    data = open_rows({"name": "fits", "path": str(tmp_path / "u16.fits")}, clean=True)
    assert np.array_equal(np.rint(data.mapping.from_unit(data[0].x_0.numpy()))[0], counts)
    scaled = module.PrimaryHDU(np.arange(120, dtype=np.int16).reshape(12, 10))
    scaled.header["BSCALE"], scaled.header["BZERO"] = 0.5, 3.0
    scaled.writeto(tmp_path / "scaled.fits")
    data = open_rows({"name": "fits", "path": str(tmp_path / "scaled.fits")}, clean=True, value_range=[3, 63])
    with module.open(tmp_path / "scaled.fits") as units:
        expected = np.asarray(units[0].data, float)
    assert np.allclose(data.mapping.from_unit(data[0].x_0.numpy())[0], expected, atol=1e-5)


def test_cubes_and_extensions_of_fits_are_taken_by_option_only(tmp_path: Path) -> None:
    module = pytest.importorskip("astropy.io.fits")
    cube = rows()[:, 0]
    units = [module.PrimaryHDU(), module.ImageHDU(cube, name="SCI"), module.ImageHDU(cube[0] + 1, name="ERR")]
    module.HDUList(units).writeto(tmp_path / "x.fits")
    spec = {"name": "fits", "path": str(tmp_path / "x.fits")}
    assert "give planes" in refused(spec)
    assert torch.equal(open_rows(spec, clean=True, planes="rows")[3].x_0[0], torch.from_numpy(cube[3]))
    assert torch.equal(open_rows(spec, clean=True, planes="channels")[0].x_0, torch.from_numpy(cube))
    assert torch.equal(open_rows(spec, clean=True, extension="ERR")[0].x_0[0], torch.from_numpy(cube[0] + 1))
    assert "no extension 'DQ'" in refused(spec, extension="DQ")


def test_a_file_that_ends_before_its_last_image_is_named_as_cut(tmp_path: Path) -> None:
    """Case: a warning of astropy that names no file, and the first chip was taken."""
    module = pytest.importorskip("astropy.io.fits")
    (tmp_path / "night").mkdir()
    for number in range(2):
        chips = [module.ImageHDU(np.full((64, 64), 7, np.int32), name=f"CCD{k}") for k in (1, 2)]
        module.HDUList([module.PrimaryHDU(), *chips]).writeto(tmp_path / "night" / f"{number}.fits")
    path = tmp_path / "night" / "1.fits"
    path.write_bytes(path.read_bytes()[:-9000])
    told = refused({"name": "fits", "path": str(tmp_path / "night"), "value_range": [0, 9]})
    assert "1 of 2 files cannot be used" in told
    assert "1.fits: it was cut short" in told


def test_compressed_fits_is_read_and_a_cut_file_is_listed(tmp_path: Path) -> None:
    module = pytest.importorskip("astropy.io.fits")
    whole = np.random.default_rng(0).integers(0, 1000, (64, 64)).astype(np.int16)
    module.HDUList([module.PrimaryHDU(), module.CompImageHDU(whole)]).writeto(tmp_path / "c.fits")
    data = open_rows({"name": "fits", "path": str(tmp_path / "c.fits")}, clean=True, value_range=[0, 1000])
    assert np.array_equal(np.rint(data.mapping.from_unit(data[0].x_0.numpy()))[0], whole)
    spec = fits(tmp_path / "d", rows(n=4, height=64, width=64))
    cut = tmp_path / "d" / "002.fits"
    cut.write_bytes(cut.read_bytes()[:5000])
    message = refused(spec)
    assert "1 of 4 files cannot be used" in message
    assert "002.fits" in message
    assert len(open_rows(spec, clean=True, on_bad_file="skip")) == 3


def test_nifti_volumes_and_slices_have_their_scaled_values(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.default_rng(0).integers(0, 4000, (8, 9, 10)).astype(np.int16)
    image = nibabel.Nifti1Image(volume, np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, tmp_path / "v.nii.gz")
    expected = np.asarray(nibabel.load(tmp_path / "v.nii.gz").dataobj)
    spec = {"name": "nifti", "path": str(tmp_path / "v.nii.gz"), "value_range": [-10, 1990]}
    whole = open_rows(spec, clean=True)
    assert whole[0].x_0.shape == (1, 8, 9, 10)
    assert np.allclose(whole.mapping.from_unit(whole[0].x_0.numpy())[0], expected, atol=1e-3)
    for axis, name in enumerate("xyz"):
        data = open_rows(spec, clean=True, slices=name)
        assert len(data) == volume.shape[axis]
        assert np.allclose(data.mapping.from_unit(data[3].x_0.numpy())[0], np.take(expected, 3, axis), atol=1e-3)


def test_a_cut_or_false_nifti_is_listed(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(rows(n=20, height=40, width=40)[:, 0], np.eye(4)), tmp_path / "a.nii.gz")
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.nii").write_text("no volume")
    message = refused({"name": "nifti", "path": str(tmp_path)})
    assert "c.nii" in message
    (tmp_path / "c.nii").unlink()
    assert "b.nii.gz" in refused({"name": "nifti", "path": str(tmp_path)})


def test_dicom_gives_rescaled_values_and_insists_on_a_range(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    shutil.copy(str(get_testdata_file("CT_small.dcm")), tmp_path / "ct.dcm")
    spec = {"name": "dicom", "path": str(tmp_path)}
    data = open_rows(spec, clean=True, value_range=[-1024, 3000])
    assert data[0].x_0.shape == (1, 128, 128)
    hounsfield = data.mapping.from_unit(data[0].x_0.numpy())
    assert -1100 < hounsfield.min() < -800  # air
    assert "value_range" in refused(spec)


def test_dicom_without_an_image_or_with_a_negative_is_listed(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    slide = pydicom.dcmread(str(get_testdata_file("MR_small.dcm")))
    slide.save_as(tmp_path / "a.dcm")
    slide.PhotometricInterpretation = "MONOCHROME1"
    slide.save_as(tmp_path / "b_negative.dcm")
    (tmp_path / "c_text.dcm").write_text("nothing")
    message = refused({"name": "dicom", "path": str(tmp_path)}, value_range=[0, 4095])
    assert "0 is white" in message
    assert "c_text.dcm" in message
    skipping = open_rows(
        {"name": "dicom", "path": str(tmp_path)}, clean=True, value_range=[0, 4095], on_bad_file="skip"
    )
    assert np.array_equal(np.rint(skipping.mapping.from_unit(skipping[0].x_0.numpy()))[0], slide.pixel_array)


# --- shards ---------------------------------------------------------------------------------------------------------


def test_each_sample_of_a_shard_brings_its_level(tmp_path: Path) -> None:
    data = open_rows(shards(tmp_path / "s", rows(n=7), size=3, sigma_n=0.3))
    assert [round(float(data[i].sigma_n), 6) for i in range(7)] == [0.3, 0.31, 0.32, 0.33, 0.34, 0.35, 0.36]
    assert data.source.blocks() == [3, 3, 1]


def test_shards_with_pictures_and_maps_by_pixel(tmp_path: Path) -> None:
    from PIL import Image

    level = np.random.default_rng(0).uniform(0.1, 0.2, (3, 12, 10))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(3):
            picture, levels = io.BytesIO(), io.BytesIO()
            pixels = np.random.default_rng(i).normal(128, 20, (12, 10, 3)).clip(1, 254).astype(np.uint8)
            Image.fromarray(pixels).save(picture, "PNG")
            np.save(levels, level + i / 100)
            for name, data in [(f"{i}.png", picture), (f"{i}.sigma_n.npy", levels)]:
                info = tarfile.TarInfo(name)
                info.size = len(data.getvalue())
                data.seek(0)
                tar.addfile(info, data)
    rows_ = open_rows({"name": "webdataset", "path": str(tmp_path)})
    assert rows_[2].x_n.shape == rows_[2].sigma_n.shape == (3, 12, 10)
    assert np.allclose(rows_[2].sigma_n.numpy(), level + 0.02, atol=1e-6)


def test_cut_compressed_or_incomplete_shards_are_refused(tmp_path: Path) -> None:
    spec = shards(tmp_path / "s", rows(n=6), size=3, sigma_n=0.3)
    last = sorted((tmp_path / "s").iterdir())[-1]
    whole = last.read_bytes()
    last.write_bytes(whole[:1800])
    assert "1 of 2 shards cannot be used" in refused(spec)
    import gzip

    last.write_bytes(gzip.compress(whole))
    assert "unpacked first" in refused(spec)
    last.write_bytes(whole)
    with tarfile.open(last, "a") as tar:
        info = tarfile.TarInfo("z.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    assert "it has no .npy" in refused(spec)


def test_a_pickled_member_of_a_shard_is_refused(tmp_path: Path) -> None:
    spec = shards(tmp_path / "s", rows(n=2))
    data = io.BytesIO()
    np.save(data, np.array([{"a": 1}], object), allow_pickle=True)
    with tarfile.open(tmp_path / "s" / "shard-000009.tar", "w") as tar:
        info = tarfile.TarInfo("9.npy")
        info.size = len(data.getvalue())
        data.seek(0)
        tar.addfile(info, data)
    assert "values of type object" in refused(spec)
