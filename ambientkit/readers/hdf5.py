"""Arrays in HDF5 files: which there are, and their rows, read as they are needed. Links to other files are refused."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ambientkit.errors import InputError
from ambientkit.readers.lossy import of_hdf5
from ambientkit.readers.opened import OpenedArray, missing_by_attributes
from ambientkit.readers.source import cause_of


def arrays_in(path: Path) -> tuple[dict[str, Any], list[str]]:
    """(name -> (shape, type) of the arrays in a file itself, what was refused and why). Raises InputError where it is
    no HDF5 file."""
    import h5py

    arrays: dict[str, Any] = {}
    try:
        with h5py.File(path, "r") as file:
            return arrays, _collect(h5py, file, "", arrays, set())
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5 ({' '.join(str(error).split())[:160]})") from None


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


MASKS = ("pixel_mask", "detector_1/mask")
"""Ends of the names of arrays that flag pixels of a detector where they are not 0: of NeXus (NXdetector) and of CXI."""


def rows_among(path: Path, likely: Sequence[str]) -> list[str]:
    """Of arrays that could be the rows, those that are: without masks of a detector, each once where links give it
    several names, and where NeXus says which one is to be plotted (`signal` of a group NXdata), that alone.

    Source: manual.nexusformat.org, NXdata and "Associating plottable data".
    """
    import h5py

    found: dict[int, str] = {}
    shown: set[int] = set()
    with h5py.File(path, "r") as file:
        for key in likely:
            if not key.endswith(MASKS):
                found.setdefault(h5py.h5o.get_info(file[key].id).addr, key)

        def see(name: str, group: Any) -> None:
            if not isinstance(group, h5py.Group) or _text(group.attrs.get("NX_class")) != "NXdata":
                return
            marked = [key for key in group if _text(_attributes(group, key).get("signal")) == "1"]
            for key in [_text(group.attrs.get("signal")), *marked]:
                if isinstance(group.get(key, getlink=True) if key else None, h5py.HardLink | h5py.SoftLink):
                    with suppress(KeyError):  # a link that leads nowhere
                        shown.add(h5py.h5o.get_info(group[key].id).addr)

        file.visititems(see)
    return [key for address, key in found.items() if address in shown] or list(found.values())


def _attributes(group: Any, key: str) -> Any:
    import h5py

    return group[key].attrs if isinstance(group.get(key, getlink=True), h5py.HardLink) else {}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


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


def _filters(array: Any) -> list[Any]:
    """Number, flags, values and name of each filter of an array."""
    settings = array.id.get_create_plist()
    return [settings.get_filter(i) for i in range(settings.get_nfilters())]


def _absent_filters(array: Any) -> list[str]:
    """The filters of an array that cannot be undone here, by name and number."""
    import h5py

    used = _filters(array)
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


def _names(array: Any) -> tuple[str, ...]:
    """What a file calls the axes of an array: by labels, or by the scales that netCDF makes its dimensions."""
    return tuple(
        str(axis.label or (axis[0].name.rpartition("/")[2] if len(axis) else ""))
        for axis in (array.dims[i] for i in range(array.ndim))
    )


class HDF5Array(OpenedArray):
    """One array of an HDF5 file."""

    def read_header(self) -> None:
        """Find the value of missing pixels in the header. Raises InputError where parts were never written, which would
        be read as the fill value, and where a filter that decodes the values is not installed."""
        try:
            array = self._open()
            missing, total = _unwritten(array)
            self.missing = missing_by_attributes(str(self), dict(array.attrs), _fill_value(array))
            self.axis_names = _names(array)
            absent = _absent_filters(array)
            self.lossy = of_hdf5([number for number, *_ in _filters(array)], array.dtype.kind == "f")
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

    def _open(self) -> Any:
        import h5py

        self._file = h5py.File(self.path, "r")
        return self._file[self.key]

    def _close(self, handle: Any) -> None:
        handle.file.close()
        self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_file": None}
