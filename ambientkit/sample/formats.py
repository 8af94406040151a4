"""File formats of samples: what one row becomes, and whether rows share a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.files import needs
from ambientkit.units.ranges import to_uint8

LIKE = "like-input"
"""The format of the input files themselves, by whoever reads them: `like_files`."""


@dataclass(frozen=True, slots=True)
class Format:
    """suffix: of the files. encode: one row (C, H, W) or (*S), channels first, to the bytes of its file; None where all
    rows share one file, or those of the input files (`LIKE`)."""

    suffix: str
    encode: Callable[[NDArray[Any]], bytes] | None
    clipped: bool = False
    """Whether it is written from units of [-1, 1], clipped and rounded to 8 bits: for the eye only."""


def _tiff(row: NDArray[Any]) -> bytes:
    tifffile = needs("tifffile", "science", "TIFF")
    stream = io.BytesIO()
    colour = len(row) == 3
    image = np.moveaxis(row, 0, -1) if colour else row[0] if len(row) == 1 else row
    tifffile.imwrite(stream, np.ascontiguousarray(image), photometric="rgb" if colour else "minisblack", metadata=None)
    return stream.getvalue()


def _png(row: NDArray[Any]) -> bytes:
    from PIL import Image

    pixels, stream = to_uint8(row), io.BytesIO()
    Image.fromarray(np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels[0]).save(stream, format="PNG")
    return stream.getvalue()


def _fits(row: NDArray[Any]) -> bytes:
    fits = needs("astropy.io.fits", "science", "FITS")
    stream = io.BytesIO()
    fits.PrimaryHDU(np.ascontiguousarray(row[0] if len(row) == 1 else row)).writeto(stream)
    return stream.getvalue()


def _nifti(row: NDArray[Any]) -> bytes:
    nibabel = needs("nibabel", "science", "NIfTI")
    return nibabel.Nifti1Image(np.ascontiguousarray(row[0]), np.eye(4)).to_bytes()


FORMATS: dict[str, Format] = {
    LIKE: Format("", None),
    "npy": Format(".npy", None),
    "npz": Format(".npz", None),
    "hdf5": Format(".h5", None),
    "tiff": Format(".tif", _tiff),
    "fits": Format(".fits", _fits),
    "nifti": Format(".nii", _nifti),
    "png": Format(".png", _png, clipped=True),
}
OWN = {"image-folder": "tiff", "tiff-stack": "tiff", "hdf5": "hdf5", "fits": "fits", "nifti": "nifti"}
"""Data set -> the format its own files are in; npy for all others."""


def check_format(name: str, shape: tuple[int, ...]) -> None:
    """Raise InputError where rows of this shape cannot be written in a format, or its library is missing."""
    channels = shape[0] if len(shape) == 3 else 0
    fits = {
        "tiff": (len(shape) == 3, "pictures (C, H, W)"),
        "png": (channels in (1, 3), "pictures of 1 or 3 channels"),
        "nifti": (len(shape) in (3, 4) and shape[0] == 1, "volumes or pictures of one channel"),
    }
    good, what = fits.get(name, (True, ""))
    if not good:
        raise InputError(f"--format {name} holds {what}, but these rows have shape {shape}; take npy")
    module = {"tiff": "tifffile", "fits": "astropy.io.fits", "nifti": "nibabel", "hdf5": "h5py"}.get(name)
    if module is not None:
        needs(module, "science", f"--format {name}")
