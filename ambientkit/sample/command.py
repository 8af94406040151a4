"""`ambientkit sample`: samples of the clean distribution, or restored rows, in files that a killed command continues."""

from __future__ import annotations

import time

from ambientkit.processes import processes
from ambientkit.registry import load
from ambientkit.sample import load_run
from ambientkit.sample.drawn import sampling
from ambientkit.sample.job import carry_out, report
from ambientkit.sample.request import SampleRequest, check_words
from ambientkit.sample.restored import restoring


def run(request: SampleRequest) -> None:
    """The whole command. Everything is checked before anything is drawn or written."""
    registry = load()
    check_words(request)
    place = processes(request.device)
    trained = load_run(request.run, registry, place.device)
    began = time.monotonic()
    job = sampling(request, trained, registry, place) if request.noisy is None else restoring(request, trained, registry, place)
    finished = carry_out(job, place, str(request.run))
    if place.rank == 0:
        report(job, trained, finished, time.monotonic() - began)
    place.end()
