"""MRC files like another one: voxel size, origin, labels and extended header, and new values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambientkit.readers.files import needs
from ambientkit.readers.results import Series

KEPT = (
    *("nxstart", "nystart", "nzstart", "mapc", "mapr", "maps", "origin", "cella", "cellb"),
    *("mx", "my", "mz", "ispg", "exttyp"),
)
"""Fields of the header that say where the pixels lie and how large they are."""


def write_mrc(like: Path, values: NDArray[np.generic], target: Path, series: Series) -> None:
    """Write rows (n, 1, [depth,] ny, nx) as the sections of an image, a stack, a volume or a stack of volumes, with the
    header of `like`; statistics are those of the new values."""
    mrcfile = needs("mrcfile", "science", "MRC")
    with mrcfile.open(like, permissive=True, header_only=True) as old:
        header, extended = old.header.copy(), old.extended_header.copy()
        labels = [str(text) for text in old.get_labels()][:9]
    packed = like.name.lower().rpartition(".")[2]
    compression = {"gz": "gzip", "bz2": "bzip2"}.get(packed)
    with mrcfile.new(target, compression=compression, overwrite=True) as new:
        single = int(header.nz) == 1
        sections = np.ascontiguousarray(values.reshape(-1, *values.shape[-2:]))
        new.set_data(sections[0] if single else sections)
        for name in KEPT:
            new.header[name] = header[name]
        if len(extended):
            new.set_extended_header(extended)
            new.header.exttyp = header.exttyp
        for label in labels:
            new.add_label(label)
        new.add_label(f"ambientkit: restored, {series.said}"[:80])
