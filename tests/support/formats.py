"""The same rows in every file format, written by each format's own library."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ambientkit.registry import load


def rows(n: int = 5, height: int = 12, width: int = 10) -> NDArray[np.float32]:
    """(n, 1, height, width): row i is i / 10 plus white noise of std 0.3; no two values are equal."""
    noise = 0.3 * np.random.default_rng(7).standard_normal((n, 1, height, width))
    return (noise + np.arange(n)[:, None, None, None] / 10).astype(np.float32)


def tiff_stack(folder: Path, x: NDArray[Any]) -> dict[str, Any]:
    """Two stacks."""
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", x[:3, 0], photometric="minisblack")
    tifffile.imwrite(folder / "b.TIF", x[3:, 0], photometric="minisblack")
    return {"name": "tiff-stack", "path": str(folder)}


def hdf5(folder: Path, x: NDArray[Any]) -> dict[str, Any]:
    """One compressed array beside others."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(folder.with_suffix(".h5"), "w") as file:
        file.create_dataset("entry/images", data=x, chunks=(2, *x.shape[1:]), compression="gzip")
        file["labels"] = np.arange(len(x))
    return {"name": "hdf5", "path": str(folder.with_suffix(".h5"))}


def zarr_array(folder: Path, x: NDArray[Any]) -> dict[str, Any]:
    """A group with one array."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    group = zarr.open_group(str(folder), mode="w")
    array = group.create_array("images", shape=x.shape, chunks=(2, *x.shape[1:]), dtype=x.dtype)
    array[:] = x
    return {"name": "zarr", "path": str(folder)}


def fits(folder: Path, x: NDArray[Any]) -> dict[str, Any]:
    """One image a file."""
    module = pytest.importorskip("astropy.io.fits", reason="astropy is not installed")
    folder.mkdir()
    for i, row in enumerate(x):
        module.PrimaryHDU(row[0]).writeto(folder / f"{i:03}.fits")
    return {"name": "fits", "path": str(folder)}


def nifti(folder: Path, x: NDArray[Any]) -> dict[str, Any]:
    """Slices of one volume."""
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    folder.mkdir()
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(x[:, 0], 0, -1), np.eye(4)), folder / "volume.nii.gz")
    return {"name": "nifti", "path": str(folder), "slices": "z"}


def shards(folder: Path, x: NDArray[Any], size: int = 2, sigma_n: float | None = None) -> dict[str, Any]:
    """Tar shards written by the webdataset library; with a level, in each sample's .json."""
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    folder.mkdir()
    for start in range(0, len(x), size):
        with webdataset.TarWriter(str(folder / f"shard-{start // size:06}.tar")) as sink:
            for i in range(start, min(start + size, len(x))):
                data = io.BytesIO()
                np.save(data, x[i])
                sample: dict[str, Any] = {"__key__": f"{i:08}", "npy": data.getvalue()}
                if sigma_n is not None:
                    sample["json"] = json.dumps({"sigma_n": sigma_n + i / 100}).encode()
                sink.write(sample)
    return {"name": "webdataset", "path": str(folder)}


def hf_dataset(folder: Path, x: NDArray[Any]) -> dict[str, Any]:
    """A folder written by save_to_disk."""
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed (extra: datasets)")
    features = datasets.Features({"x": datasets.Array3D(x.shape[1:], "float32"), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict({"x": list(x), "label": list(range(len(x)))}, features=features).save_to_disk(
        str(folder)
    )
    return {"name": "hf-dataset", "path": str(folder)}


def array(folder: Path, x: NDArray[Any]) -> dict[str, Any]:
    """One .npy file."""
    np.save(folder.with_suffix(".npy"), x)
    return {"name": "array", "path": str(folder.with_suffix(".npy"))}


FORMATS: dict[str, Callable[[Path, NDArray[Any]], dict[str, Any]]] = {
    f.__name__: f for f in (array, tiff_stack, hdf5, zarr_array, fits, nifti, shards, hf_dataset)
}


def open_rows(spec: dict[str, Any], **fields: Any) -> Any:
    """The rows of a data part given as a mapping."""
    return load().build("data", {**spec, **fields}).rows()  # type: ignore[attr-defined]
