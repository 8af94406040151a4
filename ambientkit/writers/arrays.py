"""HDF5 files and Zarr folders with one array like another one: its name, axes and attributes, and new values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def write_zarr(like: Path, key: str, rows: Encoded, target: Path, series: Series, axes: Axes | None = None) -> None:
    """Write rows (n, *S) as the array `key` of a folder, with its attributes and those of its group; of an OME-Zarr
    pyramid the one level that was restored, in its own axes. Same format of Zarr."""
    zarr = needs("zarr", "science", "Zarr")
    node = zarr.open(str(like), mode="r")
    old = node[key] if isinstance(node, zarr.Group) else node
    form = old.metadata.zarr_format
    attributes = {name: value for name, value in dict(old.attrs).items() if name not in MISSING}
    said = {"ambientkit": f"restored, {series.said}"}
    shape = rows.shape if axes is None else axes.shape
    chunks = (1, *rows.row_shape) if axes is None else (*(1 for _ in shape[:-2]), *shape[-2:])
    options: dict[str, Any] = {"shape": shape, "chunks": chunks, "dtype": rows.dtype}
    options["config"] = {"write_empty_chunks": True}  # a chunk of zeros is no lost one
    names = getattr(old.metadata, "dimension_names", None)
    if form == 3 and names is not None:
        options["dimension_names"] = names
    if isinstance(node, zarr.Group):
        group = zarr.open_group(str(target), mode="w", zarr_format=form)
        place = key.rpartition("/")[0]
        while True:
            found = node[place] if place else node
            new = group.require_group(place) if place else group
            inside = key.removeprefix(f"{place}/")
            new.attrs.update({**_one_image(_one_level(dict(found.attrs), inside), inside), **said})
            if not place:
                break
            place = place.rpartition("/")[0]
        array = group.create_array(key, attributes=attributes, **options)
    else:
        array = zarr.create_array(str(target), attributes={**attributes, **said}, zarr_format=form, **options)
    for index, row in enumerate(rows):
        if axes is None:
            array[index] = row
        else:
            array[axes.where(index)] = axes.from_row(row)


def _one_image(attributes: dict[str, Any], inside: str) -> dict[str, Any]:
    """The attributes of a plate or a well of OME-Zarr that holds this one image alone."""
    if "ome" in attributes:
        return {**attributes, "ome": _one_image(attributes["ome"], inside)}
    found = dict(attributes)
    for group, items in (("plate", "wells"), ("well", "images")):
        if isinstance(whole := found.get(group), dict) and isinstance(every := whole.get(items), list):
            kept = [one for one in every if f"{inside}/".startswith(f"{str(one.get('path', '')).strip('/')}/")]
            found[group] = {**whole, items: kept}
    return found


def _one_level(attributes: dict[str, Any], key: str) -> dict[str, Any]:
    """The attributes of a group whose pyramid has this one level."""
    if "ome" in attributes:
        return {**attributes, "ome": _one_level(attributes["ome"], key)}
    if "multiscales" not in attributes:
        return attributes
    kept = []
    for scales in attributes["multiscales"]:
        levels = [level for level in scales.get("datasets", ()) if str(level.get("path", "")).strip("/") == key]
        if levels:
            kept.append({**scales, "datasets": levels})
    return {**{n: v for n, v in attributes.items() if n != "multiscales"}, **({"multiscales": kept} if kept else {})}
