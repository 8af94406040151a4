"""The images in a FITS file that astropy has opened: their places, shapes and types."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ambientkit.readers.source import UnusableFile


@contextmanager
def cut_is_an_error() -> Iterator[None]:
    """A file that ends before its headers say so is a warning of astropy's, which names no file: raise it instead."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="File may have been truncated")
        try:
            yield
        except Warning as error:
            raise UnusableFile(f"it was cut short ({' '.join(str(error).split())[:160]})") from None


def image_at(units: Any, place: Any, called: int | str) -> Any:
    """The image in this place of a file."""
    try:
        unit = units[place]
    except (KeyError, IndexError):
        raise UnusableFile(
            f"it has no extension {called!r}, only {[u.name or i for i, u in enumerate(units)]}"
        ) from None
    if not (unit.is_image and unit.header.get("NAXIS", 0)):
        raise UnusableFile(f"extension {called!r} holds no image")
    return unit


def stem_of(unit: Any) -> str:
    """The name of an image without the number of its chip: CCD of CCD2, nothing of one without a name. The first image
    of a file may have the name PRIMARY, which is none."""
    name = unit.name.upper()
    return "" if name == "PRIMARY" else name.strip("0123456789_-. ")


def name_of(unit: Any, units: Any) -> str:
    """How an image is named in `extension`: by its name where no other has it, otherwise by its number."""
    named = [one for one in units if one.name == unit.name]
    return unit.name if unit.name and len(named) == 1 else str(next(i for i, one in enumerate(units) if one is unit))


def blank_of(unit: Any) -> int | None:
    """The stored whole number that marks an undefined pixel; FITS 4.0, 4.4.2.4: none in floating point, where it is
    NaN."""
    return int(unit.header["BLANK"]) if "BLANK" in unit.header and unit.header["BITPIX"] > 0 else None


class Rounded(NamedTuple):
    """How the values of a compressed image were rounded: FITS 4.0, 10.1 and 10.2."""

    how: str
    """The compression, and the dithering, as the header names them."""
    least: float
    most: float
    """The steps, over the tiles."""

    def told(self) -> str:
        """The effect on noise, in the units of the file."""
        least, most = f"{self.least:.3g}", f"{self.most:.3g}"
        steps = least if least == most else f"{least} to {most}"
        return (
            f"the files are compressed with loss ({self.how}): values are rounded in steps of {steps}, which adds "
            f"noise of a std of {self.most / 12**0.5:.3g} that is uniform, and not in a level measured before "
            "compression. Use the original where the step is not small beside the noise"
        )


def rounded(file: Path, place: int) -> Rounded | None:
    """How the values of the image in this place were rounded when it was compressed tile by tile; None where nothing
    was lost."""
    from astropy.io import fits

    with fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True, disable_image_compression=True) as units:
        unit = units[place]
        header = unit.header
        if "ZCMPTYPE" not in header:
            return None
        how, steps = str(header["ZCMPTYPE"]), np.zeros(0)
        if header.get("ZBITPIX", 8) < 0:
            dither = str(header.get("ZQUANTIZ", "NO_DITHER"))
            how = f"{how}, {dither}"
            if "ZSCALE" in unit.columns.names:
                steps = np.abs(np.asarray(unit.data["ZSCALE"], dtype=np.float64))
            elif "ZSCALE" in header:
                steps = np.abs(np.array([float(header["ZSCALE"])]))
        if how.startswith("HCOMPRESS") and (scale := _parameter(header, "SCALE")) > 0:
            of_tiles = steps if len(steps) else np.array([abs(float(header.get("BSCALE", 1)))])
            how, steps = f"{how}, SCALE {scale:g}", of_tiles * max(scale, 1)
        steps = steps[np.isfinite(steps) & (steps > 0)]  # 0 of tiles that were stored as they are
        return Rounded(how, float(steps.min()), float(steps.max())) if len(steps) else None


def _parameter(header: Any, name: str) -> float:
    """A parameter of the compression, 0 where it is not there."""
    numbers = [key[5:] for key in header if key.startswith("ZNAME") and str(header[key]).strip().upper() == name]
    return float(header.get(f"ZVAL{numbers[0]}", 0)) if numbers else 0.0


def axes_of(unit: Any) -> tuple[int, ...]:
    """The shape of an image, without leading axes of one point."""
    shape = tuple(unit.shape)
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def type_of(unit: Any) -> np.dtype[Any]:
    """The type of the values after scaling, in native byte order."""
    header = unit.header
    bits = header["BITPIX"]
    if "BLANK" in header and bits > 0:
        return np.dtype(np.float64 if bits > 16 else np.float32)
    return scaled_type(bits, header.get("BZERO", 0), header.get("BSCALE", 1))


def scaled_type(bits: int, zero: float, scale: float) -> np.dtype[Any]:
    """That of BITPIX, BZERO and BSCALE."""
    if bits < 0:
        return np.dtype(f"f{-bits // 8}")
    if scale != 1 or zero not in (0, 2 ** (bits - 1), -128):
        return np.dtype(np.float64 if bits > 16 else np.float32)
    if bits == 8:
        return np.dtype(np.int8 if zero == -128 else np.uint8)
    return np.dtype(f"{'u' if zero else 'i'}{bits // 8}")
