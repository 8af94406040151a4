"""Everything that `ambientkit report` says of one run: what its folder holds, and what is drawn and measured for the page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ambientkit.checkpoint.folder import checkpoints
from ambientkit.checkpoint.initial import initial_weights
from ambientkit.config import dump
from ambientkit.config.run import to_yaml
from ambientkit.data import Observations
from ambientkit.errors import InputError
from ambientkit.evaluate.ranking import with_average
from ambientkit.interfaces import Denoiser, Levels, Sampler
from ambientkit.registry import Registry
from ambientkit.report import Picture, RunReport, Table, nearest_rows, read_history
from ambientkit.report.command import ReportRequest
from ambientkit.report.numbers import denoiser_numbers, evaluations, metrics, preflight_result
from ambientkit.report.opened import Opened, commands, facts, versions
from ambientkit.run.folder import CHECKPOINTS, METRICS
from ambientkit.sample import draw_all, step_grid
from ambientkit.sample.picture import grid, png

SAMPLES, POINTS = 64, 2000
"""Samples where -n is not given: of pictures and other rows, and of points of the plane, which are drawn as a map."""
SHOWN = 64
FEW = 16
"""Samples of a checkpoint."""
STAGES = 6
"""Pictures of the progress at most, evenly spaced, the first and the last among them."""
NEIGHBOURS = 8
LOOKED_AT, BLOCK = 50_000, 256
"""Training rows among which the nearest ones are sought at most, and rows in memory at a time."""


def collect(run: Opened, request: ReportRequest, registry: Registry) -> RunReport:
    """Draw, measure and read. What cannot be done is told on the page, not an error: the rest is worth having."""
    trained = run.trained
    report = RunReport(
        run.name,
        run.state,
        run.facts["state"] == "finished",
        facts(run),
        to_yaml(dump(trained.config)),
        versions(run.path),
        read_history(run.path / METRICS),
        commands(run),
    )
    if run.facts["message"]:
        report.note("summary", f"{run.name}: {run.facts['message']}")
    if trained.step != run.facts["step"]:
        report.note("summary", f"{run.name}: samples and measurements are those of the newest averaged weights, step {trained.step:,}.")
    _log_notes(report)
    rows = _rows(run, report)
    sampler = registry.build(Sampler, "heun")
    brush = Brush(run, sampler, request, rows)
    full, truncated = _samples(brush, report)
    _demos(run.path, report)
    _checkpoints(brush, report)
    if full is not None and rows is not None:
        for section, work in (
            ("nearest", lambda: _nearest(full[:NEIGHBOURS], rows, report)),
            ("metrics", lambda: metrics(trained, full, truncated, request.seed, report)),
        ):
            try:
                work()
            except InputError as error:  # a row that cannot be read
                report.note(section, f"Not measured: {error}")
    evaluations(run.path, trained.step, report)
    preflight_result(run.path, report)
    denoiser_numbers(run.path, trained, run.device, request, rows is not None, report)
    return report


@dataclass(frozen=True, slots=True)
class Brush:
    """Draws samples of a run, always from the same seed."""

    run: Opened
    sampler: Sampler
    request: ReportRequest
    rows: Observations | None

    @property
    def n(self) -> int:
        """Samples of each kind."""
        return self.request.n or (POINTS if len(self.run.trained.signal.shape) == 1 else SAMPLES)

    def samples(self, denoiser: Denoiser, n: int, lowest: float | None = None) -> Tensor | None:
        """n samples, by steps down to `lowest` (the run's sigma_min) and a last denoising; None where the conditions they need are not known."""
        trained, request = self.run.trained, self.request
        cond = None
        if trained.signal.conds:
            if self.rows is None:
                return None
            n = min(n, len(self.rows))
            cond = self.rows.__getitems__(list(range(n))).cond
        levels = trained.config.levels.as_levels()
        sigmas = step_grid(request.steps, levels if lowest is None else Levels(lowest, levels.sigma_max))
        return draw_all(
            denoiser,
            self.sampler,
            trained.signal.shape,
            n,
            sigmas=sigmas,
            seed=request.seed,
            batch_size=request.batch_size,
            device=self.run.device,
            cond=cond,
            refuse=False,
        )


def _log_notes(report: RunReport) -> None:
    history = report.history
    if history.block > 1:
        report.note("loss", f"{report.name}: each point is the mean of {history.block} of {history.lines:,} log lines.")
    if history.unreadable:
        report.note("loss", f"{report.name}: {history.unreadable} log lines could not be read; the last one may be half written.")
    if history.skipped:
        report.note("loss", f"{report.name}: {history.skipped} steps were skipped, as their loss or gradient was not finite.")


def _rows(run: Opened, report: RunReport) -> Observations | None:
    config = run.trained.config
    try:
        rows = Observations(config.data.rows(), config.corruption, config.seed)
        if tuple(rows[0].x_n.shape) == run.trained.signal.shape:
            return rows
        reason = f"its rows have shape {tuple(rows[0].x_n.shape)} now"
    except InputError as error:
        reason = str(error)
    for section in ("samples", "nearest", "metrics", "verify"):
        report.note(section, f"What the run was trained on cannot be read: {reason}")
    return None


def _samples(brush: Brush, report: RunReport) -> tuple[Tensor | None, Tensor | None]:
    """Pictures of what was given and of both kinds of samples; (full, truncated), None where one cannot be drawn."""
    run, trained = brush.run, brush.run.trained
    full = brush.samples(trained.denoiser, brush.n)
    truncated = None
    if full is None:
        report.note("samples", "The model takes conditions from the data's rows, which cannot be read: nothing can be drawn.")
    elif trained.sigma_n is None or trained.sigma_n[1] == 0:
        known = "the data are clean" if trained.sigma_n else "an early version wrote this run, without the noise level of its data"
        report.note("samples", f"No truncated samples: {known}.")
    else:
        truncated = brush.samples(trained.denoiser, brush.n, trained.sigma_n[1])
    kinds = [("Truncated samples", truncated, f"stopped at sigma_n = {trained.sigma_n[1]:.4g}" if trained.sigma_n else "")]
    kinds.append(("Full samples", full, f"{brush.request.steps} steps of heun, seed {brush.request.seed}"))
    if brush.rows is not None:
        given = brush.rows.__getitems__(list(range(min(len(brush.rows), brush.n)))).x_n
        kinds.insert(
            0, ("Noisy rows", given, f"the first {min(len(given), SHOWN if given.ndim > 2 else len(given))} that the run was given")
        )
    for title, values, note in kinds:
        if values is None:
            continue
        if not bool(values.isfinite().all()):
            report.note("samples", f"{title} are not finite: the run has diverged, or {brush.request.steps} steps are too few.")
        elif (picture := drawn(title, values[:SHOWN] if values.ndim > 2 else values, run.name, note)) is not None:
            report.pictures.append(picture)
    if not report.pictures:
        report.note("samples", "Rows of this shape have no picture: they are neither images nor points of a plane.")
    finite = [None if x is None or not bool(x.isfinite().all()) else x for x in (full, truncated)]
    return finite[0], finite[1]


def drawn(
    title: str, values: Tensor, name: str, note: str = "", columns: int | None = None, labels: Sequence[str] | None = None
) -> Picture | None:
    """Rows as one picture with its text; None for rows without a picture."""
    image = grid(values, columns, labels=labels)
    if image is None:
        return None
    what = "points of the plane as a map of their density" if values.ndim == 2 else "images"
    alt = (
        f"{title} of {name}: {len(values)} {what}; values {float(values.min()):.3g} to {float(values.max()):.3g}, "
        f"mean {float(values.mean()):.3g}, std {float(values.std()):.3g}"
    )
    return Picture(title, png(image), alt, image.size, note)


def _spaced(found: Sequence[Any]) -> list[Any]:
    if len(found) <= STAGES:
        return list(found)
    return [found[round(k * (len(found) - 1) / (STAGES - 1))] for k in range(STAGES)]


def _demos(path: Path, report: RunReport) -> None:
    """The grids that training drew, always from seed 0."""
    found = sorted((path / "samples").glob("demo_*.png"))
    if (last := path / "samples" / "before_and_after.png").is_file() and report.finished:
        found.append(last)
    for file in (chosen := _spaced(found)):
        digits = file.stem.removeprefix("demo_")
        when = f"Step {int(digits):,}" if digits.isdigit() else "After the last step"
        try:
            content = file.read_bytes()
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                size = image.size
        except (OSError, SyntaxError, ValueError) as error:
            report.note("progress", f"{file.name} cannot be read ({type(error).__name__}) and is left out.")
            continue
        report.demos.append(Picture(when, content, f"{when} of {report.name}: noisy rows at the left, samples at the right", size))
    if len(chosen) < len(found):
        report.note("progress", f"{len(chosen)} of {len(found)} pictures drawn in training, evenly spaced.")
    if not found:
        report.note("progress", "No pictures were drawn in training; --demo-every N of `train` draws them.")


def _checkpoints(brush: Brush, report: RunReport) -> None:
    """Samples of the checkpoints that are kept and whole."""
    found = sorted(checkpoints(brush.run.path / CHECKPOINTS))
    for step, path in (chosen := _spaced(found)):
        try:
            denoiser = with_average(brush.run.trained, str(path), initial_weights(path)[0], brush.run.device)
        except InputError as error:  # damaged, or removed by the run since it was listed
            report.note("progress", f"The checkpoint of step {step:,} is left out: {error}")
            continue
        values = brush.samples(denoiser, min(FEW, brush.n) if len(brush.run.trained.signal.shape) > 1 else brush.n)
        if values is None or not bool(values.isfinite().all()):
            report.note("progress", f"The checkpoint of step {step:,} gives no finite samples.")
        elif (picture := drawn(f"Step {step:,}", values, report.name)) is not None:
            report.checkpoints.append(picture)
    if len(chosen) < len(found):
        report.note("progress", f"{len(chosen)} of {len(found)} checkpoints, evenly spaced.")


def _nearest(samples: Tensor, rows: Observations, report: RunReport) -> None:
    every = math.ceil(len(rows) / LOOKED_AT)
    looked_at = range(0, len(rows), every)

    def blocks() -> Any:
        for first in range(0, len(looked_at), BLOCK):
            places = list(looked_at[first : first + BLOCK])
            yield torch.tensor(places), rows.__getitems__(places).x_n

    found = nearest_rows(samples, blocks())
    nearest = rows.__getitems__(found.row.tolist())
    near = nearest.x_n
    labels = [f"{distance:.3g}" for distance in found.distance.tolist()]
    if samples.ndim == 4:
        pairs = torch.cat([samples, near.to(samples)])
        report.nearest = drawn(
            "Samples, and below them their nearest rows",
            pairs,
            report.name,
            columns=len(samples),
            labels=[*map(str, range(len(samples))), *labels],
        )
        assert report.nearest is not None
    lines = [
        (str(i), f"{row:,}", f"{distance:.4g}")
        for i, (row, distance) in enumerate(zip(nearest.row.tolist(), found.distance.tolist(), strict=True))
    ]
    report.nearest_table = Table("Nearest training row of each sample", ("sample", "row", "root mean square difference"), lines)
    which = f"all {len(rows):,} rows" if every == 1 else f"{len(looked_at):,} of {len(rows):,} rows, every {every}th"
    report.note("nearest", f"Sought among {which}. Below each sample stands its number, below each row its distance.")
