"""Compression that loses something, by what files say of it: it changes the noise of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

UNSURE = " (unless it was set to lose nothing)"
TIFF: Mapping[int, str] = {
    6: "JPEG",
    7: "JPEG",
    33007: "JPEG",
    34892: "JPEG",
    33003: "JPEG 2000" + UNSURE,
    33004: "JPEG 2000" + UNSURE,
    33005: "JPEG 2000" + UNSURE,
    34712: "JPEG 2000" + UNSURE,
    34887: "LERC" + UNSURE,
    22610: "JPEG XR" + UNSURE,
    34934: "JPEG XR" + UNSURE,
    34927: "WebP" + UNSURE,
    50001: "WebP" + UNSURE,
    50002: "JPEG XL" + UNSURE,
    52546: "JPEG XL" + UNSURE,
    48124: "Jetraw",
}
"""The number of a compression in TIFF -> its name."""
REVERSIBLE_WAVELET = 1
"""In the header COD of a JPEG 2000 stream (ISO/IEC 15444-1, A.6.1): the transform by which nothing need be lost."""
HDF5: Mapping[int, str] = {
    6: "scale-offset",
    32013: "ZFP" + UNSURE,
    32017: "SZ",
    32019: "JPEG",
    32022: "BitGroom",
    32023: "granular BitRound",
    32024: "SZ3" + UNSURE,
    32028: "SPERR" + UNSURE,
}
"""The number of a filter in HDF5 -> its name."""
ZARR: Mapping[str, str] = {
    "quantize": "rounding (quantize)",
    "bitround": "rounding (bitround)",
    "fixedscaleoffset": "rounding (fixedscaleoffset)",
    "zfpy": "ZFP" + UNSURE,
    "pcodec": "",
    "jpeg": "JPEG",
    "sz3": "SZ3" + UNSURE,
}
"""What ends the name of a codec in Zarr -> its name; empty where nothing is lost."""


def of_tiff(compression: int, start: bytes = b"") -> set[str]:
    """The compression of a TIFF file where it loses something, by its number; start: the beginning of a compressed
    segment, by which JPEG 2000 and lossless JPEG are known."""
    name = TIFF.get(compression, "")
    if name.startswith("JPEG 2000") and (place := start.find(b"\xff\x52")) >= 0 and len(start) > place + 13:
        return set() if start[place + 13] == REVERSIBLE_WAVELET else {"JPEG 2000"}
    if name == "JPEG" and b"\xff\xc3" in start:  # the frame of lossless JPEG (ITU-T T.81, table B.1)
        return set()
    return {name} if name else set()


def of_hdf5(filters: Iterable[int], floating: bool) -> set[str]:
    """The filters of an HDF5 array that lose something; scale-offset does of numbers in floating point alone."""
    return {HDF5[number] for number in filters if number in HDF5 and (floating or number != 6)}


def of_zarr(codecs: Iterable[str]) -> set[str]:
    """The codecs of a Zarr array that lose something."""
    lowered = [name.lower().rpartition(".")[2].replace("imagecodecs_", "") for name in codecs]
    return {ZARR[name] for name in lowered if ZARR.get(name)}


def told(where: Any, names: Iterable[str]) -> list[str]:
    """A warning for each compression."""
    return [
        f"{where}: {name} compression changes noise, which is no longer white and Gaussian of the declared level"
        for name in sorted(names)
    ]
