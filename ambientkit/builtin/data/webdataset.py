"""The data set `webdataset`: samples in tar shards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import Found, Stored, UnusableFile
from ambientkit.readers.folders import find_or_one
from ambientkit.readers.image import UnusableImage, decode_image, lossy_image
from ambientkit.readers.source import FIRST, chunks_of, first_usable
from ambientkit.readers.tar import SampleLevels, Shards, array_in

PICTURES = ("png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp")


class WebDataset(Stored):
    """Samples in the tar shards of WebDataset, read by number: for sets too large for one file.

    A sample is the members of one base name: its picture or array (.npy, channels first), and its level in .json
    ({"sigma_n": 0.2}) or, by value, in .sigma_n.npy. Nothing is extracted or unpickled; shards must be uncompressed tar
    files. Only the number of samples of each shard is kept in memory. Train with the order by shards (docs: large data
    sets).
    """

    name = "webdataset"
    files = folders = (".tar",)
    source = "file format: github.com/webdataset/webdataset, tar shards"

    path: Path
    """The folder of the shards, or one shard; shards are taken in the order of their names."""
    member: str | None = None
    """Suffix of the member that is the row, such as npy or png; by default the only one that can be."""
    max_pixels: int = Field(2**26, ge=1)
    """Largest picture or array that is decoded, by its header."""

    def find(self) -> Found:
        """The samples by the headers of the shards. Raises InputError where shards or samples are unusable."""
        files, _ = find_or_one(self.path, (".tar",), False, "shard")
        shards = Shards(self.path, files)
        for index in range(min(len(shards), FIRST)):  # the first may be a broken one
            suffixes = shards.suffixes(index)
            likely = (
                [s for s in suffixes if s in PICTURES or s == "npy"]
                if self.member is None
                else [self.member.lower().lstrip(".")]
            )
            if len(likely) == 1:
                break
        else:
            suffixes = shards.suffixes(0)
            raise InputError(
                f"{self.path}: the sample {shards.name(0)} has no member, or several, that must be the row: give "
                "member, "
                f"one of {', '.join(suffixes)}"
            )
        source = _Samples(shards, likely[0], self.max_pixels)
        by_pixel = "sigma_n.npy" in suffixes
        needed = self.sigma_n is None and not self.clean and self.counts is None
        found = SampleLevels(shards, source.shape[1:], by_pixel) if by_pixel or "json" in suffixes else None
        levels = found if found is not None and (needed or found.told(index)) else None  # a .json may hold labels alone
        return Found(source, "N...", levels)


class _Samples:
    def __init__(self, shards: Shards, member: str, max_pixels: int) -> None:
        self.shards, self._member, self._max_pixels = shards, member, max_pixels
        try:
            first = first_usable(len(shards), self._decode)
        except UnusableFile as error:
            raise InputError(f"{shards.where}: {shards.name(0)}: {error}") from None
        self.shape, self.dtype = (len(shards), *first.shape), first.dtype
        self.lossy: set[str] = set()
        with suppress(UnusableFile, UnusableImage):  # reported when it is read
            self.lossy = set() if member == "npy" else lossy_image(shards.member(0, member))

    def __str__(self) -> str:
        return str(self.shards.where)

    def check(self) -> None:
        """Raises nothing: the scan reads every sample."""

    def _decode(self, index: int) -> NDArray[Any]:
        data = self.shards.member(index, self._member)
        try:
            if self._member != "npy":
                pixels = decode_image(data, self._max_pixels)
                return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
            return array_in(data, 4 * self._max_pixels)
        except UnusableFile:
            raise
        except (UnusableImage, ValueError, EOFError) as error:
            raise UnusableFile(" ".join(str(error).split())[:160]) from None

    def _row(self, index: int) -> NDArray[Any]:
        row = self._decode(index)
        if row.shape != self.shape[1:] or row.dtype != self.dtype:
            raise UnusableFile(
                f"its shape {row.shape} {row.dtype} differs from {self.shape[1:]} {self.dtype} of the first"
            )
        return row

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Consecutive samples. Raises UnusableFile where one of them cannot be used."""
        return np.stack([self._row(index) for index in range(start, stop)])

    def row(self, index: int) -> NDArray[Any]:
        """One sample. Raises InputError where it cannot be used."""
        try:
            return self._row(index)
        except UnusableFile as error:
            raise InputError(f"{self}: {self.name(index)}: {error}") from None

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return np.stack([self.row(index) for index in range(self.shape[0])])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds of consecutive samples with few values together."""
        return chunks_of(self.shape)

    def name(self, index: int) -> str:
        """Shard and key of a sample."""
        return self.shards.name(index)

    def blocks(self) -> list[int]:
        """Rows of each shard, in order: rows of one block are quick to read after one another."""
        return self.shards.counts
