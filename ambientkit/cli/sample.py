"""`ambientkit sample`: samples of the clean distribution, or restored rows, in files that a killed command continues."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.cli.processes import Processes, processes
from ambientkit.cli.sample_job import Job, carry_out, note, report
from ambientkit.cli.sample_rows import Conds, Noisy, conditions, noisy_rows
from ambientkit.cli.verify import split_fields
from ambientkit.errors import InputError, nearest
from ambientkit.interfaces import Levels, Sampler
from ambientkit.registry import Registry, load, spec_of
from ambientkit.sample import SCHEDULES, Batches, Restored, Trained, draw, load_run, restore, step_grid
from ambientkit.sample.formats import FORMATS, OWN, check_format
from ambientkit.sample.own_units import OwnUnits
from ambientkit.sample.picture import grid, panels, png
from ambientkit.sample.restore import need_kernel
from ambientkit.sample.store import SHOWN, Store, pieces_of

RESTORED = 8
"""Rows in the picture of restored ones."""


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """The flags as given; None stands for a default that depends on others."""

    run: Path
    n: int | None = None
    steps: int | None = None
    seed: int = 0
    out: Path | None = None
    sampler: str | None = None
    schedule: str | None = None
    sigma_min: str | None = None
    noisy: str | None = None
    sigma_n: str | None = None
    draws: int | None = None
    classes: str | None = None
    conds: tuple[str, ...] = ()
    format: str = "npy"
    units: str = "data"
    batch_size: int = 64
    device: str = "auto"


def run(request: SampleRequest) -> None:
    """The whole command. Everything is checked before anything is drawn or written."""
    registry = load()
    _check_words(request)
    place = processes(request.device)
    trained = load_run(request.run, registry, place.device)
    began = time.monotonic()
    job = _sampling(request, trained, registry, place) if request.noisy is None else _restoring(request, trained, registry, place)
    finished = carry_out(job, place, str(request.run))
    if place.rank == 0:
        report(job, trained, finished, time.monotonic() - began)
    place.end()


def _check_words(request: SampleRequest) -> None:
    if request.noisy is None:
        for flag, value in (("--sigma-n", request.sigma_n), ("--draws", request.draws)):
            if value is not None:
                raise InputError(f"{flag} belongs to --from NOISY: without it samples are drawn from noise")
    for flag, word, known in (
        ("--schedule", request.schedule or "karras", list(SCHEDULES)),
        ("--format", request.format, [*FORMATS, "data"]),
        ("--units", request.units, ["data", "unit"]),
    ):
        if word not in known:
            raise InputError(f"{flag} {word}: should be one of {', '.join(known)}{nearest(word, known)}")


def _sampler(text: str, registry: Registry) -> Sampler:
    name, fields = split_fields(text)
    part = registry.build("sampler", {"name": name, **fields})
    assert isinstance(part, Sampler)
    return part


def _lowest(request: SampleRequest, trained: Trained) -> float:
    """--sigma-min as a number; infinity where a restored row is to stop at its own noise."""
    levels = trained.config.levels.as_levels()
    if request.sigma_min is None:
        return levels.sigma_min
    if request.sigma_min == "sigma-n":
        if request.noisy is not None:
            return math.inf
        if trained.sigma_n is None or trained.sigma_n[1] == 0:
            known = "its data are clean" if trained.sigma_n else "it was written by an early version, which did not keep the noise level"
            raise InputError(f"--sigma-min sigma-n: {trained.config.data.name}: {known}; give a number")
        low, high = trained.sigma_n
        if low < high:
            note(f"the data have sigma_n {low:.4g} to {high:.4g}; sampling stops at the highest, {high:.4g}")
        return high
    try:
        low = float(request.sigma_min)
    except ValueError:
        low = math.nan
    if not 0 < low < levels.sigma_max:
        raise InputError(
            f"--sigma-min {request.sigma_min}: should be sigma-n, or a level above 0 and below the run's sigma_max = {levels.sigma_max:g}"
        )
    if low < levels.sigma_min:
        note(f"--sigma-min {low:g} is below {levels.sigma_min:g}, the lowest level that the run was trained at")
    return low


def _request(
    request: SampleRequest, trained: Trained, sampler: Sampler, schedule: str, steps: int, low: float, units: OwnUnits, data: str
) -> dict[str, Any]:
    """What the files depend on, for the manifest."""
    written = OWN.get(data, "npy") if request.format == "data" else request.format
    check_format(written, trained.signal.shape)
    if FORMATS[written].clipped:
        note("8-bit PNG files are clipped to [-1, 1] and rounded: they are for the eye. For all else take another --format")
    return {
        "format": written,
        "units": (units if request.units == "data" and not FORMATS[written].clipped else OwnUnits()).plain(),
        "shape": list(trained.signal.shape),
        "seed": request.seed,
        "step": trained.step,
        "weights_sha256": trained.sha256,
        "sampler": spec_of(sampler),
        "schedule": schedule,
        "steps": steps,
        "sigma_max": trained.config.levels.sigma_max,
        "sigma_min": low if math.isfinite(low) else "sigma-n",
        "class": request.classes,
        "cond": list(request.conds),
    }


def _sampling(request: SampleRequest, trained: Trained, registry: Registry, place: Processes) -> Job:
    sampler, schedule = _sampler(request.sampler or "heun", registry), request.schedule or "karras"
    low, steps, n = _lowest(request, trained), request.steps or 32, request.n or 64
    sigmas = step_grid(steps, Levels(low, trained.config.levels.sigma_max), schedule)
    conds = conditions(trained, request.classes, request.conds)
    asked = _request(request, trained, sampler, schedule, steps, low, trained.units, trained.config.data.name)
    folder = request.out or _beside(request) / "samples" / f"step-{trained.step:08}-seed-{request.seed}"
    store = Store(folder, "samples", ("samples",), n, pieces_of(n, request.batch_size), asked, {"run": str(request.run)})
    batches = Batches(request.batch_size)

    def work(piece: range) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        drawn = draw(
            trained.denoiser,
            sampler,
            trained.signal.shape,
            len(piece),
            sigmas=sigmas,
            seed=request.seed,
            batch_size=batches,
            device=place.device,
            first=piece.start,
            cond=conds(piece),
        )
        samples = torch.cat([batch.cpu() for batch in drawn])
        return {"samples": samples}, {"samples": samples}

    def picture(shown: dict[str, NDArray[Any]]) -> bytes | None:
        names = request.classes.split(",") if request.classes else None
        labels = [names[i % len(names)] for i in range(len(shown["samples"]))] if names else None
        page = grid(torch.from_numpy(shown["samples"]), labels=labels)
        return None if page is None else png(page)

    return Job(store, work, picture, batches, "samples")


def _restoring(request: SampleRequest, trained: Trained, registry: Registry, place: Processes) -> Job:
    assert request.noisy is not None
    draws = 8 if request.draws is None else request.draws
    sampler, schedule = _sampler(request.sampler or "stochastic-heun", registry), request.schedule or "cosine"
    need_kernel(sampler, draws)
    low, steps = _lowest(request, trained), request.steps or 32
    noisy = noisy_rows(request.noisy, request.sigma_n, trained, registry)
    n = min(request.n or noisy.seen.rows, noisy.seen.rows)
    if request.n is not None and request.n > n:
        raise InputError(f"--n {request.n}: {request.noisy} has {n:,} rows")
    if noisy.seen.sigma_n[1] == 0:
        raise InputError(
            f"--from {request.noisy}: these rows carry no noise (sigma_n 0), so there is nothing to restore. Declare it by --sigma-n"
        )
    conds = conditions(trained, request.classes, request.conds, tuple(noisy.seen.signal.conds))
    asked = _request(request, trained, sampler, schedule, steps, low, noisy.units, noisy.config.data.name)
    asked |= {
        "draws": draws,
        "data": spec_of(noisy.config.data),
        "corruption": spec_of(noisy.config.corruption),
        "noise_seed": trained.config.seed if noisy.observations.simulated else None,
    }
    arrays = ("mean", *(("draws",) if draws else ()), *(("std",) if draws > 1 and not FORMATS[asked["format"]].clipped else ()))
    folder = request.out or _beside(request) / "restored" / f"step-{trained.step:08}-seed-{request.seed}"
    store = Store(
        folder, "restored", arrays, n, pieces_of(n, max(1, request.batch_size // max(1, draws))), asked, {"run": str(request.run)}
    )
    job = Job(
        store, lambda piece: ({}, {}), lambda shown: _restored_picture(shown, noisy.seen.sigma_n[1]), Batches(request.batch_size), "rows"
    )

    def work(piece: range) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        batch = _rows(noisy, piece, conds, trained, place.device, str(request.noisy))
        found = restore(
            trained.denoiser,
            batch,
            noisy.config.corruption,
            sampler,
            trained.config.levels.as_levels(),
            draws=draws,
            steps=steps,
            schedule=schedule,
            sigma_min=low,
            seed=request.seed,
            batch_size=job.batches,
        )
        job.topped_up += int(found.topped_up.sum())
        job.as_they_are += int(found.as_it_is.sum())
        return {"mean": found.mean, "draws": found.draws}, _shown(batch, found)

    job.work = work
    return job


def _rows(noisy: Noisy, piece: range, conds: Conds, trained: Trained, device: torch.device, name: str) -> Batch:
    """The rows of a piece on the device, with the conditions that the model takes."""
    batch = noisy.observations.__getitems__(list(piece))
    if not bool(batch.x_n.isfinite().all()):
        bad = batch.row[~batch.x_n.isfinite().flatten(1).all(1)].tolist()
        raise InputError(f"--from {name}: rows {bad[:5]} hold values that are not finite")
    cond = {key: value for key, value in batch.cond.items() if key in trained.signal.conds} | conds(piece)
    return Batch(batch.x_n.to(device), batch.sigma_n.to(device), batch.row, {key: value.to(device) for key, value in cond.items()})


def _shown(batch: Batch, found: Restored) -> dict[str, Tensor]:
    few = {"noisy": batch.x_n, "mean": found.mean, "draws": found.draws[:, :4]}
    return few if found.std is None else {**few, "std": found.std}


def _restored_picture(shown: dict[str, NDArray[Any]], sigma_n: float) -> bytes | None:
    """Noisy rows, their posterior means, a few draws and the spread, side by side; points of the plane all together."""
    rows = {name: torch.from_numpy(value) for name, value in shown.items()}
    plane = rows["noisy"].ndim == 2
    few, columns = (SHOWN, None) if plane else (RESTORED, 1)
    pages = [("noisy", rows["noisy"]), ("mean", rows["mean"])]
    pages += [(f"draw {k + 1}", rows["draws"][:, k]) for k in range(rows["draws"].shape[1])]
    if "std" in rows and not plane:  # on a fixed scale: white where one knows no more than before
        pages.append((f"std, white {sigma_n:.3g}", 2 * rows["std"] / sigma_n - 1))
    pictures = [(title, grid(page[:few], columns)) for title, page in pages]
    drawn = [(title, picture) for title, picture in pictures if picture is not None]
    return png(panels(drawn)) if len(drawn) == len(pages) else None


def _beside(request: SampleRequest) -> Path:
    return request.run if request.run.is_dir() else request.run.parent
