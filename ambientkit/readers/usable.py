"""Reading all rows once, before anything else: which can be used, and can they be what they are declared to be?"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.files import FileRows
from ambientkit.readers.kept import Kept
from ambientkit.readers.levels import Noise
from ambientkit.readers.missing import in_unit, missing_of
from ambientkit.readers.over import bare
from ambientkit.readers.rows import Mapping
from ambientkit.readers.scan import RowScan
from ambientkit.readers.source import Source, UnusableFile
from ambientkit.rows import evenly
from ambientkit.text import lines, listed, percent
from ambientkit.units.counts import CountRange

logger = logging.getLogger("ambientkit")

SAMPLE = 4096
"""Rows that `check: sample` looks at, evenly spaced."""


class Reading(NamedTuple):
    """How rows are read: what their values mean, whether that was assumed, which are checked, and what becomes of bad
    ones."""

    mapping: Mapping
    assumed: bool
    check: Literal["all", "sample"]
    on_bad_file: Literal["fail", "skip"]
    masked: bool = False
    """Whether rows may lack some of their values."""
    keep_clipped: bool = False
    """Whether a few values that were cut at an end of the range are let pass."""


def usable(
    source: Source, reading: Reading, level: Callable[[], Noise | None], judge: bool
) -> tuple[Source, Noise | None, list[str]]:
    """The rows that can be used, their level, and what is left out, each with its cause. level: by the files that are
    left.

    Raises InputError as `read_all`, and listing what cannot be used unless it is to be left out.
    """
    while True:
        noise = level()
        files, rows = read_all(source, reading, noise, judge)
        if not files:
            break
        of_files = bare(source)
        assert isinstance(of_files, FileRows)  # the one kind of source that leaves out whole files
        of_files.without(files)
        source.shape = of_files.shape
    left_out = of_files.left_out if isinstance(of_files := bare(source), FileRows) else []
    if not rows:
        return source, noise, left_out
    told = [f"{source.name(row)}: {cause}" for row, cause in sorted(rows.items())]
    if reading.on_bad_file == "fail" or len(rows) == source.shape[0]:
        raise InputError(
            f"{source}: {len(rows)} of {source.shape[0]} rows cannot be used:\n{lines(told)}\nRepair or remove them"
            + (", or leave them out with on_bad_file: skip" if len(rows) < source.shape[0] else "")
        )
    logger.warning(
        "%s: %d of %d rows are left out, because they cannot be used: %s",
        source,
        len(rows),
        source.shape[0],
        listed(told),
    )
    kept = Kept(source, list(rows))
    return kept, None if noise is None else noise.only(kept), left_out + told


def read_all(
    source: Source, reading: Reading, noise: Noise | None, judge: bool
) -> tuple[dict[int, str], dict[int, str]]:
    """Read every row once: rows that cannot be used, with the cause, as first rows of files and as single rows.

    judge: hold the rows against their noise. Raises InputError where they cannot be what they are declared to be.
    """
    files: dict[int, str] = {}
    bad: dict[int, str] = {}
    missing = missing_of(source)
    scan = RowScan(
        str(source),
        source.dtype,
        reading.mapping,
        assumed=reading.assumed,
        missing=missing,
        masked=reading.masked,
        keep_clipped=reading.keep_clipped,
        name=source.name,
    )
    axes = len(source.shape)

    def see(start: int, stop: int) -> None:
        rows = source.read(start, stop)
        level = np.asarray(0.0 if noise is None else noise.chunk(start, stop, axes))
        fine = np.ones(len(rows), bool)
        if reading.on_bad_file == "skip":
            finite = np.isfinite(in_unit(rows, reading.mapping, list(missing.values()))).reshape(len(rows), -1)
            fine = finite.any(1) if reading.masked else finite.all(1)
            for i in np.flatnonzero(~fine):
                count = int((~finite[i]).sum())
                bad[start + int(i)] = f"{count} of its values {'is' if count == 1 else 'are'} not finite" + (
                    " or missing" if missing else ""
                )
        if fine.all():
            scan.add(rows, level, first=start)
            return
        for i in np.flatnonzero(fine):
            scan.add(rows[i : i + 1], level[i : i + 1] if level.ndim == axes else level, first=start + int(i))

    for start, stop in _pieces(source, reading.check):
        try:
            see(start, stop)
        except UnusableFile as error:
            if isinstance(bare(source), FileRows):
                files[start] = str(error)
                continue
            for row in range(start, stop):  # which of them it is
                try:
                    see(row, row + 1)
                except UnusableFile as one:
                    bad[row] = str(one)
    if not files and (not bad or reading.on_bad_file == "skip") and len(bad) < source.shape[0]:
        scan.finish(judge)
    return files, bad


def _pieces(source: Source, check: str) -> Iterator[tuple[int, int]]:
    if check == "all" or source.shape[0] <= SAMPLE:
        return source.chunks()
    logger.warning(
        "%s: only %d of %d rows are checked before the start (check: sample)", source, SAMPLE, source.shape[0]
    )
    return ((index, index + 1) for index in evenly(source.shape[0], SAMPLE))


def enough_counts(source: Source, mapping: CountRange) -> None:
    """Raises InputError where the transform cannot make the noise even: below about 4 counts, unless Gaussian noise
    covers the steps. Missing values do not count."""
    if mapping.read_std >= mapping.gain:
        return
    marks = [value for value in missing_of(source).values() if not math.isnan(value)]
    rows = []
    for index in evenly(source.shape[0], 256):
        with suppress(InputError):  # one that cannot be read is reported later
            row = source.row(index)
            rows.append(np.where(np.isin(row, marks), np.nan, row))
    if rows:
        refuse_faint(str(source), np.stack(rows), mapping)


def refuse_faint(where: str, values: NDArray[Any], mapping: CountRange) -> None:
    """Raises InputError for file values of which too many hold no count; NaN for those that are missing."""
    measured = values[np.isfinite(values)]
    if mapping.read_std >= mapping.gain or not measured.size:
        return
    share = float(((measured - mapping.offset) / mapping.gain < 0.5).mean())
    if share > 0.02:  # a Poisson value of mean 4 is 0 in 1.8 % of all cases
        raise InputError(
            f"{where}: {percent(share)} % of the values hold no count at all: too few for the transform, which "
            "needs about 4 a value.\n"
            f"Sum pixels or frames before, or check counts.offset and counts.gain"
        )
