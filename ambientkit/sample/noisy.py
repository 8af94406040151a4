"""The noisy rows that are to be restored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientkit.batch import Batch
from ambientkit.config.datapath import DataLike
from ambientkit.config.noise import NOISE, says_the_same, with_noise
from ambientkit.data import Observations, Survey, survey
from ambientkit.data.held_out import held_out_positions
from ambientkit.data.identity import COMPARED, copies, rows_of_run
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Data
from ambientkit.messages import note
from ambientkit.readers import Stored
from ambientkit.readers.scan import UnknownNoise
from ambientkit.registry import Registry
from ambientkit.rows import Rows
from ambientkit.sample.load import Trained
from ambientkit.sample.own_units import OwnUnits
from ambientkit.sample.tiled import needs_tiles


@dataclass(frozen=True, slots=True)
class Noisy:
    """Noisy rows to restore."""

    what: str
    """What they are called in messages."""
    data: Data
    corruption: Corruption
    """Of the run; it simulates the noise of clean rows."""
    observations: Observations
    seen: Survey
    units: OwnUnits
    fresh: frozenset[int] | None = None
    """Positions of the rows that the run held out of training; None where it has seen none of these rows."""

    def rows(self, places: Sequence[int]) -> Batch:
        """Some of the rows. Raises InputError where they hold values that are not finite."""
        batch = self.observations.__getitems__(list(places))
        finite = batch.x_n.isfinite().flatten(1).all(1)
        if not bool(finite.all()):
            raise InputError(f"{self.what}: rows {batch.row[~finite].tolist()[:5]} hold values that are not finite")
        return batch


def noisy_rows(noisy: DataLike, sigma_n: Any, trained: Trained, registry: Registry) -> Noisy:
    """The rows that stand for `noisy`: a name, a path, a part, an array, a tensor or a torch `Dataset`.

    sigma_n: their level as `train` takes it, or one per row or per value of an array; None where the data say it, where
    they are those of the run, or the run's corruption simulates it. Raises InputError where they cannot be read, do not
    fit the run, or nobody says how noisy they are.
    """
    what = f"--from {noisy if isinstance(noisy, str | Path) else type(noisy).__name__}"
    if isinstance(noisy, str) and not noisy.strip():  # of a shell variable that is not set
        raise InputError("--from: is empty; give a value, or leave the flag out")
    data, corruption = with_noise(noisy, sigma_n, trained.config.corruption, registry, "--from")
    own, trained_on = trained.config.data, False
    if sigma_n is None and data != own and "path" in type(own).model_fields and _the_runs_own(data, own):
        note(f"{what}: the run was trained on these rows; they are read, and their noise is taken, as it was there")
        data = own
    elif trained_on := (data != own and "path" in type(own).model_fields and says_the_same(data, own, but=NOISE)):
        was = "clean" if getattr(own, "clean", False) else f"sigma_n {getattr(own, 'sigma_n', None)}"
        if not (says_the_same(data, own) and corruption == trained.config.corruption):
            note(
                f"{what}: the run was trained on these rows with {was}; they are restored with sigma_n {sigma_n} now, "
                "as given"
            )
    if data == own and sigma_n is None:  # its noise is known of the rows that they were
        rows: Any = _own_rows(what, data, trained)
    else:
        try:
            rows = data.rows()
        except UnknownNoise:
            if (alike := _alike(data, own, sigma_n)) is None:
                raise
            note(
                f"{what}: nothing says how noisy these rows are; they are read as those of the run, with its noise "
                "and value range"
            )
            data, rows = alike, alike.rows()
    observations = Observations(rows, corruption, trained.config.seed)
    if observations.buckets is not None:
        raise InputError(f"{what}: rows of several shapes are not restored together: give those of one shape")
    seen = survey(observations, corruption, trained.config.levels.as_levels(), trained.signal.sigma_data, restored=True)
    if seen.signal.shape != trained.signal.shape and not needs_tiles(seen.signal.shape, trained.signal.shape):
        raise InputError(
            f"{what}: rows of shape {seen.signal.shape}, but the run was trained on {trained.signal.shape}"
        )
    if seen.sigma_n[1] == 0 and not corruption.carries:
        raise InputError(
            f"{what}: these rows carry no noise (sigma_n 0), so there is nothing to restore. Declare it by --sigma-n"
        )
    if data == own or trained_on:
        fresh: frozenset[int] | None = frozenset(_held_out(observations, trained))
    else:
        fresh = _not_copied(what, rows, trained)
    return Noisy(what, data, corruption, observations, seen, OwnUnits.of(rows), fresh)


def _held_out(observations: Observations, trained: Trained) -> list[int]:
    return held_out_positions(observations, trained.config.hold_out, trained.config.seed)


def _not_copied(what: str, rows: Any, trained: Trained) -> frozenset[int] | None:
    """The positions of rows that are no copies of rows that the run was trained on; None where none is one, or where
    the two sets are too large to be compared, or those of the run cannot be read."""
    if len(rows) > COMPARED or (trained.fingerprint or {}).get("rows", COMPARED + 1) > COMPARED:
        return None
    try:
        own = trained.rows()
    except InputError:
        return None
    observations = Observations(own, trained.config.corruption, trained.config.seed)
    learned = copies(rows, own, but=frozenset(_held_out(observations, trained)))
    if not learned:
        return None
    note(f"{what}: {len(learned)} of {len(rows)} rows are copies of rows that the run was trained on")
    return frozenset(range(len(rows))) - learned


def _the_runs_own(data: Data, own: Data) -> bool:
    """Whether these are the files of the run: nothing is said otherwise than there, or their path alone, which does not
    say what it is read as."""
    path, there = getattr(data, "path", None), getattr(own, "path", None)
    by_path = isinstance(path, Path) and isinstance(there, Path) and data.model_fields_set == {"path"}
    return says_the_same(data, own) or (by_path and os.path.realpath(str(path)) == os.path.realpath(str(there)))


def _alike(data: Data, own: Data, sigma_n: Any) -> Data | None:
    """Other files of the same instrument: the data set of the run at their place; None where they are of another kind,
    or the run's noise is not known for other rows (levels per row, and estimates)."""
    known = isinstance(own, Stored) and not own.clean and (own.counts is not None or isinstance(own.sigma_n, float))
    if sigma_n is not None or not known or type(data) is not type(own) or "path" not in type(own).model_fields:
        return None
    changes = {name: getattr(data, name) for name in data.model_fields_set}
    return own.model_copy(update=changes) if changes.keys() <= {"path", "on_bad_file", "check"} else None


def _own_rows(what: str, data: Data, trained: Trained) -> Rows:
    """The rows of the run, of data that are its own: of those in memory, the run that was loaded holds none."""
    try:
        return rows_of_run(data, trained.fingerprint, trained.called)
    except InputError as error:
        raise InputError(f"{what}: {error}. For other rows, say by --sigma-n how noisy they are") from None
