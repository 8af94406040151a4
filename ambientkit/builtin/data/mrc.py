"""The data set `mrc`: images, stacks and volumes of electron microscopy in MRC files."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.readers import Encoded, FileRows, Series, StoredFiles, UnusableFile, needs
from ambientkit.writers.mrc import write_mrc

STACK, VOLUME_STACKS = 0, range(401, 631)
"""Space groups of a stack of images, and of volumes."""
MODES = {0: "int8", 1: "int16", 2: "float32", 6: "uint16", 12: "float16"}
"""Modes of MRC2014 that hold real numbers."""


class MRC(StoredFiles):
    """Micrographs, particle stacks and tomograms in MRC files: one image per row, the sections of a stack, or one
    volume per row.

    Values are those of the file, without any scaling. A file of one section is an image, one of space group 0 a stack
    of images, any other a volume (MRC2014). Old programs set no space group: say by `sections` what a file is.
    """

    name = "mrc"
    source = "file format: MRC2014 (doi 10.1016/j.jsb.2015.04.002); mrcfile"
    suffixes = files = folders = (".mrc", ".mrcs", ".rec", ".st", ".map", ".mrc.gz", ".mrc.bz2", ".map.gz")
    begins = ((208, b"MAP "),)
    what = "MRC file"

    sections: Literal["auto", "rows", "volume"] = "auto"
    """What the sections of a file are: rows, each an image of its own, or the depth of one row. "auto": rows of an
    image stack and of a file named .mrcs or .st, the depth of a volume."""
    max_pixels: int = Field(2**30, ge=1)
    """Largest row that is read, by its header."""

    def open(self, files: Sequence[Path]) -> FileRows:
        """The sections by their headers. Raises InputError listing files that cannot be used."""
        needs("mrcfile", "science", "MRC")
        return _Sections(self, files)


class _Sections(FileRows[MRC]):
    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        import mrcfile

        with _quiet(), mrcfile.open(file, permissive=True, header_only=True) as mrc:
            mode, (nz, ny, nx) = int(mrc.header.mode), (int(mrc.header[name]) for name in ("nz", "ny", "nx"))
            if mode not in MODES:
                raise UnusableFile(f"its mode is {mode}, no real numbers of MRC2014 ({', '.join(MODES.values())})")
            if min(nz, ny, nx) < 1:
                raise UnusableFile(f"its header announces {nx} x {ny} x {nz} pixels: no MRC file, or damaged")
            if mode == 0 and _unsigned(mrc.header):
                raise UnusableFile(
                    "its bytes are without sign, as IMOD marks them, and MRC2014 has such with a sign alone: values "
                    "from 128 on would be read as negative. Convert it: newstack -mode 6 OLD NEW"
                )
            depth = self._depth(file, mrc.header)
            size = np.dtype(MODES[mode]).itemsize * nx * ny * nz
            announced = 1024 + int(mrc.header.nsymbt) + size
        if file.suffix.lower() not in (".gz", ".bz2") and file.stat().st_size < announced:
            raise UnusableFile(
                f"it has {file.stat().st_size:,} bytes, and its header announces {announced:,}: it was cut short"
            )
        shape = (1, ny, nx) if depth == 1 else (1, depth, ny, nx)
        if math.prod(shape) > self.part.max_pixels:
            raise UnusableFile(
                f"its rows of {shape} have more values than max_pixels = {self.part.max_pixels}: raise it if the "
                "file is honest"
            )
        return nz // depth, shape, np.dtype(MODES[mode])

    def _depth(self, file: Path, header: Any) -> int:
        """Sections in a row."""
        asked, nz, group = self.part.sections, int(header.nz), int(header.ispg)
        stack = group == STACK or nz == 1 or file.name.lower().endswith((".mrcs", ".st"))
        if asked == "rows" or (asked == "auto" and stack):
            return 1
        per_volume = int(header.mz) if group in VOLUME_STACKS else nz
        if per_volume < 1 or nz % per_volume:
            raise UnusableFile(f"it announces volumes of {per_volume} sections, but has {nz}")
        return per_volume

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        import mrcfile

        packed = file.suffix.lower() in (".gz", ".bz2")
        with _quiet(), (mrcfile.open if packed else mrcfile.mmap)(file, mode="r", permissive=True) as mrc:
            if mrc.data is None:
                raise UnusableFile("its pixels cannot be read: it is damaged or was cut short")
            depth, (ny, nx) = self._depth(file, mrc.header), mrc.data.shape[-2:]
            values = mrc.data.reshape(-1, *((1, ny, nx) if depth == 1 else (1, depth, ny, nx)))
            return np.array(values[start:stop], dtype=values.dtype.newbyteorder("="))

    def save(self, like: Path, rows: Encoded, target: Path, series: Series) -> None:
        """Rows as sections of a file with the header of `like`."""
        write_mrc(like, rows.all(), target, series)


IMOD = 1146047817
"""The mark of IMOD in a header (bio3d.colorado.edu/imod/doc/mrc_format.txt), whose flags follow."""


def _unsigned(header: Any) -> bool:
    """Whether IMOD or SerialEM wrote bytes of 0 to 255: their mark is there, and bit 0 of the flags (bytes have a sign)
    is not."""
    order = header["nx"].dtype.byteorder.replace("|", "=")
    mark, flags = np.frombuffer(header["extra2"].tobytes(), f"{order}i4", 2, offset=40)  # bytes 152 to 160 of the file
    return int(mark) == IMOD and not int(flags) & 1


def _quiet() -> warnings.catch_warnings[None]:
    """Headers of old programs bend the standard; what is wrong with the pixels is found by their size."""
    return warnings.catch_warnings(action="ignore", category=RuntimeWarning)
