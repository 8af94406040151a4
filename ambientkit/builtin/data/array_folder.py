"""The data set `array-folder`: rows in a folder of .npy, .npz and HDF5 files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import Encoded, FileRows, Series, StoredFiles, UnusableFile, needs
from ambientkit.readers.hdf5 import HDF5Array, arrays_in, rows_among
from ambientkit.readers.layout import against_names
from ambientkit.readers.npy import ArrayFile, find_arrays
from ambientkit.text import listed
from ambientkit.writers.arrays import write_hdf5

Axes = Literal["HW", "CHW", "HWC", "NHW", "NCHW", "NHWC", "...", "N..."]
OF_NUMPY = (".npy", ".npz")
OF_HDF5 = (".h5", ".hdf5", ".hdf", ".nxs", ".cxi", ".emd")
FEW = 4
"""So short an axis may be one of channels."""


class ArrayFolder(StoredFiles):
    """Rows in a folder of .npy, .npz or HDF5 files, each one row or a stack of them, in the order of the names.

    All files must have rows of one shape and type; their number per file may differ. An .npz file is unpacked for
    each row that is read: .npy files are faster.
    """

    name = "array-folder"
    source = "file formats: numpy.lib.format, versions 1.0 and 2.0; HDF5, h5py"
    suffixes = folders = (*OF_NUMPY, *OF_HDF5)
    what = "array file"

    key: str | None = None
    """The array of each .npz or HDF5 file; needed where a file holds several."""
    layout: Literal["auto", "HW", "CHW", "HWC", "NHW", "NCHW", "NHWC", "...", "N..."] = "auto"
    """What the axes of a file are; with N it holds a stack of rows. "..." and "N...": rows of any shape, as they are.
    "auto" takes pictures whose shape leaves no doubt."""
    max_values: int = Field(2**30, ge=1)
    """Largest array of an .npz file that is unpacked, by its header."""

    def open(self, files: Sequence[Path]) -> FileRows:
        """The arrays by their headers. Raises InputError listing files that cannot be used."""
        return _Arrays(self, files)


class _Arrays(FileRows[ArrayFolder]):
    what = "array file"

    def _array(self, file: Path) -> ArrayFile | HDF5Array:
        try:
            if file.name.lower().endswith(OF_HDF5):
                needs("h5py", "science", "HDF5")
                arrays, refused = arrays_in(file)
                real = {name: shape for name, (shape, dtype) in arrays.items() if dtype.kind in "uif"}
                if self.part.key is None:
                    real = {name: real[name] for name in rows_among(file, [*real])}
                key = self._chosen(real)
                if key is None:
                    raise UnusableFile(_none({name: str(dtype) for name, (_, dtype) in arrays.items()}, refused))
                array = HDF5Array(file, key, *arrays[key])
                array.read_header()
                self.missing.update(array.missing)
                self.lossy |= array.lossy
                return array
            found = find_arrays(file)
            if None in found:
                found[None].check()
                return found[None]
            shapes = {str(name): one.shape for name, one in found.items() if one.dtype.kind in "uif"}
            key = self._chosen(shapes)
            if key is None:
                raise UnusableFile(_none({str(name): str(one.dtype) for name, one in found.items()}, []))
        except InputError as error:
            raise UnusableFile(str(error).removeprefix(f"{file}: ")) from None
        if math.prod(found[key].shape) > self.part.max_values:
            raise UnusableFile(
                f"its array {key} of shape {found[key].shape} has more values than max_values = "
                f"{self.part.max_values}: save it as .npy, or raise it"
            )
        found[key].check()
        return found[key]

    def _chosen(self, shapes: dict[str, tuple[int, ...]]) -> str | None:
        """The array of the rows among arrays of real numbers; None where there is none. Raises UnusableFile where there
        are several."""
        if self.part.key is not None:
            key = self.part.key.strip("/")
            return key if key in shapes else None
        likely = [name for name, shape in shapes.items() if len(shape) >= 2]
        if len(likely) > 1:
            told = listed([f"{name} {shapes[name]}" for name in likely])
            raise UnusableFile(f"several of its arrays could be the rows: give key, one of {told}")
        return likely[0] if likely else None

    def _axes(self, shape: tuple[int, ...]) -> Axes:
        asked = self.part.layout
        if asked == "...":
            return asked
        if asked == "N...":
            if len(shape) < 2:
                raise UnusableFile(f"its shape is {shape}, and layout N... needs 2 axes or more")
            return asked
        if asked != "auto":
            if len(shape) != len(asked):
                raise UnusableFile(f"its shape is {shape}, and layout {asked} needs {len(asked)} axes")
            return asked
        few = [length <= FEW for length in shape]
        if len(shape) == 2:
            return "HW"
        if len(shape) == 3 and shape[0] == 1 and not few[2]:
            return "CHW"
        if len(shape) == 3 and not few[0]:
            return "HWC" if few[2] else "NHW"
        if len(shape) == 4 and few[1] != few[3]:
            return "NCHW" if few[1] else "NHWC"
        raise UnusableFile(f"its shape {shape} does not say which axis is which: give layout")

    def _remedy(self) -> str:
        told = super()._remedy()
        if not any("give layout" in one for one in self._bad):
            return told
        return (
            "layout: CHW or HWC for one picture per file, channels first or last; NHW, NCHW or NHWC for a stack of "
            f"pictures; '...' or 'N...' for a row, or a stack of rows, of any shape.\n{told}"
        )

    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        array = self._array(file)
        shape, axes = array.shape, self._axes(array.shape)
        if self.part.layout == "auto" and (told := against_names(array, axes)):
            raise UnusableFile(told)
        rows, one = (shape[0], shape[1:]) if axes.startswith("N") else (1, shape)
        form = axes.removeprefix("N")
        row = (1, *one) if form == "HW" else (one[2], *one[:2]) if form == "HWC" else one
        return rows, row, array.dtype.newbyteorder("=")

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        array = self._array(file)
        axes = self._axes(array.shape)
        try:
            many = axes.startswith("N")
            found = array.read(start, stop) if many else array.read(0, array.shape[0])[None]
        finally:
            if isinstance(array, HDF5Array):
                array.close()
        return _channels_first(found, axes)

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as an array with the axes of that of `like`, under its name."""
        array = self._array(like)
        axes = self._axes(array.shape)
        stack = axes.startswith("N")
        own = rows.arranged(lambda row: _as_in_file(row, axes))
        if isinstance(array, HDF5Array):
            write_hdf5(like, array.key, own, target, series, stack=stack)
            return
        values = own.all() if stack else own[0]
        with target.open("wb") as file:
            if array.key is None:
                np.save(file, values, allow_pickle=False)
            else:
                np.savez(file, **{array.key: values})


def _none(kinds: dict[str, str], refused: Sequence[str]) -> str:
    """Why no array can be the rows."""
    told = listed([f"{name} ({kind})" for name, kind in kinds.items()] + [f"{one}, refused" for one in refused])
    if any(kind.startswith("complex") for kind in kinds.values()):
        return f"no array that could be the rows; arrays: {told}. For k-space: 'kspace{{path: FOLDER, sigma_n: STD}}'"
    return f"no array of that name that could be the rows; arrays: {told or 'none'}: give key"


def _channels_first(values: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """Rows (n, axes of one) as rows (n, C, H, W), or as they are."""
    one = axes.removeprefix("N")
    return values[:, None] if one == "HW" else np.moveaxis(values, -1, 1) if one == "HWC" else values


def _as_in_file(row: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """The opposite, of one row."""
    one = axes.removeprefix("N")
    return row[0] if one == "HW" else np.moveaxis(row, 0, -1) if one == "HWC" else row
