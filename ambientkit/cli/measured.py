"""`ambientkit verify --run RUN`: measurements of a trained denoiser that need no clean data."""

from __future__ import annotations

from pathlib import Path

import ambientkit as ak
from ambientkit.cli.tables import show


def run(run: Path, data: str | None, sigma_n: str | None, rows: int, seed: int, json: Path | None, device: str) -> None:
    """Print the report, and write it and a page with its charts into RUN/verify (the JSON file to `json`, where that is
    given)."""
    show(ak.measure(run, data=data, sigma_n=sigma_n, rows=rows, seed=seed, json_file=json, device=device))
