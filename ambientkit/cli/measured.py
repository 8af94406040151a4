"""`ambientkit verify --run RUN`: what can be said of a trained denoiser without clean data."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ambientkit.checkpoint.folder import write_file
from ambientkit.cli.tables import show
from ambientkit.errors import InputError
from ambientkit.processes import device_of
from ambientkit.registry import load
from ambientkit.sample.load import load_run, run_of
from ambientkit.verify.run import measure_run


def run(run: Path, data: str | None, sigma_n: str | None, rows: int, seed: int, json_file: Path | None, device: str) -> None:
    """Print the report, and write it and a page with its charts into RUN/verify (the JSON file to `json_file`, where that is given)."""
    if json_file is not None and (json_file.is_dir() or not json_file.absolute().parent.is_dir()):
        raise InputError(f"--json {json_file}: should be a file in a folder that exists")
    registry, place = load(), device_of(device)
    trained = load_run(run, registry, place)
    folder = run_of(run) / "verify"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: cannot be written to (permission denied)")
    found = measure_run(trained, data=data, sigma_n=sigma_n, rows=rows, seed=seed, registry=registry)
    file, page = json_file or folder / "report.json", folder / "report.html"
    write_file(file, (json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n").encode())
    write_file(page, found.page().encode())
    show(found)
    print(f"report: {file}\npage: {page}")
