"""Paths of data: which data set one stands for, and that nothing else is written there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ambientkit.errors import InputError, nearest
from ambientkit.interfaces import Data
from ambientkit.registry import Registry

FILES = {
    (".npy", ".npz"): "array",
    (".h5", ".hdf5", ".hdf"): "hdf5",
    (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"): "fits",
    (".nii", ".nii.gz"): "nifti",
    (".dcm", ".dicom", ".ima"): "dicom",
    (".tar",): "webdataset",
    (".parquet",): "hf-dataset",
    (".tif", ".tiff", ".btf", ".tf8"): "tiff-stack",
    (".png", ".jpg", ".jpeg", ".webp", ".bmp"): "image-folder",
}
KINDS = "a folder of images, FITS, NIfTI or DICOM files, tar shards, a Zarr or Hugging Face dataset folder, or one image, .npy, .npz or .h5 file"


def data_spec(text: str, registry: Registry, flag: str = "--data") -> Any:
    """What the registry builds from a name, 'NAME{field: value}', or a path. Raises InputError where it is none of them."""
    if text in registry.names("data"):
        return text
    path = Path(text)
    if not path.exists() and (match := re.fullmatch(r"([a-z0-9][\w.-]*)\{.*\}", text.strip(), re.DOTALL)):
        from ambientkit.cli.verify import split_fields

        name, fields = split_fields(text)
        assert match
        return {"name": name, **fields}
    if path.is_dir():
        return {"name": _folder(path), "path": text}
    for suffixes, name in FILES.items():
        if path.name.lower().endswith(suffixes):
            return {"name": name, "path": text}
    known = ", ".join(registry.names("data"))
    hint = nearest(text, registry.names("data"))
    what = "is a file of a kind that is not read" if path.exists() else f"is neither a data set nor an existing path{hint}"
    raise InputError(f"{flag} {text}: {what}. Give {KINDS}, or one of: {known}")


def _folder(folder: Path) -> str:
    """The kind of a folder: by its marks, then by the suffix that most of its files have."""
    if any((folder / mark).is_file() for mark in ("zarr.json", ".zarray", ".zgroup")):
        return "zarr"
    if any((folder / mark).is_file() for mark in ("dataset_info.json", "dataset_dict.json")):
        return "hf-dataset"
    if (folder / "manifest.json").is_file() and (folder / "rows.npy").is_file():
        return "corrupted"
    counts: dict[str, int] = {}
    for i, path in enumerate(folder.rglob("*")):
        if i > 10_000:
            break
        for suffixes, name in FILES.items():
            if (
                name not in ("array", "hdf5", "tiff-stack", "image-folder")
                and path.name.lower().endswith(suffixes)
                and not path.name.startswith(".")
            ):
                counts[name] = counts.get(name, 0) + 1
    return max(counts, key=lambda name: counts[name]) if counts else "image-folder"


def with_bad_files(fields: dict[str, Any], on_bad_file: str | None, registry: Registry) -> dict[str, Any]:
    """The fields of a data set with what --on-bad-file says. Raises InputError where the data set has no files."""
    if on_bad_file is None:
        return fields
    if on_bad_file not in ("fail", "skip"):
        raise InputError(f"--on-bad-file {on_bad_file}: should be fail or skip")
    if "on_bad_file" not in registry.find("data", fields["name"]).part.model_fields:
        raise InputError(f"--on-bad-file {on_bad_file}: the data set {fields['name']!r} has no files of its own that could be bad")
    return {**fields, "on_bad_file": on_bad_file}


def refuse_inside(flag: str, folder: Path, data: Data) -> None:
    """Raise InputError where the files would lie in a folder of data, and be read as rows of it from then on."""
    path = getattr(data, "path", None)
    if path is not None and Path(path).is_dir() and folder.resolve().is_relative_to(Path(path).resolve()):
        raise InputError(
            f"{flag} {folder}: lies inside the data {path}, and what is written there would be read as rows of them; give a folder elsewhere"
        )
