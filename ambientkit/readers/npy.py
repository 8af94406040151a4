"""Arrays in .npy and .npz files: the header is checked before anything is allocated, and nothing in the file is ever
executed."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.operators.arrays import behind

CHUNK = 2**18
"""Values that a scan holds at a time."""
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged file or archive raises."""


class ArrayFile:
    """One array on disk. It holds the path, not the data, so that it can be sent to worker processes.

    A .npy file is memory-mapped on first use in each process; an array of an .npz file, which cannot be mapped, is read
    once.
    """

    def __init__(self, path: Path, key: str | None, shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
        self.path, self.key, self.shape, self.dtype = path, key, shape, dtype
        self.size = size
        """Bytes that the file really holds for it."""
        self._array: NDArray[Any] | None = None

    def __str__(self) -> str:
        return str(self.path) if self.key is None else f"{self.path}, key {self.key!r}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}

    def check(self) -> None:
        """Raises InputError where the array is empty, cut short, not all that the file holds, or no array of real
        numbers."""
        if self.dtype.hasobject:
            raise InputError(
                f"{self}: an array of Python objects is refused, because reading it runs code. Save it as numbers"
            )
        if self.dtype.kind not in "uif" or self.dtype.itemsize > 8:
            raise InputError(
                f"{self}: values of type {self.dtype} are no data for a diffusion model. "
                "Save whole numbers or floating point of at most 64 bits (float32 is best); split complex numbers "
                "into two channels"
            )
        if 0 in self.shape:
            raise InputError(f"{self}: the array is empty (shape {self.shape})")
        claimed = math.prod(self.shape) * self.dtype.itemsize
        if claimed > self.size or min(self.shape, default=1) < 0:
            raise InputError(
                f"{self}: the header claims shape {self.shape} of {self.dtype}, {claimed} bytes, but the file "
                f"holds {self.size}: "
                f"it was cut short, or the header is false. Copy or save it again"
            )
        if claimed < self.size:
            raise InputError(f"{self}: {behind(self.size - claimed)}")

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop for a scan. A mapped file is mapped anew each time: pages already read do not stay in
        memory."""
        return np.array((self._open() if self.key is None else self._loaded())[start:stop])

    def row(self, index: int) -> NDArray[Any]:
        """One row. Raises IndexError outside 0..N-1."""
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"row {index} of {self.shape[0]}")
        return self._loaded()[index]

    def all(self) -> NDArray[Any]:
        """The whole array, in memory."""
        return np.array(self._open() if self._array is None else self._array)

    def name(self, index: int) -> str:
        """What a row is called."""
        return f"row {index}"

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds (start, stop) of consecutive rows with about `CHUNK` values together."""
        step = max(1, CHUNK // math.prod(self.shape[1:]))
        return ((start, min(start + step, self.shape[0])) for start in range(0, self.shape[0], step))

    def _loaded(self) -> NDArray[Any]:
        if self._array is None:
            self._array = self._open()  # a read-only map has no file position: what a forked process inherits is safe
        return self._array

    def _open(self) -> NDArray[Any]:
        try:
            if self.key is None:
                array = np.load(self.path, mmap_mode="r", allow_pickle=False)
            else:
                with np.load(self.path, allow_pickle=False) as archive:
                    array = archive[self.key]
        except (ValueError, KeyError, *_UNREADABLE) as error:
            raise InputError(f"{self}: cannot be read ({_one_line(error)})") from None
        if array.shape != self.shape or array.dtype != self.dtype:
            raise InputError(
                f"{self}: the file was changed during the run (shape {self.shape} before, {array.shape} now)"
            )
        return array


def find_arrays(path: Path) -> dict[str | None, ArrayFile]:
    """What a file holds, by key; a .npy file has the one key None. The content decides, not the suffix; only headers
    are read.

    Raises InputError where there is no such file, or it is neither .npy nor .npz.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file" + (" (a broken link)" if path.is_symlink() else ""))
    if not path.is_file():
        raise InputError(
            f"{path}: should be a .npy or .npz file, but is a folder"
            + "; for a folder of images use the data set 'image-folder'"
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(6)
            file.seek(0)
            if magic == npy_format.MAGIC_PREFIX:
                shape, dtype = _header(file, str(path))
                return {None: ArrayFile(path, None, shape, dtype, size - file.tell())}
            if magic.startswith(b"PK"):
                return _members(path, file)
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({_one_line(error)})") from None
    raise InputError(
        f"{path}: "
        + ("the file is empty (0 bytes)" if size == 0 else "neither a .npy nor an .npz file, though its name says so")
    )


def _members(path: Path, file: IO[bytes]) -> dict[str | None, ArrayFile]:
    found: dict[str | None, ArrayFile] = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            key = info.filename.removesuffix(".npy")
            if key in found:
                raise InputError(
                    f"{path}: holds two arrays of the name {key!r}, of which one would be lost: save it anew"
                )
            try:
                with archive.open(info) as member:
                    shape, dtype = _header(member, f"{path}, key {key!r}")
                    found[key] = ArrayFile(path, key, shape, dtype, info.file_size - member.tell())
            except (
                RuntimeError,
                NotImplementedError,
            ) as error:  # encrypted, or a compression that Python does not know
                raise InputError(f"{path}, key {key!r}: cannot be read ({_one_line(error)})") from None
    return found


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = npy_format.read_magic(file)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, _, dtype = read(file)
    except _UNREADABLE:
        raise
    except Exception as error:  # the header is parsed as a Python literal: a forged one fails in many ways
        raise InputError(f"{where}: the header is damaged ({_one_line(error)})") from None
    return shape, dtype


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
