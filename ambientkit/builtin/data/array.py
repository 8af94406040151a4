"""The data set `array`: rows in one .npy or .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import ESTIMATES, Found, Stored
from ambientkit.readers.copied import ROWS, copied_level
from ambientkit.readers.layout import find_layout
from ambientkit.readers.npy import ArrayFile, find_arrays
from ambientkit.readers.opened import path_and_key
from ambientkit.text import listed


class Array(Stored):
    """Rows of any shape in one .npy or .npz file: observations with their noise level, or clean rows.

    x_n = (v - m) / h maps the file's values v to [-1, 1] (m, h: middle and half width of the value range). Types:
    uint8, uint16, float16, float32, float64; other whole numbers with `value_range`. A .npy file is memory-mapped, so
    it may be larger than the memory; an .npz file cannot be mapped, is read once into the memory of each process that
    starts afresh, and has a size limit. In an .npz file the noise level may be a key, by default "sigma_n".
    """

    name = "array"
    files = (".npy", ".npz")
    source = "file format: numpy.lib.format, versions 1.0 and 2.0"

    path: Path
    """The file; its content decides the format."""
    key: str | None = None
    """The array of an .npz file; needed where it holds several besides the noise level."""
    layout: Literal["auto", "NCHW", "NHWC", "NHW", "N..."] = "auto"
    """What the axes mean. "N...": rows of any shape, as they are. "auto" takes pictures whose shape leaves no doubt."""
    max_npz_bytes: int = Field(2 * 2**30, ge=1)
    """Largest unpacked size of what is read from an .npz file."""

    def find(self) -> Found:
        """The array, its layout, and a noise level in the same file. Raises InputError where the file is missing or
        unusable."""
        found = find_arrays(self.path)
        stored, named = found.get("sigma_n") if self.key != "sigma_n" else None, self._named(found)
        data = self._choose(found, named)
        data.check()
        self._check_size(
            found, [data, *(array for array in {id(a): a for a in (stored, named) if a is not None}.values())]
        )
        levels: ArrayFile | float | None = stored
        if levels is None and self.path.name == ROWS:
            levels = copied_level(self.path.parent)
        return Found(data, find_layout(data, self.layout), levels, named)

    def _named(self, found: dict[str | None, ArrayFile]) -> ArrayFile | None:
        """The array that sigma_n names, where it is a key of the file."""
        if self.sigma_n is None or isinstance(self.sigma_n, float | int):
            return None
        given = str(self.sigma_n)
        if given in ESTIMATES or Path(given).suffix.lower() in (".npy", ".csv", ".parquet"):
            return None
        if given not in found:
            raise InputError(
                f"{self.path}: sigma_n should be a number, the name of a .npy, .csv or .parquet file, a key of "
                "this file, or "
                f"{' or '.join(ESTIMATES)}, but is {given!r}; keys: {_keys(found)}"
            )
        return found[given]

    def _choose(self, found: dict[str | None, ArrayFile], levels: ArrayFile | None) -> ArrayFile:
        """The array of the rows."""
        if self.key is not None:
            if self.key not in found:
                raise InputError(f"{self.path}: there is no key {self.key!r}; keys: {_keys(found)}")
            return found[self.key]
        candidates = [array for array in found.values() if array is not levels and array.key != "sigma_n"]
        if len(candidates) > 1:  # labels and names beside the one array that has rows
            likely = [array for array in candidates if len(array.shape) >= 2 and array.dtype.kind in "uif"]
            candidates = likely if len(likely) == 1 else candidates
        if len(candidates) != 1:
            what = (
                "several arrays could be the rows: say which by key"
                if candidates
                else "no array that could be the rows"
            )
            named = path_and_key(self.name, self.path, {array.key or "": array.shape for array in candidates})
            raise InputError(f"{self.path}: {what}; keys: {_keys(found)}{named}")
        return candidates[0]

    def _check_size(self, found: dict[str | None, ArrayFile], used: list[ArrayFile]) -> None:
        size = sum(array.size for array in used if array.key is not None)
        if size > self.max_npz_bytes:
            raise InputError(
                f"{self.path}: {size} bytes would be unpacked into memory, more than max_npz_bytes = "
                f"{self.max_npz_bytes}.\n"
                "Save the array as .npy, which is read from disk as needed: numpy.save('rows.npy', rows); or "
                "raise max_npz_bytes"
            )


def _keys(found: dict[str | None, ArrayFile]) -> str:
    if None in found:
        return "none, it is a .npy file"
    return listed([f"{key} {array.shape} {array.dtype}" for key, array in found.items()], limit=12) or "none"
