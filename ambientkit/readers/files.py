"""Rows spread over files of one format, each with one or several of them: stacks, FITS, NIfTI, DICOM."""

from __future__ import annotations

import abc
import bisect
import importlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.folders import printable
from ambientkit.readers.results import Encoding, Result
from ambientkit.readers.scan import logger
from ambientkit.readers.source import UnusableFile, cause_of, check_numbers, chunks_of
from ambientkit.text import lines, listed

Kind = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape of a row and number type."""
Part = TypeVar("Part", bound="Asked")


def needs(module: str, extra: str, what: str) -> ModuleType:
    """Import the library that decodes a format. Raises InputError naming the extra where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{what} is read by the library {module.partition('.')[0]}, which cannot be imported ({error}).\n"
            f"Install it with: pip install 'ambientkit[{extra}]'"
        ) from None


class Asked(Protocol):
    """What `FileRows` reads of a data set; `StoredFiles` is one."""

    @property
    def path(self) -> Path:
        """The folder, or one file."""

    @property
    def on_bad_file(self) -> Literal["fail", "skip"]:
        """Refuse to start because of unusable files, or leave them out."""


class FileRows(abc.ABC, Generic[Part]):
    """The rows of many files, in the order of the files. Files are opened when asked for, one at a time, and never stay
    open.

    part: the data set, whose own fields `look` and `load` find in `self.part`. Raises InputError where a header is
    unusable, and where rows differ in shape or number type; with on_bad_file "skip" such files are left out, the less
    common kinds of rows among them.
    """

    what: ClassVar[str] = "file"
    """What one file is called in messages."""

    def __init__(self, part: Part, files: Sequence[Path]) -> None:
        self.part = part
        self.missing: dict[str, float] = {}
        """Name -> file value of what stands for a missing pixel, NaN where `load` returns NaN for it; `look` fills it
        in."""
        self.lossy: set[str] = set()
        """Compression that loses something, by name (`readers.lossy`); `look` fills it in."""
        self._where, self._on_bad_file = part.path, part.on_bad_file
        self._total = len(files)
        self._bad: list[str] = []
        self._every = [self._name(file) for file in files]
        kinds: Counter[Kind] = Counter()
        found: list[tuple[Path, int, Kind]] = []
        for file in files:
            try:
                rows, shape, dtype = self._looked_at(file)
            except UnusableFile as error:
                self._bad.append(f"{self._name(file)}: {error}")
                continue
            kinds[shape, dtype] += 1
            found.append((file, rows, (shape, dtype)))
        if self._bad and self._on_bad_file == "fail":  # it ends here: all other errors are reported at once
            self._bad += self._undecodable(found)
            self._refuse_bad(good=len(found))
        first = {kind: self._name(file) for file, _, kind in reversed(found)}
        (common, most), *others = kinds.most_common() or [(((), np.dtype(float)), 0)]
        if others and (self._on_bad_file == "fail" or others[0][1] == most):
            told = [f"{_kind(kind)}: {count} (such as {first[kind]})" for kind, count in kinds.most_common()]
            raise InputError(
                f"{self._where}: all {self.what}s must have one size, one number of channels and one number type, "
                f"but there are\n{lines(told)}\n"
                f"Crop or sort them; resizing is not done for you, because it would change the noise"
                + (". With on_bad_file: skip all but the most common kind are left out" if others[0][1] < most else "")
            )
        self._bad += [
            f"{self._name(file)}: it is {_kind(kind)}, and most are {_kind(common)}"
            for file, _, kind in found
            if kind != common
        ]
        kept = [(str(file), rows) for file, rows, kind in found if kind == common]
        self._refuse_bad(good=len(kept))
        self._row_shape, self.dtype = common
        self._set([file for file, _ in kept], [rows for _, rows in kept])

    def _set(self, files: list[str], counts: list[int]) -> None:
        self._files, self._ends = files, list(accumulate(counts))
        self.shape = (self._ends[-1] if self._ends else 0, *self._row_shape)

    def _undecodable(self, found: Sequence[tuple[Path, int, Kind]]) -> Iterator[str]:
        """The files whose rows cannot be decoded, with the cause."""
        for file, rows, (shape, _) in found:
            try:
                for start, stop in chunks_of((rows, *shape)):
                    self.load(file, start, stop)
            except Exception as error:  # decoders raise anything on damaged files
                yield f"{self._name(file)}: {cause_of(error)}"

    def _refuse_bad(self, good: int) -> None:
        if self._bad and (self._on_bad_file == "fail" or not good):
            raise InputError(
                f"{self._where}: {len(self._bad)} of {self._total} {self.what}s cannot be used:\n{lines(self._bad)}\n"
                + self._remedy()
                + ("" if not good else ", or leave them out with on_bad_file: skip")
            )
        if self._bad:
            logger.warning(
                "%s: %d of %d %ss are left out, because they cannot be used: %s",
                self._where,
                len(self._bad),
                self._total,
                self.what,
                listed(self._bad),
            )

    def _remedy(self) -> str:
        """What to do about the files: a choice that they ask for is written with the path."""
        if any("tiff-stack" in one for one in self._bad):
            return f"Name the data set with the path: 'tiff-stack{{path: {self._where}}}'"
        if any("give " in one for one in self._bad):
            name = getattr(self.part, "name", "NAME")
            return f"A field is given with the path: '{name}{{path: {self._where}, FIELD: VALUE}}'"
        return "Repair or remove them"

    def _looked_at(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        try:
            if file.stat().st_size == 0:
                raise UnusableFile("the file is empty (0 bytes)")
            rows, shape, dtype = self.header(file)
        except UnusableFile:
            raise
        except Exception as error:  # decoders raise anything on damaged files
            raise UnusableFile(cause_of(error)) from None
        try:
            check_numbers("", (rows, *shape), np.dtype(dtype))
        except InputError as error:
            raise UnusableFile(str(error).removeprefix(": ")) from None
        return rows, tuple(shape), np.dtype(dtype)

    @abc.abstractmethod
    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        """Rows in a file, the shape of one (channels first) and the number type, from the header. Raises
        UnusableFile."""

    @abc.abstractmethod
    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop of a file (n, *S), in the type that `look` announced."""

    def __str__(self) -> str:
        return str(self._where)

    def check(self) -> None:
        """Raises nothing: the constructor has looked at every header."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop, all in one file (as `chunks` cuts them). Raises UnusableFile."""
        which = bisect.bisect_right(self._ends, start)
        first = self._ends[which - 1] if which else 0
        try:
            values = self.load(Path(self._files[which]), start - first, stop - first)
        except UnusableFile:
            raise
        except Exception as error:
            raise UnusableFile(cause_of(error)) from None
        if values.shape != (stop - start, *self._row_shape):
            raise UnusableFile(f"it holds {values.shape} where its header announces {(stop - start, *self._row_shape)}")
        return values.astype(self.dtype, copy=False)

    def place(self, index: int) -> tuple[Path, int]:
        """The file of a row, and its number in there."""
        which = bisect.bisect_right(self._ends, index)
        return Path(self._files[which]), index - (self._ends[which - 1] if which else 0)

    def row(self, index: int) -> NDArray[Any]:
        """One row. Raises IndexError outside 0..N-1."""
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"row {index} of {self.shape[0]}")
        try:
            return self.read(index, index + 1)[0]
        except UnusableFile as error:
            raise InputError(f"{self.name(index)}: was usable when the run started and is no longer: {error}") from None

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return np.concatenate([self.read(start, stop) for start, stop in self.chunks()])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds of consecutive rows, none of which crosses the end of a file."""
        first = 0
        for end in self._ends:
            for start, stop in chunks_of((end - first, *self._row_shape)):
                yield first + start, first + stop
            first = end

    def name(self, index: int) -> str:
        """The file of a row, and its number in there where it holds several."""
        which = bisect.bisect_right(self._ends, index)
        first = self._ends[which - 1] if which else 0
        name = self._name(Path(self._files[which]))
        return name if self._ends[which] - first == 1 else f"{name}[{index - first}]"

    def _name(self, file: Path) -> str:
        if file == self._where:
            return printable(file.name)
        return printable(os.path.relpath(file, self._where).replace(os.sep, "/"))

    def results(self) -> list[Result]:
        """The files, with the rows of each, for `readers.results`; a reader that writes files adds `save`."""
        starts = [0, *self._ends]
        files = [Path(file) for file in self._files]
        names = [file.name if file == self._where else os.path.relpath(file, self._where) for file in files]
        return [Result(*one) for one in zip(files, names, starts, self._ends)]

    def result_name(self, name: str, encoding: Encoding) -> str:
        """What the file of results for the file `name` is called: the same."""
        return name

    def stored_as(self, like: Path) -> Encoding:
        """How numbers stand in a file: as `read` returns them."""
        return Encoding(self.dtype)

    def partly(self, like: Path, rows: int) -> str:
        """Why the first rows of a file alone cannot be written like it; empty where they can."""
        return ""

    def by_file(self, levels: dict[str, float]) -> NDArray[np.float64]:
        """(N,): the level of its file for each row."""
        counts = np.diff([0, *self._ends])
        return np.repeat([levels[self._name(Path(file))] for file in self._files], counts)

    def file_names(self, every: bool = False) -> list[str]:
        """The names of the files, relative to the folder; every: of those that are left out, too."""
        return self._every if every else [self._name(Path(file)) for file in self._files]

    @property
    def left_out(self) -> list[str]:
        """The files that are left out, each with its cause."""
        return list(self._bad)

    def without(self, bad: dict[int, str]) -> None:
        """Leave out the files of the rows `bad` (row -> cause), or raise InputError listing them."""
        which = {bisect.bisect_right(self._ends, row): cause for row, cause in bad.items()}
        self._bad = [
            *self._bad,
            *(f"{self._name(Path(self._files[i]))}: {cause}" for i, cause in sorted(which.items())),
        ]
        keep = [i for i in range(len(self._files)) if i not in which]
        self._refuse_bad(good=len(keep))
        counts = np.diff([0, *self._ends]).tolist()
        self._set([self._files[i] for i in keep], [counts[i] for i in keep])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_every": []}  # a worker needs the files that are read


def _kind(kind: Kind) -> str:
    return f"{' x '.join(map(str, kind[0]))} {kind[1]}"
