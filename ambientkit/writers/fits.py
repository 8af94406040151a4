"""FITS files like another one: the header of its image with world coordinates and units, new values."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ambientkit.readers.files import needs
from ambientkit.readers.results import Encoded, Series

STRUCTURE = ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM", "DATAMIN", "DATAMAX", "ZSIMPLE", "ZTENSION", "ZPCOUNT")
"""Cards of the old values, which say nothing of the new ones."""


def write_fits(like: Path, images: Sequence[int], rows: Encoded, target: Path, series: Series) -> None:
    """Write rows as the images in these extensions of a file like `like`, an equal share in each; other extensions
    (errors, flags, tables) are those of the noisy images, and left out. Planes that are rows follow one another. By the
    suffix .gz it is compressed."""
    fits = needs("astropy.io.fits", "science", "FITS")
    with fits.open(like, mode="readonly", memmap=False, lazy_load_hdus=True) as old:
        first, headers = old[0].header.copy(), [old[index].header.copy() for index in images]
        shape = tuple(old[images[0]].shape)
    slope, intercept = rows.encoding.slope, rows.encoding.intercept
    units = [] if 0 in images else [fits.PrimaryHDU(header=first)]
    for index, header, values in zip(images, headers, np.split(rows.all(), len(images)), strict=True):
        whole = values.size == np.prod(shape)
        values = values.reshape(shape if whole else (*shape[:-3], -1, *shape[-2:]))  # axes of one point stay
        for card in STRUCTURE:
            header.remove(card, ignore_missing=True, remove_all=True)
        header.add_history(f"ambientkit: restored, {series.said}")
        units.append((fits.ImageHDU if index else fits.PrimaryHDU)(values, header=header))
        if (slope, intercept) != (1, 0):  # after the values, which are stored as they are
            units[-1].header["BSCALE"], units[-1].header["BZERO"] = slope, intercept
    stream = io.BytesIO()
    fits.HDUList(units).writeto(stream, output_verify="silentfix")
    content = stream.getvalue()
    target.write_bytes(gzip.compress(content, mtime=0) if target.name.endswith(".gz") else content)
