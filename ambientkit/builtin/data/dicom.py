"""The data set `dicom`: images in DICOM files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import (
    Encoded,
    Encoding,
    FileRows,
    Series,
    Source,
    StoredFiles,
    UnusableFile,
    cause_of,
    needs,
)
from ambientkit.readers.rows import Mapping
from ambientkit.writers.dicom import write_dicom


class DICOM(StoredFiles):
    """Frames of DICOM images, grey or RGB, one per row; rescale slope and intercept are applied (CT: Hounsfield units).

    In enhanced images each frame may have a slope and intercept of its own. Pixels that hold the padding value are NaN,
    and refused. What part of 16 bits the pictures use differs from machine to machine, so `value_range` must be given.
    Compressed files need pydicom's decoders; lossy ones are refused, since their noise is no longer white, and so are
    look-up tables. Patient data are neither read nor kept.
    """

    name = "dicom"
    source = "file format: DICOM PS3.5, PS3.10; pydicom"
    suffixes = files = folders = (".dcm", ".dicom", ".ima")
    begins = ((128, b"DICM"),)
    what = "DICOM file"

    monochrome1: Literal["refuse", "as-stored"] = "refuse"
    """What becomes of images in which 0 is white (X-ray projections): refused, or taken as stored, a negative of what a
    viewer shows. Their noise is the same either way, and results are written as MONOCHROME1 again."""
    max_pixels: int = Field(2**26, ge=1)
    """Largest frame that is decoded, by its header."""

    def _mapping(self, source: Source) -> Mapping:
        """Raises InputError where nobody says what the values mean; whoever measures it needs no mapping."""
        if self.value_range is None:
            raise InputError(
                f"{self.path}: DICOM does not say what part of their range the values use: give value_range, the "
                "two values (after rescaling) that stand for -1 and 1, such as [-1024, 3071] for CT in Hounsfield "
                "units, or have it measured: value_range: data"
            )
        return super()._mapping(source)

    def open(self, files: Sequence[Path]) -> FileRows:
        """The frames by their headers. Raises InputError listing files that cannot be used."""
        needs("pydicom", "science", "DICOM")
        return _Frames(self, files)


class _Frames(FileRows[DICOM]):
    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        import pydicom

        header = pydicom.dcmread(file, stop_before_pixels=True)
        absent = [
            name for name in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if name not in header
        ]
        if absent:
            raise UnusableFile(f"it holds no image ({', '.join(absent)} missing)")
        height, width, samples = int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel", 1))
        if height * width > self.part.max_pixels:
            raise UnusableFile(
                f"{width} x {height} pixels are more than max_pixels = {self.part.max_pixels}: raise it if the "
                "image is honest"
            )
        meaning = str(header.PhotometricInterpretation)
        kept = ("MONOCHROME1",) if self.part.monochrome1 == "as-stored" else ()
        if meaning not in ("MONOCHROME2", "RGB", *kept):
            why = (
                "0 is white, so it would be read as a negative; monochrome1: as-stored takes it so"
                if meaning == "MONOCHROME1"
                else "only MONOCHROME2 and RGB are read"
            )
            raise UnusableFile(f"its photometric interpretation is {meaning}: {why}")
        syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
        if str(header.get("LossyImageCompression", "00")) == "01" or syntax in LOSSY:
            raise UnusableFile("it was compressed with loss, which changes its noise: use the original")
        stored = int(header.get("BitsStored", header.BitsAllocated))
        if int(header.get("HighBit", stored - 1)) != stored - 1:
            raise UnusableFile(
                f"the highest of its {stored} bits is bit {int(header.HighBit)}, and decoders take it for bit "
                f"{stored - 1}: shift its pixels to the lowest bits, as DICOM has it"
            )
        if "ModalityLUTSequence" in header or "DoseGridScaling" in header:
            raise UnusableFile(
                "its values go through a look-up table or dose scaling, which is not applied: save them as real "
                "values first"
            )
        if _padding(header) is not None:
            self.missing["PixelPaddingValue"] = math.nan
        frames = int(header.get("NumberOfFrames", 1) or 1)
        for frame in range(frames):
            if _rescale(header, frame)[0] == 0:
                raise UnusableFile("its rescale slope is 0: all values would be one and the same")
        return frames, (samples, height, width), np.dtype(np.float64)

    def stored_as(self, like: Path) -> Encoding:
        """Whole numbers of so many bits, under the rescale slope and intercept of the first frame."""
        import pydicom

        header = pydicom.dcmread(like, stop_before_pixels=True)
        signed, bits = int(header.get("PixelRepresentation", 0)) == 1, int(header.BitsAllocated)
        used = int(header.get("BitsStored", bits))
        low, high = (-(2.0 ** (used - 1)), 2.0 ** (used - 1) - 1) if signed else (0.0, 2.0**used - 1)
        return Encoding(np.dtype(f"{'i' if signed else 'u'}{bits // 8}"), *_rescale(header, 0), low, high)

    def partly(self, like: Path, rows: int) -> str:
        """A derived image has all frames of its source, which their positions and times are of."""
        return f"a DICOM file has all of its frames, and this would be {rows}"

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Frames as a derived image with the attributes of `like`."""
        write_dicom(like, rows, target, series)

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        import pydicom
        from pydicom.pixels import pixel_array

        header = pydicom.dcmread(file, stop_before_pixels=True)
        padding = _padding(header)
        several = int(header.get("NumberOfFrames", 1) or 1) > 1
        rows = []
        for frame in range(start, stop):
            try:
                pixels = np.asarray(pixel_array(file, index=frame if several else 0))
            except Exception as error:  # its decoders raise anything on damaged files
                raise UnusableFile(f"its pixels cannot be decoded ({cause_of(error)})") from None
            slope, intercept = _rescale(header, frame)
            values = pixels * slope + intercept
            if padding is not None:
                values = np.where((pixels >= padding[0]) & (pixels <= padding[1]), np.nan, values)
            rows.append(values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0))
        return np.stack(rows)


LOSSY = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81))
"""Transfer syntaxes that always lose something: JPEG baseline and extended, near-lossless JPEG-LS."""


def _padding(header: Any) -> tuple[int, int] | None:
    """The stored values, least and largest, that mark padding (PS3.3 C.7.5.1.1.2): before rescaling, in grey images
    only."""
    if "PixelPaddingValue" not in header or int(header.get("SamplesPerPixel", 1)) != 1:
        return None
    value = _stored(header, header.PixelPaddingValue)
    limit = _stored(header, header.get("PixelPaddingRangeLimit", value))
    return min(value, limit), max(value, limit)


def _stored(header: Any, value: Any) -> int:
    """A value of the type of the pixels: 16 bits that were read with the other sign are turned."""
    number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)
    bits, signed = int(header.BitsAllocated), int(header.get("PixelRepresentation", 0)) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return number - 2**bits if number > high else number + 2**bits if number < low else number


def _rescale(header: Any, frame: int) -> tuple[float, float]:
    """Slope and intercept of a frame: of the image, or of its own or the shared group of an enhanced image (PS3.3
    C.7.6.16.2.9)."""
    groups = [header]
    for name, place in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        sequence = header.get(name)
        if (
            sequence is not None
            and len(sequence) > place
            and (found := sequence[place].get("PixelValueTransformationSequence"))
        ):
            groups.insert(0 if name.startswith("Per") else len(groups) - 1, found[0])
    for group in groups:
        if "RescaleSlope" in group or "RescaleIntercept" in group:
            return float(group.get("RescaleSlope", 1)), float(group.get("RescaleIntercept", 0))
    return 1.0, 0.0
