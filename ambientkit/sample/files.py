"""Samples and restored rows in files that an interrupted call, or a killed process, goes on with."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import NDArray

from ambientkit.checkpoint.target import as_path
from ambientkit.config.datapath import refuse_inside
from ambientkit.errors import InputError
from ambientkit.messages import note, warn
from ambientkit.processes import Processes, processes
from ambientkit.registry import Registry, load
from ambientkit.sample.batches import Batches
from ambientkit.sample.conditions import (
    ClassLike,
    CondsLike,
    PromptLike,
    Prompts,
    class_text,
    cond_texts,
    conditions,
    prompts_of,
)
from ambientkit.sample.drawn import Drawing, check_masks
from ambientkit.sample.job import Done, Job, Piece, carry_out
from ambientkit.sample.load import Trained, load_run, run_of, trained_of
from ambientkit.sample.own_units import OwnUnits
from ambientkit.sample.picture import decoded, grid, png
from ambientkit.sample.settings import Course, LevelLike, SamplerLike, course_of, written_as
from ambientkit.sample.store import Store, pieces_of
from ambientkit.seeds import check_seed
from ambientkit.tables import Record
from ambientkit.units.ranges import to_uint8

FAR = 5.0
"""Values of samples beyond this are reported: data lie in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Written(Record):
    """Rows in a folder."""

    folder: Path
    path: Path
    """The file or folder of the first array."""
    arrays: tuple[str, ...]
    """What there is of each row: "samples", or "mean", "draws" and "std"."""
    n: int
    shape: tuple[int, ...]
    """Of a row, channels first."""
    units: OwnUnits
    """What the values are, and how the axes lie."""
    clipped: bool
    """Whether they were clipped and rounded to 8 bits."""
    picture: Path | None
    seconds: float
    there_before: bool
    """Whether all was there already, so that nothing was done."""
    notes: tuple[str, ...]
    """Notes on the result."""

    @property
    def rows(self) -> str:
        """What the rows are."""
        return "samples" if self.arrays == ("samples",) else "rows"

    def blocks(self) -> list[str]:
        """The files that were written."""
        if self.there_before:
            return [f"{self.folder}: all {self.n:,} {self.rows} are there already; nothing to do"]
        what = "samples" if self.rows == "samples" else f"restored rows ({', '.join(self.arrays)})"
        values = "[-1, 1]" if self.units.mapping is None else f"those of the data ({self.units.mapping})"
        return [
            f"{self.n} {what} of shape {self.shape} in {self.seconds:.1f} s: {self.path}",
            f"values: {values}; {'clipped to 8 bits' if self.clipped else 'unclipped'}",
            f"picture: {self.picture}"
            if self.picture
            else "no picture: rows of this shape are neither images nor points of a plane",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "folder": str(self.folder),
            "path": str(self.path),
            "arrays": list(self.arrays),
            "n": self.n,
            "shape": list(self.shape),
            "units": self.units.plain(),
            "clipped": self.clipped,
            "picture": None if self.picture is None else str(self.picture),
            "seconds": self.seconds,
            "there_before": self.there_before,
            "notes": list(self.notes),
        }


class WrittenSamples(Written):
    """Samples of the clean distribution in a folder; `ambientkit.sample.read_samples` reads them."""

    __slots__ = ()


def draw_to_files(
    trained: Trained | str | Path,
    out: str | Path | None = None,
    *,
    n: int = 64,
    steps: int = 32,
    seed: int = 0,
    sampler: SamplerLike = "heun",
    schedule: str = "karras",
    sigma_min: LevelLike = None,
    classes: ClassLike = None,
    conds: CondsLike = (),
    prompt: PromptLike = None,
    negative_prompt: str | None = None,
    guidance: float = 1.0,
    masks: int = 1,
    format: str = "npy",
    units: str = "data",
    batch_size: int = 64,
    device: str | torch.device = "auto",
    progress: bool = False,
    registry: Registry | None = None,
) -> WrittenSamples:
    """Draw samples of the clean distribution into a folder; the same call goes on where an interrupted one was, to the
    same files.

    Sample i is a function of (seed, i). trained: a run that is loaded, or its path. out: the folder, by default
    RUN/samples/step-N-seed-S. Started by torchrun, the processes share the work. progress: show a bar. guidance: the
    weight of the conditions, 1 for none. prompt, negative_prompt: texts, of a model that takes them; several prompts
    are taken in turn. masks: of a run on rows seen in part, how many masks each call averages over. Raises InputError,
    before anything is drawn, where settings do not suit the run, or the folder cannot be written or holds something
    else.
    """
    check_seed(seed)
    registry, began = registry or load(), time.monotonic()
    check_counts(n=n, batch_size=batch_size, masks=masks)
    given, texts = class_text(classes), cond_texts(conds)
    trained, place = opened(trained, device, registry)
    check_masks(trained, masks)
    course = course_of(
        trained, registry, sampler=sampler, schedule=schedule, steps=steps, sigma_min=sigma_min, guidance=guidance
    )
    prompts = prompts_of(trained, prompt, negative_prompt, guidance)
    course = replace(course, against=prompts.against)
    at = conditions(trained, given, texts, prompts=prompts)
    course.null(trained, at(range(1)))  # a refusal comes now
    written, own = written_as(format, units, trained.config.data.name, trained.units, trained.signal.shape)
    folder = folder_of(out, trained, "samples", seed)
    refuse_inside("--out", folder, trained.config.data)
    batches, decode = Batches(batch_size), trained.decoder()
    drawing = Drawing(trained, course, at, seed, place.device, batches, masks)
    drawing = drawing.settled(chosen_before(folder, "samples", place))
    asked = asked_of(trained, drawing.course, seed, written, own, given, texts, prompts, trained.signal.shape)
    asked |= {"masks": masks} if masks > 1 else {}
    store = Store(folder, "samples", ("samples",), n, pieces_of(n, batch_size), asked, {"run": trained.called})

    def work(rows: range) -> Piece:
        samples = drawing.piece(rows)
        pictures = decoded(decode, {"samples": samples})
        shown = {name: torch.from_numpy(to_uint8(value.numpy())) for name, value in pictures.items()}
        shown = shown or {"samples": samples}
        return Piece({"samples": samples}, shown, pictures=pictures)

    def picture(shown: dict[str, NDArray[Any]]) -> bytes | None:
        names = given.split(",") if given else None
        names = names or list(prompts.given) if len(prompts.given) > 1 else names
        labels = [names[i % len(names)] for i in range(len(shown["samples"]))] if names else None
        rows = torch.from_numpy(shown["samples"])
        as_pictures = rows.dtype == torch.uint8
        page = grid(rows / 127.5 - 1, labels=labels) if as_pictures else grid(rows, labels=labels, decode=decode)
        return None if page is None else png(page)

    done = carry_out(Job(store, work, picture, batches, "samples"), place, progress)
    fields = fields_of(store, done, trained, drawing.course, time.monotonic() - began)
    place.end()
    return WrittenSamples(**fields)


def check_counts(**counts: int | None) -> None:
    """Raise InputError for a count below 1, by the name of its flag."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} {value}: should be 1 or more")


def opened(trained: Trained | str | Path, device: str | torch.device, registry: Registry) -> tuple[Trained, Processes]:
    """The run, and this process among its siblings. A run that is loaded already stays where it lies."""
    if (held := trained_of(trained)) is None:
        place = processes(str(device))
        return load_run(Path(cast("str | Path", trained)), registry, place.device), place
    trained = held
    if str(device) not in ("auto", str(trained.device), trained.device.type):
        raise InputError(f"device {device}: the run is loaded on {trained.device}; load it there instead")
    return trained, processes(str(trained.device))


def folder_of(out: str | Path | None, trained: Trained, kind: str, seed: int) -> Path:
    """The folder to write: the one given, or by default one in the folder of the run, by its step and the seed."""
    if out is not None:
        return as_path(out, "--out")
    if trained.path is None:
        raise InputError("--out: give the folder to write; this run was not loaded from one")
    return run_of(trained.path) / kind / f"step-{trained.step:08}-seed-{seed}"


def chosen_before(folder: Path, name: str, place: Processes) -> Mapping[str, Any] | None:
    """The level to stop at that an interrupted call chose, from the manifest of its folder; the same for all
    processes."""
    stored = None
    if place.rank == 0:
        with suppress(OSError, ValueError):  # errors of the folder are raised when it is opened
            stored = json.loads((folder / f"{name}.json").read_bytes()).get("stop_level")
    return place.gather([stored])[0] if place.world > 1 else stored


def asked_of(
    trained: Trained,
    course: Course,
    seed: int,
    written: str,
    units: OwnUnits,
    classes: str | None,
    conds: tuple[str, ...],
    prompts: Prompts,
    shape: tuple[int, ...],
) -> dict[str, Any]:
    """What the files depend on, for the manifest."""
    return {
        "format": written,
        "units": units.plain(),
        "shape": list(shape),
        "seed": seed,
        "step": trained.step,
        "weights_sha256": trained.sha256,
        **course.plain(),
        "class": classes,
        "cond": list(conds),
        **prompts.plain(),
    }


def fields_of(store: Store, done: Done, trained: Trained, course: Course | None, seconds: float) -> dict[str, Any]:
    """The fields of a record; says what is peculiar about the result."""
    notes: list[str] = [] if course is None or course.stop is None else [course.stop.said()]  # said when it was chosen
    if done.reach > FAR:
        notes.append(
            f"samples reach {done.reach:.3g}, far beyond the data's [-1, 1]: train longer, or take more --steps"
        )
        warn(notes[-1])
    if untouched := done.taken.told():
        notes.append(untouched)
        warn(untouched)
    if done.topped_up:
        notes.append(
            f"{done.topped_up:,} rows have noise per pixel: it was topped up to its largest level first, so the "
            "draws are those of somewhat "
            "noisier rows"
        )
        note(notes[-1])
    if done.as_they_are:
        lowest = f"{trained.config.levels.sigma_min:g}"
        notes.append(
            f"{done.as_they_are:,} rows have no noise above the lowest level of the run ({lowest}) and are "
            "returned as they are"
        )
        note(notes[-1])
    picture = store.folder / f"{store.name}.png"
    return {
        "folder": store.folder,
        "path": store.result,
        "arrays": store.arrays,
        "n": store.n,
        "shape": tuple(store.request["shape"]),
        "units": store.units,
        "clipped": store.format.clipped,
        "picture": picture if picture.exists() else None,
        "seconds": seconds,
        "there_before": done.there_before,
        "notes": tuple(notes),
    }
