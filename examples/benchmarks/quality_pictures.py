"""The pictures of `quality.py`: what each arm makes of the same noisy rows, and the figures as bars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ambientkit.checkpoint.folder import write_file
from ambientkit.sample.picture import grid, panels, png

SHOWN = ("noisy-rows", "naive", "truncated", "tweedie", "tweedie-consistency", "clean", "clean-rows")
NAMES = {
    "noisy-rows": "noisy, held out",
    "truncated": "truncated",
    "tweedie": "Tweedie, full",
    "clean": "trained on clean rows",
    "clean-rows": "the clean rows",
}


def write_pictures(units: list[Any], folder: Path) -> None:
    """For each data set and level of pictures, one page of restorations of the same noisy rows, arm by arm; the first
    seed's."""
    folder.mkdir(parents=True, exist_ok=True)
    for data, sigma_n in dict.fromkeys((unit.data, unit.sigma_n) for unit in units):
        rows = {}
        for unit in units:
            if (unit.data, unit.sigma_n) == (data, sigma_n) and unit.figures.exists():
                rows.setdefault(unit.arm, json.loads(unit.figures.read_text())["pictures"])
        for kind in ("restored", "sampled"):
            shown = [
                (NAMES.get(arm, arm), grid(torch.tensor(rows[arm][kind]))) for arm in SHOWN if kind in rows.get(arm, {})
            ]
            pages = [(title, picture) for title, picture in shown if picture is not None]
            if len(pages) > 1:
                write_file(folder / f"{data}-{sigma_n:g}-{kind}.png", png(panels(pages)))
