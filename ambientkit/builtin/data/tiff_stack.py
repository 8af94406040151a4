"""The data set `tiff-stack`: TIFF files of any depth, with one or several pages."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import Encoded, FileRows, Found, Series, StoredFiles, UnusableFile, needs
from ambientkit.readers.lossy import TIFF, of_tiff
from ambientkit.writers.tiff import write_tiff

logger = logging.getLogger("ambientkit")


class TiffStack(StoredFiles):
    """Pages of TIFF files, 8 to 64 bits or floating point, grey or colour: one page per row, several, or one file per
    row.

    Values are those of the file, without any scaling. OME and ImageJ files name the axes of their pages: the channels C
    of one place and time are the channels of one row, and times T, planes Z and the rest are rows. Pixels that hold the
    file's GDAL_NODATA are missing.
    """

    name = "tiff-stack"
    source = "file format: TIFF 6.0 and BigTIFF; tifffile"
    suffixes = files = (".tif", ".tiff", ".btf", ".tf8")
    what = "TIFF file"

    pages: Literal["auto", "rows", "channels"] = "auto"
    """What the pages of a file are: rows, each a picture of its own, or the channels (or depth) of one row. "auto": as
    the axes in the file say, and rows where it names none. "rows" and "channels" are taken as they are, without regard
    to what the file says."""
    volumes: bool = False
    """Planes Z of one time are the depth of one row, (C, Z, Y, X), not rows of their own; of a file that names no axes
    all pages."""
    max_pixels: int = Field(2**26, ge=1)
    """Largest page that is decoded, by its header."""

    def open(self, files: Sequence[Path]) -> FileRows:
        """The pages by their headers. Raises InputError listing files that cannot be used."""
        needs("tifffile", "science", "TIFF")
        return _Pages(self, files)

    @staticmethod
    def named_axes(file: Path) -> str:
        """The axes that an OME or ImageJ file of several pages gives them, such as "TC"; empty where it gives none, or
        cannot be read."""
        try:
            import tifffile

            with _complaints(), tifffile.TiffFile(file, _multifile=False) as tiff:
                axes = _page_axes(tiff) if len(tiff.pages) > 1 else None
        except (ImportError, OSError, ValueError, struct.error, InputError):  # said in words by whoever reads it
            return ""
        return "" if axes is None else axes[0]

    def find(self) -> Found:
        """The pages by their headers. Raises InputError where there are none, or they are unusable."""
        found = super().find()
        for axes in sorted(getattr(found.source, "axes", ())):
            logger.warning("%s: %s", self.path, axes)
        return found


OTHER_COLOURS = ("SEPARATED", "CIELAB", "ICCLAB", "ITULAB", "LOGL", "LOGLUV")


def _start(tiff: Any, page: Any) -> bytes:
    """The beginning of the compressed pixels of a page."""
    if not page.dataoffsets:
        return b""
    tiff.filehandle.seek(page.dataoffsets[0])
    return bytes(tiff.filehandle.read(min(4096, page.databytecounts[0])))


@contextmanager
def _complaints() -> Iterator[None]:
    """Pages that a cut file has lost are an error of tifffile's log only: raise it instead."""
    found: list[str] = []

    class Keep(logging.Handler):
        """Keeps messages of errors."""

        def emit(self, record: logging.LogRecord) -> None:
            """One more."""
            found.append(record.getMessage())

    log, handler = logging.getLogger("tifffile"), Keep(logging.ERROR)
    before = log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before
    if found:
        raise UnusableFile(f"it is damaged or was cut short ({found[0].rpartition('> ')[2]})")


class _Pages(FileRows[TiffStack]):
    def __init__(self, part: TiffStack, files: Sequence[Path]) -> None:
        self.bits: int | None = None
        """Bits of whole numbers that are used, where all files say so and agree."""
        self._bits: set[int] = set()
        self.axes: set[str] = set()
        """How the axes that the files name were read, in words."""
        super().__init__(part, files)

    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        import tifffile

        with _complaints(), tifffile.TiffFile(file, _multifile=False) as tiff:
            if not len(tiff.pages):
                raise UnusableFile("it has no pages: damaged, or cut short")
            first = tiff.pages[0].aspage()
            shape = self._page_shape(first)
            if first.photometric == tifffile.PHOTOMETRIC.MINISWHITE and first.bitspersample > 1:
                raise UnusableFile(
                    "in this TIFF 0 is white, so it would be read as a negative: save it with 0 as black"
                )
            if first.photometric == tifffile.PHOTOMETRIC.PALETTE:
                raise UnusableFile("its values are numbers of colours in a palette: save it as grey or RGB")
            if (turned := first.tags.get("Orientation")) is not None and turned.value != 1:
                raise UnusableFile(
                    f"its pixels are stored turned or mirrored (Orientation {int(turned.value)}), which is "
                    "not applied: save it upright"
                )
            meaning = getattr(first.photometric, "name", str(first.photometric))
            if meaning in OTHER_COLOURS or (meaning == "YCBCR" and TIFF.get(int(first.compression)) != "JPEG"):
                raise UnusableFile(
                    f"its colours are {meaning}, which would be taken for RGB or channels: save it as grey or RGB"
                )
            self.lossy |= of_tiff(int(first.compression), _start(tiff, first))
            for page in tiff.pages[1:]:
                other = page.aspage()
                if (self._page_shape(other), other.dtype) != (shape, first.dtype):
                    raise UnusableFile(
                        f"its pages differ: {first.shape} {first.dtype} and {other.shape} {other.dtype}; remove "
                        "thumbnails and masks"
                    )
            grey = first.photometric == tifffile.PHOTOMETRIC.MINISBLACK
            if any(
                extra != tifffile.EXTRASAMPLE.UNSPECIFIED or not grey for extra in first.extrasamples
            ):  # those of a grey page are channels
                raise UnusableFile("it has transparency or extra samples: save its colours alone")
            if first.dtype is None:
                raise UnusableFile(
                    f"its pixels ({first.bitspersample} bits, format {first.sampleformat}) are of no known type"
                )
            if (nodata := first.tags.get("GDAL_NODATA")) is not None:
                self._note_missing(str(nodata.value))
            axes = _page_axes(tiff)
            groups, depth = self._groups(tiff), self._depth(tiff)
            self._bits.add(_bits_used(tiff, first))
        self.bits = min(self._bits) if len(self._bits) == 1 else None
        if axes is not None:
            self.axes.add(_told(axes, self.part.pages, self.part.volumes))
        channels = groups.shape[1] // (depth or 1) * shape[0]
        return len(groups), (channels, *((depth,) if depth else ()), *shape[1:]), first.dtype

    def _note_missing(self, text: str) -> None:
        """What the tag GDAL_NODATA says: one value for all files."""
        try:
            value = float(text.strip("\0 "))
        except ValueError:
            raise UnusableFile(f"its GDAL_NODATA is {text!r}, which is no number") from None
        if not math.isnan(value) and (other := self.missing.setdefault("GDAL_NODATA", value)) != value:
            raise UnusableFile(f"its GDAL_NODATA is {value:g}, and that of another file {other:g}")

    def _groups(self, tiff: Any) -> NDArray[np.int64]:
        """(rows, pages per row): the numbers of the pages of each row."""
        numbers = np.arange(len(tiff.pages))
        if self.part.pages == "channels":
            return numbers[None]
        axes = _page_axes(tiff) if self.part.pages == "auto" else None
        if axes is None:
            return numbers[None] if self.part.volumes else numbers[:, None]
        names, sizes = axes
        last = [names.index(name) for name in ("CZ" if self.part.volumes else "C") if name in names]
        ends = [i - len(last) for i in range(len(last))]
        moved = np.moveaxis(numbers.reshape(-1, *sizes), [1 + i for i in last], ends)
        return moved.reshape(-1, math.prod(sizes[i] for i in last))

    def _depth(self, tiff: Any) -> int | None:
        """Planes of a row that is a volume; None where rows are pictures."""
        if not self.part.volumes or self.part.pages == "channels":
            return None
        axes = _page_axes(tiff) if self.part.pages == "auto" else None
        if axes is None:
            return len(tiff.pages)
        return axes[1][axes[0].index("Z")] if "Z" in axes[0] else 1

    def _page_shape(self, page: Any) -> tuple[int, ...]:
        height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
        if height * width > self.part.max_pixels:
            raise UnusableFile(
                f"{width} x {height} pixels are more than max_pixels = {self.part.max_pixels}: raise it if the "
                "image is honest"
            )
        if page.imagedepth > 1:
            raise UnusableFile("a page holds a volume (SGI depth): save its slices as pages")
        return (samples, height, width)

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        import tifffile

        with tifffile.TiffFile(file, _multifile=False) as tiff:
            groups, depth = self._groups(tiff)[start:stop], self._depth(tiff)
            rows = np.stack(
                [np.concatenate([self._pixels(tiff.pages[int(n)].aspage(), file) for n in group]) for group in groups]
            )
            samples = tiff.pages[0].aspage().samplesperpixel
        if depth is None:
            return rows
        split = rows.reshape(len(rows), -1, depth, samples, *rows.shape[2:])  # pages by channel, plane and colour
        return np.moveaxis(split, 3, 2).reshape(len(rows), -1, depth, *rows.shape[2:])

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as pages of a file with the axes and metadata of `like`."""
        import tifffile

        with tifffile.TiffFile(like, _multifile=False) as tiff:
            groups, depth, samples = self._groups(tiff), self._depth(tiff), tiff.pages[0].aspage().samplesperpixel

        def pages(row: NDArray[Any]) -> NDArray[Any]:
            split = row.reshape(-1, samples, *row.shape[1:])
            return np.moveaxis(split, 1, 2).reshape(-1, *row.shape[2:])

        write_tiff(like, rows if depth is None else rows.arranged(pages), groups, target, series)

    def _pixels(self, page: Any, file: Path) -> NDArray[Any]:
        size = file.stat().st_size  # past the end of a cut file the decoder would find nothing, and give zeros
        for offset, count in zip(page.dataoffsets, page.databytecounts):
            if offset == 0 or count == 0 or offset + count > size:
                raise UnusableFile("its pixels end before the file says they do: it was cut short")
        pixels = page.asarray()
        if pixels.ndim == 2:
            return pixels[None]
        return pixels if page.planarconfig == 2 else np.moveaxis(pixels, -1, 0)


def _page_axes(tiff: Any) -> tuple[str, tuple[int, ...]] | None:
    """The axes that an OME or ImageJ file gives its pages, such as ("TC", (12, 2)), those of one page aside; None where
    it gives none.

    Raises UnusableFile where they do not fit the pages that there are: nobody knows then which page is what.
    """
    if not (tiff.is_ome or tiff.is_imagej):
        return None
    found = []
    for series in tiff.series:
        kept = [i for i, name in enumerate(series.axes) if name not in "YXS"]
        found.append(("".join(series.axes[i] for i in kept), tuple(series.shape[i] for i in kept)))
    announced = sum(math.prod(sizes) for _, sizes in found)
    if len(set(found)) != 1 or announced != len(tiff.pages):
        told = " and ".join(f"{names or 'one page'} {sizes}" for names, sizes in sorted(set(found)))
        raise UnusableFile(
            f"its axes ({told or 'none'}: {announced} pages) do not fit the {len(tiff.pages)} pages that it holds"
        )
    return found[0] if found[0][0] else None


def _bits_used(tiff: Any, page: Any) -> int:
    """Bits of the whole numbers that are used: 12 of a camera's 16, by the bits per sample or OME's SignificantBits."""
    import tifffile

    bits = int(np.max(page.bitspersample))
    if not tiff.is_ome:
        return bits
    images = tifffile.xml2dict(tiff.ome_metadata).get("OME", {}).get("Image", {})
    first = images[0] if isinstance(images, list) and images else images
    said = first.get("Pixels", {}).get("SignificantBits") if isinstance(first, dict) else None
    return int(said) if isinstance(said, int) and 1 <= said <= bits else bits


def _told(axes: tuple[str, tuple[int, ...]], asked: str, volumes: bool) -> str:
    """What becomes of the axes, in words."""
    names = ", ".join(f"{name} {size}" for name, size in zip(*axes))
    if asked != "auto":
        return f"the files name their axes ({names}), and pages: {asked} takes all pages as {asked} instead"
    depth = "Z" if volumes and "Z" in axes[0] else ""
    rows = ", ".join(name for name in axes[0] if name != "C" and name != depth)
    told = (["C as channels"] if "C" in axes[0] else []) + ([f"{depth} as depth"] if depth else [])
    return (
        f"the files name their axes ({names}): taken are {' and '.join(told + ([f'{rows} as rows'] if rows else []))}"
    )
