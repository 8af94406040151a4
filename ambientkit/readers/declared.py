"""The noise level of stored rows: what the user says, what the files say, and that the two do not contradict each
other."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.inspection.estimate import estimate, estimate_rows
from ambientkit.readers.files import FileRows
from ambientkit.readers.layout import to_row
from ambientkit.readers.levels import ESTIMATES, Noise, levels_by_file, levels_from_table, table_of
from ambientkit.readers.npy import find_arrays
from ambientkit.readers.over import bare
from ambientkit.readers.rows import Mapping
from ambientkit.readers.scan import unknown_noise
from ambientkit.readers.source import UnusableFile
from ambientkit.rows import evenly
from ambientkit.text import listed
from ambientkit.units.counts import CountRange

if TYPE_CHECKING:
    from ambientkit.readers.part import Found, Stored

logger = logging.getLogger("ambientkit")

ROUNDING = 1e-3
"""Relative difference up to which two levels are one and the same, written with more digits and with fewer."""
NONE = 1e-6
"""An estimated level below this is the rounding of float32, not noise."""


def declared(part: Stored, found: Found, mapping: Mapping, needed: bool = True) -> Noise | None:
    """The noise level of every row; None for clean rows, and without `needed` where nothing says what it is.

    A level that is stored with the rows and one that is given must agree within `ROUNDING`. Raises InputError where
    they do not, where rows with a level are said to be clean or counts, and where nothing says what it is.
    """
    source = found.source
    scale = mapping.sigma_to_unit(1.0) if part.sigma_units == "file" and not isinstance(mapping, CountRange) else 1.0
    stored = None if found.levels is None else Noise(found.levels, source, scale)
    if isinstance(mapping, CountRange):
        if stored is not None:
            raise InputError(
                f"{source}: counts is set, but with the rows a noise level is stored, {_extent(stored, found)}. "
                f"{_way_out('counts')}"
            )
        return Noise(mapping.sigma_n, source)
    if part.clean:
        if stored is not None and any((level != 0).any() for (level,) in _chunks(found, stored)):
            raise InputError(
                f"{source}: clean is set, but with the rows a noise level is stored, {_extent(stored, found)}. "
                f"{_way_out('clean')}"
            )
        return None
    given = _given(part, found, scale)
    if given is None and stored is None and needed:
        raise unknown_noise(str(source), "a number, a .npy array, or a .csv table with one level per row")
    if given is None or stored is None:
        return given or stored
    if not all(np.allclose(a, b, rtol=ROUNDING, atol=0) for a, b in _chunks(found, given, stored)):
        raise InputError(
            f"{source}: two noise levels: sigma_n = {_extent(given, found)} is given, and {_extent(stored, found)} "
            "is stored with the rows "
            f"({_where(found.levels)}), in units of [-1, 1]. Leave sigma_n out to use the stored one; if that is "
            "false, save the rows without it"
        )
    return given


def estimated(part: Stored, found: Found, mapping: Mapping) -> Noise:
    """The level estimated from the rows themselves, reported with its uncertainty and beside one that is stored with
    them.

    Raises InputError where no noise is found: rows of level 0 would be taken for clean ones.
    """
    source = found.source

    def unit(index: int) -> NDArray[np.float32]:
        return np.asarray(to_row(mapping.to_unit(source.row(index)), found.layout))

    if part.sigma_n == "estimate":
        seen = evenly(source.shape[0], 256)
        guess = estimate(unit(index) for index in seen)
        told = f"sigma_n = {guess}, estimated from {len(seen)} of {source.shape[0]} rows"
        noise, without = Noise(guess.sigma, source), seen if guess.sigma < NONE else []
    else:
        by_row, error = estimate_rows((unit(index) for index in range(source.shape[0])), source.shape[0])
        told = (
            f"sigma_n is estimated row by row, {by_row.min():.4g} to {by_row.max():.4g}, each +- about {error:.2g} "
            f"(from the pixels of one row alone)"
        )
        noise, without = Noise(by_row, source), np.flatnonzero(by_row < NONE).tolist()
    if without:
        raise InputError(
            f"{source}: no noise is found in {len(without)} of "
            f"{source.shape[0] if part.sigma_n != 'estimate' else len(without)} rows "
            f"({listed([source.name(row) for row in without])}): they would be trained on as clean.\n"
            "If they are clean, say clean: true. Otherwise give sigma_n, or a value_range in which the noise is "
            "larger (value_range: data), "
            f"and leave out rows that are empty"
        )
    beside = (
        ""
        if found.levels is None
        else f"; the level stored with the rows, {_extent(Noise(found.levels, source), found)}, is not used"
    )
    logger.warning("%s: %s%s", source, told, beside, extra={"subject": "sigma_n"})
    return noise


def _given(part: Stored, found: Found, scale: float) -> Noise | None:
    """The level that the field sigma_n gives; None where it is not set."""
    source = found.source
    if part.sigma_n is None:
        return None
    if isinstance(part.sigma_n, float | int):
        return Noise(float(part.sigma_n), source, scale)
    if found.named is not None:
        return Noise(found.named, source, scale)
    path = Path(part.sigma_n)
    if path.suffix.lower() == ".npy":
        array = find_arrays(path).get(None)
        if array is None:
            raise InputError(f"{path}: should be a .npy file of noise levels, but is an .npz file")
        return Noise(array, source, scale)
    kind = path.suffix.lower()
    of_files = bare(source)
    if isinstance(of_files, FileRows) and (kind == ".csv" or (kind == ".parquet" and "file" in table_of(path).columns)):
        levels = levels_by_file(path, of_files.file_names(), of_files.file_names(every=True), of_files.what)
        return Noise(of_files.by_file(levels), source, scale)
    if kind in (".csv", ".parquet"):
        return Noise(levels_from_table(path, source.shape[0]), source, scale)
    raise InputError(
        f"{source}: sigma_n should be a number, a .npy, .csv or .parquet file, {' or '.join(ESTIMATES)}, but is "
        f"{str(part.sigma_n)!r}"
    )


def _chunks(found: Found, *noises: Noise) -> Iterator[list[NDArray[Any]]]:
    """The levels, piece by piece, broadcastable to the rows; a piece with a level that cannot be read is reported by
    the
    scan."""
    for start, stop in found.source.chunks():
        with suppress(UnusableFile):
            yield [np.asarray(noise.chunk(start, stop, len(found.source.shape))) for noise in noises]


def _extent(noise: Noise, found: Found) -> str:
    """The least and the largest level, in words."""
    low, high = math.inf, -math.inf
    for (level,) in _chunks(found, noise):
        low, high = min(low, float(level.min())), max(high, float(level.max()))
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"


def _where(levels: Any) -> str:
    return "in their file" if isinstance(levels, float | int) else str(levels)


def _way_out(field: str) -> str:
    return f"Leave {field} out, or save the rows without the level"
