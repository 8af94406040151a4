"""Files as other programs write them, and as nobody should: each is read right, or refused in a line that says why."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ambientkit.errors import InputError
from ambientkit.text import lines, listed
from tests.support.formats import array, open_rows, rows, shards

RNG = np.random.default_rng(0)


def refused(spec: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        open_rows(spec, **{"clean": True, **fields})
    return str(caught.value)


def back(data: Any, i: int) -> np.ndarray:
    """Row i in file values."""
    return np.rint(data.mapping.from_unit((data[i].x_0 if hasattr(data[i], "x_0") else data[i].x_n).numpy()))


# --- FITS and NIfTI -------------------------------------------------------------------------------------------------


def test_a_cube_with_idle_axes_gives_its_planes(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    cube = rows()[:, 0]
    fits.PrimaryHDU(cube[None, None]).writeto(tmp_path / "a.fits")
    spec = {"name": "fits", "path": str(tmp_path)}
    data = open_rows(spec, clean=True, planes="rows")
    assert len(data) == 5
    assert torch.equal(data[3].x_0[0], torch.from_numpy(cube[3]))
    assert torch.equal(open_rows(spec, clean=True, planes="channels")[0].x_0, torch.from_numpy(cube))


def test_axes_that_make_no_picture_are_told_as_what_they_are(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    fits.PrimaryHDU(np.zeros(100, np.float32)).writeto(tmp_path / "a.fits")
    assert "a.fits: its image has one axis" in refused({"name": "fits", "path": str(tmp_path)})
    (tmp_path / "a.fits").unlink()
    fits.PrimaryHDU(np.zeros((2, 3, 8, 8), np.float32)).writeto(tmp_path / "a.fits")
    assert "save each cube as a file" in refused({"name": "fits", "path": str(tmp_path)}, planes="rows")


def test_volumes_and_images_larger_than_allowed_are_refused_by_their_header(tmp_path: Path) -> None:
    fits, nibabel = pytest.importorskip("astropy.io.fits"), pytest.importorskip("nibabel")
    fits.PrimaryHDU(np.zeros((40, 40), np.float32)).writeto(tmp_path / "a.fits")
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)), tmp_path / "v.nii")
    assert "max_pixels = 100" in refused({"name": "fits", "path": str(tmp_path / "a.fits")}, max_pixels=100)
    spec = {"name": "nifti", "path": str(tmp_path / "v.nii"), "value_range": [0, 100]}
    assert "max_pixels = 100" in refused(spec, max_pixels=100)
    header = bytearray((tmp_path / "v.nii").read_bytes())
    header[40:56] = np.array([3, 32767, 32767, 32767, 1, 1, 1, 1], "<i2").tobytes()
    (tmp_path / "v.nii").write_bytes(header)
    assert "raise it if the volume is honest" in refused(spec)
    header[40:56] = np.array([3, -5, 20, 20, 1, 1, 1, 1], "<i2").tobytes()
    (tmp_path / "v.nii").write_bytes(header)
    assert "v.nii: the array is empty" in refused(spec)


# --- DICOM ----------------------------------------------------------------------------------------------------------


def slide() -> Any:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    return pydicom.dcmread(str(get_testdata_file("MR_small.dcm")))


def dicom(folder: Path, **fields: Any) -> dict[str, Any]:
    return {"name": "dicom", "path": str(folder), "value_range": [0, 4000], **fields}


def test_slices_with_and_without_rescaling_make_one_set(tmp_path: Path) -> None:
    plain, scaled = slide(), slide()
    scaled.RescaleSlope, scaled.RescaleIntercept = "2", "-100"
    plain.save_as(tmp_path / "a.dcm")
    scaled.save_as(tmp_path / "b.dcm")
    data = open_rows(dicom(tmp_path), clean=True)
    pixels = plain.pixel_array.astype(float)
    assert np.array_equal(back(data, 0)[0], pixels)
    assert np.array_equal(back(data, 1)[0], 2 * pixels - 100)


def test_each_frame_of_an_enhanced_image_has_its_own_rescaling(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    image = slide()
    pixels = image.pixel_array.astype(float)
    image.NumberOfFrames, image.PixelData = 2, image.PixelData * 2
    frames = []
    for slope in (1, 3):
        transformation, frame = Dataset(), Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = str(slope), "-7"
        frame.PixelValueTransformationSequence = Sequence([transformation])
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = Sequence(frames)
    image.save_as(tmp_path / "a.dcm")
    data = open_rows(dicom(tmp_path), clean=True)
    assert np.array_equal(back(data, 0)[0], pixels - 7)
    assert np.array_equal(back(data, 1)[0], 3 * pixels - 7)
    del image.PerFrameFunctionalGroupsSequence
    image.SharedFunctionalGroupsSequence = Sequence(frames[1:])
    image.save_as(tmp_path / "a.dcm")
    data = open_rows(dicom(tmp_path), clean=True)
    assert np.array_equal(back(data, 0)[0], 3 * pixels - 7)


def test_dicom_that_means_something_else_is_refused_by_name(tmp_path: Path) -> None:
    from pydicom.uid import JPEGBaseline8Bit

    def made(name: str, **fields: Any) -> None:
        image = slide()
        for field, value in fields.items():
            setattr(image, field, value)
        image.save_as(tmp_path / name)

    made("flat.dcm", RescaleSlope="0", RescaleIntercept="5")
    made("dose.dcm", DoseGridScaling="0.001")
    made("frames.dcm", NumberOfFrames=3)
    lossy = slide()
    lossy.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    from pydicom.encaps import encapsulate

    lossy.PixelData = encapsulate([b"\0" * 64])
    lossy.save_as(tmp_path / "lossy.dcm")
    message = refused(dicom(tmp_path))
    assert "4 of 4 files cannot be used" in message
    assert "flat.dcm: its rescale slope is 0" in message
    assert "dose.dcm: its values go through a look-up table or dose scaling" in message
    assert "lossy.dcm: it was compressed with loss" in message
    assert "frames.dcm: its pixels cannot be decoded" in message


# --- TIFF -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "zstd"},
        {"compression": "zlib", "predictor": True},
        {"byteorder": ">"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"imagej": True},
        {"ome": True},
    ],
    ids=lambda options: "-".join(map(str, options)) + "-" + str(next(iter(options.values()))),
)
def test_tiffs_of_every_make_have_their_values(tmp_path: Path, options: dict[str, Any]) -> None:
    tifffile = pytest.importorskip("tifffile")
    if options.get("compression") in ("lzw", "zstd") or "predictor" in options:
        pytest.importorskip("imagecodecs")
    pages = RNG.integers(0, 65535, (5, 32, 34)).astype(np.uint16)
    extra = {} if "imagej" in options or "ome" in options else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", pages, **extra, **options)
    # where nobody names the axes, tifffile calls the first one of an OME or ImageJ file C: `pages` contradicts it
    spec = {"name": "tiff-stack", "path": str(tmp_path), **({} if extra else {"pages": "rows"})}
    data = open_rows(spec, clean=True)
    assert np.array_equal(np.stack([back(data, i)[0] for i in range(5)]), pages)


def test_planes_of_colour_are_channels(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    colour = RNG.integers(10, 240, (3, 32, 34)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb", planarconfig="separate")
    assert np.array_equal(back(open_rows({"name": "tiff-stack", "path": str(tmp_path)}, clean=True), 0), colour)


def test_colours_that_are_not_rgb_and_files_without_pages_are_refused(tmp_path: Path, caplog) -> None:
    tifffile = pytest.importorskip("tifffile")
    pixels = RNG.integers(10, 240, (32, 32, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "cmyk.tif", pixels, photometric="separated")
    tifffile.imwrite(tmp_path / "ycc.tif", pixels[..., :3], photometric="ycbcr")
    (tmp_path / "none.tif").write_bytes(b"II*\0\xff\xff\xff\x7f")
    message = refused({"name": "tiff-stack", "path": str(tmp_path)})
    assert "cmyk.tif: its colours are SEPARATED" in message
    assert "ycc.tif: its colours are YCBCR" in message
    assert "none.tif: it has no pages" in message


def test_noise_in_a_lossy_tiff_is_doubted(tmp_path: Path, caplog) -> None:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(
        tmp_path / "a.tif",
        RNG.normal(128, 20, (32, 32, 3)).clip(1, 254).astype(np.uint8),
        photometric="rgb",
        compression="jpeg",
    )
    spec = {"name": "tiff-stack", "path": str(tmp_path)}
    open_rows(spec, clean=True)
    assert "JPEG" not in caplog.text
    open_rows(spec, sigma_n=0.05)
    assert "JPEG compression changes noise" in caplog.text


# --- arrays ---------------------------------------------------------------------------------------------------------


def test_labels_beside_the_rows_of_an_npz_are_no_second_candidate(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=rows(), labels=np.arange(5), names=np.array(list("abcde")))
    spec = {"name": "array", "path": str(tmp_path / "x.npz")}
    assert torch.equal(open_rows(spec, clean=True)[4].x_0, torch.from_numpy(rows()[4]))
    np.savez(tmp_path / "x.npz", a=rows(), b=rows())
    assert "several arrays could be the rows" in refused(spec)
    assert f"'array{{path: {spec['path']}, key: a}}'" in refused(spec)
    np.savez(tmp_path / "x.npz")
    assert refused(spec).endswith("keys: none")


@pytest.mark.parametrize("dtype", [">f4", ">u2", "f2", "<f8"])
def test_arrays_of_other_orders_and_sizes_have_their_values(tmp_path: Path, dtype: str) -> None:
    x = (rows() if "f" in dtype else RNG.integers(0, 65535, (5, 1, 12, 10))).astype(dtype)
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    data = open_rows({"name": "array", "path": str(tmp_path / "x.npy")}, clean=True)
    assert np.allclose(
        data.mapping.from_unit(data[3].x_0.numpy()), x[3].astype(float), rtol=1e-6, atol=0 if "f" in dtype else 0.01
    )


def test_values_too_large_for_float32_are_not_called_infinite_alone(tmp_path: Path) -> None:
    message = refused(array(tmp_path / "x", rows().astype(np.float64) * 1e300))
    assert "too large for float32" in message
    assert "value_range" in message


def test_a_loop_of_hdf5_groups_ends(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["g/x"] = rows()
        file["g/again"] = file["/"]
    assert len(open_rows({"name": "hdf5", "path": str(tmp_path / "x.h5")}, clean=True)) == 5


@pytest.mark.parametrize("chunks", [(1, 1, 12, 10), None])
def test_chunks_of_hdf5_that_were_never_written_are_no_rows_of_zeros(tmp_path: Path, chunks: Any) -> None:
    h5py = pytest.importorskip("h5py")
    spec = {"name": "hdf5", "path": str(tmp_path / "x.h5")}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", (5, 1, 12, 10), "f4", chunks=chunks)
        if chunks:
            stored[:3] = rows()[:3]
    assert f"{'2 of 5' if chunks else '1 of 1'} chunks were never written" in refused(spec)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["x"][...] = rows()
    assert torch.equal(open_rows(spec, clean=True)[4].x_0, torch.from_numpy(rows()[4]))


def test_scales_in_attributes_are_told_not_applied(tmp_path: Path, caplog) -> None:
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    counts = RNG.integers(0, 1000, (5, 1, 12, 10)).astype(np.int16)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = counts
        file["x"].attrs["scale_factor"] = 0.01
    made = zarr.create_array(str(tmp_path / "z"), shape=counts.shape, chunks=(5, 1, 12, 10), dtype="i2")
    made[:] = counts
    made.attrs["add_offset"] = -999
    for name, path, word in [("hdf5", "x.h5", "scale_factor = 0.01"), ("zarr", "z", "add_offset = -999")]:
        data = open_rows({"name": name, "path": str(tmp_path / path)}, clean=True, value_range=[0, 1000])
        assert np.array_equal(back(data, 2), counts[2])
        assert f"{word} are not applied" in caplog.text


def test_arrays_deep_in_a_zarr_group_are_seen(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "z"), mode="w")
    group.create_group("a").create_array("x", shape=(5, 1, 12, 10), dtype="f4")[:] = rows()
    spec = {"name": "zarr", "path": str(tmp_path / "z")}
    assert torch.equal(open_rows(spec, clean=True)[4].x_0, torch.from_numpy(rows()[4]))
    group.create_array("y", shape=(5, 1, 12, 10), dtype="f4")[:] = rows()
    assert "a/x (5, 1, 12, 10)" in refused(spec)
    assert len(open_rows(spec, clean=True, key="a/x")) == 5


# --- shards and names -----------------------------------------------------------------------------------------------


def test_links_in_shards_are_counted_and_names_that_lead_outside_name_samples_only(tmp_path: Path, caplog) -> None:
    (tmp_path / "s").mkdir()
    with tarfile.open(tmp_path / "s" / "a.tar", "w") as tar:
        for name, row in (("/abs/0.npy", 0), ("../../1.npy", 1)):
            data = io.BytesIO()
            np.save(data, rows()[row])
            info = tarfile.TarInfo(name)
            info.size = len(data.getvalue())
            tar.addfile(info, io.BytesIO(data.getvalue()))
        link = tarfile.TarInfo("2.npy")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    data = open_rows({"name": "webdataset", "path": str(tmp_path / "s")}, clean=True)
    assert [torch.equal(data[i].x_0, torch.from_numpy(rows()[i])) for i in range(len(data))] == [True, True]
    assert "1 members of the shards are links" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


def test_a_broken_first_sample_does_not_decide_for_all(tmp_path: Path) -> None:
    spec = shards(tmp_path / "s", rows(4), size=4)
    (shard,) = (tmp_path / "s").iterdir()
    data = bytearray(shard.read_bytes())
    at = data.index(b"\x93NUMPY")
    data[at : at + 6] = b"broken"
    shard.write_bytes(data)
    assert "1 of 4 rows cannot be used" in refused(spec)
    found = open_rows(spec, clean=True, on_bad_file="skip")
    assert [found.number(i) for i in range(len(found))] == [1, 2, 3]


def test_names_cannot_break_or_colour_a_message() -> None:
    assert listed(["a\nb", "\x1b[31mred", "Ü"]) == "a\\nb, \\x1b[31mred, Ü"
    assert lines(["a\nb"]) == "  a\\nb"
