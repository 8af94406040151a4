"""Compression that loses something is told, in every format; what loses nothing is not."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.formats import open_rows

RNG = np.random.default_rng(3)
PICTURE = RNG.normal(128, 20, (32, 32)).clip(1, 254).astype(np.uint8)
FLOATS = RNG.normal(0, 0.2, (32, 32)).astype(np.float32)
TOLD = "compression changes noise, which is no longer white and Gaussian of the declared level"


def fits(folder: Path, values: Any = FLOATS, **options: Any) -> dict[str, Any]:
    module = pytest.importorskip("astropy.io.fits")
    module.CompImageHDU(values, **options).writeto(folder / "a.fits.fz")
    return {"name": "fits", "path": str(folder)}


def told(spec: dict[str, Any], caplog: pytest.LogCaptureFixture, **fields: Any) -> str:
    open_rows(spec, clean=True)
    assert "loss" not in caplog.text, "clean rows have no noise to change"
    open_rows(spec, sigma_n=0.1, **fields)
    return caplog.text


@pytest.mark.parametrize(
    ("kind", "dither"), [("RICE_1", 1), ("RICE_1", -1), ("GZIP_2", 2), ("HCOMPRESS_1", 1)], ids=str
)
def test_rounded_values_in_fits_are_told_with_their_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, dither: int
) -> None:
    spec = fits(tmp_path, compression_type=kind, quantize_method=dither, quantize_level=-0.05)  # the step itself
    text = told(spec, caplog)
    assert f"compressed with loss ({kind}, " in text
    assert "rounded in steps of 0.05, which adds noise of a std of 0.0144" in text
    from astropy.io import fits as module

    stored = module.getdata(tmp_path / "a.fits.fz")
    assert 0.01 < np.std(stored - FLOATS) < 0.02, "the very noise"


@pytest.mark.parametrize("options", [{"quantize_level": 0, "compression_type": "GZIP_2"}, {}], ids=str)
def test_fits_that_lose_nothing_are_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    spec = fits(tmp_path, FLOATS if options else PICTURE.astype(np.int16), **options)
    more = {} if options else {"value_range": [0, 255]}
    open_rows(spec, sigma_n=0.1, **more)
    assert "loss" not in caplog.text


def test_scaled_hcompress_of_whole_numbers_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = fits(tmp_path, PICTURE.astype(np.int16), compression_type="HCOMPRESS_1", hcomp_scale=8)
    open_rows(spec, sigma_n=0.1, value_range=[0, 255])
    assert "compressed with loss (HCOMPRESS_1, SCALE 8): values are rounded in steps of 8" in caplog.text


def picture(name: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        Image.fromarray(PICTURE).convert("RGB").save(folder / name, **options)
        return {"name": "image-folder", "path": str(folder)}

    return write


def tiff(compression: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        tifffile = pytest.importorskip("tifffile")
        pytest.importorskip("imagecodecs")
        tifffile.imwrite(folder / "a.tif", PICTURE, compression=compression, compressionargs=options)
        return {"name": "tiff-stack", "path": str(folder)}

    return write


def hdf5(**options: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        h5py = pytest.importorskip("h5py")
        values = FLOATS if options["scaleoffset"] else PICTURE
        with h5py.File(folder / "a.h5", "w") as file:
            file.create_dataset("x", data=np.stack([values] * 2), **options)
        return {"name": "hdf5", "path": str(folder / "a.h5"), "layout": "NHW"}

    return write


def zarr(codec: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        library, numcodecs = pytest.importorskip("zarr"), pytest.importorskip("numcodecs")
        made = {"quantize": numcodecs.Quantize, "delta": numcodecs.Delta}[codec](dtype="<f4", **options)
        array = library.create_array(
            str(folder / "a.zarr"), shape=(2, 32, 32), dtype="<f4", zarr_format=2, filters=[made]
        )
        array[:] = np.stack([FLOATS] * 2)
        return {"name": "zarr", "path": str(folder / "a.zarr"), "layout": "NHW"}

    return write


def shard(form: str) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        with tarfile.open(folder / "a.tar", "w") as tar:
            data = io.BytesIO()
            Image.fromarray(PICTURE).save(data, format=form)
            for name, content in ((f"0.{form}", data.getvalue()), ("0.json", json.dumps({"label": 1}).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return {"name": "webdataset", "path": str(folder)}

    return write


def parquet(form: str, **fields: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        datasets = pytest.importorskip("datasets")
        data = io.BytesIO()
        Image.fromarray(PICTURE).save(data, format=form)
        rows = {"image": [{"bytes": data.getvalue(), "path": None}] * 2}
        features = datasets.Features({"image": datasets.Image()})
        datasets.Dataset.from_dict(rows, features=features).to_parquet(str(folder / "a.parquet"))
        return {"name": "hf-dataset", "path": str(folder), **fields}

    return write


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (picture("a.jpg"), "JPEG"),
        (picture("a.png", format="JPEG"), "JPEG"),
        (picture("a.webp", quality=60), "WebP"),
        (picture("a.webp", lossless=True), ""),
        (picture("a.tif", compression="jpeg"), "JPEG"),
        (picture("a.tif", compression="tiff_lzw"), ""),
        (picture("a.png"), ""),
        (tiff("jpeg2000", level=40), "JPEG 2000"),
        (tiff("jpeg2000", reversible=True), ""),
        (tiff("zlib"), ""),
        (hdf5(scaleoffset=2), "scale-offset"),
        (hdf5(scaleoffset=0), ""),
        (zarr("quantize", digits=1), "rounding (quantize)"),
        (zarr("delta"), ""),
        (shard("jpeg"), "JPEG"),
        (shard("png"), ""),
        (parquet("jpeg"), "JPEG"),
        (parquet("jpeg", streaming=True), "JPEG"),
        (parquet("png"), ""),
    ],
)
def test_what_loses_something_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, write: Callable[[Path], dict[str, Any]], name: str
) -> None:
    spec = write(tmp_path)
    text = told(spec, caplog)
    assert (f": {name} {TOLD}" in text) == bool(name)
    assert text.count(TOLD) == int(bool(name))
