"""`ambientkit verify --run RUN`: what can be said of a trained denoiser without clean data."""

from __future__ import annotations

from pathlib import Path

from ambientkit.checkpoint.folder import write_file
from ambientkit.checkpoint.target import check_target
from ambientkit.cli.output import json_file, write_json
from ambientkit.cli.tables import show
from ambientkit.errors import InputError
from ambientkit.processes import device_of
from ambientkit.registry import load
from ambientkit.sample.load import load_run, run_of
from ambientkit.verify.run import measure_run


def run(run: Path, data: str | None, sigma_n: str | None, rows: int, seed: int, json: Path | None, device: str) -> None:
    """Print the report, and write it and a page with its charts into RUN/verify (the JSON file to `json`, where that is given)."""
    json_file(json)
    registry, place = load(), device_of(device)
    trained = load_run(run, registry, place)
    folder = run_of(run) / "verify"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    for name in ("report.json", "report.html"):
        check_target(folder / name, "--run")
    found = measure_run(trained, data=data, sigma_n=sigma_n, rows=rows, seed=seed, registry=registry)
    file, page = json or folder / "report.json", folder / "report.html"
    show(found)
    write_json(file, found)
    write_file(page, found.page().encode())
    print(f"report: {file}\npage: {page}")
