"""The data set `nifti`: volumes, or slices of volumes, in NIfTI files."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.readers import Encoded, Encoding, FileRows, Series, StoredFiles, UnusableFile, needs
from ambientkit.writers.nifti import write_nifti

logger = logging.getLogger("ambientkit")


class NIfTI(StoredFiles):
    """Volumes in NIfTI files: one volume per row, or its slices along an axis; the slope and intercept of the header
    are applied.

    Axes are those of the file. Magnitude images of magnetic resonance have Rician noise, which is Gaussian only where
    the signal is well above it (`ambientkit inspect` reports it).
    """

    name = "nifti"
    source = "file format: NIfTI-1 and -2; nibabel"
    suffixes = files = folders = (".nii", ".nii.gz")
    what = "NIfTI file"

    slices: Literal["none", "x", "y", "z"] = "none"
    """Take the slices along this axis as rows, instead of whole volumes."""
    series: Literal["refuse", "rows", "channels"] = "refuse"
    """What the fourth axis of a file is (times of functional, directions of diffusion imaging): rows, each a volume (or
    its slices) of its own, or the channels of one row."""
    max_pixels: int = Field(2**28, ge=1)
    """Largest volume that is read, by its header."""

    def open(self, files: Sequence[Path]) -> FileRows:
        """The volumes by their headers. Raises InputError listing files that cannot be used."""
        needs("nibabel", "science", "NIfTI")
        return _Volumes(self, files)


class _Volumes(FileRows[NIfTI]):
    _unscaled = False  # whether one of them was reported

    @property
    def _axis(self) -> int | None:
        return None if self.part.slices == "none" else "xyz".index(self.part.slices)

    def _image(self, file: Path) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        """The image, its shape without axes of one point after the third, and the type after scaling."""
        import nibabel

        try:
            image: Any = nibabel.load(file)
        except (nibabel.filebasedimages.ImageFileError, OSError, EOFError) as error:
            raise UnusableFile(" ".join(str(error).split())[:160]) from None
        shape = tuple(image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) not in (2, 3, 4) or (len(shape) == 4 and self.part.series == "refuse"):
            raise UnusableFile(
                f"it has shape {tuple(image.shape)}: "
                + (
                    "give series: rows (each volume of the fourth axis) or channels (of one row)"
                    if len(shape) == 4
                    else "save each volume of a series as a file of its own"
                )
            )
        if math.prod(shape) > self.part.max_pixels:
            raise UnusableFile(
                f"its shape {shape} has more values than max_pixels = {self.part.max_pixels}: raise it if the "
                "volume is honest"
            )
        stored = np.dtype(image.get_data_dtype())
        if stored.names or stored.kind == "c":
            raise UnusableFile(
                f"its values are of type {stored}: save real numbers, complex ones as two channels in .npy"
            )
        scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
        return image, shape, np.dtype(np.float64) if scaled else stored.newbyteorder("=")

    def _check_slope(self, image: Any, file: Path) -> None:
        """A slope of 0 means no scaling (NIfTI-1: "if scl_slope is nonzero"), and is reported; one that is no number
        means
        nothing at all."""
        place = image.file_map["header" if "header" in image.file_map else "image"]
        with place.get_prepare_fileobj("rb") as stream:  # nibabel's own header forgets the slope once it has read it
            slope = float(image.header_class.from_fileobj(stream, check=False)["scl_slope"])
        if not math.isfinite(slope):
            raise UnusableFile(
                f"its scl_slope is {slope:g}, so nobody knows what its values mean: set it to 1 if they are meant "
                "as stored"
            )
        if slope == 0 and not self._unscaled:
            self._unscaled = True
            logger.warning("%s: scl_slope is 0: the values are taken as stored, without scaling", file)

    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        image, shape, dtype = self._image(file)
        self._check_slope(image, file)
        volume, times = shape[:3], shape[3] if len(shape) == 4 else 1
        rows, channels = (times, 1) if self.part.series == "rows" else (1, times)
        if self._axis is None:
            return rows, (channels, *volume), dtype
        if self._axis >= len(volume):
            raise UnusableFile(f"it has shape {shape} and no axis {'xyz'[self._axis]}")
        return rows * volume[self._axis], (channels, *(n for i, n in enumerate(volume) if i != self._axis)), dtype

    def stored_as(self, like: Path) -> Encoding:
        """The type of the file, under slope and intercept of its header."""
        image, _, _ = self._image(like)
        slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
        return Encoding(np.dtype(image.get_data_dtype()).newbyteorder("="), slope, intercept)

    def partly(self, like: Path, rows: int) -> str:
        """A volume may end after any slice, a series after whole volumes only."""
        _, shape, _ = self._image(like)
        slices = 1 if self._axis is None else shape[self._axis]
        if rows <= slices or rows % slices == 0:
            return ""
        return f"its volumes have {slices} slices, and {rows} are no whole volumes"

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as volumes with the header of `like`."""
        image, shape, _ = self._image(like)
        values = rows.all()
        many = len(shape) == 4 and self.part.series == "rows"
        slices = 1 if self._axis is None else shape[self._axis]
        if len(values) % slices:  # the first rows alone: slices that follow one another
            whole = np.moveaxis(values, 0, 1 + self._axis)[0] if self._axis is not None else values[0, 0]
        else:
            volumes = values[:, None] if self._axis is None else values.reshape(-1, slices, *values.shape[1:])
            found = [
                one[0] if self._axis is None else np.moveaxis(one, 0, 1 + self._axis) for one in volumes
            ]  # each (channels, x, y, z)
            whole = np.stack([one[0] for one in found], -1) if many else np.moveaxis(found[0], 0, -1)
        if whole.size == math.prod(image.shape):
            whole = whole.reshape(image.shape)
        elif whole.shape[-1] == 1:
            whole = whole[..., 0]
        write_nifti(like, whole, rows, target, series)

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        image, shape, dtype = self._image(file)
        rest = (0,) * (len(image.shape) - len(shape))
        many = len(shape) == 4 and self.part.series == "rows"
        if self._axis is None and not many:
            found = np.asarray(image.dataobj[(slice(None), *[slice(None)] * (len(shape) - 1), *rest)], dtype)
            return (np.moveaxis(found, -1, 0) if len(shape) == 4 else found[None])[None]
        slices = 1 if self._axis is None else shape[self._axis]
        rows = []
        for time in range(start // slices, (stop - 1) // slices + 1):
            first, last = max(0, start - time * slices), min(slices, stop - time * slices)
            where: list[Any] = [slice(None)] * min(3, len(shape))
            if self._axis is not None:
                where[self._axis] = slice(first, last)
            end = (time,) if many else (slice(None),) * (len(shape) == 4)
            found = np.asarray(image.dataobj[(*where, *end, *rest)], dtype)
            found = np.moveaxis(found, -1, 0) if len(shape) == 4 and not many else found[None]  # channels first
            rows.append(found[None] if self._axis is None else np.moveaxis(found, 1 + self._axis, 0))
        return np.concatenate(rows)
