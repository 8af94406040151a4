"""The data set `tiff-stack`: TIFF files of any depth, with one or several pages."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.readers import FileRows, Found, StoredFiles, UnusableFile, needs

logger = logging.getLogger("ambientkit")


class TiffStack(StoredFiles):
    """Pages of TIFF files, 8 to 64 bits or floating point, grey or colour: one page per row, or one file per row.

    Values are those of the file, without any scaling; ImageJ, OME and BigTIFF files are read by their pages.
    """

    name = "tiff-stack"
    source = "file format: TIFF 6.0 and BigTIFF; tifffile"
    suffixes = files = (".tif", ".tiff", ".btf", ".tf8")
    what = "TIFF file"

    pages: Literal["rows", "channels"] = "rows"
    """What the pages of a file are: rows, each a picture of its own, or the channels (or depth) of one row."""
    max_pixels: int = Field(2**26, ge=1)
    """Largest page that is decoded, by its header."""

    def open(self, files: Sequence[Path]) -> FileRows:
        """The pages by their headers. Raises InputError listing files that cannot be used."""
        needs("tifffile", "science", "TIFF")
        return _Pages(self.path, files, self.on_bad_file, self.pages == "channels", self.max_pixels)

    def find(self) -> Found:
        """The pages by their headers. Raises InputError where there are none, or they are unusable."""
        found = super().find()
        if not self.clean and getattr(found.source, "lossy", False):
            logger.warning("%s: JPEG compression changes noise, which is no longer white and Gaussian of the declared level", self.path)
        return found


JPEG = (6, 7, 33007, 34892)
"""TIFF compressions that lose something."""
OTHER_COLOURS = ("SEPARATED", "CIELAB", "ICCLAB", "ITULAB", "LOGL", "LOGLUV")


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


class _Pages(FileRows):
    def __init__(self, where: Path, files: Sequence[Path], on_bad_file: Literal["fail", "skip"], channels: bool, max_pixels: int) -> None:
        self._channels, self._max_pixels = channels, max_pixels
        self.lossy = False
        super().__init__(where, files, on_bad_file)

    def look(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        import tifffile

        with _complaints(), tifffile.TiffFile(file) as tiff:
            if not len(tiff.pages):
                raise UnusableFile("it has no pages: damaged, or cut short")
            count, first = len(tiff.pages), tiff.pages[0].aspage()
            shape = self._page_shape(first)
            if first.photometric == tifffile.PHOTOMETRIC.MINISWHITE and first.bitspersample > 1:
                raise UnusableFile("in this TIFF 0 is white, so it would be read as a negative: save it with 0 as black")
            if first.photometric == tifffile.PHOTOMETRIC.PALETTE:
                raise UnusableFile("its values are numbers of colours in a palette: save it as grey or RGB")
            meaning = getattr(first.photometric, "name", str(first.photometric))
            jpeg = first.compression in JPEG
            if meaning in OTHER_COLOURS or (meaning == "YCBCR" and not jpeg):
                raise UnusableFile(f"its colours are {meaning}, which would be taken for RGB or channels: save it as grey or RGB")
            self.lossy = self.lossy or jpeg
            for page in tiff.pages[1:]:
                other = page.aspage()
                if (self._page_shape(other), other.dtype) != (shape, first.dtype):
                    raise UnusableFile(
                        f"its pages differ: {first.shape} {first.dtype} and {other.shape} {other.dtype}; remove thumbnails and masks"
                    )
            if first.extrasamples:
                raise UnusableFile("it has transparency or extra samples: save its colours alone")
            if first.dtype is None:
                raise UnusableFile(f"its pixels ({first.bitspersample} bits, format {first.sampleformat}) are of no known type")
        if self._channels:
            return 1, (count * shape[0], *shape[1:]), first.dtype
        return count, shape, first.dtype

    def _page_shape(self, page: Any) -> tuple[int, ...]:
        height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
        if height * width > self._max_pixels:
            raise UnusableFile(f"{width} x {height} pixels are more than max_pixels = {self._max_pixels}: raise it if the image is honest")
        if page.imagedepth > 1:
            raise UnusableFile("a page holds a volume (SGI depth): save its slices as pages")
        return (samples, height, width)

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        import tifffile

        with tifffile.TiffFile(file) as tiff:
            pages = tiff.pages if self._channels else tiff.pages[start:stop]
            rows = np.stack([self._pixels(page.aspage(), file) for page in pages])
        return rows.reshape(1, -1, *rows.shape[2:]) if self._channels else rows

    def _pixels(self, page: Any, file: Path) -> NDArray[Any]:
        size = file.stat().st_size  # past the end of a cut file the decoder would find nothing, and give zeros
        for offset, count in zip(page.dataoffsets, page.databytecounts):
            if offset == 0 or count == 0 or offset + count > size:
                raise UnusableFile("its pixels end before the file says they do: it was cut short")
        pixels = page.asarray()
        if pixels.ndim == 2:
            return pixels[None]
        return pixels if page.planarconfig == 2 else np.moveaxis(pixels, -1, 0)
