"""The work of `ambientkit sample` once it is clear what is asked: piece after piece, by all processes, and the report on it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ambientkit.cli.output import progress_wanted
from ambientkit.errors import InputError
from ambientkit.processes import Processes, is_main
from ambientkit.sample import Batches, Trained
from ambientkit.sample.store import Store
from ambientkit.text import clock

EVERY = 30.0
"""Seconds between lines of progress where there is no terminal."""


@dataclass(slots=True)
class Job:
    """The work, piece by piece."""

    store: Store
    work: Callable[[range], tuple[dict[str, Tensor], dict[str, Tensor]]]
    """A piece to its arrays, and to what is shown of it."""
    picture: Callable[[dict[str, NDArray[Any]]], bytes | None]
    batches: Batches
    what: str
    """"samples" or "rows"."""
    reach: float = 0.0
    """Largest value so far."""
    topped_up: int = 0
    as_they_are: int = 0


def carry_out(job: Job, place: Processes, run: str) -> Path | None:
    """Do what is not done yet, this process its share; returns the result's file or folder, None where all was there before.

    The folder is held meanwhile, by the first process for all of them: raises InputError where another command is at work in it.
    """
    with ExitStack() as held:
        if _begin(job.store, place, held):
            return None
        return _draw(job, place, run)


def _begin(store: Store, place: Processes, held: ExitStack) -> bool:
    """Open the folder; True where everything is there already. What the first process refuses, all do: none is left waiting for it."""
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
    if all_refuse:  # the first process says why
        sys.exit(InputError.exit_status)
    return store.join() if place.rank else done


def _draw(job: Job, place: Processes, run: str) -> Path | None:
    missing = job.store.missing()
    place.wait()  # every process has made the same list
    mine = missing[place.rank :: place.world]
    total, since = sum(map(len, mine)), time.monotonic()
    before, told = job.store.n - sum(map(len, missing)), since
    if before and place.rank == 0:
        print(f"{job.store.folder}: {before:,} of {job.store.n:,} {job.what} are there already")
    size, count = job.batches.size, 0
    with tqdm(total=total, unit=job.what[:-1], desc="sampling", disable=place.rank > 0 or not progress_wanted()) as bar:
        for piece in mine:
            arrays, shown = job.work(piece)
            _check_finite(arrays, run, job)
            job.store.write(piece, arrays, shown)
            bar.update(len(piece))
            count += len(piece)
            if job.batches.size < size:
                size = job.batches.size
                note(f"batches are {size} from here on: larger ones do not fit into memory")
            now = time.monotonic()
            if bar.disable and place.rank == 0 and now - told > EVERY and count < total:
                told = now
                print(f"{count:,} of {total:,} {job.what}, {clock((now - since) / count * (total - count))} left", flush=True)
    found = place.gather([(job.reach, job.topped_up, job.as_they_are)])
    job.reach, job.topped_up, job.as_they_are = max(f[0] for f in found), sum(f[1] for f in found), sum(f[2] for f in found)
    return job.store.finish(job.picture) if place.rank == 0 else None


def _check_finite(arrays: dict[str, Tensor], run: str, job: Job) -> None:
    for values in arrays.values():
        if not bool(values.isfinite().all()):
            sampler = job.store.request["sampler"]["name"]
            raise InputError(
                f"{run}: the samples are not finite; the run has diverged, or --sampler {sampler} with --steps {job.store.request['steps']} "
                "does not suit it"
            )
        if values.numel():
            job.reach = max(job.reach, float(values.abs().max()))


def report(job: Job, trained: Trained, finished: Path | None, seconds: float) -> None:
    """Say what was done, and what is peculiar about it."""
    if finished is None:
        print(f"{job.store.folder}: all {job.store.n:,} {job.what} are there already; nothing to do")
        return
    if job.reach > 5:
        note(f"samples reach {job.reach:.3g}, far beyond the data's [-1, 1]: train longer, or take more --steps", "warning")
    if job.topped_up:
        note(
            f"{job.topped_up:,} rows have noise by pixel: it was topped up to its largest level first, so the draws are those of somewhat noisier rows"
        )
    if job.as_they_are:
        note(
            f"{job.as_they_are:,} rows have no noise above the lowest level of the run ({trained.config.levels.sigma_min:g}) and are returned as they are"
        )
    what = "samples" if job.what == "samples" else f"restored rows ({', '.join(job.store.arrays)})"
    print(f"{job.store.n} {what} of shape {trained.signal.shape} in {seconds:.1f} s: {finished}")
    mapping = job.store.units.mapping
    print(
        f"values: {'[-1, 1]' if mapping is None else f'those of the data, {mapping}'}; {'clipped to 8 bits' if job.store.format.clipped else 'unclipped'}"
    )
    picture = job.store.folder / f"{job.store.name}.png"
    print(f"picture: {picture}" if picture.exists() else "no picture: rows of this shape are neither images nor points of a plane")


def note(text: str, kind: str = "note") -> None:
    """Send the user a note, once."""
    if is_main():
        print(f"{kind}: {text}", file=sys.stderr)
