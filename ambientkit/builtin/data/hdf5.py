"""The data set `hdf5`: rows in one array of an HDF5 file."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.messages import note
from ambientkit.readers import Encoded, Encoding, Found, Series, Stored, needs
from ambientkit.readers.hdf5 import MASKS, HDF5Array, arrays_in, rows_among
from ambientkit.readers.layout import Layout, find_layout
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
    flags: str | None = None
    """An array of whole numbers (H, W) that flags pixels of the detector, such as the pixel_mask of NeXus, or (N, H, W)
    for each row: where a bit of `flag_bits` is set, the pixel is missing. See `missing`."""
    flag_bits: int = Field(-1)
    """The bits of `flags` that count; -1 for all."""

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
        layout = find_layout(data, self.layout)
        if self.flags is not None:
            data.flag(self.flags.strip("/"), arrays, self.flag_bits, layout)
        return Found(data, layout, levels, named)


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
        likely = rows_among(part.path, [key for key in likely if key.rpartition("/")[2] != "sigma_n"])
        if len(likely) != 1:
            what = "several arrays could be the rows: say which by key" if likely else "no array that could be the rows"
            named = path_and_key(part.name, part.path, {key: arrays[key][0] for key in likely})
            raise InputError(f"{part.path}: {what}; arrays: {keys}{named}{_kspace(part, arrays)}")
        key = likely[0]
        if told := _kspace(part, arrays):
            note(f"{part.path}: {key} is taken for the rows.{told}")
    array = _Rows(part.path, key, *arrays[key])
    array.check()
    array.masks = [] if part.flags else [name for name, (shape, _) in arrays.items() if array.may_flag(name, shape)]
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
    def __init__(self, path: Path, key: str, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__(path, key, shape, dtype)
        self._stored = self.dtype
        self._flags: Callable[[Any], NDArray[np.bool_]] | None = None
        self.masks: list[str] = []
        """Arrays that flag pixels, which nobody named."""

    def may_flag(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether an array is a mask of the detector that took these rows."""
        return name.endswith(MASKS) and shape in (self.shape[1:3], self.shape[2:4])

    def said_flags(self) -> dict[str, Any]:
        """The field by which the file itself says which pixels hold nothing; empty where none or several do."""
        return {"flags": self.masks[0]} if len(self.masks) == 1 else {}

    def flag(self, name: str, arrays: Mapping[str, tuple[tuple[int, ...], Any]], bits: int, layout: Layout) -> None:
        """Read NaN where a bit of an array is set. Raises InputError where there is none, or it does not fit."""
        if name not in arrays:
            raise InputError(f"{self.path}: flags: there is no array {name!r}; arrays: {listed([*arrays], limit=12)}")
        (shape, dtype), picture = arrays[name], self.shape[1:]
        size = picture[1:] if layout == "NCHW" else picture[:2] if layout == "NHWC" else picture
        if dtype.kind not in "uib" or shape not in (size, (self.shape[0], *size)):
            raise InputError(
                f"{self.path}: flags: {name} {shape} {dtype} is no flags for rows of {size} pixels: an array of whole "
                f"numbers {size}, or {(self.shape[0], *size)}"
            )
        source = HDF5Array(self.path, name, shape, dtype)
        source.read_header()
        self._flags = _Flags(source, bits, shape != size, {"NCHW": -3, "NHWC": -1}.get(layout))
        self.missing[f"flags in {name}"] = math.nan
        self.dtype = np.result_type(self.dtype, np.float32)

    def _take(self, handle: Any, where: Any) -> Any:
        values = super()._take(handle, where)
        if self._flags is None:
            return values
        return np.where(self._flags(where), np.nan, values).astype(self.dtype)

    def stored_as(self, like: Path) -> Encoding:
        """As in the file, flagged or not."""
        return Encoding(self._stored)

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as the array of this name in a file of their own."""
        write_hdf5(like, self.key, rows, target, series)


class _Flags:
    """Where pixels are flagged, by the rows that are read.

    by_row: each row has flags of its own. channels: the axis of channels, which have the flags of their picture.
    """

    def __init__(self, source: HDF5Array, bits: int, by_row: bool, channels: int | None) -> None:
        self._source, self._bits, self._by_row, self._channels = source, bits, by_row, channels
        self._shared = None if by_row else self._set(source.all())

    def _set(self, flags: NDArray[Any]) -> NDArray[np.bool_]:
        found = (flags.astype(np.int64) & self._bits) != 0
        return found if self._channels is None else np.expand_dims(found, self._channels)

    def __call__(self, where: Any) -> NDArray[np.bool_]:
        if self._shared is not None:
            return self._shared
        if isinstance(where, slice):
            return self._set(self._source.read(where.start, where.stop))
        return self._set(self._source.all() if where == () else self._source.row(where))
