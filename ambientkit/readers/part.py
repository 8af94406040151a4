"""The abstract data set `Stored`: what all formats share once their files are open."""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.errors import InputError
from ambientkit.inspection.estimate import estimate, estimate_rows
from ambientkit.interfaces import Data
from ambientkit.readers.files import FileRows
from ambientkit.readers.folders import levels_by_file
from ambientkit.readers.kept import Kept
from ambientkit.readers.layout import Layout, to_row
from ambientkit.readers.levels import Noise, levels_from_table
from ambientkit.readers.npy import find_arrays
from ambientkit.readers.rows import CleanRows, Mapping, NoisyRows
from ambientkit.readers.scan import RowScan, unknown_noise
from ambientkit.readers.source import Source, UnusableFile
from ambientkit.text import lines, listed
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange

logger = logging.getLogger("ambientkit")

SAMPLE = 4096
"""Rows that `check: sample` looks at, and the most from which a level is estimated, evenly spaced."""
ESTIMATES = ("estimate", "estimate-by-row")


class Found(NamedTuple):
    """What a format has found: its rows, how their axes are meant, and a noise level that came with them."""

    source: Source
    layout: Layout
    levels: Source | float | None = None


class Counts(BaseModel):
    """Counts v = gain p + n, p ~ Poisson, n ~ N(offset, read_std^2), to be made Gaussian by the generalised Anscombe transform."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gain: float = Field(1.0, gt=0)
    """File units a count."""
    offset: float = 0.0
    """File value of no count."""
    read_std: float = Field(0.0, ge=0)
    """Std of the Gaussian part, file units."""


class Stored(Data):
    """Rows kept in files: observations with their noise level, or clean rows."""

    sigma_n: Annotated[float, Strict()] | str | Path | None = None
    """Known noise std: a number, a .npy array, a .csv or .parquet table with a column sigma_n, the name of an array in the same
    file, or "estimate" (one for all) or "estimate-by-row". An array holds one level per row (N,), or one per value, in the layout of the file."""
    sigma_units: Literal["unit", "file"] = "unit"
    """Whether sigma_n is given in units of [-1, 1], or in those of the file, from which value_range converts it."""
    clean: bool = False
    """The rows are clean: noise is simulated on them."""
    value_range: tuple[float, float] | None = None
    """The two file values that stand for -1 and 1; by default (0, 255) for uint8, (0, 65535) for uint16, (-1, 1) for floating point."""
    counts: Counts | None = None
    """The values are counts {gain, offset, read_std}: the Anscombe transform makes their noise Gaussian, of a level that follows from it."""
    check: Literal["all", "sample"] = "all"
    """Read every row once before anything starts, or (for sets too large for that) 4,096 rows, evenly spaced."""
    on_bad_file: Literal["fail", "skip"] = "fail"
    """What to do with files and rows that cannot be used (damaged, or with values that are not finite): list them and refuse to start,
    or leave them out, list and count them. The other rows keep their numbers and levels."""

    @field_validator("sigma_n")
    @classmethod
    def _no_negative_noise(cls, sigma_n: float | str | Path | None) -> float | str | None:
        if isinstance(sigma_n, float) and sigma_n < 0:
            raise ValueError("should be 0 or more")
        return str(sigma_n) if isinstance(sigma_n, Path) else sigma_n

    @model_validator(mode="after")
    def _consistent(self) -> Stored:
        if self.clean and self.sigma_n is not None:
            raise ValueError("clean rows have no sigma_n: leave one of the two out")
        if self.on_bad_file == "skip" and self.check == "sample":
            raise ValueError("on_bad_file: skip needs check: all, because a bad row among those that are not looked at would not be found")
        if self.value_range is not None:
            ValueRange(*self.value_range)
        if self.counts is not None:
            if self.value_range is None:
                raise ValueError("counts need value_range, the two counts (in file values) that stand for -1 and 1")
            if self.sigma_n is not None or self.clean:
                raise ValueError("the noise level of counts follows from the transform: leave sigma_n and clean out")
            CountRange(*self.value_range, **self.counts.model_dump())
        return self

    @abc.abstractmethod
    def find(self) -> Found:
        """Open the files as far as their headers. Raises InputError where they are missing or unusable."""

    def rows(self) -> Dataset[Clean] | Dataset[Batch]:
        """Rows (*S), float32, channels first; sigma_n () or (*S). All rows are checked once, in memory that does not grow with them.

        Raises InputError where files are missing, cut, or hold anything but numbers; where shape or noise level are unclear;
        and for rows that are not finite, constant, clipped, or cannot have the declared noise.
        """
        found = self.find()
        found.source.check()
        mapping = self._mapping(found.source)
        if isinstance(mapping, CountRange):
            _enough_counts(found.source, mapping)
        if str(self.sigma_n) in ESTIMATES:  # from the rows that can be used
            source, _, left_out = self._usable(found, mapping, lambda: None)
            noise: Noise | None = self._estimated(source, found.layout, mapping)
            self._scan(found._replace(source=source), mapping, noise, judge=True)
        else:
            source, noise, left_out = self._usable(found, mapping, lambda: self._noise(found, mapping))
        layout = found.layout
        logger.info("%s: %d rows %s of %s, layout %s, %s", source, source.shape[0], source.shape[1:], source.dtype, layout, mapping)
        if noise is None:
            return CleanRows(source, mapping, layout, left_out)
        return NoisyRows(source, mapping, layout, noise, left_out)

    def _usable(self, found: Found, mapping: Mapping, level: Callable[[], Noise | None]) -> tuple[Source, Noise | None, list[str]]:
        """Read and check all rows; what can be used, its level, and what is left out. level: by the files that are left."""
        source = found.source
        while True:
            noise = level()
            files, rows = self._scan(found, mapping, noise, judge=str(self.sigma_n) not in ESTIMATES)
            if not files:
                break
            assert isinstance(source, FileRows)  # the one kind of source that leaves out whole files
            source.without(files)
        left_out = source.left_out if isinstance(source, FileRows) else []
        if not rows:
            return source, noise, left_out
        told = [f"{source.name(row)}: {cause}" for row, cause in sorted(rows.items())]
        if self.on_bad_file == "fail" or len(rows) == source.shape[0]:
            raise InputError(
                f"{source}: {len(rows)} of {source.shape[0]} rows cannot be used:\n{lines(told)}\nRepair or remove them"
                + (", or leave them out with on_bad_file: skip" if len(rows) < source.shape[0] else "")
            )
        logger.warning("%s: %d of %d rows are left out, because they cannot be used: %s", source, len(rows), source.shape[0], listed(told))
        kept = Kept(source, list(rows))
        return kept, None if noise is None else noise.only(kept), left_out + told

    def _mapping(self, source: Source) -> Mapping:
        if self.counts is not None:
            assert self.value_range is not None  # the validator saw to it
            return CountRange(*self.value_range, **self.counts.model_dump())
        if self.value_range is not None:
            return ValueRange(*self.value_range)
        try:
            return ValueRange.of(source.dtype)
        except ValueError as error:
            raise InputError(f"{source}: {error}") from None

    def _noise(self, found: Found, mapping: Mapping) -> Noise | None:
        """The noise level of every row; None for clean rows. Raises InputError where it is not known."""
        source, levels, scale = found.source, found.levels, 1.0
        if isinstance(mapping, CountRange):
            return Noise(mapping.sigma_n, source)
        if self.clean:
            return None
        if self.sigma_units == "file":
            scale = mapping.sigma_to_unit(1.0)
        if isinstance(self.sigma_n, float | int):
            return Noise(float(self.sigma_n), source, scale)
        if levels is not None:
            return Noise(levels, source, scale)
        if self.sigma_n is None:
            raise unknown_noise(str(source), "a number, a .npy array, or a .csv table with one level per row")
        path = Path(self.sigma_n)
        if path.suffix.lower() == ".npy":
            array = find_arrays(path).get(None)
            if array is None:
                raise InputError(f"{path}: should be a .npy file of noise levels, but is an .npz file")
            return Noise(array, source, scale)
        if path.suffix.lower() == ".csv" and isinstance(source, FileRows):
            return Noise(
                source.by_file(levels_by_file(path, source.file_names(), source.file_names(every=True), source.what)), source, scale
            )
        if path.suffix.lower() in (".csv", ".parquet"):
            return Noise(levels_from_table(path, source.shape[0]), source, scale)
        raise InputError(
            f"{source}: sigma_n should be a number, a .npy, .csv or .parquet file, {' or '.join(ESTIMATES)}, but is {str(self.sigma_n)!r}"
        )

    def _estimated(self, source: Source, layout: Layout, mapping: Mapping) -> Noise:
        """The level estimated from the rows themselves, reported with its uncertainty."""

        def unit(index: int) -> NDArray[np.float32]:
            return np.asarray(to_row(mapping.to_unit(source.row(index)), layout))

        if self.sigma_n == "estimate":
            seen = evenly(source.shape[0], 256)
            guess = estimate(unit(index) for index in seen)
            logger.warning("%s: sigma_n = %s, estimated from %d of %d rows", source, guess, len(seen), source.shape[0])
            return Noise(guess.sigma, source)
        by_row, error = estimate_rows((unit(index) for index in range(source.shape[0])), source.shape[0])
        logger.warning(
            "%s: sigma_n is estimated row by row, %.4g to %.4g, each +- about %.2g (from the pixels of one row alone)",
            source,
            by_row.min(),
            by_row.max(),
            error,
        )
        return Noise(by_row, source)

    def _scan(self, found: Found, mapping: Mapping, noise: Noise | None, judge: bool) -> tuple[dict[int, str], dict[int, str]]:
        """Read every row once: what cannot be used, with the cause, as first rows of files and as single rows.

        judge: whether the noise is known, so that the rows can be held against it. Raises InputError where they cannot be what they are
        declared to be.
        """
        source, files, bad = found.source, {}, {}
        scan = RowScan(str(source), source.dtype, mapping, assumed=self.value_range is None, name=source.name)
        axes = len(source.shape)

        def see(start: int, stop: int) -> None:
            rows = source.read(start, stop)
            level = np.asarray(0.0 if noise is None else noise.chunk(start, stop, axes))
            usable = np.ones(len(rows), bool)
            if self.on_bad_file == "skip":
                finite = np.isfinite(mapping.to_unit(rows)).reshape(len(rows), -1)
                usable = finite.all(1)
                for i in np.flatnonzero(~usable):
                    count = int((~finite[i]).sum())
                    bad[start + int(i)] = f"{count} of its values {'is' if count == 1 else 'are'} not finite"
            if usable.all():
                scan.add(rows, level, first=start)
                return
            for i in np.flatnonzero(usable):
                scan.add(rows[i : i + 1], level[i : i + 1] if level.ndim == axes else level, first=start + int(i))

        for start, stop in self._pieces(source):
            try:
                see(start, stop)
            except UnusableFile as error:
                if isinstance(source, FileRows):
                    files[start] = str(error)
                    continue
                for row in range(start, stop):  # which of them it is
                    try:
                        see(row, row + 1)
                    except UnusableFile as one:
                        bad[row] = str(one)
        if not files and (not bad or self.on_bad_file == "skip") and len(bad) < source.shape[0]:
            scan.finish(judge)
        return files, bad

    def _pieces(self, source: Source) -> Iterator[tuple[int, int]]:
        if self.check == "all" or source.shape[0] <= SAMPLE:
            return source.chunks()
        logger.warning("%s: only %d of %d rows are checked before the start (check: sample)", source, SAMPLE, source.shape[0])
        return ((index, index + 1) for index in evenly(source.shape[0], SAMPLE))


def _enough_counts(source: Source, mapping: CountRange) -> None:
    """Raises InputError where the transform cannot make the noise even: below about 4 counts, unless Gaussian noise covers the steps."""
    if mapping.read_std >= mapping.gain:
        return
    rows = []
    for index in evenly(source.shape[0], 256):
        with suppress(InputError):  # one that cannot be read is reported later
            rows.append(source.row(index))
    share = float(((np.stack(rows) - mapping.offset) / mapping.gain < 0.5).mean()) if rows else 0.0
    if share > 0.02:  # a Poisson value of mean 4 is 0 in 1.8 % of all cases
        raise InputError(
            f"{source}: {100 * share:.2g} % of the values hold no count at all: too few for the transform, which needs about 4 a value.\n"
            f"Sum pixels or frames before, or check counts.offset and counts.gain"
        )


def evenly(total: int, most: int) -> list[int]:
    """Up to `most` row numbers, evenly spaced over `total` rows, without repeats."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int)).tolist()
