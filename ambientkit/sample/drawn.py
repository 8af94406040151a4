"""`ambientkit sample RUN`: samples of the clean distribution, drawn from noise."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ambientkit.config.datapath import refuse_inside
from ambientkit.interfaces import Levels
from ambientkit.processes import Processes
from ambientkit.registry import Registry
from ambientkit.sample import Batches, Trained, draw, step_grid
from ambientkit.sample.conditions import conditions
from ambientkit.sample.job import Job
from ambientkit.sample.load import run_of
from ambientkit.sample.picture import grid, png
from ambientkit.sample.request import SampleRequest, asked_of, lowest, sampler_of
from ambientkit.sample.store import Store, pieces_of


def sampling(request: SampleRequest, trained: Trained, registry: Registry, place: Processes) -> Job:
    """The samples that are asked for, as pieces of work."""
    sampler, schedule = sampler_of(request.sampler or "heun", registry), request.schedule or "karras"
    low, steps, n = lowest(request, trained), request.steps or 32, request.n or 64
    sigmas = step_grid(steps, Levels(low, trained.config.levels.sigma_max), schedule)
    conds = conditions(trained, request.classes, request.conds)
    asked = asked_of(request, trained, sampler, schedule, steps, low, trained.units, trained.config.data.name)
    folder = request.out or run_of(request.run) / "samples" / f"step-{trained.step:08}-seed-{request.seed}"
    refuse_inside("--out", folder, trained.config.data)
    store = Store(folder, "samples", ("samples",), n, pieces_of(n, request.batch_size), asked, {"run": str(request.run)})
    batches, decode = Batches(request.batch_size), trained.decoder()

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
        page = grid(torch.from_numpy(shown["samples"]), labels=labels, decode=decode)
        return None if page is None else png(page)

    return Job(store, work, picture, batches, "samples")
