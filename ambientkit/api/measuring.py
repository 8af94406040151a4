"""Measurements of a trained denoiser, kept in the folder of its run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from ambientkit.checkpoint.folder import write_file
from ambientkit.checkpoint.target import as_path, check_target, refuse_broken
from ambientkit.config.datapath import DataLike
from ambientkit.errors import InputError
from ambientkit.processes import device_of
from ambientkit.registry import Registry, load
from ambientkit.sample import Trained, load_run
from ambientkit.sample.load import run_of, trained_of
from ambientkit.tables import Record, Table
from ambientkit.verification.run import RunMeasurements, measure_run


@dataclass(frozen=True, slots=True)
class Measured(Record):
    """Measurements of a denoiser, and the files that hold them."""

    found: RunMeasurements
    file: Path
    """The JSON file."""
    page: Path
    """The page with the charts."""

    def blocks(self) -> Sequence[str | Table]:
        """The measurements, then where they are."""
        return [*self.found.blocks(), f"report: {self.file}\npage: {self.page}"]

    def to_dict(self) -> dict[str, Any]:
        """The measurements."""
        return self.found.to_dict()


def measure(
    run: Trained | str | Path,
    *,
    data: DataLike = None,
    sigma_n: Any = None,
    rows: int = 256,
    seed: int = 0,
    json_file: str | Path | None = None,
    device: str | torch.device = "auto",
    registry: Registry | None = None,
) -> Measured:
    """Measure a trained denoiser by its own consistency, without clean data; writes RUN/verify/report.json and
    report.html.

    data: rows that the run has not seen, of noise std sigma_n. json_file: written instead of RUN/verify/report.json.
    Raises InputError where the folder or the file cannot be written to, before anything is measured.
    """
    if json_file is not None:
        check_target(as_path(json_file, "--json"), "--json", "JSON")
    registry = registry or load()
    trained = trained_of(run) or load_run(Path(cast("str | Path", run)), registry, device_of(device))
    if trained.path is None:
        raise InputError("this denoiser belongs to no run folder, in which the measurements would be kept")
    folder = run_of(trained.path) / "verify"
    refuse_broken(folder, "verify")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: cannot be written to (permission denied)")
    found = measure_run(trained, data=data, sigma_n=sigma_n, rows=rows, seed=seed, registry=registry)
    file, page = Path(json_file) if json_file is not None else folder / "report.json", folder / "report.html"
    write_file(file, (json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n").encode())
    write_file(page, found.page().encode())
    return Measured(found, file, page)
