"""The data set `image-folder`: one picture per file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import Encoded, Encoding, FileRows, Found, Series, StoredFiles, UnusableFile
from ambientkit.readers.image import SUFFIXES, UnusableImage, look_at_image, read_image
from ambientkit.writers.picture import write_png
from ambientkit.writers.tiff import write_picture


class ImageFolder(StoredFiles):
    """Pictures of one size in a folder and its sub-folders, in the order of their names: observations with their noise
    level, or clean.

    x_n = (v - m) / h maps the file's values v to [-1, 1] (m, h: middle and half width of the value range). PNG, JPEG,
    TIFF, WebP and BMP by content; grey of 1, 8 and 16 bits, 8-bit RGB, 16-bit RGB PNG, palette as RGB, float TIFF.
    Nothing is resized: that would change the noise. Rounding to whole numbers and lossy compression change it too:
    noisy data keep best as .npy (data set `array`). The path of one picture is a data set of one row.
    """

    name = "image-folder"
    source = "file formats: Pillow; imagecodecs for 16-bit RGB"
    suffixes = SUFFIXES
    files = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
    what = "image"

    max_pixels: int = Field(2**26, ge=1)
    """Largest picture that is decoded, by its header."""

    def open(self, files: Sequence[Path]) -> FileRows:
        """The pictures by their headers. Raises InputError listing files that cannot be used."""
        return _Pictures(self, files)

    def find(self) -> Found:
        """The pictures of the folder, by their headers. Raises InputError where there are none, or they are
        unusable."""
        if self.path.is_file() and not self.path.name.lower().endswith(SUFFIXES):
            raise InputError(f"{self.path}: should be a folder of images, but is a file")
        return super().find()


class _Pictures(FileRows[ImageFolder]):
    what = "image"

    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        try:
            shape, dtype, lossy = look_at_image(file, self.part.max_pixels)
        except UnusableImage as error:
            raise UnusableFile(str(error)) from None
        self.lossy |= lossy
        return 1, shape, dtype

    def result_name(self, name: str, encoding: Encoding) -> str:
        """Floating point and what was TIFF is written as TIFF, whole numbers as PNG: neither loses anything."""
        stem, _, suffix = name.rpartition(".")
        if suffix.lower() in ("tif", "tiff") or (encoding.dtype.kind != "f" and suffix.lower() == "png"):
            return name
        return f"{stem}.{'tif' if encoding.dtype.kind == 'f' else 'png'}"

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """One picture as TIFF or PNG."""
        if target.name.lower().endswith(".png"):
            write_png(rows, target)
        else:
            write_picture(like, rows, target, series)

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        try:
            pixels = read_image(file, self.part.max_pixels)
        except UnusableImage as error:
            raise UnusableFile(str(error)) from None
        return (pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))[None]
