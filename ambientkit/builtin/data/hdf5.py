"""The data set `hdf5`: rows in one array of an HDF5 file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from ambientkit.errors import InputError
from ambientkit.messages import note
from ambientkit.readers import Encoded, Found, Series, Stored, needs
from ambientkit.readers.hdf5 import HDF5Array, arrays_in
from ambientkit.readers.layout import find_layout
from ambientkit.readers.opened import path_and_key
from ambientkit.text import listed
from ambientkit.writers.arrays import write_hdf5


class HDF5(Stored):
    """Rows in one array of an HDF5 file, read as they are needed; the noise level may be another array of the file.

    Links and arrays that lead to other files are refused.
    """

    name = "hdf5"
    files = (".h5", ".hdf5", ".hdf")
    begins = ((0, b"\x89HDF\r\n\x1a\n"),)
    source = "file format: HDF5; h5py"

    path: Path
    """The file."""
    key: str | None = None
    """The array of the rows, such as /entry/images; needed where several could be meant."""
    layout: Literal["auto", "NCHW", "NHWC", "NHW", "N..."] = "auto"
    """What the axes mean. "N...": rows of any shape, as they are. "auto" takes pictures whose shape leaves no doubt."""

    def find(self) -> Found:
        """The array by its header. Raises InputError where there is no such file or array, or it is no array of
        numbers."""
        needs("h5py", "science", "HDF5")
        if not self.path.is_file():
            raise InputError(
                f"{self.path}: "
                + ("is a folder; that of many files: array-folder" if self.path.exists() else "no such file")
            )
        arrays, refused = arrays_in(self.path)
        data = _choose(self, arrays, refused)
        levels, named = (
            HDF5Array(self.path, name, *arrays[name]) if name in arrays and name != data.key else None
            for name in ("sigma_n", self.sigma_n.strip("/") if isinstance(self.sigma_n, str) else None)
        )
        for array in filter(None, (data, levels, named)):
            array.read_header()
        return Found(data, find_layout(data, self.layout), levels, named)


def _choose(part: HDF5, arrays: dict[str, tuple[tuple[int, ...], Any]], refused: list[str]) -> _Rows:
    keys = (
        listed(
            [f"{key} {shape} {dtype}" for key, (shape, dtype) in arrays.items()] + [f"refused: {r}" for r in refused],
            limit=12,
        )
        or "none"
    )
    if part.key is not None:
        key = part.key.strip("/")
        if key not in arrays:
            raise InputError(f"{part.path}: there is no array {part.key!r} that can be used; arrays: {keys}")
        if arrays[key][1].kind == "c":
            found = f"{key} holds complex numbers ({arrays[key][1]})"
            raise InputError(f"{part.path}: {found}, which are no rows.{_kspace(part, arrays)}")
    else:
        likely = [
            key
            for key, (shape, dtype) in arrays.items()
            if len(shape) >= 2 and dtype.kind in "uif" and key != str(part.sigma_n)
        ]
        likely = [key for key in likely if key.rpartition("/")[2] != "sigma_n"]
        if len(likely) != 1:
            what = "several arrays could be the rows: say which by key" if likely else "no array that could be the rows"
            named = path_and_key(part.name, part.path, {key: arrays[key][0] for key in likely})
            raise InputError(f"{part.path}: {what}; arrays: {keys}{named}{_kspace(part, arrays)}")
        key = likely[0]
        if told := _kspace(part, arrays):
            note(f"{part.path}: {key} is taken for the rows.{told}")
    array = _Rows(part.path, key, *arrays[key])
    array.check()
    return array


def _kspace(part: HDF5, arrays: dict[str, tuple[tuple[int, ...], Any]]) -> str:
    """How k-space in the file is read and trained on, as a line of its own; empty where there is none."""
    found = [key for key, (shape, dtype) in arrays.items() if dtype.kind == "c" and len(shape) in (3, 4)]
    if not found:
        return ""
    key = "kspace" if "kspace" in found else found[0]
    named = "" if key == "kspace" else f", key: {key}"
    read = shlex.quote(f"kspace{{path: {part.path}{named}, sigma_n: STD}}")
    maps = len(arrays[key][0]) == 4 and arrays[key][0][1] > 1 and "sensitivity_maps" not in arrays
    return (
        f"\n{key} is complex: k-space, with a noise std per real and imaginary part. Look at it by: ambientkit "
        f"inspect {read}; train by: ambientkit train --data {read} --corruption "
        f"{shlex.quote('linear{operator: fourier}')} --objective tweedie"
        + ("\nIts coils need sensitivity_maps, of the shape of kspace, in the same file" if maps else "")
    )


class _Rows(HDF5Array):
    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as the array of this name in a file of their own."""
        write_hdf5(like, self.key, rows, target, series)
