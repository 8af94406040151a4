"""HDF5 files and Zarr folders with one array like another one: its name, axes and attributes, and new values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ambientkit.readers.files import needs
from ambientkit.readers.ome_zarr import Axes
from ambientkit.readers.results import Encoded, Series

MISSING = ("_FillValue", "missing_value")
"""Attributes that say which value is missing: of results, none is."""
GROUPS = ("multiscales", "omero", "ome")
"""Attributes of OME-Zarr, which lie with a group."""


def write_hdf5(like: Path, key: str, rows: Encoded, target: Path, series: Series, *, stack: bool = True) -> None:
    """Write rows (n, *S) as the array `key` of a file, with its attributes and those of its groups; other arrays of the
    file are not copied. Without `stack` the one row there is becomes the array (*S)."""
    h5py = needs("h5py", "science", "HDF5")
    with h5py.File(like, "r") as old, h5py.File(target, "w") as new:
        shape, chunk = (rows.shape, (1, *rows.row_shape)) if stack else (rows.row_shape, rows.row_shape)
        array = new.create_dataset(key, shape=shape, dtype=rows.dtype, chunks=chunk, compression="gzip", shuffle=True)
        for index, row in enumerate(rows):
            array[index if stack else ()] = row
        _copy(old[key].attrs, array.attrs)
        place = key.rpartition("/")[0]
        while True:
            _copy(old[place or "/"].attrs, new[place or "/"].attrs)
            if not place:
                break
            place = place.rpartition("/")[0]
        new.attrs["ambientkit"] = f"restored, {series.said}"


def _copy(old: Any, new: Any) -> None:
    for name, value in old.items():
        if name in MISSING or name in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):  # they point into the file
            continue
        new[name] = value


class Written(NamedTuple):
    """One array of a Zarr folder, of which restored rows are written."""

    key: str
    rows: int
    axes: Axes | None = None
    """Those of an image of OME-Zarr."""


def write_zarr(like: Path, rows: Encoded, target: Path, series: Series, arrays: Sequence[Written]) -> None:
    """Write rows (n, *S) as the arrays of a folder, one after the other, with their attributes and those of their
    groups; of an OME-Zarr pyramid the one level that was restored, in its own axes. Same format of Zarr."""
    zarr = needs("zarr", "science", "Zarr")
    node = zarr.open(str(like), mode="r")
    said = {"ambientkit": f"restored, {series.said}"}
    options: dict[str, Any] = {"dtype": rows.dtype}
    options["config"] = {"write_empty_chunks": True}  # a chunk of zeros is no lost one
    if not isinstance(node, zarr.Group):
        size = dict(shape=rows.shape, chunks=(1, *rows.row_shape))
        more = dict(attributes={**_attributes(node), **said}, zarr_format=node.metadata.zarr_format)
        _fill(zarr.create_array(str(target), **size, **more, **_names(node), **options), rows, 0, arrays[0])
        return
    form = node[arrays[0].key].metadata.zarr_format
    group = zarr.open_group(str(target), mode="w", zarr_format=form)
    for place in sorted({place for one in arrays for place in _above(one.key)}):
        found, new = (node[place], group.require_group(place)) if place else (node, group)
        here = f"{place}/" if place else ""
        inside = [one.key.removeprefix(here) for one in arrays if one.key.startswith(here)]
        new.attrs.update({**_these_images(_these_levels(dict(found.attrs), inside), inside), **said})
    start = 0
    for one in arrays:
        old = node[one.key]
        shape = (one.rows, *rows.row_shape) if one.axes is None else one.axes.shape
        chunks = (1, *rows.row_shape) if one.axes is None else (*(1 for _ in shape[:-2]), *shape[-2:])
        more = dict(shape=shape, chunks=chunks, attributes=_attributes(old))
        _fill(group.create_array(one.key, **more, **_names(old), **options), rows, start, one)
        start += one.rows


def _fill(array: Any, rows: Encoded, start: int, one: Written) -> None:
    for index in range(one.rows):
        if one.axes is None:
            array[index] = rows[start + index]
        else:
            array[one.axes.where(index)] = one.axes.from_row(rows[start + index])


def _attributes(array: Any) -> dict[str, Any]:
    """What an array says of itself, but of missing values."""
    return {name: value for name, value in dict(array.attrs).items() if name not in MISSING}


def _names(array: Any) -> dict[str, Any]:
    """Those of its axes, which format 3 alone has."""
    names = getattr(array.metadata, "dimension_names", None)
    return {"dimension_names": names} if array.metadata.zarr_format == 3 and names is not None else {}


def _above(key: str) -> Iterator[str]:
    """The groups that an array is in, up to that of the folder, ""."""
    while key:
        key = key.rpartition("/")[0]
        yield key


def _these_images(attributes: dict[str, Any], inside: Sequence[str]) -> dict[str, Any]:
    """The attributes of a plate or a well of OME-Zarr that holds the images of these arrays alone."""
    if "ome" in attributes:
        return {**attributes, "ome": _these_images(attributes["ome"], inside)}
    found = dict(attributes)
    for group, items in (("plate", "wells"), ("well", "images")):
        if isinstance(whole := found.get(group), dict) and isinstance(every := whole.get(items), list):
            paths = [f"{str(one.get('path', '')).strip('/')}/" for one in every]
            kept = [
                one for one, path in zip(every, paths, strict=True) if any(f"{key}/".startswith(path) for key in inside)
            ]
            found[group] = {**whole, items: kept}
    return found


def _these_levels(attributes: dict[str, Any], inside: Sequence[str]) -> dict[str, Any]:
    """The attributes of a group whose pyramid has the one level among these arrays."""
    if "ome" in attributes:
        return {**attributes, "ome": _these_levels(attributes["ome"], inside)}
    if "multiscales" not in attributes:
        return attributes
    kept = []
    for scales in attributes["multiscales"]:
        levels = [level for level in scales.get("datasets", ()) if str(level.get("path", "")).strip("/") in inside]
        if levels:
            kept.append({**scales, "datasets": levels})
    return {**{n: v for n, v in attributes.items() if n != "multiscales"}, **({"multiscales": kept} if kept else {})}
