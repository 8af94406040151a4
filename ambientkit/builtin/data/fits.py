"""The data set `fits`: images and cubes in FITS files."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ambientkit.errors import InputError
from ambientkit.readers import (
    ESTIMATES,
    Encoded,
    Encoding,
    FileRows,
    Found,
    Series,
    Source,
    StoredFiles,
    UnusableFile,
    needs,
)
from ambientkit.readers.hdus import (
    Rounded,
    axes_of,
    blank_of,
    cut_is_an_error,
    image_at,
    name_of,
    rounded,
    scaled_type,
    stem_of,
    type_of,
)
from ambientkit.text import listed
from ambientkit.writers.fits import write_fits

logger = logging.getLogger("ambientkit")


class FITS(StoredFiles):
    """Images in FITS files: one image per row, or the planes of a cube.

    Values are physical: BSCALE and BZERO are applied, tiled compression is undone, pixels that hold BLANK are NaN and
    refused. Stored in floating point or scaled, they need `value_range` unless they are already in [-1, 1].
    """

    name = "fits"
    source = "file format: FITS 4.0; astropy.io.fits"
    suffixes = files = folders = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz")
    begins = ((0, b"SIMPLE  ="),)
    what = "FITS file"

    extension: int | str | None = None
    """Number or name (EXTNAME) of the image in each file; by default the first that holds an image."""
    images: Literal["one", "all"] = "one"
    """Of several images of one name and shape in a file, such as the chips of a camera: that of `extension` alone, or
    all, one row after the other. For calibrated images: raw chips have a gain and a zero of their own."""
    planes: Literal["refuse", "rows", "channels"] = "refuse"
    """What the first axis of a cube is: rows, each a picture of its own, or the channels of one row."""
    flags: int | str | None = None
    """Number or name of an extension of whole numbers that flags pixels (DQ of the Hubble and Webb telescopes): where a
    bit of `flag_bits` is set, the pixel is missing. See `missing`."""
    flag_bits: int = Field(-1)
    """The bits of `flags` that count; -1 for all."""
    max_pixels: int = Field(2**28, ge=1)
    """Largest image or cube that is read, by its header."""

    @model_validator(mode="after")
    def _named(self) -> FITS:
        if self.images == "all" and isinstance(self.flags, int):
            raise ValueError("images: all needs the name of the flags, of which each image has its own, not a number")
        return self

    def find(self) -> Found:
        """The images by their headers; with sigma_n the name of an extension, its values as the noise per pixel. Raises
        InputError where there are none, they are unusable, or the units of that extension are not said."""
        found = super().find()
        assert isinstance(found.source, _Images)
        if found.source.unread:
            logger.warning(
                "%s: of several images in a file the first alone is read; the others are %s. Chips have a gain and a "
                "zero of their own: name one with the path, 'fits{path: %s, extension: NAME}'; of calibrated "
                "ones take all: images: all",
                self.path,
                listed(sorted(found.source.unread), limit=8),
                self.path,
            )
        for how in [] if self.clean else sorted({one.how for one in found.source.rounded}):
            alike = [one for one in found.source.rounded if one.how == how]
            steps = Rounded(how, min(one.least for one in alike), max(one.most for one in alike))
            logger.warning("%s: %s", self.path, steps.told())
        name = self.sigma_n
        if not isinstance(name, str) or name in ESTIMATES or Path(name).suffix.lower() in (".npy", ".csv", ".parquet"):
            return found
        if self.sigma_units != "file":
            raise InputError(
                f"{self.path}: sigma_n names the extension {name}, whose values are in the units of the image: say "
                "sigma_units: file"
            )
        return found._replace(named=cast(Source, _Levels(found.source, name)))  # of a shape that follows the rows

    def open(self, files: Sequence[Path]) -> FileRows:
        """The images by their headers. Raises InputError listing files that cannot be used."""
        needs("astropy.io.fits", "science", "FITS")
        return _Images(self, files)


ERRORS = ("ERR", "ERROR", "UNCERT", "SIGMA", "RMS", "VAR", "VARIANCE", "IVAR")
"""Names of extensions with the noise per pixel, as pipelines write them."""
FLAGS = ("DQ", "FLAGS", "BPM")
"""Names of extensions of whole numbers that flag pixels."""


class _Images(FileRows[FITS]):
    def __init__(self, part: FITS, files: Sequence[Path]) -> None:
        self._beside: set[str] | None = None
        self._whole: set[str] | None = None
        self.unread: set[str] = set()
        """Further images of the same kind, such as those of the other chips of a camera, that nobody asked for."""
        self.rounded: list[Rounded] = []
        """How the values of images were rounded."""
        super().__init__(part, files)

    def said_noise(self) -> dict[str, Any]:
        """The fields by which the files themselves say how noisy their pixels are: an extension of errors that all of
        them have; empty where there is none."""
        name = next((name for name in ERRORS if name in (self._beside or ())), None)
        return {} if name is None else {"sigma_n": name, "sigma_units": "file"}

    def said_flags(self) -> dict[str, Any]:
        """The fields by which the files themselves say which pixels hold nothing: an extension of flags that all of
        them have; empty where there is none, or one is named already."""
        name = next((name for name in FLAGS if name in (self._whole or ())), None)
        return {} if name is None or self.part.flags is not None else {"flags": name}

    def _first(self, units: Any) -> Any:
        """The image of the rows, or the first of them."""
        place = self.part.extension
        if place is not None:
            return image_at(units, place, place)
        for unit in units:
            if unit.is_image and unit.header.get("NAXIS", 0):
                return unit
        raise UnusableFile("it holds no image")

    def _alike(self, units: Any) -> list[Any]:
        """The images of the rows."""
        first = self._first(units)
        if self.part.images == "one":
            return [first]
        return [
            unit
            for unit in units
            if unit.is_image
            and unit.header.get("NAXIS", 0)
            and (stem_of(unit), axes_of(unit)) == (stem_of(first), axes_of(first))
        ]

    def _beside_image(self, units: Any, asked: int | str, number: int = 0) -> Any:
        """The extension of this name that goes with an image of the rows. Of several those count that have its version
        (EXTVER), or else its place among them: the errors of chip 2 are not those of chip 1."""
        if not isinstance(asked, str):
            return image_at(units, asked, asked)
        alike = self._alike(units)
        version = alike[number].ver
        named = [i for i, unit in enumerate(units) if unit.name == asked.upper()]
        by_version = [i for i in named if units[i].ver == version]
        if len(by_version) == 1:
            return image_at(units, by_version[0], asked)
        return image_at(units, named[number] if len(named) == len(alike) else asked, asked)

    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        from astropy.io import fits

        with cut_is_an_error(), fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True) as units:
            alike = self._alike(units)
            unit, count = alike[0], len(alike)
            shape, dtype = axes_of(unit), np.result_type(*map(type_of, alike))
            beside = [one for one in units if one not in alike and one.is_image and axes_of(one) == shape]
            names = {one.name.upper() for one in beside}
            whole = {one.name.upper() for one in beside if type_of(one).kind in "ui"}
            if self.part.extension is None and self.part.images == "one":
                self.unread |= {name_of(one, units) for one in beside if stem_of(one) == stem_of(unit)}
            self._beside = names if self._beside is None else self._beside & names
            self._whole = whole if self._whole is None else self._whole & whole
            compressed = [i for i, one in enumerate(units) if type(one).__name__ == "CompImageHDU" and one in alike]
            self.rounded += [told for i in compressed if (told := rounded(file, i)) is not None]
            if any(blank_of(one) is not None for one in alike):
                self.missing["BLANK"] = math.nan
            for number in range(count if self.part.flags is not None else 0):
                assert self.part.flags is not None
                flags = self._beside_image(units, self.part.flags, number)
                if axes_of(flags) != shape or type_of(flags).kind not in "ui":
                    raise UnusableFile(
                        f"its extension {self.part.flags!r}, {axes_of(flags)} {type_of(flags)}, is no flags for an "
                        f"image {shape}"
                    )
                self.missing[f"flags in {self.part.flags}"] = math.nan
                dtype = np.result_type(dtype, np.float32)
        if math.prod(shape) > self.part.max_pixels:
            raise UnusableFile(
                f"its shape {shape} has more values than max_pixels = {self.part.max_pixels}: raise it if the "
                "image is honest"
            )
        if len(shape) < 2:
            raise UnusableFile(
                f"its image has one axis, of {shape[0]} values: no picture, save such rows as .npy (layout N...)"
            )
        if len(shape) == 2:
            return count, (1, *shape), dtype
        if len(shape) != 3:
            raise UnusableFile(f"its image has shape {shape}: save each cube as a file of its own")
        if self.part.planes == "refuse":
            raise UnusableFile(
                f"its image has shape {shape}: give planes: rows (each a picture) or channels (of one row)"
            )
        return (count * shape[0], (1, *shape[1:]), dtype) if self.part.planes == "rows" else (count, shape, dtype)

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        values = self._joined(file, start, stop, self._physical_values)
        if self.part.flags is None:
            return values
        bad = (self.extension(file, start, stop, self.part.flags).astype(np.int64) & self.part.flag_bits) != 0
        return np.where(bad, np.nan, values).astype(np.result_type(values.dtype, np.float32))

    def extension(self, file: Path, start: int, stop: int, name: int | str) -> NDArray[Any]:
        """Rows start..stop of another extension, or of those that go with each image."""
        from astropy.io import fits

        def read(number: int, first: int, last: int) -> NDArray[Any]:
            with fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True) as units:
                found = self._values(self._beside_image(units, name, number), first, last)
                return found.astype(found.dtype.newbyteorder("="))

        return self._joined(file, start, stop, lambda _, number, first, last: read(number, first, last))

    def _joined(
        self, file: Path, start: int, stop: int, read: Callable[[Path, int, int, int], NDArray[Any]]
    ) -> NDArray[Any]:
        """read(file, image, first, last) of the rows of each image that are among start..stop."""
        if self.part.images == "one":
            return read(file, 0, start, stop)
        from astropy.io import fits

        with fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True) as units:
            shape = axes_of(self._first(units))
        each = shape[0] if len(shape) == 3 and self.part.planes == "rows" else 1
        images = range(start // each, -(-stop // each))
        return np.concatenate([read(file, k, max(start - k * each, 0), min(stop - k * each, each)) for k in images])

    def _physical_values(self, file: Path, number: int, start: int, stop: int) -> NDArray[Any]:
        from astropy.io import fits

        with fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True) as units:
            unit = self._alike(units)[number]
            blank, dtype, scale = (
                blank_of(unit),
                type_of(unit),
                (unit.header.get("BSCALE", 1), unit.header.get("BZERO", 0)),
            )
            if blank is None:
                return self._values(unit, start, stop).astype(
                    dtype
                )  # native byte order, and a copy: the file is closed now
        # astropy scales whole numbers before it looks for BLANK, and an unsigned one it does not look for: here it is
        # known by the raw value
        with fits.open(
            file, mode="readonly", memmap=False, lazy_load_hdus=True, do_not_scale_image_data=True, ignore_blank=True
        ) as units:
            raw = self._values(self._alike(units)[number], start, stop)
            return np.where(raw == blank, np.nan, raw.astype(np.float64) * scale[0] + scale[1]).astype(dtype)

    def result_name(self, name: str, encoding: Encoding) -> str:
        """The name of the input; what was compressed tile by tile is written without, since that may cost precision."""
        return name.removesuffix(name[-3:]) if name.lower().endswith(".fz") else name

    def stored_as(self, like: Path) -> Encoding:
        """Whole numbers under BSCALE and BZERO, or floating point."""
        from astropy.io import fits

        with fits.open(like, mode="readonly", memmap=False, lazy_load_hdus=True) as units:
            header = self._first(units).header
            bits, zero, scale = header["BITPIX"], float(header.get("BZERO", 0)), float(header.get("BSCALE", 1))
        if bits > 0 and scaled_type(bits, zero, scale).kind in "ui":
            return Encoding(scaled_type(bits, zero, scale))  # astropy writes unsigned ones under BZERO itself
        return Encoding(np.dtype(f"{'f' if bits < 0 else 'u' if bits == 8 else 'i'}{abs(bits) // 8}"), scale, zero)

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as the image of a file with the header of `like`."""
        from astropy.io import fits

        with fits.open(like, mode="readonly", memmap=False, lazy_load_hdus=True) as units:
            alike = self._alike(units)
            images = [i for i, unit in enumerate(units) if any(unit is one for one in alike)]
        write_fits(like, images, rows, target, series)

    def partly(self, like: Path, rows: int) -> str:
        """A file of several images has all of its rows."""
        return (
            "" if self.part.images == "one" else f"a file of several images has all of them, and this would be {rows}"
        )

    def _values(self, unit: Any, start: int, stop: int) -> NDArray[Any]:
        shape = axes_of(unit)
        if len(shape) == 3 and self.part.planes == "rows":
            where = (0,) * (len(unit.shape) - 3) + (slice(start, stop),)
            return np.asarray(unit.section[where])[:, None]
        values = np.asarray(unit.section[...] if hasattr(unit, "section") else unit.data)
        return values.reshape(1, *(shape if len(shape) > 2 else (1, *shape)))


class _Levels:
    """The noise per pixel in an extension of each file: standard deviations; of a name that begins with VAR variances,
    with IVAR their inverses. Where it is not positive and finite the level is NaN."""

    def __init__(self, images: _Images, name: str) -> None:
        self._images, self._name = images, name
        self.dtype = np.dtype(np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the rows."""
        return self._images.shape

    def __str__(self) -> str:
        return f"{self._images}, extension {self._name}"

    def check(self) -> None:
        """Raises nothing: `read` does."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The levels of rows start..stop, all in one file. Raises UnusableFile."""
        file, first = self._images.place(start)
        found = self._images.extension(file, first, first + stop - start, self._name).astype(np.float64)
        if found.shape != (stop - start, *self.shape[1:]):
            raise UnusableFile(f"its extension {self._name} has another shape than the image")
        upper = self._name.upper()
        if upper.startswith(("VAR", "IVAR")):
            with np.errstate(all="ignore"):
                found = np.sqrt(found if upper.startswith("VAR") else 1 / found)
        return np.where(np.isfinite(found) & (found > 0), found, np.nan)

    def row(self, index: int) -> NDArray[Any]:
        """The levels of one row."""
        return self.read(index, index + 1)[0]

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return np.concatenate([self.read(start, stop) for start, stop in self.chunks()])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds of consecutive rows, none of which crosses the end of a file."""
        return self._images.chunks()

    def name(self, index: int) -> str:
        """What a row is called."""
        return self._images.name(index)
