"""NIfTI files like another one: its header, with the affine matrix and units, and new values."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambientkit.readers.files import needs
from ambientkit.readers.results import Encoded, Series


def write_nifti(like: Path, values: NDArray[np.generic], rows: Encoded, target: Path, series: Series) -> None:
    """Write a volume, or a series of volumes, of any shape with the header of `like`. rows: how its numbers are stored.
    By the suffix .gz it is compressed."""
    nibabel = needs("nibabel", "science", "NIfTI")
    old = nibabel.load(like)
    header = old.header.copy()
    header.set_data_dtype(values.dtype)
    header["cal_min"] = header["cal_max"] = 0
    header["descrip"] = f"ambientkit: restored, {series.said}".encode()[:79]
    new = old.__class__(values, old.affine, header)
    new.header.set_slope_inter(rows.encoding.slope, rows.encoding.intercept)
    stored = new.to_bytes()  # with a slope set, nibabel writes the values as they are
    target.write_bytes(gzip.compress(stored, mtime=0) if target.name.endswith(".gz") else stored)
