"""The images in a FITS file that astropy has opened: their places, shapes and types."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
