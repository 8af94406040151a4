"""One array inside a file that a library keeps open: HDF5, Zarr."""

from __future__ import annotations

import abc
import logging
import math
import os
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.results import Encoding, Result
from ambientkit.readers.source import UnusableFile, cause_of, check_numbers, chunks_of

logger = logging.getLogger("ambientkit")


class OpenedArray(abc.ABC):
    """One array of a file, read through a library's handle.

    The handle is opened when first needed and belongs to one process: it is closed before a fork and left out of a
    pickle, since processes that share a handle read each other's rows.
    """

    def __init__(self, path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.key, self.shape, self.dtype = path, key, tuple(shape), np.dtype(dtype)
        self.missing: dict[str, float] = {}
        """Name -> value of what stands for a missing pixel."""
        self.axis_names: tuple[str, ...] = ()
        """What the file calls the axes; empty where it does not say, and "" for one without a name."""
        self.lossy: set[str] = set()
        """Compression that loses something, by name (`readers.lossy`)."""
        self._handle: Any = None
        _OPEN.add(self)

    def __str__(self) -> str:
        return f"{self.path}, key {self.key!r}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _OPEN.add(self)

    @abc.abstractmethod
    def _open(self) -> Any:
        """Something that is sliced like an array."""

    @abc.abstractmethod
    def _close(self, handle: Any) -> None:
        """Give back what `_open` returned."""

    def _take(self, handle: Any, where: Any) -> Any:
        """The values at an index, a slice, or everywhere (()). Raises UnusableFile."""
        return handle[where]

    def close(self) -> None:
        """Close the handle; the next read opens it again."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._close(handle)

    def check(self) -> None:
        """Raises InputError where these can be no rows of numbers."""
        check_numbers(str(self), self.shape, self.dtype)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop. Raises UnusableFile where they cannot be decoded."""
        return self._at(slice(start, stop))

    def row(self, index: int) -> NDArray[Any]:
        """One row. Raises IndexError outside 0..N-1, and InputError where it cannot be decoded."""
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"row {index} of {self.shape[0]}")
        try:
            return self._at(index)
        except UnusableFile as error:
            raise InputError(f"{self}: {self.name(index)}: {error}") from None

    def all(self) -> NDArray[Any]:
        """The whole array, in memory. Raises InputError where it cannot be decoded."""
        try:
            return self._at(())
        except UnusableFile as error:
            raise InputError(f"{self}: {error}") from None

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds of consecutive rows."""
        return chunks_of(self.shape)

    def name(self, index: int) -> str:
        """What a row is called."""
        return f"row {index}"

    def results(self) -> list[Result]:
        """All rows are in one file, or one folder; see `readers.results`."""
        return [Result(self.path, self.path.name, 0, self.shape[0])]

    def result_name(self, name: str, encoding: Encoding) -> str:
        """The same name."""
        return name

    def partly(self, like: Path, rows: int) -> str:
        """Why the first rows alone cannot be written like the array; empty where they can."""
        return ""

    def stored_as(self, like: Path) -> Encoding:
        """How numbers stand in the array."""
        return Encoding(self.dtype)

    def _at(self, where: Any) -> NDArray[Any]:
        try:
            if self._handle is None:
                self._handle = self._open()
            values = np.asarray(self._take(self._handle, where))
        except (InputError, UnusableFile):
            raise
        except Exception as error:  # the libraries raise anything on damaged files
            raise UnusableFile(
                f"cannot be read ({type(error).__name__}: {cause_of(error)}): damaged, or cut short"
            ) from None
        expected = self.shape if where == () else self.shape[1:]
        if values.dtype != self.dtype or values.shape[values.ndim - len(expected) :] != expected:
            raise InputError(f"{self}: the file was changed during the run ({self.shape} {self.dtype} before)")
        return values


def path_and_key(name: str, path: Path, likely: Mapping[str, tuple[int, ...]]) -> str:
    """How one of several arrays is named, to follow a message on a line of its own: the largest as an example; empty
    where there is none."""
    if not likely:
        return ""
    largest = max(likely, key=lambda key: math.prod(likely[key]))
    return f"\nA key is given with the path, such as that of the largest: '{name}{{path: {path}, key: {largest}}}'"


def missing_by_attributes(where: str, attributes: Mapping[str, Any], fill: Any = None) -> dict[str, float]:
    """Name -> value of what stands for a missing pixel, by the attributes of the CF conventions (`_FillValue`,
    `missing_value`).

    fill: the fill value of the array, where its writer chose one; 0, which most libraries choose, is a value like any
    other. Warns of attributes that would change the values: they are not applied.
    """
    if _said(attributes.get("_Unsigned")).lower() == "true":
        raise InputError(
            f"{where}: its attribute _Unsigned says that its whole numbers have no sign, though their type has one: "
            "values of the upper half would be read as negative. Save them in a type without sign, by "
            "values.view(np.uint8) or its like"
        )
    bounds = [
        f"{name} = {attributes[name]}" for name in ("valid_range", "valid_min", "valid_max") if name in attributes
    ]
    if bounds:
        logger.warning(
            "%s: the attributes %s are not applied: values outside are taken as they are. If they stand for nothing, "
            "name what marks them (missing: VALUE), or save NaN in their place",
            where,
            ", ".join(bounds),
        )
    scaling = [f"{name} = {attributes[name]}" for name in ("scale_factor", "add_offset") if name in attributes]
    if scaling:
        logger.warning(
            "%s: the attributes %s are not applied: value_range and sigma_n mean the values as stored",
            where,
            ", ".join(scaling),
        )
    found: dict[str, float] = {}
    for name in ("_FillValue", "missing_value"):
        try:
            values = [float(value) for value in np.ravel(attributes[name])] if name in attributes else []
        except (TypeError, ValueError):
            raise InputError(f"{where}: its attribute {name} is {attributes[name]!r}, which is no number") from None
        found.update({name if len(values) == 1 else f"{name}[{i}]": value for i, value in enumerate(values)})
    if fill is not None and np.ndim(fill) == 0 and float(fill) != 0 and float(fill) not in found.values():
        found["the fill value"] = float(fill)
    return {name: value for name, value in found.items() if not np.isnan(value)}


def _said(value: Any) -> str:
    """An attribute as text, which libraries store as bytes, numbers or truth values."""
    one = np.ravel(value)[0] if np.size(value) == 1 else ""
    return one.decode(errors="replace") if isinstance(one, bytes) else str(one)


_OPEN: weakref.WeakSet[OpenedArray] = weakref.WeakSet()


def _close_all() -> None:
    for array in list(_OPEN):
        array.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_all)
