"""TIFF files like another one: plain pages, and those of OME and ImageJ with their axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.readers.files import needs
from ambientkit.readers.results import Encoded, Series, Unwritable

GEO = (33550, 33922, 34264, 34735, 34736, 34737)
"""Tags of GeoTIFF: where on Earth the pixels lie."""
LARGE = 2**32 - 2**25
"""Bytes from which on a file is a BigTIFF."""
PLACE = ("Name", "AcquisitionDate", "Description")
PIXELS = tuple(
    f"{name}{unit}"
    for name in ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "TimeIncrement")
    for unit in ("", "Unit")
)
"""What of OME-XML tifffile writes: attributes of Image and of Pixels; channels have names and colours."""
IMAGEJ = ("spacing", "unit", "finterval", "fps", "loop", "mode", "Info", "Labels", "LUTs")
"""What of ImageJ's metadata is kept. The display range is not: it was that of the noisy values."""


def write_tiff(like: Path, rows: Encoded, groups: NDArray[np.int64], target: Path, series: Series) -> None:
    """Write rows (n, pages * samples, H, W) whose pages are numbered by `groups` (N, pages), as in `like`.

    The axes of OME and ImageJ files are kept, and their sizes, units and channel names, also of the first rows where
    these end with a step of the slowest axis; of others the pages follow one another without. Raises Unwritable for
    ImageJ files of other types than float32, uint16 and uint8.
    """
    tifffile = needs("tifffile", "science", "TIFF")
    with tifffile.TiffFile(like, _multifile=False) as old:
        first = old.pages[0].aspage()
        samples = first.samplesperpixel
        last = samples > 1 and first.planarconfig != 2
        page = rows.row_shape[1:] + ((samples,) if last else ()) if samples > 1 else rows.row_shape[1:]
        page = (samples, *page) if samples > 1 and not last else page
        pages = _in_order(rows, groups[: len(rows)], samples, last)
        count = len(rows) * groups.shape[1]
        cut = _cut(old.series[0], groups, len(rows)) if len(old.series) == 1 else None
        whole = len(rows) == len(groups)
        options: dict[str, Any] = {
            "photometric": "rgb" if getattr(first.photometric, "name", "") in ("RGB", "YCBCR") else "minisblack",
            "planarconfig": None if samples == 1 else "contig" if last else "separate",
            "resolution": first.resolution,
            "resolutionunit": first.resolutionunit,
        }
        size = count * int(np.prod(page)) * rows.dtype.itemsize
        if (whole or cut is not None) and old.is_ome and (metadata := _ome(tifffile, old, series)):
            with tifffile.TiffWriter(target, bigtiff=size > LARGE, ome=True) as new:
                for one, more in zip(old.series, metadata, strict=True):
                    axes, shape = _axes(one, page, cut)
                    new.write(pages, shape=shape, dtype=rows.dtype, metadata={"axes": axes, **more}, **options)
            return
        if cut is not None and old.is_imagej:
            if rows.dtype.name not in ("float32", "uint16", "uint8"):
                raise Unwritable(f"ImageJ knows no pixels of type {rows.dtype}: take float32")
            axes, shape = _axes(old.series[0], page, cut)
            kept = {name: value for name, value in (old.imagej_metadata or {}).items() if name in IMAGEJ}
            if isinstance(labels := kept.get("Labels"), list) and not whole:
                kept["Labels"] = [labels[page] for page in np.sort(groups[: len(rows)], None) if page < len(labels)]
            with tifffile.TiffWriter(target, imagej=True) as new:
                new.write(pages, shape=shape, dtype=rows.dtype, metadata={"axes": axes, **kept}, **options)
            return
        plain = not (old.is_ome or old.is_imagej or first.description.startswith('{"shape"'))
        tags = [(tag.code, tag.dtype, tag.count, tag.value, True) for tag in first.tags.values() if tag.code in GEO]
        with tifffile.TiffWriter(target, bigtiff=size > LARGE, ome=False) as new:  # which its name may ask for
            new.write(
                pages,
                shape=(count, *page),
                dtype=rows.dtype,
                metadata=None,
                description=(first.description or None) if plain else None,
                extratags=tags,
                **options,
            )


def _in_order(rows: Encoded, groups: NDArray[np.int64], samples: int, last: bool) -> Iterator[NDArray[Any]]:
    """The pages in the order of the file, one at a time; a row is encoded anew for each of its pages unless they
    follow one another."""
    kept: tuple[int, NDArray[Any]] | None = None
    for place in np.argsort(groups.ravel(), kind="stable"):
        row, number = divmod(int(place), groups.shape[1])
        if kept is None or kept[0] != row:
            kept = (row, rows[row])
        pixels = kept[1][number * samples : (number + 1) * samples]
        yield np.ascontiguousarray(pixels[0] if samples == 1 else np.moveaxis(pixels, 0, -1) if last else pixels)


def _cut(series: Any, groups: NDArray[np.int64], count: int) -> dict[str, int] | None:
    """Axis -> its size in a file of the first `count` rows: of the slowest of their axes; None where their pages are no
    whole steps of it."""
    if count == len(groups):
        return {}
    kept = [(name, size) for name, size in zip(series.axes, series.shape) if name not in "YXS"]
    slowest = next((i for i, (name, size) in enumerate(kept) if name != "C" and size > 1), None)
    if slowest is None or math.prod(size for _, size in kept) != groups.size:
        return None
    name, size = kept[slowest]
    taken = count * size // len(groups)
    numbers = np.arange(groups.size).reshape([size for _, size in kept]).take(range(taken), slowest)
    return {name: taken} if np.array_equal(np.sort(groups[:count], None), np.sort(numbers, None)) else None


def _axes(series: Any, page: Sequence[int], cut: Mapping[str, int] | None) -> tuple[str, tuple[int, ...]]:
    """The axes of a series as tifffile writes them, with the samples where a page has them. cut: other sizes."""
    kept = [(name, (cut or {}).get(name, n)) for name, n in zip(series.axes, series.shape) if name not in "YXS"]
    names = "".join(name for name, _ in kept)
    ends = "YX" if len(page) == 2 else "YXS" if page[-1] <= 4 and page[0] > 4 else "SYX"
    return names + ends, (*(size for _, size in kept), *page)


def _ome(tifffile: Any, old: Any, series: Series) -> list[dict[str, Any]]:
    """For each series what its metadata say, as tifffile takes it; none where the XML has other images than the
    file."""
    images = tifffile.xml2dict(old.ome_metadata).get("OME", {}).get("Image", [])
    images = images if isinstance(images, list) else [images]
    if len(images) != len(old.series):
        return []
    found = []
    for image in images:
        pixels = image.get("Pixels", {})
        more = {name: image[name] for name in PLACE if name in image}
        more["Name"] = f"{more.get('Name', '')} {series.name}".strip()
        more |= {name: pixels[name] for name in PIXELS if name in pixels}
        channels = pixels.get("Channel", [])
        channels = channels if isinstance(channels, list) else [channels]
        for name in ("Name", "Color", "EmissionWavelength", "EmissionWavelengthUnit", "Fluor"):
            values = [channel.get(name) for channel in channels]
            if channels and all(value is not None for value in values):
                more.setdefault("Channel", {})[name] = values
        found.append(more)
    return found


def write_picture(like: Path, rows: Encoded, target: Path, series: Series) -> None:
    """Write one picture, (1, C, H, W), C 1 or 3, as a TIFF file of its own; of a TIFF file of as many colours with its
    pixel size, description and place on Earth."""
    tifffile = needs("tifffile", "science", "TIFF")
    row = rows[0]
    if like.name.lower().endswith((".tif", ".tiff")):
        with tifffile.TiffFile(like, _multifile=False) as old:
            one, samples = len(old.pages) == 1, old.pages[0].aspage().samplesperpixel
        if one and samples == len(row):
            write_tiff(like, rows, np.zeros((1, 1), np.int64), target, series)
            return
    colour = len(row) == 3
    pixels = np.ascontiguousarray(np.moveaxis(row, 0, -1) if colour else row[0])
    tifffile.imwrite(target, pixels, photometric="rgb" if colour else "minisblack", metadata=None)
