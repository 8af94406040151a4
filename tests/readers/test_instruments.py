"""Formats as instruments write them: axes by name, errors and flags in extensions, series, stacks, missing pixels."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.errors import InputError
from ambientkit.readers.ome_zarr import OLD, Axes, pyramid_of
from ambientkit.readers.results import Encoded, Encoding, Series
from tests.support.formats import open_rows

MEAN = Series("mean", "posterior mean", "key")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.4, shape).astype(np.float32)


def written(rows, target, like=None):
    """The rows of an opened data set, saved like their own file."""
    (result,) = rows.source.results()
    code = Encoding(np.dtype(np.float32))
    rows.source.save(like or result.like, Encoded(rows.source.all(), code), target, MEAN)


# --- OME-Zarr and OME-TIFF by their axes ------------------------------------------------------------------------------


@given(st.permutations("tczyx"), st.integers(0, 3), st.booleans())
def test_rows_by_named_axes_and_back(names, left_out, volumes):
    """Every order of axes, with any of t, c, z absent: rows are (C, [Z,] Y, X), and come back to their place."""
    names = "".join(name for name in names if name in "yx" or name in "tcz"[:left_out])
    sizes = dict(zip("tczyx", (2, 3, 4, 5, 6)))
    array = np.arange(np.prod([sizes[name] for name in names])).reshape([sizes[name] for name in names])
    axes = Axes(names, array.shape, volumes)
    back = np.zeros_like(array)
    for row in range(axes.rows):
        values = axes.to_row(array[axes.where(row)])
        depth = (4,) if volumes and "z" in names else ()
        assert values.shape == axes.row_shape == (3 if "c" in names else 1, *depth, 5, 6)
        back[axes.where(row)] = axes.from_row(values)
    np.testing.assert_array_equal(back, array)


def test_metadata_of_each_version_of_ome_zarr():
    level = {"datasets": [{"path": "0"}, {"path": "1"}]}
    new = {"ome": {"version": "0.5", "multiscales": [{**level, "axes": [{"name": "c"}, {"name": "y"}, {"name": "x"}]}]}}
    assert pyramid_of(new) == (("0", "1"), "cyx")
    assert pyramid_of({"multiscales": [{**level, "axes": ["z", "y", "x"]}]}) == (("0", "1"), "zyx")
    assert pyramid_of({"multiscales": [level]}) == (("0", "1"), OLD)
    assert pyramid_of({"multiscales": []}) is None
    with pytest.raises(ValueError, match="cannot be read"):
        pyramid_of({"multiscales": [{"axes": ["y"]}]})


def ome_zarr(path, values, axes="tczyx", form=3):
    """An image with two levels, the second of half the size, written by the zarr library."""
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="w", zarr_format=form)
    scales = [
        {
            "axes": [{"name": name, "type": "space"} for name in axes],
            "datasets": [
                {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(axes)}]}
                for k in range(2)
            ],
        }
    ]
    group.attrs.update({"ome": {"version": "0.5", "multiscales": scales}} if form == 3 else {"multiscales": scales})
    for k, level in enumerate((values, values[..., ::2, ::2])):
        array = group.create_array(str(k), shape=level.shape, chunks=(1, 1, 1, *level.shape[-2:]), dtype=level.dtype)
        array[:] = level
    return {"name": "zarr", "path": str(path), "sigma_n": 0.1}


@pytest.mark.parametrize("form", [2, 3])
def test_ome_zarr_has_rows_by_its_axes_and_levels_by_number(tmp_path, form):
    values = noise(2, 3, 4, 8, 6)
    spec = ome_zarr(tmp_path / "a.zarr", values, form=form)
    rows = open_rows(spec)
    assert rows.source.shape == (8, 3, 8, 6)
    np.testing.assert_array_equal(rows[5].x_n, values[1, :, 1])
    np.testing.assert_array_equal(rows.source.read(2, 4), values[0].swapaxes(0, 1)[2:4])
    assert open_rows(spec, level=1).source.shape == (8, 3, 4, 3)
    volumes = open_rows(spec, volumes=True)
    assert volumes.source.shape == (2, 3, 4, 8, 6)
    np.testing.assert_array_equal(volumes[1].x_n, values[1])
    with pytest.raises(InputError, match="no level 2 among 0, 1"):
        open_rows(spec, level=2)
    import zarr

    for found in (rows, volumes):
        written(found, tmp_path / "out.zarr")
        out = zarr.open(str(tmp_path / "out.zarr"), mode="r")
        np.testing.assert_array_equal(out["0"][:], values)
        assert [one["path"] for one in (out.attrs.get("ome") or out.attrs)["multiscales"][0]["datasets"]] == ["0"]
        np.testing.assert_array_equal(open_rows({**spec, "path": str(tmp_path / "out.zarr")})[5].x_n, rows[5].x_n)


def test_several_images_of_a_zarr_folder_are_told_apart_by_key(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.open_group(str(tmp_path / "plate.zarr"), mode="w")
    spec = ome_zarr(tmp_path / "plate.zarr" / "well", noise(1, 2, 2, 4, 4))
    ome_zarr(tmp_path / "plate.zarr" / "other", noise(1, 2, 2, 4, 4))
    spec["path"] = str(tmp_path / "plate.zarr")
    with pytest.raises(InputError, match="several images: say which by key: other, well") as caught:
        open_rows(spec)
    assert f"'zarr{{path: {spec['path']}, key: other}}'" in str(caught.value)
    assert open_rows(spec, key="well").source.shape == (2, 2, 4, 4)
    for fields, why in (
        ({"key": "field"}, "no image or array 'field'; images: other, well"),
        ({"layout": "NCHW"}, "axes"),
    ):
        with pytest.raises(InputError, match=why):
            open_rows(spec, **fields)
    assert open_rows(spec, key="well/1").source.shape == (2, 2, 2, 2)
    assert "images: all}'" in str(caught.value)


def test_images_of_a_plate_and_folders_of_zarr_are_joined_where_they_fit(tmp_path):
    pytest.importorskip("zarr")
    values = [noise(2, 1, 2, 4, 4) + k for k in range(3)]
    for k, one in enumerate(values):
        spec = ome_zarr(tmp_path / "all" / "days" / f"{k}.zarr", one)
    spec["path"] = str(tmp_path / "all")
    found = open_rows(spec)
    assert found.source.shape == (12, 1, 4, 4)
    np.testing.assert_array_equal(found[9].x_n, values[2][0, :, 1])
    assert found.source.name(9) == "days/2.zarr/0[1]"
    assert list(found.source.chunks()) == [(0, 4), (4, 8), (8, 12)]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found.source)).all(), found.source.all())
    with pytest.raises(IndexError):
        found.source.row(12)
    ome_zarr(tmp_path / "all" / "days" / "3.zarr", noise(1, 1, 2, 6, 6))
    with pytest.raises(InputError, match="one shape and type") as caught:
        open_rows(spec)
    assert "(1, 6, 6) float32: days/3.zarr/0" in str(caught.value)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="is no Zarr folder, and none named"):
        open_rows(spec, path=str(tmp_path / "none"))


def test_planes_of_ome_tiff_are_rows_or_the_depth_of_a_volume(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = noise(2, 4, 3, 8, 6)
    tifffile.imwrite(tmp_path / "a.ome.tif", values, metadata={"axes": "TZCYX"}, photometric="minisblack")
    spec = {"name": "tiff-stack", "path": str(tmp_path / "a.ome.tif"), "sigma_n": 0.1}
    assert open_rows(spec).source.shape == (8, 3, 8, 6)
    rows = open_rows(spec, volumes=True)
    assert rows.source.shape == (2, 3, 4, 8, 6)
    np.testing.assert_array_equal(rows[1].x_n, values[1].swapaxes(0, 1))
    written(rows, tmp_path / "out.ome.tif")
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as out:
        assert out.series[0].axes == "TZCYX"
        np.testing.assert_array_equal(out.asarray(), values)
    tifffile.imwrite(tmp_path / "plain.tif", values[0, :, 0], photometric="minisblack")
    plain = open_rows({**spec, "path": str(tmp_path / "plain.tif")}, volumes=True)
    assert plain.source.shape == (1, 1, 4, 8, 6)


def test_the_range_of_a_12_bit_camera_is_that_of_12_bits(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(0, 4096, (3, 8, 8)).astype(np.uint16)
    metadata = {"axes": "TYX", "SignificantBits": 12}
    tifffile.imwrite(tmp_path / "a.ome.tif", values, photometric="minisblack", metadata=metadata)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        said = "SignificantBits" in file.ome_metadata
    if not said:  # this version of the library writes none: put it where cameras' software does
        description = tifffile.tiffcomment(tmp_path / "a.ome.tif").replace("<Pixels ", '<Pixels SignificantBits="12" ')
        tifffile.tiffcomment(tmp_path / "a.ome.tif", description.encode())
    spec = {"name": "tiff-stack", "path": str(tmp_path / "a.ome.tif"), "sigma_n": 0.1}
    rows = open_rows(spec)
    assert (rows.mapping.low, rows.mapping.high) == (0, 4095)
    tifffile.imwrite(tmp_path / "b.tif", values, photometric="minisblack")
    assert open_rows({**spec, "path": str(tmp_path / "b.tif"), "sigma_n": 0.01}).mapping.high == 65535


# --- FITS: errors and flags -------------------------------------------------------------------------------------------


def observation(path, image, error, flags, name="ERR"):
    fits = pytest.importorskip("astropy.io.fits")
    units = [
        fits.PrimaryHDU(),
        fits.ImageHDU(image, name="SCI"),
        fits.ImageHDU(error, name=name),
        fits.ImageHDU(flags, name="DQ"),
    ]
    fits.HDUList(units).writeto(path)


@pytest.mark.parametrize(("name", "stored"), [("ERR", lambda e: e), ("VAR", np.square), ("IVAR", lambda e: e**-2.0)])
def test_errors_of_fits_files_are_noise_by_pixel(tmp_path, name, stored):
    (tmp_path / "night").mkdir()
    image, error = 100 + 40 * noise(3, 8, 8), np.abs(noise(3, 8, 8, seed=1)) * 5 + 1
    for i in range(3):
        observation(tmp_path / "night" / f"{i}.fits", image[i], stored(error[i]), np.zeros((8, 8), np.int32), name)
    spec = {"name": "fits", "path": str(tmp_path / "night"), "value_range": [50, 150], "sigma_n": name}
    rows = open_rows(spec, sigma_units="file")
    np.testing.assert_allclose(rows[2].sigma_n[0], error[2] / 50, rtol=1e-5)
    np.testing.assert_allclose(rows[2].x_n[0], (image[2] - 100) / 50, atol=1e-5)
    with pytest.raises(InputError, match="say sigma_units: file"):
        open_rows(spec)
    with pytest.raises(InputError, match="no extension 'NOISE'"):
        open_rows({**spec, "sigma_n": "NOISE"}, sigma_units="file")


@pytest.mark.parametrize("name", ["ERR", "VAR", "IVAR"])
def test_an_error_of_0_is_none_and_no_clean_pixel(tmp_path, name):
    (tmp_path / "night").mkdir()
    error, flags = np.full((8, 8), 25 if name == "IVAR" else 0.2, np.float32), np.zeros((8, 8), np.int32)
    error[0, :3], flags[0, :3] = 0, 1
    for i in range(3):
        observation(tmp_path / "night" / f"{i}.fits", noise(8, 8, seed=i), error, flags, name)
    spec = {"name": "fits", "path": str(tmp_path / "night"), "sigma_n": name, "sigma_units": "file"}
    spec |= {"value_range": [-1, 1]}
    with pytest.raises(InputError, match=r"3 of 3 rows: 0\.fits \(nan\)(.|\n)*take them with missing: mask"):
        open_rows(spec)
    rows = open_rows(spec, flags="DQ", missing="mask")
    assert float(rows[0].sigma_n.min()) > 0


@pytest.mark.parametrize(
    ("names", "unread"),
    [
        (("CCD1", "CCD2", "CCD3"), "CCD2, CCD3"),
        (("SCI", "ERR", "SCI", "ERR"), "3"),
        (("", "", ""), "2, 3"),
        (("SCI", "ERR", "DQ", "AREA"), None),
    ],
)
def test_images_that_are_not_read_are_named(tmp_path, caplog, names, unread):
    """Case: of the four chips of a camera three were left out without a word."""
    fits = pytest.importorskip("astropy.io.fits")
    units = []
    for k, name in enumerate(names):
        values = noise(8, 8, seed=k) if name != "ERR" else np.abs(noise(8, 8, seed=k)) / 3
        units.append(fits.ImageHDU(values, name=name, ver=1 + names[:k].count(name)))
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(tmp_path / "x.fits")
    spec = {"name": "fits", "path": str(tmp_path / "x.fits")}
    open_rows(spec, clean=True)
    told = [record.getMessage() for record in caplog.records if "several images" in record.getMessage()]
    assert (f"the others are {unread}. " in told[0]) if unread else not told
    caplog.clear()
    if unread == "3":  # by its number, with the errors of the same version
        rows = open_rows(spec, extension=3, sigma_n="ERR", sigma_units="file")
        np.testing.assert_array_equal(rows[0].x_n[0], noise(8, 8, seed=2))
        np.testing.assert_allclose(rows[0].sigma_n[0], np.abs(noise(8, 8, seed=3)) / 3, rtol=1e-5)
    assert "several images" not in caplog.text


def chips(path, order, *, versions=True, planes=()):
    """A file of two chips with errors and flags, in an order of extensions such as "SCI1 ERR1"; returns their values,
    errors and flags, (2, ...)."""
    fits = pytest.importorskip("astropy.io.fits")
    image, error = noise(2, *planes, 8, 6), np.abs(noise(2, *planes, 8, 6, seed=1)) + 0.1
    flags = (np.random.default_rng(2).random(image.shape) < 0.1).astype(np.int16)
    units = [fits.PrimaryHDU()]
    for name, chip in ((one[:-1], int(one[-1]) - 1) for one in order.split()):
        unit = fits.ImageHDU({"SCI": image, "ERR": error, "DQ": flags}[name][chip], name=name)
        unit.header["CCDGAIN"] = chip + 1
        if versions:
            unit.ver = chip + 1
        units.append(unit)
    fits.HDUList(units).writeto(path)
    return image, error, flags


@pytest.mark.parametrize("planes", [(), (3,)])
@pytest.mark.parametrize(
    ("order", "versions"),
    [
        ("SCI1 ERR1 DQ1 SCI2 ERR2 DQ2", True),
        ("SCI2 DQ1 ERR1 DQ2 SCI1 ERR2", True),
        ("SCI1 ERR1 DQ1 SCI2 ERR2 DQ2", False),
    ],
)
def test_all_chips_of_a_file_are_rows_with_their_own_errors_and_flags(tmp_path, caplog, order, versions, planes):
    """Case: of calibrated files with two chips one was trained on, and the other needed a run of its own."""
    fits = pytest.importorskip("astropy.io.fits")
    (tmp_path / "night").mkdir()
    values = [chips(tmp_path / "night" / f"{i}.fits", order, versions=versions, planes=planes) for i in range(2)]
    first = [1, 0] if order.startswith("SCI2") else [0, 1]
    image, error, flags = (
        np.concatenate([one[k][first].reshape(-1, 1, 8, 6) for one in values]).astype(np.float32) for k in range(3)
    )
    spec = {"name": "fits", "path": str(tmp_path / "night"), "images": "all", "planes": "rows" if planes else "refuse"}
    spec |= {"sigma_n": "ERR", "sigma_units": "file", "flags": "DQ", "missing": "mask", "value_range": [-1, 1]}
    rows = open_rows(spec)
    assert len(rows) == len(image) == 4 * (3 if planes else 1)
    for i in range(len(rows)):
        np.testing.assert_array_equal(rows[i].cond["mask"], flags[i] == 0)
        np.testing.assert_allclose(rows[i].x_n, np.where(flags[i] == 0, image[i], 0), rtol=1e-6)
        seen = flags[i] == 0
        np.testing.assert_allclose(rows[i].sigma_n[seen], error[i][seen], rtol=1e-5)
    assert "several images" not in caplog.text
    source = rows.source
    np.testing.assert_array_equal(source.read(1, 4 if planes else 2)[0], source.all()[1])
    one = source.results()[0]
    assert source.partly(one.like, 1)
    found = Encoded(image[: one.stop] + 1, Encoding(np.dtype("f4")))
    source.save(one.like, found, tmp_path / "out.fits", Series("mean", "posterior mean", "k"))
    with fits.open(tmp_path / "out.fits") as out:
        assert [unit.name for unit in out] == ["PRIMARY", "SCI", "SCI"]
        assert [unit.header["CCDGAIN"] for unit in out[1:]] == [k + 1 for k in first]
        got = np.concatenate([unit.data.reshape(-1, 1, 8, 6) for unit in out[1:]])
        np.testing.assert_allclose(got, image[: one.stop] + 1, rtol=1e-6)


def test_flags_by_number_do_not_go_with_several_images(tmp_path):
    chips(tmp_path / "a.fits", "SCI1 DQ1 SCI2 DQ2")
    with pytest.raises(InputError, match="needs the name of the flags"):
        open_rows({"name": "fits", "path": str(tmp_path / "a.fits"), "images": "all", "flags": 2, "sigma_n": 0.1})


def test_flagged_pixels_are_missing_and_named_or_a_mask(tmp_path):
    (tmp_path / "night").mkdir()
    image, flags = noise(4, 8, 8), np.zeros((4, 8, 8), np.int32)
    flags[1, 2, 3], flags[2, 0, 0] = 4, 1
    error = np.full((8, 8), 0.1, np.float32)
    error[2, 3] = np.nan  # what is flagged has no error either
    for i in range(4):
        observation(tmp_path / "night" / f"{i}.fits", image[i], error, flags[i])
    spec = {"name": "fits", "path": str(tmp_path / "night"), "flags": "DQ", "sigma_n": 0.1}
    with pytest.raises(InputError, match=r"2 of 4 rows.*1\.fits \(1 value\).*flags in DQ"):
        open_rows(spec)
    assert len(open_rows(spec, on_bad_file="skip")) == 2
    rows = open_rows(spec, missing="mask", flag_bits=4)
    seen = np.stack([rows[i].cond["mask"][0].numpy() for i in range(4)])
    np.testing.assert_array_equal(seen, (flags & 4) == 0)
    assert float(rows[1].x_n[0, 2, 3]) == 0
    np.testing.assert_array_equal(rows[2].x_n[0], image[2])
    one = {**spec, "sigma_n": "ERR", "sigma_units": "file", "path": str(tmp_path / "night" / "1.fits")}
    by_pixel = open_rows(one, missing="mask")
    assert bool(by_pixel[0].sigma_n.isfinite().all())


# --- NIfTI series, DICOM ----------------------------------------------------------------------------------------------


def test_a_fourth_axis_is_rows_or_channels_by_choice(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    values = noise(5, 6, 4, 3)
    affine = np.diag([2.0, 2, 3, 1])
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "f.nii.gz")
    spec = {"name": "nifti", "path": str(tmp_path / "f.nii.gz"), "sigma_n": 0.1}
    with pytest.raises(InputError, match=r"give series: rows(.|\n)*'nifti\{path: .*, FIELD: VALUE\}'"):
        open_rows(spec)
    for fields, shape, place, want in (
        ({"series": "rows"}, (3, 1, 5, 6, 4), 2, values[None, ..., 2]),
        ({"series": "channels"}, (1, 3, 5, 6, 4), 0, np.moveaxis(values, -1, 0)),
        ({"series": "rows", "slices": "z"}, (12, 1, 5, 6), 5, values[None, :, :, 1, 1]),
        ({"series": "channels", "slices": "y"}, (6, 3, 5, 4), 3, np.moveaxis(values[:, 3], -1, 0)),
    ):
        rows = open_rows(spec, **fields)
        assert rows.source.shape == shape
        np.testing.assert_array_equal(rows[place].x_n, want)
        np.testing.assert_array_equal(rows.source.read(0, shape[0])[place], want)
        written(rows, tmp_path / "out.nii.gz")
        out = nibabel.load(tmp_path / "out.nii.gz")
        np.testing.assert_array_equal(np.asarray(out.dataobj), values)
        np.testing.assert_array_equal(out.affine, affine)


def test_monochrome1_is_refused_unless_it_is_asked_for_as_stored(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from tests.sample.test_like_files import dicom

    (tmp_path / "x").mkdir()
    values = np.random.default_rng(0).integers(0, 4096, (2, 8, 8)).astype(np.uint16)
    for i, image in enumerate(values):
        dicom(tmp_path / "x" / f"{i}.dcm", image, RescaleSlope=1, RescaleIntercept=0)
        data = pydicom.dcmread(tmp_path / "x" / f"{i}.dcm")
        data.PhotometricInterpretation = "MONOCHROME1"
        data.save_as(tmp_path / "x" / f"{i}.dcm")
    spec = {"name": "dicom", "path": str(tmp_path / "x"), "value_range": [0, 4095], "sigma_n": 0.1}
    with pytest.raises(InputError, match="monochrome1: as-stored"):
        open_rows(spec)
    rows = open_rows(spec, monochrome1="as-stored")
    np.testing.assert_allclose(rows[1].x_n[0], (values[1] - 2047.5) / 2047.5, atol=1e-5)
    results = Encoded(values[1:, None].astype(np.float32), Encoding(np.dtype(np.float32)))
    rows.source.save(tmp_path / "x" / "1.dcm", results, tmp_path / "o", MEAN)
    assert pydicom.dcmread(tmp_path / "o").PhotometricInterpretation == "MONOCHROME1"


def test_padding_of_dicom_is_a_mask_where_that_is_asked_for(tmp_path):
    pytest.importorskip("pydicom")
    from tests.sample.test_like_files import dicom

    values = np.random.default_rng(0).integers(100, 4000, (8, 8)).astype(np.uint16)
    values[:2] = 0
    dicom(tmp_path / "a.dcm", values, RescaleSlope=1, RescaleIntercept=0, PixelPaddingValue=0)
    spec = {"name": "dicom", "path": str(tmp_path / "a.dcm"), "value_range": [0, 4095], "sigma_n": 0.1}
    with pytest.raises(InputError, match="PixelPaddingValue"):
        open_rows(spec)
    row = open_rows(spec, missing="mask")[0]
    np.testing.assert_array_equal(row.cond["mask"][0], values != 0)
    with pytest.raises(InputError, match="missing: mask is for noisy rows"):
        open_rows({**spec, "sigma_n": None, "clean": True}, missing="mask")


# --- MRC --------------------------------------------------------------------------------------------------------------


def mrc(path, values, *, stack=False, volumes=False, **more):
    mrcfile = pytest.importorskip("mrcfile")
    with mrcfile.new(path, **more) as file:
        file.set_data(values)
        if stack:
            file.set_image_stack()
        elif volumes:
            file.set_volume()
        file.voxel_size = 1.2


def test_micrographs_stacks_volumes_and_stacks_of_volumes(tmp_path):
    values = noise(2, 4, 8, 6)
    mrc(tmp_path / "a.mrc", values[0, 0])
    mrc(tmp_path / "b.mrc", values[0], stack=True)
    mrc(tmp_path / "c.mrcs", values[0])  # as old programs write stacks: as a volume, by its header
    mrc(tmp_path / "d.mrc", values[0], volumes=True)
    mrc(tmp_path / "e.mrc", values)
    mrc(tmp_path / "f.mrc.gz", values[0], stack=True, compression="gzip")
    for name, shape, fields in (
        ("a.mrc", (1, 1, 8, 6), {}),
        ("b.mrc", (4, 1, 8, 6), {}),
        ("c.mrcs", (4, 1, 8, 6), {}),
        ("d.mrc", (1, 1, 4, 8, 6), {}),
        ("d.mrc", (4, 1, 8, 6), {"sections": "rows"}),
        ("e.mrc", (2, 1, 4, 8, 6), {}),
        ("f.mrc.gz", (4, 1, 8, 6), {}),
        ("f.mrc.gz", (1, 1, 4, 8, 6), {"sections": "volume"}),
    ):
        rows = open_rows({"name": "mrc", "path": str(tmp_path / name), "sigma_n": 0.1}, **fields)
        assert rows.source.shape == shape
        np.testing.assert_array_equal(
            rows.source.read(0, shape[0]).ravel(), (values if shape[0] == 2 else values[0]).ravel()[: np.prod(shape)]
        )


def test_damaged_and_complex_mrc_files_are_listed(tmp_path):
    mrc(tmp_path / "cut.mrc", noise(4, 8, 6), stack=True)
    content = (tmp_path / "cut.mrc").read_bytes()
    (tmp_path / "cut.mrc").write_bytes(content[:-100])
    mrc(tmp_path / "complex.mrc", noise(8, 6).astype(np.complex64))
    (tmp_path / "text.mrc").write_text("no electrons here " * 100)
    with pytest.raises(InputError) as error:
        open_rows({"name": "mrc", "path": str(tmp_path), "sigma_n": 0.1})
    assert "cut.mrc: it has 1,692 bytes, and its header announces 1,792" in str(error.value)
    assert "complex.mrc: its mode is 4" in str(error.value)
    assert "text.mrc: " in str(error.value)
