"""Rows in files: piece after piece, by all processes, so that a killed one goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from ambientkit.errors import InputError
from ambientkit.messages import INTERRUPTED, note, say
from ambientkit.processes import Processes
from ambientkit.sample.batches import Batches
from ambientkit.sample.store import Store
from ambientkit.sample.table import RowInfo
from ambientkit.sample.taken_away import TakenAway
from ambientkit.text import clock

EVERY = 30.0
"""Seconds between lines of progress where no bar is shown."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What comes of one piece of work."""

    arrays: dict[str, Tensor]
    """The arrays to write, by name: (rows, ...), data units."""
    shown: dict[str, Tensor]
    """What the picture is made of."""
    topped_up: int = 0
    as_they_are: int = 0
    taken: TakenAway = TakenAway()
    rows: tuple[RowInfo, ...] = ()
    """For the table of restored rows."""
    pictures: dict[str, Tensor] = field(default_factory=dict)
    """Of rows that are latents: what they decode to, by the names of the arrays, (rows, ..., C, H, W) in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work, piece by piece."""

    store: Store
    work: Callable[[range], Piece]
    picture: Callable[[dict[str, NDArray[Any]]], bytes | None]
    batches: Batches
    what: str
    """"samples" or "rows"."""


@dataclass(frozen=True, slots=True)
class Done:
    """Counts of the work of all processes together."""

    there_before: bool
    """Whether all was there already."""
    reach: float = 0.0
    """Largest value."""
    topped_up: int = 0
    """Rows with noise per pixel."""
    as_they_are: int = 0
    """Rows without noise above the run's lowest level."""
    taken: TakenAway = TakenAway()


def carry_out(job: Job, place: Processes, progress: bool = False) -> Done:
    """Do what is not done yet, this process its share. The folder is held meanwhile, by the first process for all of
    them.

    Raises InputError where another command is at work in it, or it holds something else. What ends it otherwise
    (Ctrl-C) is not caught, but it is said that the same command goes on.
    """
    with ExitStack() as held:
        if _begin(job.store, place, held):
            return Done(True)
        try:
            return _draw(job, place, progress)
        except Exception:
            raise
        except BaseException:
            left = sum(map(len, job.store.missing()))
            there = f"{job.store.n - left:,} of {job.store.n:,} {job.what} are on disk"
            note(f"{job.store.folder}: interrupted; {there}, and the same command goes on from there", INTERRUPTED)
            raise


def _begin(store: Store, place: Processes, held: ExitStack) -> bool:
    """Open the folder; True where everything is there already. What the first process refuses, all do: none is left
    waiting for it."""
    refused: InputError | None = None
    done = False
    if place.rank == 0:
        try:
            held.enter_context(store.hold())
            done = store.begin()
        except InputError as error:
            refused = error
    all_refuse = any(place.gather([refused is not None]))
    if refused is not None:
        raise refused
    if all_refuse:
        raise InputError("the first process has refused; its message says why")
    return store.join() if place.rank else done


def _draw(job: Job, place: Processes, progress: bool) -> Done:
    missing = job.store.missing()
    place.wait()  # every process has made the same list
    mine = missing[place.rank :: place.world]
    total, since = sum(map(len, mine)), time.monotonic()
    before, told = job.store.n - sum(map(len, missing)), since
    if before:
        say(f"{job.store.folder}: {before:,} of {job.store.n:,} {job.what} are there already")
    size, count = job.batches.size, 0
    reach, topped_up, as_they_are, taken = 0.0, 0, 0, TakenAway()
    with tqdm(total=total, unit=job.what[:-1], desc="sampling", disable=place.rank > 0 or not progress) as bar:
        for piece in mine:
            found = job.work(piece)
            job.store.write(piece, found.arrays, found.shown, found.rows, found.pictures)
            reach = max([reach, *(float(values.abs().max()) for values in found.arrays.values() if values.numel())])
            topped_up, as_they_are = topped_up + found.topped_up, as_they_are + found.as_they_are
            taken = taken.with_(found.taken)
            bar.update(len(piece))
            count += len(piece)
            if job.batches.size < size:
                size = job.batches.size
                note(f"batches are {size} from here on: larger ones do not fit into memory")
            now = time.monotonic()
            left = (now - since) / count * (total - count)
            first = piece is mine[0] and left > EVERY  # how long it will take is said as soon as that is known
            if bar.disable and count < total and (first or now - told > EVERY):
                told = now
                say(f"{count:,} of {total:,} {job.what}, {clock(left)} left")
    all_found = place.gather([(reach, topped_up, as_they_are, taken.energy, taken.rows)])
    if place.rank == 0:
        job.store.finish(job.picture)
    place.wait()  # no process returns before the files are there
    reaches, *counts = zip(*all_found, strict=True)
    topped_up, as_they_are, energy, rows = map(sum, counts)
    return Done(False, max(reaches), topped_up, as_they_are, TakenAway(energy, rows))
