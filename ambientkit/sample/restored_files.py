"""Restored rows in files, like those that they were read from where their format can be written."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from ambientkit.batch import Batch
from ambientkit.checkpoint.target import as_path
from ambientkit.config.datapath import DataLike, refuse_inside
from ambientkit.errors import InputError
from ambientkit.messages import warn
from ambientkit.processes import processes
from ambientkit.registry import Registry, load, spec_of
from ambientkit.sample.batches import Batches
from ambientkit.sample.conditions import ClassLike, CondsLike, PromptLike, class_text, cond_texts
from ambientkit.sample.files import (
    Written,
    asked_of,
    check_counts,
    chosen_before,
    fields_of,
    folder_of,
    opened,
)
from ambientkit.sample.formats import FORMATS, LIKE, Format
from ambientkit.sample.job import Job, Piece, carry_out
from ambientkit.sample.like_files import Dtype, LikeFiles
from ambientkit.sample.load import Trained
from ambientkit.sample.noisy import Noisy, noisy_rows
from ambientkit.sample.own_units import OwnUnits
from ambientkit.sample.picture import decoded, restored_picture
from ambientkit.sample.restore import Restored
from ambientkit.sample.restored import restoring
from ambientkit.sample.settings import LevelLike, SamplerLike, known_word, written_as
from ambientkit.sample.store import Store
from ambientkit.sample.table import RowInfo
from ambientkit.sample.taken_away import TakenAway
from ambientkit.sample.uncertainty import Uncertainty
from ambientkit.seeds import check_seed

VALUES = 2**24
"""Values of draws written at a time."""
SEEN = 256
"""Pixels along an axis of what the picture shows of a large row: its middle."""


@dataclass(frozen=True, slots=True)
class WrittenRestorations(Written):
    """Restored rows in a folder: posterior means, draws and their spread, and a table that says which input each is."""

    table: Path | None = None
    """CSV: input file and row, and where its results are."""
    clipped_values: int = 0
    """Values clipped to the number type of the input files."""
    uncertainty: Uncertainty | None = None
    """Whether std is the error of the means, by Stein's estimate; None without draws, or of too few rows."""

    def blocks(self) -> list[str]:
        """The files, and where they are."""
        found = Written.blocks(self)
        if not self.there_before:
            found = [*found, f"which input each row is: {self.table}"]
        return found if self.uncertainty is None else [*found, f"uncertainty: {self.uncertainty.told()}"]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        table = None if self.table is None else str(self.table)
        sure = None if self.uncertainty is None else self.uncertainty.to_dict()
        return {**Written.to_dict(self), "table": table, "clipped_values": self.clipped_values, "uncertainty": sure}


def restore_to_files(
    trained: Trained | str | Path,
    noisy: DataLike,
    out: str | Path | None = None,
    *,
    sigma_n: Any = None,
    n: int | None = None,
    draws: int | None = None,
    particles: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    sampler: SamplerLike = "stochastic-heun",
    schedule: str = "cosine",
    sigma_min: LevelLike = None,
    classes: ClassLike = None,
    conds: CondsLike = (),
    prompt: PromptLike = None,
    negative_prompt: str | None = None,
    guidance: float = 1.0,
    format: str | None = None,
    dtype: Dtype = "float32",
    units: str = "data",
    batch_size: int = 64,
    tile_overlap: int | None = None,
    device: str | torch.device = "auto",
    progress: bool = False,
    registry: Registry | None = None,
) -> WrittenRestorations:
    """Restore noisy rows into a folder: posterior mean, `draws` draws of each and their spread; goes on as
    `draw_to_files` does.

    noisy: a name, a path, a part, an array, a tensor or a torch `Dataset`; sigma_n: their noise std where they do not
    say it. n: the first rows alone. draws: 0 for the mean alone; 8 by default, 0 for rows measured through an operator.
    steps, particles: as `restore_rows` takes them. out: by default RUN/restored/step-N-seed-S. format: by default files
    like those of the input, with their names, axes and metadata, in the folders mean, std and draws/000, draws/001, ...
    where the reader of the data writes its format, otherwise npy. dtype: "float32", or "stored" for the number type of
    the input files: mean and draws rounded and clipped to it, values clipped counted. tile_overlap: as `restore_rows`
    takes it. A table restored.csv says which input each row is. Raises InputError, before anything is drawn, where rows
    or settings do not suit the run, or the folder cannot be written.
    """
    check_seed(seed)
    registry, began = registry or load(), time.monotonic()
    check_counts(n=n, batch_size=batch_size)
    given, texts = class_text(classes), cond_texts(conds)
    trained, place = opened(trained, device, registry)
    folder = folder_of(out, trained, "restored", seed)
    rows = restoring(
        trained,
        noisy,
        registry,
        sigma_n=sigma_n,
        n=n,
        draws=draws,
        particles=particles,
        sampler=sampler,
        schedule=schedule,
        steps=steps,
        sigma_min=sigma_min,
        guidance=guidance,
        classes=given,
        conds=texts,
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        device=place.device,
        batch_size=batch_size,
        tile_overlap=tile_overlap,
        stored=chosen_before(folder, "restored", place),
    )
    source = rows.noisy
    key = f"{trained.sha256}-{seed}"
    written, own, like = _results_as(format, dtype, units, source, rows.n, key)
    shape = source.seen.signal.shape
    asked = asked_of(trained, rows.course, seed, written, own, given, texts, rows.prompts, shape) | {
        "draws": rows.draws,
        "data": spec_of(source.data),
        "corruption": spec_of(source.corruption),
        "noise_seed": trained.config.seed if source.observations.simulated else None,
        **({"particles": rows.particles} if rows.particles else {}),
        **({"dtype": dtype} if like else {}),
        **({"tile_overlap": list(rows.overlap)} if rows.overlap else {}),
    }
    for data in (source.data, trained.config.data):
        refuse_inside("--out", folder, data)
    arrays = _arrays(rows.draws, FORMATS[written])
    store = Store(folder, "restored", arrays, rows.n, rows.size, asked, {"run": trained.called}, like)
    decode = trained.decoder()
    job = Job(
        store,
        lambda places: _piece(*rows.piece(places), decode, not source.corruption.carries),
        lambda shown: restored_picture(shown, source.seen.sigma_n[1], decode),
        rows.batches,
        "rows",
    )
    done = carry_out(job, place, progress)
    fields = fields_of(store, done, trained, rows.course, time.monotonic() - began)
    place.end()
    return _record(fields, store)


def write_restored(
    trained: Trained,
    found: Restored,
    noisy: DataLike,
    out: str | Path,
    *,
    sigma_n: Any = None,
    format: str | None = None,
    dtype: Dtype = "float32",
    units: str = "data",
    registry: Registry | None = None,
) -> WrittenRestorations:
    """Write what `restore_rows` returned for the first rows of `noisy` (all of them, or its `n`) into a folder, as
    `restore_to_files` does: the same files, without restoring again.

    noisy, sigma_n: as `restore_rows` was given them. Raises InputError where the rows do not fit, or the folder cannot
    be written or holds something else.
    """
    registry, began = registry or load(), time.monotonic()
    source = noisy_rows(noisy, sigma_n, trained, registry)
    shape, n = source.seen.signal.shape, len(found.mean)
    if tuple(found.mean.shape[1:]) != tuple(shape) or n > source.seen.rows:
        raise InputError(
            f"{source.what}: {source.seen.rows:,} rows of shape {shape}, but {n:,} of shape "
            f"{tuple(found.mean.shape[1:])} were restored: give the noisy rows that these were restored from"
        )
    hashed = hashlib.sha256()
    for tensor in (found.mean, found.draws):
        hashed.update(tensor.cpu().contiguous().numpy().tobytes())
    written, own, like = _results_as(format, dtype, units, source, n, hashed.hexdigest())
    draws = found.draws.shape[1]
    asked = {
        **{"format": written, "units": own.plain(), "shape": list(shape), "draws": draws},
        **{"results_sha256": hashed.hexdigest(), "weights_sha256": trained.sha256, "data": spec_of(source.data)},
        **({"dtype": dtype} if like else {}),
    }
    folder = as_path(out, "--out")
    for data in (source.data, trained.config.data):
        refuse_inside("--out", folder, data)
    place, at_a_time = processes("cpu"), Batches(max(1, VALUES // found.draws[0].numel() if draws else 64))
    store = Store(folder, "restored", _arrays(draws, FORMATS[written]), n, at_a_time.size, asked, like=like)

    def work(places: range) -> Piece:
        part = slice(places.start, places.stop)
        chosen = Restored(*(None if value is None else value[part] for value in found))  # type: ignore[arg-type]
        return _piece(source.rows(places), chosen, decode, not source.corruption.carries)

    decode = trained.decoder()
    job = Job(store, work, lambda shown: restored_picture(shown, source.seen.sigma_n[1], decode), at_a_time, "rows")
    done = carry_out(job, place)
    fields = fields_of(store, done, trained, None, time.monotonic() - began)
    place.end()
    return _record(fields, store)


def _arrays(draws: int, format: Format) -> tuple[str, ...]:
    return ("mean", *(("draws",) if draws else ()), *(("std",) if draws > 1 and not format.clipped else ()))


def _piece(
    batch: Batch, found: Restored, decode: Callable[[torch.Tensor], torch.Tensor | None] | None, whole: bool
) -> Piece:
    """Restored rows as they are written, and shown. decode: of rows that are latents. whole: nothing of a row is hidden
    or measured through an operator."""
    arrays = {"mean": found.mean, "draws": found.draws}
    shown = {"noisy": batch.x_n, "mean": found.mean, "draws": found.draws[:, :4]}
    if found.std is not None:
        shown["std"] = found.std
    about = [batch.row.tolist(), found.sigma.tolist(), found.topped_up.tolist(), found.as_it_is.tolist()]
    about += [_or_none(found.mse, len(batch.row)), _or_none(found.variance, len(batch.row))]
    about += [[True] * len(batch.row) if found.fresh is None else found.fresh.tolist()]
    return Piece(
        arrays,
        {name: _middle(value, 2 + (name == "draws")) for name, value in shown.items()},
        int(found.topped_up.sum()),
        int(found.as_it_is.sum()),
        TakenAway.of(batch, found) if whole else TakenAway(),
        tuple(RowInfo(*one) for one in zip(*about, strict=True)),
        decoded(decode, arrays),
    )


def _or_none(values: torch.Tensor | None, rows: int) -> list[float | None]:
    """A number of each row, None where there is none: JSON has no NaN."""
    return [None if value != value else value for value in ([math.nan] * rows if values is None else values.tolist())]


def _middle(values: torch.Tensor, first: int) -> torch.Tensor:
    """Up to `SEEN` pixels from the middle of each axis from `first` on."""
    for axis in range(first, values.ndim):
        size = values.shape[axis]
        values = values.narrow(axis, max(0, (size - SEEN) // 2), min(size, SEEN))
    return values


def _results_as(
    format: str | None, dtype: str, units: str, source: Noisy, n: int, key: str
) -> tuple[str, OwnUnits, LikeFiles | None]:
    """The format and units of the files, and who writes files like those of the input. Raises InputError for unknown
    words, and what does not go together."""
    known_word("--dtype", dtype, list(get_args(Dtype)))
    like = None
    if format in (None, "data") and units == "data":
        like = LikeFiles.of(source.observations.rows, n, dtype, key)  # type: ignore[arg-type]
    if like is None:
        if dtype == "stored":
            raise InputError(
                "--dtype stored: goes with files like those of the input (--format data), and "
                + ("another --format was given" if format not in (None, "data") else f"{source.data.name} has none")
            )
        shape = source.seen.signal.shape
        return *written_as(format or "npy", units, source.data.name, source.units, shape), None
    return LIKE, source.units, like


def _record(fields: dict[str, Any], store: Store) -> WrittenRestorations:
    table = store.folder / f"{store.name}.csv"
    notes, clipped = list(fields.pop("notes")), 0
    if store.like is not None and (told := store.like.told()):
        warn(told)
        notes.append(told)
        clipped = sum(store.like.clipped.values())
    return WrittenRestorations(
        **fields,
        notes=tuple(notes),
        table=table if table.exists() else None,
        clipped_values=clipped,
        uncertainty=store.uncertainty,
    )
