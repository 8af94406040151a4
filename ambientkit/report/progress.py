"""How the samples of a run have changed: the pictures drawn in training, and samples of the checkpoints that are
kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image

from ambientkit.checkpoint.folder import checkpoints
from ambientkit.checkpoint.names import CHECKPOINTS, DEMOS, LAST_PICTURE, SAMPLES
from ambientkit.errors import InputError
from ambientkit.registry import Registry
from ambientkit.report.content import Picture, RunReport
from ambientkit.report.samples import SampleDrawer, picture_of
from ambientkit.rows import evenly
from ambientkit.sample import load_run

STAGES = 6
"""Pictures at most, evenly spaced, the first and the last among them."""
FEW = 16
"""Samples of a checkpoint, unless they are points of the plane."""

Stage = TypeVar("Stage")


def add_demos(folder: Path, report: RunReport) -> None:
    """Add the pictures that training drew into the folder of the run, always from seed 0."""
    found = sorted((folder / SAMPLES).glob(DEMOS))
    if (last := folder / SAMPLES / LAST_PICTURE).is_file() and report.finished:
        found.append(last)
    for file in (chosen := _spaced(found)):
        digits = file.stem.removeprefix(DEMOS.partition("*")[0])
        when = f"Step {int(digits):,}" if digits.isdigit() else "After the last step"
        try:
            content = file.read_bytes()
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                size = image.size
        except (OSError, SyntaxError, ValueError) as error:
            report.note("progress", f"{file.name} cannot be read ({type(error).__name__}) and is left out.")
            continue
        alt = f"{when} of {report.name}: noisy rows at the left, samples at the right"
        report.demos.append(Picture(when, content, alt, size))
    if len(chosen) < len(found):
        report.note("progress", f"{len(chosen)} of {len(found)} pictures drawn in training, evenly spaced.")
    if not found:
        report.note("progress", "No pictures were drawn in training; --demo-every N of `train` draws them.")


def add_checkpoints(drawer: SampleDrawer, registry: Registry, report: RunReport) -> None:
    """Add samples of the checkpoints that are kept and whole."""
    run, n = drawer.run, drawer.number
    if len(run.trained.signal.shape) > 1:
        n = min(FEW, n)
    found = sorted(checkpoints(run.path / CHECKPOINTS))
    for step, path in (chosen := _spaced(found)):
        try:
            denoiser = load_run(path, registry, run.device).denoiser
        except InputError as error:  # damaged, or removed by the run since it was listed
            report.note("progress", f"The checkpoint of step {step:,} is left out: {error}")
            continue
        values = drawer.draw(denoiser, n)
        if values is None or not bool(values.isfinite().all()):
            report.note("progress", f"The checkpoint of step {step:,} gives no finite samples.")
        elif (picture := picture_of(f"Step {step:,}", values, report.name, decode=drawer.decode)) is not None:
            report.checkpoints.append(picture)
    if len(chosen) < len(found):
        report.note("progress", f"{len(chosen)} of {len(found)} checkpoints, evenly spaced.")


def _spaced(found: Sequence[Stage]) -> list[Stage]:
    return [found[place] for place in evenly(len(found), STAGES)]
