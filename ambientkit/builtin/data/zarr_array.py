"""The data set `zarr`: rows in one Zarr array."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import Encoded, Found, OpenedArray, Series, Stored, Unwritable, needs
from ambientkit.readers.layout import find_layout
from ambientkit.readers.ome_zarr import Axes, pyramid_of
from ambientkit.readers.opened import missing_by_attributes, path_and_key
from ambientkit.text import listed
from ambientkit.writers.arrays import write_zarr

logger = logging.getLogger("ambientkit")


class Zarr(Stored):
    """Rows in one array of a Zarr folder (format 2 or 3), read as they are needed; the noise level may be another array
    of it.

    OME-Zarr names its axes: channels C stay channels, times T and planes Z are rows, of one level of its pyramid.
    A chunk that was never written, or is lost, would be read as the fill value: such arrays are refused.
    """

    name = "zarr"
    marks = ("zarr.json", ".zarray", ".zgroup")
    source = "file format: Zarr 2 and 3; zarr"

    path: Path
    """The folder of the array, or of a group that holds it."""
    key: str | None = None
    """The array of a group; needed where several could be meant."""
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
        try:
            node = zarr.open(str(self.path), mode="r")
            inside = {"": node}.items() if isinstance(node, zarr.Array) else node.members(max_depth=None)
            found = {path: item for path, item in sorted(inside) if isinstance(item, zarr.Array)}
            arrays = {key: _Array(self.path, key, array.shape, array.dtype) for key, array in found.items()}
        except Exception as error:  # a damaged .zarray fails in many ways
            raise InputError(
                f"{self.path}: cannot be read as Zarr ({type(error).__name__}: {' '.join(str(error).split())[:160]})"
            ) from None
        ome = self._by_axes(node, arrays)
        data = ome or self._choose(arrays)
        data.check()
        data.missing = missing_by_attributes(str(data), dict(found[data.key].attrs), found[data.key].fill_value)
        levels, named = (
            arrays.get(name) if name is not None and name != data.key else None
            for name in ("sigma_n", self.sigma_n.strip("/") if isinstance(self.sigma_n, str) else None)
        )
        for array in filter(None, (data, levels, named)):
            here, chunks = found[array.key].nchunks_initialized, found[array.key].nchunks
            if here < chunks:
                raise InputError(
                    f"{array}: {chunks - here} of {chunks} chunks are missing, and would be read as the fill value. "
                    f"Copy the folder again, or write the array anew with write_empty_chunks=True"
                )
        return Found(data, "N..." if ome else find_layout(data, self.layout), levels, named)

    def _by_axes(self, node: Any, arrays: dict[str, _Array]) -> _Axes | None:
        """The level of an OME-Zarr image that is asked for; None for any other array. Raises InputError for several
        images, a level that is not there, and metadata that do not fit."""
        groups = {"": node} if hasattr(node, "members") else {}
        groups |= {path: item for path, item in getattr(node, "members", lambda **_: ())(max_depth=None)}
        asked = None if self.key is None else self.key.strip("/")
        try:
            images = {
                path: found
                for path, item in groups.items()
                if path not in arrays and (found := pyramid_of(dict(item.attrs))) is not None
            }
            full = {path: [f"{path}/{one}".strip("/") for one in found.levels] for path, found in images.items()}
            if images and self.layout != "auto":
                raise ValueError(f"layout: {self.layout}: OME-Zarr names its axes; leave layout out")
            if asked is not None:
                every = images
                images = {path: one for path, one in images.items() if asked == path or asked in full[path]}
                if not images and asked not in arrays and every:
                    raise ValueError(
                        f"there is no image or array {self.key!r}; images: {listed(sorted(every), limit=12)}"
                    )
            if not images:
                return None
            if len(images) > 1:
                finest = {path: arrays[full[path][0]].shape for path in sorted(images) if full[path][0] in arrays}
                named = path_and_key(self.name, self.path, finest)
                raise ValueError(
                    f"it holds several images: say which by key: {listed(sorted(images), limit=12)}{named}\n"
                    "To train on several, save their rows as one array"
                )
            ((path, image),) = images.items()
            levels = full[path]
            key = asked if asked in levels else levels[self.level] if self.level < len(levels) else None
            if key is None or key not in arrays:
                raise ValueError(f"there is no level {self.level} among {listed(levels, limit=12)}")
            axes = Axes(image.axes, arrays[key].shape, self.volumes)
        except ValueError as error:
            raise InputError(f"{self.path}: {error}") from None
        logger.warning("%s: %s", self.path, axes.told())
        return _Axes(self.path, key, axes, arrays[key].dtype)

    def _choose(self, arrays: dict[str, _Array]) -> _Array:
        keys = (
            listed([f"{key or '(the array itself)'} {a.shape} {a.dtype}" for key, a in arrays.items()], limit=12)
            or "none"
        )
        if self.key is not None:
            if self.key.strip("/") not in arrays:
                raise InputError(f"{self.path}: there is no array {self.key!r}; arrays: {keys}")
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
            raise InputError(f"{self.path}: {what}; arrays: {keys}{named}")
        return likely[0]


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
        write_zarr(like, self.key, rows, target, series)

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
        self._axes = axes

    def _take(self, handle: Any, where: Any) -> Any:
        if isinstance(where, int):
            return self._axes.to_row(np.asarray(handle[self._axes.where(where)]))
        rows = range(self.shape[0])[where if isinstance(where, slice) else slice(None)]
        return np.stack([self._axes.to_row(np.asarray(handle[self._axes.where(row)])) for row in rows])

    def partly(self, like: Path, rows: int) -> str:
        """An image of these axes has all of its rows."""
        return f"an image with axes {self._axes.names} has all of its {self.shape[0]} rows, and this would be {rows}"

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """All rows as the level of an image with these axes."""
        if len(rows) != self.shape[0]:
            raise Unwritable(f"only {len(rows)} of its {self.shape[0]} rows were restored: restore all of them")
        write_zarr(like, self.key, rows, target, series, self._axes)
