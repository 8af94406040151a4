"""The data set `zarr`: rows in one Zarr array."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import Encoded, Found, OpenedArray, Series, Stored, Unwritable, needs
from ambientkit.readers.joined import Joined
from ambientkit.readers.layout import Layout, find_layout
from ambientkit.readers.lossy import of_zarr
from ambientkit.readers.ome_zarr import Axes, Pyramid, pyramid_of
from ambientkit.readers.opened import missing_by_attributes, path_and_key
from ambientkit.text import listed
from ambientkit.writers.arrays import Written, write_zarr

logger = logging.getLogger("ambientkit")


class Zarr(Stored):
    """Rows in the arrays of Zarr folders (format 2 or 3), read as they are needed.

    One array, those of a folder of Zarr folders, or the images of a plate; with one, the noise level may lie beside it.
    OME-Zarr names its axes: channels C stay channels, times T and planes Z are rows, of one level of its pyramid.
    A chunk that was never written, or is lost, would be read as the fill value: such arrays are refused.
    """

    name = "zarr"
    marks = ("zarr.json", ".zarray", ".zgroup")
    folders = (".zarr",)
    source = "file format: Zarr 2 and 3; zarr"

    path: Path
    """The folder of the array, or of a group that holds it, or one in which such folders named .zarr are."""
    key: str | None = None
    """The array of a group, or the image of OME-Zarr; needed where several could be meant. With `images: all` a group
    of images, such as a well."""
    images: Literal["one", "all"] = "one"
    """Of OME-Zarr: one image, or all in the folder, such as the fields of a plate, in the order of their names."""
    layout: Literal["auto", "NCHW", "NHWC", "NHW", "N..."] = "auto"
    """What the axes mean. "N...": rows of any shape, as they are. "auto" takes pictures whose shape leaves no doubt."""

    level: int = Field(0, ge=0)
    """Of an OME-Zarr pyramid: 0 is the finest."""
    volumes: bool = False
    """Of OME-Zarr: planes Z are the depth of a row, (C, Z, Y, X), not rows of their own."""

    def find(self) -> Found:
        """The array by its metadata. Raises InputError where there is none, or chunks are missing, or a codec would run
        code."""
        zarr = needs("zarr", "science", "Zarr")
        if not self.path.is_dir():
            raise InputError(
                f"{self.path}: "
                + ("should be a Zarr folder, but is a file" if self.path.exists() else "no such folder")
            )
        _refuse_pickle(self.path)
        if any((self.path / mark).is_file() for mark in self.marks):
            opened = [_Opened(self.path, zarr)]
        elif not (opened := [_Opened(folder, zarr) for folder in _folders_in(self.path)]):
            raise InputError(f"{self.path}: is no Zarr folder, and none named .zarr is in it")
        data: list[_Array] = []
        for one in opened:
            found: list[_Array] = [*self._images(one)] or [self._choose(one)]
            for array in found:
                array.check()
                one.complete(array)
                attributes = dict(one.found[array.key].attrs)
                array.missing = missing_by_attributes(str(array), attributes, one.found[array.key].fill_value)
                array.axis_names = _names(one.found[array.key])
                array.lossy = of_zarr(_codecs(one.found[array.key].metadata.to_dict()))
            data += found
        if any(isinstance(array, _Axes) for array in data):
            layout: Layout = "N..."
            logger.warning("%s: %s", self.path, _told(data))
        else:
            layout = find_layout(data[0], self.layout)
        if len(data) > 1:
            return Found(_Several(self.path, data), layout)
        levels, named = (
            opened[0].arrays.get(name) if name is not None and name != data[0].key else None
            for name in ("sigma_n", self.sigma_n.strip("/") if isinstance(self.sigma_n, str) else None)
        )
        for level in filter(None, (levels, named)):
            opened[0].complete(level)
        return Found(data[0], layout, levels, named)

    def _images(self, opened: _Opened) -> list[_Axes]:
        """The levels of OME-Zarr images that are asked for; none for any other array. Raises InputError for several
        where one is meant, a level that is not there, and metadata that do not fit."""
        asked = None if self.key is None else self.key.strip("/")
        arrays = opened.arrays
        try:
            images = {
                path: found
                for path, item in opened.groups.items()
                if (found := pyramid_of(dict(item.attrs))) is not None
            }
            full = {path: [f"{path}/{one}".strip("/") for one in found.levels] for path, found in images.items()}
            if images and self.layout != "auto":
                raise ValueError(f"layout: {self.layout}: OME-Zarr names its axes; leave layout out")
            if asked is not None:
                every = images
                within = f"{asked}/" if self.images == "all" else "\0"
                images = {
                    path: one
                    for path, one in images.items()
                    if asked == path or asked in full[path] or path.startswith(within)
                }
                if not images and asked not in arrays and every:
                    raise ValueError(
                        f"there is no image or array {self.key!r}; images: {listed(sorted(every), limit=12)}"
                    )
            if len(images) > 1 and self.images == "one":
                finest = {path: arrays[full[path][0]].shape for path in sorted(images) if full[path][0] in arrays}
                named = path_and_key(self.name, self.path, finest)
                raise ValueError(
                    f"it holds several images: say which by key: {listed(sorted(images), limit=12)}{named}\n"
                    f"To take the rows of all: '{self.name}{{path: {self.path}, images: all}}'"
                )
            return [
                self._level(opened, full[path], images[path], asked if asked in full[path] else None)
                for path in sorted(images)
            ]
        except ValueError as error:
            raise InputError(f"{opened.path}: {error}") from None

    def _level(self, opened: _Opened, levels: list[str], image: Pyramid, asked: str | None) -> _Axes:
        key = asked or (levels[self.level] if self.level < len(levels) else None)
        if key is None or key not in opened.arrays:
            raise ValueError(f"there is no level {self.level} among {listed(levels, limit=12)}")
        array = opened.arrays[key]
        return _Axes(opened.path, key, Axes(image.axes, array.shape, self.volumes), array.dtype)

    def _choose(self, opened: _Opened) -> _Array:
        arrays, path = opened.arrays, opened.path
        keys = (
            listed([f"{key or '(the array itself)'} {a.shape} {a.dtype}" for key, a in arrays.items()], limit=12)
            or "none"
        )
        if self.key is not None:
            if self.key.strip("/") not in arrays:
                raise InputError(f"{path}: there is no array {self.key!r}; arrays: {keys}")
            return arrays[self.key.strip("/")]
        likely = [
            a
            for key, a in arrays.items()
            if len(a.shape) >= 2
            and a.dtype.kind in "uif"
            and key.rpartition("/")[2] != "sigma_n"
            and key != str(self.sigma_n)
        ]
        if len(likely) != 1:
            what = "several arrays could be the rows: say which by key" if likely else "no array that could be the rows"
            named = path_and_key(self.name, self.path, {a.key: a.shape for a in likely})
            raise InputError(f"{path}: {what}; arrays: {keys}{named}")
        return likely[0]


class _Opened:
    """What one Zarr folder holds."""

    def __init__(self, path: Path, zarr: Any) -> None:
        self.path = path
        try:
            node = zarr.open(str(path), mode="r")
            inside = {"": node} if isinstance(node, zarr.Array) else {"": node, **dict(node.members(max_depth=None))}
            self.found = {key: item for key, item in sorted(inside.items()) if isinstance(item, zarr.Array)}
            self.groups = {key: item for key, item in inside.items() if key not in self.found}
            self.arrays = {key: _Array(path, key, array.shape, array.dtype) for key, array in self.found.items()}
        except Exception as error:  # a damaged .zarray fails in many ways
            raise InputError(
                f"{path}: cannot be read as Zarr ({type(error).__name__}: {' '.join(str(error).split())[:160]})"
            ) from None

    def complete(self, array: _Array) -> None:
        """Raises InputError where chunks of an array are missing."""
        here, chunks = self.found[array.key].nchunks_initialized, self.found[array.key].nchunks
        if here < chunks:
            raise InputError(
                f"{array}: {chunks - here} of {chunks} chunks are missing, and would be read as the fill value. "
                f"Copy the folder again, or write the array anew with write_empty_chunks=True"
            )


def _names(array: Any) -> tuple[str, ...]:
    """What an array calls its axes: by Zarr 3, or by xarray's convention for Zarr 2."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return tuple(str(name or "") for name in names) if isinstance(names, list | tuple) else ()


def _folders_in(path: Path) -> list[Path]:
    """The Zarr folders in a folder, not those within another, in the order of their names."""
    found: list[Path] = []
    for here, folders, _ in os.walk(path):
        zarr = [name for name in folders if name.lower().endswith(Zarr.folders) and name[0] != "."]
        found += [Path(here, name) for name in zarr]
        folders[:] = [name for name in folders if name not in zarr and name[0] != "."]
    return sorted(found)


def _told(data: Sequence[_Array]) -> str:
    """What becomes of the axes of images, in words."""
    by_axes = Counter(array.axes.told() for array in data if isinstance(array, _Axes))
    if len(data) == 1:
        return next(iter(by_axes))
    return f"{len(data)} images: " + "; ".join(f"{count} with {told}" for told, count in by_axes.items())


def _refuse_pickle(folder: Path) -> None:
    """Zarr decodes any codec that the metadata name, and numcodecs' pickle runs what it reads."""
    for here, _, files in os.walk(folder):
        for name in {".zarray", ".zmetadata", "zarr.json"} & set(files):
            path = Path(here, name)
            try:
                names = _codecs(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, RecursionError) as error:
                raise InputError(f"{path}: is no readable metadata ({error})") from None
            if bad := sorted(n for n in names if "pickle" in n.lower()):
                raise InputError(
                    f"{path}: the codec {bad[0]!r} is refused, because decoding it runs code. Save the array as numbers"
                )


def _codecs(tree: Any) -> set[str]:
    """Every "id" and "name" anywhere in the metadata."""
    if isinstance(tree, list):
        return set().union(*map(_codecs, tree)) if tree else set()
    if not isinstance(tree, dict):
        return set()
    own = {value for key in ("id", "name") if isinstance(value := tree.get(key), str)}
    return own.union(*(_codecs(value) for value in tree.values()))


class _Array(OpenedArray):
    def __init__(self, path: Path, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__(path, key, shape, dtype)

    def __str__(self) -> str:
        return f"{self.path}, key {self.key!r}" if self.key else str(self.path)

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as the array of this name in a folder of their own."""
        write_zarr(like, rows, target, series, [Written(self.key, len(rows))])

    def _open(self) -> Any:
        import zarr

        node = zarr.open(str(self.path), mode="r")
        return node[self.key] if isinstance(node, zarr.Group) else node

    def _close(self, handle: Any) -> None:
        """A Zarr array keeps no file open; but its event loop does not outlive a fork, so a new process opens anew."""


class _Axes(_Array):
    """An array whose axes have names."""

    def __init__(self, path: Path, key: str, axes: Axes, dtype: np.dtype[Any]) -> None:
        super().__init__(path, key, (axes.rows, *axes.row_shape), dtype)
        self.axes = axes

    def _take(self, handle: Any, where: Any) -> Any:
        if isinstance(where, int):
            return self.axes.to_row(np.asarray(handle[self.axes.where(where)]))
        rows = range(self.shape[0])[where if isinstance(where, slice) else slice(None)]
        return np.stack([self.axes.to_row(np.asarray(handle[self.axes.where(row)])) for row in rows])

    def partly(self, like: Path, rows: int) -> str:
        """An image of these axes has all of its rows."""
        return f"an image with axes {self.axes.names} has all of its {self.shape[0]} rows, and this would be {rows}"

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """All rows as the level of an image with these axes."""
        if len(rows) != self.shape[0]:
            raise Unwritable(f"only {len(rows)} of its {self.shape[0]} rows were restored: restore all of them")
        write_zarr(like, rows, target, series, [Written(self.key, len(rows), self.axes)])


class _Several(Joined):
    """Arrays of one folder, or of several."""

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """The rows of the arrays of one folder as arrays of these names."""
        arrays = self.within(like)
        if len(arrays) == 1 and isinstance(arrays[0], _Array):
            arrays[0].save(like, rows, target, series)
            return
        if len(rows) != sum(array.shape[0] for array in arrays):
            raise Unwritable(f"only {len(rows)} rows of its images were restored: restore all of them")
        write_zarr(
            like, rows, target, series, [Written(one.key, one.shape[0], getattr(one, "axes", None)) for one in arrays]
        )
