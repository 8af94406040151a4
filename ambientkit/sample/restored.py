"""`ambientkit sample RUN --from NOISY`: posterior draws for given noisy rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.config.datapath import refuse_inside
from ambientkit.errors import InputError
from ambientkit.processes import Processes
from ambientkit.registry import Registry, spec_of
from ambientkit.sample import Batches, Restored, Trained, restore
from ambientkit.sample.conditions import Conds, Noisy, conditions, noisy_rows
from ambientkit.sample.formats import FORMATS
from ambientkit.sample.job import Job, note
from ambientkit.sample.load import run_of
from ambientkit.sample.picture import grid, panels, png
from ambientkit.sample.request import SampleRequest, asked_of, lowest, sampler_of
from ambientkit.sample.restore import ROUNDING, need_kernel
from ambientkit.sample.store import SHOWN, Store, pieces_of

RESTORED = 8
"""Rows in the picture of restored ones."""


def restoring(request: SampleRequest, trained: Trained, registry: Registry, place: Processes) -> Job:
    """The rows that are to be restored, as pieces of work."""
    assert request.noisy is not None
    draws = 8 if request.draws is None else request.draws
    sampler, schedule = sampler_of(request.sampler or "stochastic-heun", registry), request.schedule or "cosine"
    need_kernel(sampler, draws)
    low, steps = lowest(request, trained), request.steps or 32
    noisy = noisy_rows(request.noisy, request.sigma_n, trained, registry)
    n = min(request.n or noisy.seen.rows, noisy.seen.rows)
    if request.n is not None and request.n > n:
        raise InputError(f"--n {request.n}: {request.noisy} has {n:,} rows")
    if noisy.seen.sigma_n[1] == 0:
        raise InputError(
            f"--from {request.noisy}: these rows carry no noise (sigma_n 0), so there is nothing to restore. Declare it by --sigma-n"
        )
    conds = conditions(trained, request.classes, request.conds, tuple(noisy.seen.signal.conds))
    asked = asked_of(request, trained, sampler, schedule, steps, low, noisy.units, noisy.config.data.name)
    asked |= {
        "draws": draws,
        "data": spec_of(noisy.config.data),
        "corruption": spec_of(noisy.config.corruption),
        "noise_seed": trained.config.seed if noisy.observations.simulated else None,
    }
    arrays = ("mean", *(("draws",) if draws else ()), *(("std",) if draws > 1 and not FORMATS[asked["format"]].clipped else ()))
    folder = request.out or run_of(request.run) / "restored" / f"step-{trained.step:08}-seed-{request.seed}"
    for data in (noisy.config.data, trained.config.data):
        refuse_inside("--out", folder, data)
    if draws and low * (1 + ROUNDING) >= noisy.seen.sigma_n[0]:
        note(
            f"rows whose noise is at or below --sigma-min {request.sigma_min} are not drawn for: their draws are the posterior mean, their spread is 0"
        )
    store = Store(
        folder, "restored", arrays, n, pieces_of(n, max(1, request.batch_size // max(1, draws))), asked, {"run": str(request.run)}
    )
    decode = trained.decoder()
    job = Job(
        store,
        lambda piece: ({}, {}),
        lambda shown: _restored_picture(shown, noisy.seen.sigma_n[1], decode),
        Batches(request.batch_size),
        "rows",
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


def _restored_picture(
    shown: dict[str, NDArray[Any]], sigma_n: float, decode: Callable[[Tensor], Tensor | None] | None = None
) -> bytes | None:
    """Noisy rows, their posterior means, a few draws and the spread, side by side; points of the plane all together.

    decode: as `grid` takes it; latents are shown without their spread, of which it makes no picture.
    """
    rows = {name: torch.from_numpy(value) for name, value in shown.items()}
    plane = rows["noisy"].ndim == 2 and decode is None
    few, columns = (SHOWN, None) if plane else (RESTORED, 1)
    pages = [("noisy", rows["noisy"]), ("mean", rows["mean"])]
    pages += [(f"draw {k + 1}", rows["draws"][:, k]) for k in range(rows["draws"].shape[1])]
    if "std" in rows and not plane and decode is None:  # on a fixed scale: white where one knows no more than before
        pages.append((f"std (white: {sigma_n:.3g})", 2 * rows["std"] / sigma_n - 1))
    pictures = [(title, grid(page[:few], columns, decode=decode)) for title, page in pages]
    drawn = [(title, picture) for title, picture in pictures if picture is not None]
    return png(panels(drawn)) if len(drawn) == len(pages) else None
