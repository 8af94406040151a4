"""Samples in tar files (shards): found by their headers, read one at a time, nothing ever extracted."""

from __future__ import annotations

import bisect
import io
import json
import logging
import math
import tarfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.operators.arrays import behind
from ambientkit.readers.source import UnusableFile, cause_of
from ambientkit.text import lines

logger = logging.getLogger("ambientkit")

OPEN_SHARDS = 16
"""Shards whose places of samples are remembered at a time: two windows of the order by shards, or each row would find
its shard anew."""
Place = tuple[int, int]
"""(offset, size) of a member in its file."""


class Shards:
    """Samples (the files of one base name) of tar files, by number, in the order of the shards. Raises InputError for
    damaged shards.

    Only the number of samples of each shard is kept; their places are read from a shard's headers when it is used.
    """

    def __init__(self, where: Path, files: Sequence[Path]) -> None:
        self.where = where
        self._files = [str(file) for file in files]
        self._known: OrderedDict[int, list[tuple[str, dict[str, Place]]]] = OrderedDict()
        self._links = 0
        counts, bad = [], []
        for i, file in enumerate(self._files):
            try:
                counts.append(len(self._index(i)))
            except UnusableFile as error:
                bad.append(f"{Path(file).name}: {error}")
        if bad:
            raise InputError(
                f"{where}: {len(bad)} of {len(files)} shards cannot be used:\n{lines(bad)}\nCopy or make them again"
            )
        if self._links:
            logger.warning("%s: %d members of the shards are links, which are left out", where, self._links)
        self.counts = counts
        """Samples of each shard."""
        self._ends = list(accumulate(counts))
        if not self._ends or self._ends[-1] == 0:
            raise InputError(f"{where}: the shards hold no samples")

    def __len__(self) -> int:
        return self._ends[-1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": OrderedDict()}

    def _index(self, shard: int) -> list[tuple[str, dict[str, Place]]]:
        if shard in self._known:
            self._known.move_to_end(shard)
            return self._known[shard]
        file = Path(self._files[shard])
        samples: dict[str, dict[str, Place]] = {}
        try:
            size = file.stat().st_size
            with tarfile.open(file, "r:") as tar:  # no compression, which would allow no access by number
                for member in tar:
                    self._links += int(member.islnk() or member.issym())
                    if not member.isfile() or Path(member.name).name.startswith("."):
                        continue
                    base, _, suffix = Path(member.name).name.partition(".")
                    key = str(Path(member.name).parent / base)
                    if member.offset_data + member.size > size:
                        raise UnusableFile(f"{member.name} ends after the file: it was cut short")
                    parts = samples.setdefault(key, {})
                    if suffix.lower() in parts:
                        raise UnusableFile(f"the sample {key!r} has two members .{suffix}")
                    parts[suffix.lower()] = (member.offset_data, member.size)
                _refuse_more(file, tar.offset)
        except UnusableFile:
            raise
        except Exception as error:
            raise UnusableFile(
                f"no plain tar file, or damaged ({cause_of(error)}); compressed shards must be unpacked first"
            ) from None
        found = list(samples.items())
        self._known[shard] = found
        while len(self._known) > OPEN_SHARDS:
            self._known.popitem(last=False)
        return found

    def _sample(self, index: int) -> tuple[str, str, dict[str, Place]]:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        key, parts = self._index(shard)[index - (self._ends[shard - 1] if shard else 0)]
        return self._files[shard], key, parts

    def suffixes(self, index: int) -> list[str]:
        """What a sample consists of."""
        return list(self._sample(index)[2])

    def name(self, index: int) -> str:
        """Shard and key of a sample."""
        file, key, _ = self._sample(index)
        return f"{Path(file).name}:{key}"

    def member(self, index: int, suffix: str) -> io.BytesIO:
        """The bytes of one member. Raises UnusableFile where the sample lacks it."""
        file, _, parts = self._sample(index)
        if suffix not in parts:
            raise UnusableFile(f"it has no .{suffix}, only {', '.join('.' + name for name in parts)}")
        offset, size = parts[suffix]
        with open(file, "rb") as opened:
            opened.seek(offset)
            data = opened.read(size)
        if len(data) != size:
            raise UnusableFile("its shard was cut short")
        return io.BytesIO(data)


def _refuse_more(file: Path, end: int) -> None:
    """Raise UnusableFile where a shard does not end where its list of members did, at byte `end`: tarfile takes a lost
    end, a damaged header and a second archive for the end of all."""
    with file.open("rb") as opened:
        opened.seek(end)
        block = opened.read(tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE:
            raise UnusableFile(f"it has no end mark after its last whole sample, at byte {end:,}: it was cut short")
        if any(block):
            raise UnusableFile(f"the header of a member at byte {end:,} is damaged, and samples after it would be lost")
        while rest := opened.read(2**20):
            if rest.count(0) < len(rest):
                raise UnusableFile(
                    f"more follows the end of its archive, at byte {end:,}, and would be lost: shards are joined by "
                    "tar --concatenate, not by cat"
                )


class SampleLevels:
    """sigma_n of each sample: the number "sigma_n" of its .json member, or the array of its .sigma_n.npy."""

    def __init__(self, shards: Shards, row_shape: tuple[int, ...], by_pixel: bool) -> None:
        self._shards, self._by_pixel = shards, by_pixel
        self.shape = (len(shards), *row_shape) if by_pixel else (len(shards),)
        self.dtype = np.dtype(np.float64)

    def __str__(self) -> str:
        return f"{self._shards.where}, sigma_n of the samples"

    def check(self) -> None:
        """Raises nothing: each sample is looked at when it is read."""

    def told(self, index: int) -> bool:
        """Whether a sample has a level."""
        try:
            return bool(np.isfinite(self._level(index)).all())
        except UnusableFile:
            return False

    def row(self, index: int) -> NDArray[np.float64]:
        """The level of one sample. Raises InputError naming it where it has none."""
        try:
            return self._level(index)
        except UnusableFile as error:
            raise InputError(f"{self._shards.where}: {self._shards.name(index)}: {error}") from None

    def _level(self, index: int) -> NDArray[np.float64]:
        try:
            if self._by_pixel:
                member = self._shards.member(index, "sigma_n.npy")
                try:
                    level: NDArray[np.float64] = array_in(member, math.prod(self.shape[1:])).astype(np.float64)
                except UnusableFile as error:
                    raise UnusableFile(f"its sigma_n.npy: {error}") from None
                if level.shape != self.shape[1:]:
                    raise UnusableFile(f"its sigma_n has shape {level.shape} instead of {self.shape[1:]}")
                return level
            found = json.loads(self._shards.member(index, "json").getvalue(), object_pairs_hook=_once)
        except UnusableFile:
            raise
        except (ValueError, OSError, EOFError, RecursionError) as error:
            raise UnusableFile(f"its level cannot be read ({cause_of(error)})") from None
        told = found.get("sigma_n") if isinstance(found, dict) else None
        if not isinstance(told, int | float) or isinstance(told, bool):
            raise UnusableFile('its .json has no number "sigma_n"')
        return np.float64(told)  # type: ignore[return-value]

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """The levels of consecutive samples. Raises UnusableFile where one has none."""
        return np.stack([self._level(index) for index in range(start, stop)])

    def all(self) -> NDArray[np.float64]:
        """All levels, in memory."""
        return np.stack([self.row(index) for index in range(len(self._shards))])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """One sample at a time."""
        return ((index, index + 1) for index in range(len(self._shards)))

    def name(self, index: int) -> str:
        """Shard and key of a sample."""
        return self._shards.name(index)


def array_in(data: io.BytesIO, most: int) -> NDArray[Any]:
    """The one array of real numbers in the bytes of a .npy file. Raises UnusableFile for one of more than so many
    values, of another type, cut short, or with something behind it."""
    try:
        version = npy_format.read_magic(data)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, _, dtype = read(data)
        if dtype.hasobject or dtype.kind not in "uif" or dtype.itemsize > 8:
            raise UnusableFile(f"values of type {dtype} are no data for a diffusion model")
        values = math.prod(shape)
        rest = len(data.getvalue()) - data.tell() - values * dtype.itemsize
        if values > most or rest < 0:
            raise UnusableFile(f"its header claims shape {shape}, more than it holds or than is taken ({most} values)")
        if rest:
            raise UnusableFile(behind(rest))
        data.seek(0)
        return np.asarray(np.load(data, allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise UnusableFile(" ".join(str(error).split())[:160]) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where a name comes twice, of which the last would be taken."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} comes twice")
    return found
