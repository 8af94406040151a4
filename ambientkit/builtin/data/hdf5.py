"""The data set `hdf5`: rows in one array of an HDF5 file."""

from __future__ import annotations

import importlib
import math
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from ambientkit.errors import InputError
from ambientkit.messages import note
from ambientkit.readers import Encoded, Found, OpenedArray, Series, Stored, cause_of, needs
from ambientkit.readers.layout import find_layout
from ambientkit.readers.opened import missing_by_attributes, path_and_key
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
        h5py = needs("h5py", "science", "HDF5")
        if not self.path.is_file():
            raise InputError(
                f"{self.path}: " + ("should be an HDF5 file, but is a folder" if self.path.exists() else "no such file")
            )
        try:
            with h5py.File(self.path, "r") as file:
                arrays: dict[str, Any] = {}
                refused = _collect(h5py, file, "", arrays, set())
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read as HDF5 ({' '.join(str(error).split())[:160]})") from None
        data = _choose(self, arrays, refused)
        levels, named = (
            _Array(self.path, name, *arrays[name]) if name in arrays and name != data.key else None
            for name in ("sigma_n", self.sigma_n.strip("/") if isinstance(self.sigma_n, str) else None)
        )
        for array in filter(None, (data, levels, named)):
            array.read_header()
        return Found(data, find_layout(data, self.layout), levels, named)


def _collect(h5py: Any, group: Any, prefix: str, arrays: dict[str, Any], entered: set[int]) -> list[str]:
    """Fill in name -> (shape, type) of the arrays in this very file; returns what was refused, and why. Each group is
    entered once."""
    refused: list[str] = []
    if (address := h5py.h5o.get_info(group.id).addr) in entered:  # hard links may form a loop
        return refused
    entered.add(address)
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
            if isinstance(link, h5py.ExternalLink):
                refused.append(f"{prefix}{name} (a link to the file {link.filename})")
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            refused += _collect(h5py, item, f"{prefix}{name}/", arrays, entered)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                refused.append(f"{prefix}{name} (its values are in other files)")
            elif item.shape is not None:
                arrays[f"{prefix}{name}"] = (item.shape, item.dtype)
    return refused


def _choose(part: HDF5, arrays: dict[str, tuple[tuple[int, ...], Any]], refused: list[str]) -> _Array:
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
    array = _Array(part.path, key, *arrays[key])
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


def _unwritten(array: Any) -> tuple[int, int]:
    """Chunks of an array that were never written, and how many there should be; an array in one piece counts as one."""
    if array.chunks is None:
        return int(array.id.get_storage_size() == 0), 1
    total = math.prod(-(-length // chunk) for length, chunk in zip(array.shape, array.chunks))
    return total - int(array.id.get_num_chunks()), total


FILTERS = {
    305: "LZO", 307: "bzip2", 32000: "LZF", 32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle", 32013: "ZFP",
    32015: "Zstandard", 32017: "SZ", 32019: "FCIDECOMP", 32024: "SZ3", 32026: "Blosc2", 32028: "SPERR",
}  # fmt: skip
"""Numbers of filters as registered with The HDF Group (github.com/HDFGroup/hdf5_plugins, RegisteredFilterPlugins)."""


def _absent_filters(array: Any) -> list[str]:
    """The filters of an array that cannot be undone here, by name and number."""
    import h5py

    settings = array.id.get_create_plist()
    used = [settings.get_filter(i) for i in range(settings.get_nfilters())]
    if any(not h5py.h5z.filter_avail(number) for number, *_ in used):
        with suppress(ImportError):
            importlib.import_module("hdf5plugin")  # registers its filters
    return [
        f"the HDF5 filter {number} ({FILTERS.get(number) or bytes(name).decode(errors='replace') or 'of unknown name'})"
        for number, _, _, name in used
        if not h5py.h5z.filter_avail(number)
    ]


def _fill_value(array: Any) -> Any:
    """The fill value, where the writer of the file chose one."""
    import h5py

    defined = array.id.get_create_plist().fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED
    return array.fillvalue if defined else None


class _Array(OpenedArray):
    def read_header(self) -> None:
        """Find the value of missing pixels in the header. Raises InputError where parts were never written, which would
        be read as the fill value, and where a filter that decodes the values is not installed."""
        try:
            array = self._open()
            missing, total = _unwritten(array)
            self.missing = missing_by_attributes(str(self), dict(array.attrs), _fill_value(array))
            absent = _absent_filters(array)
            self._close(array)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{self}: cannot be read ({cause_of(error)}): damaged, or cut short") from None
        if absent:
            raise InputError(
                f"{self}: its values cannot be decoded here:\nthey are compressed by {' and '.join(absent)}, which "
                "is not installed. "
                "Most such filters come with the package hdf5plugin, which is used where it is there: pip install "
                "hdf5plugin"
            )
        if missing:
            raise InputError(
                f"{self}: {missing} of {total} chunks were never written, and would be read as the fill value. "
                f"Write them, or save only the rows that there are"
            )

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as the array of this name in a file of their own."""
        write_hdf5(like, self.key, rows, target, series)

    def _open(self) -> Any:
        import h5py

        self._file = h5py.File(self.path, "r")
        return self._file[self.key]

    def _close(self, handle: Any) -> None:
        handle.file.close()
        self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_file": None}
