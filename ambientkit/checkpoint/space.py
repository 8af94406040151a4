"""Large files, for which the room on the disk is taken before anything is computed.

A file written through a memory map that the disk cannot hold kills the process (SIGBUS) silently. Here the room
is reserved first, and values are written at file positions, so that a full disk is an OSError like any other.
"""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ambientkit.errors import RunError

GOES_ON = "make room on the disk and give the same command again, which goes on from here"
"""The message for a disk that refuses a part of a work that is kept part by part."""
BLOCK = 2**22
"""Bytes of zeros that are written at a time where the system cannot reserve."""


def reserve(stream: IO[bytes], size: int) -> None:
    """Make an open file `size` bytes long, all of which the disk holds; new ones are 0. Raises OSError where it has no
    room."""
    descriptor = stream.fileno()
    if hasattr(os, "posix_fallocate") and size:
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    there = stream.seek(0, os.SEEK_END)
    while there < size:
        there += stream.write(bytes(min(BLOCK, size - there)))
    stream.flush()


class NpyOnDisk:
    """An array in a .npy file that is written row by row, at any place, by any number of processes.

    Its room is reserved when it is made; `write` overwrites, so what was written twice is what was written last.
    """

    def __init__(self, path: Path) -> None:
        """Open a file that `create` has made. Raises RunError where it is none."""
        self.path = path
        try:
            with path.open("rb") as stream:
                version = npy_format.read_magic(stream)
                read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
                self.shape, _, self.dtype = read(stream)
                self._start = stream.tell()
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read as a .npy file ({error})") from error

    @classmethod
    def create(cls, path: Path, dtype: Any, shape: tuple[int, ...]) -> NpyOnDisk:
        """Make the file, with zeros. Raises RunError where the disk has no room; then nothing is left of it."""
        header = {"descr": npy_format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        try:
            with path.open("wb") as stream:
                npy_format.write_array_header_1_0(stream, header)
                stream.flush()
                reserve(stream, stream.tell() + math.prod(shape) * np.dtype(dtype).itemsize)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise RunError(_no_room(path, error)) from error
        return cls(path)

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows (n, *S) from row `start` on. Raises RunError where the disk refuses, ValueError where they are no
        rows of this array."""
        values = np.ascontiguousarray(rows, self.dtype)
        if values.shape[1:] != self.shape[1:] or start < 0 or start + len(values) > self.shape[0]:
            raise ValueError(f"{values.shape} from row {start} on do not fit into {self.shape}")
        try:
            with self.path.open("r+b") as stream:
                stream.seek(self._start + start * math.prod(self.shape[1:]) * self.dtype.itemsize)
                stream.write(values.data if values.size else b"")
                stream.flush()
        except OSError as error:
            raise RunError(_no_room(self.path, error)) from error

    def read(self) -> NDArray[Any]:
        """The whole array, mapped into memory for reading."""
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def flush(self) -> None:
        """Have the disk hold what was written. Raises RunError where it refuses."""
        try:
            with self.path.open("r+b") as stream:
                os.fsync(stream.fileno())
        except OSError as error:
            raise RunError(_no_room(self.path, error)) from error


def _no_room(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written ({error.strerror}); {GOES_ON}"
