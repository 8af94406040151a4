"""The data set `dicom`: images in DICOM files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.stored import FileRows, StoredFiles, UnusableFile, needs


class DICOM(StoredFiles):
    """Frames of DICOM images, grey or RGB, one a row; rescale slope and intercept are applied (CT: Hounsfield units).

    What part of 16 bits the pictures use differs from machine to machine, so `value_range` must be given. Compressed files need pydicom's
    decoders; lossy ones are refused, since their noise is no longer white. Patient data are neither read nor kept.
    """

    name = "dicom"
    source = "file format: DICOM PS3.5, PS3.10; pydicom"
    suffixes = (".dcm", ".dicom", ".ima")
    what = "DICOM file"

    max_pixels: int = Field(2**26, ge=1)
    """Largest frame that is decoded, by its header."""

    def open(self, files: Sequence[Path]) -> FileRows:
        """The frames by their headers. Raises InputError listing files that cannot be used."""
        needs("pydicom", "science", "DICOM")
        return _Frames(self.path, files, self.on_bad_file, self.max_pixels)


class _Frames(FileRows):
    def __init__(self, where: Path, files: Sequence[Path], on_bad_file: Literal["fail", "skip"], max_pixels: int) -> None:
        self._max_pixels = max_pixels
        super().__init__(where, files, on_bad_file)

    def look(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        import pydicom

        header = pydicom.dcmread(file, stop_before_pixels=True)
        absent = [name for name in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if name not in header]
        if absent:
            raise UnusableFile(f"it holds no image ({', '.join(absent)} missing)")
        height, width, samples = int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel", 1))
        if height * width > self._max_pixels:
            raise UnusableFile(f"{width} x {height} pixels are more than max_pixels = {self._max_pixels}: raise it if the image is honest")
        meaning = str(header.PhotometricInterpretation)
        if meaning not in ("MONOCHROME2", "RGB"):
            why = "0 is white, so it would be read as a negative" if meaning == "MONOCHROME1" else "only MONOCHROME2 and RGB are read"
            raise UnusableFile(f"its photometric interpretation is {meaning}: {why}")
        if str(header.get("LossyImageCompression", "00")) == "01":
            raise UnusableFile("it was compressed with loss, which changes its noise: use the original")
        return int(header.get("NumberOfFrames", 1)), (samples, height, width), _type(header)

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        import pydicom
        from pydicom.pixels import pixel_array

        header = pydicom.dcmread(file, stop_before_pixels=True)
        frames = int(header.get("NumberOfFrames", 1))
        pixels = [np.asarray(pixel_array(file, index=i)) for i in (range(start, stop) if frames > 1 else (0,))]
        rows = np.stack([p[None] if p.ndim == 2 else np.moveaxis(p, -1, 0) for p in pixels]).astype(_type(header))
        if rows.dtype.kind == "f":
            rows = rows * float(header.get("RescaleSlope", 1)) + float(header.get("RescaleIntercept", 0))
        return rows


def _type(header: Any) -> np.dtype[Any]:
    """float64 where the values are rescaled, otherwise int32, whose range must be given: 16 bits are rarely used in full."""
    scaled = (float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))) != (1, 0)
    return np.dtype(np.float64 if scaled else np.int32)
