"""Everything that a report says of one run: what its folder holds, and what is drawn and measured for the page."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.checkpoint.names import METRICS
from ambientkit.config import dump
from ambientkit.config.run import to_yaml
from ambientkit.data import Observed, observed, of_one_shape
from ambientkit.errors import InputError
from ambientkit.interfaces import Sampler
from ambientkit.maths.spectrum import Spectrum, spectrum
from ambientkit.registry import Registry
from ambientkit.report.content import RunReport, Table
from ambientkit.report.history import read_history
from ambientkit.report.nearest import nearest_rows
from ambientkit.report.numbers import denoiser_numbers, evaluations, metrics, preflight_result
from ambientkit.report.progress import add_checkpoints, add_demos
from ambientkit.report.restorations import add_restorations
from ambientkit.report.run import ReportedRun, about, commands, versions
from ambientkit.report.samples import SampleDrawer, draw_samples, picture_of
from ambientkit.report.verdict import judge
from ambientkit.rows import evenly
from ambientkit.sample.suited import restores_alone

NEIGHBOURS = 8
"""Samples whose nearest rows are sought."""
LOOKED_AT, BLOCK = 50_000, 256
"""Training rows among which they are sought at most, and rows in memory at a time."""


def collect(
    run: ReportedRun,
    registry: Registry,
    *,
    n: int | None = None,
    steps: int = 32,
    rows: int = 64,
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = False,
) -> RunReport:
    """Draw, measure and read, with the options of `write_report`. Steps that fail are named on the page, and are no
    error: the rest is worth having."""
    trained = run.trained
    report = RunReport(
        run.name,
        run.state,
        run.status.state == "finished",
        about(run),
        to_yaml(dump(trained.config)),
        versions(run.path),
        read_history(run.path / METRICS),
        commands(run),
    )
    _summary_notes(run, report)
    _log_notes(report)
    trained_on = _rows(run, report)
    drawer = SampleDrawer(run, registry.build(Sampler, "heun"), trained_on, n, steps, seed, batch_size, progress)
    full, truncated = draw_samples(drawer, report)
    add_demos(run.path, report)
    if not restores_alone(trained):
        add_checkpoints(drawer, registry, report)
    if trained.config.corruption.carries:
        for section in ("nearest", "metrics"):
            report.note(section, "Not measured: the data's rows are seen in part, and samples are whole.")
    elif full is not None and trained_on is not None:
        for section, work in (
            ("nearest", lambda: _nearest(full[:NEIGHBOURS], trained_on, run.trained.latents, report)),
            ("metrics", lambda: metrics(trained, full, truncated, seed, report)),
        ):
            try:
                work()
            except InputError as error:  # a row that cannot be read
                report.note(section, f"Not measured: {error}")
    evaluations(run.path, trained.step, report)
    add_restorations(run, trained_on, registry, report, steps=steps, seed=seed)
    judge(run, full, report)
    report.sigma_n = trained.sigma_n[1] if trained.sigma_n and trained.sigma_n[1] > 0 else None
    if full is not None:
        report.values.append(("Samples, all values", full.flatten().numpy(force=True)))
    if trained_on is not None:
        given = trained_on.__getitems__(evenly(len(trained_on), 64))
        report.values.insert(0, ("Noisy rows, all values", given.x_n.flatten().numpy(force=True)))
        if not run.trained.latents and not trained.config.corruption.carries:
            report.spectra += spectra(given, full)
    preflight_result(run.path, report)
    denoiser_numbers(run, report, rows=rows, seed=seed, readable=trained_on is not None)
    return report


def spectra(given: Batch, samples: Tensor | None) -> list[tuple[str, Spectrum]]:
    """Of noisy rows, of clean ones as these imply, and of samples; none for rows that are no pictures, or single
    ones."""
    if given.x_n.ndim != 4 or len(given.x_n) < 2 or min(given.x_n.shape[2:]) < 4:
        return []
    noisy = spectrum(given.x_n)
    found = [
        ("noisy rows", noisy),
        ("clean rows, as the noisy ones imply", noisy.less(float(given.sigma_n.double().square().mean()))),
    ]
    return [*found, ("samples", spectrum(samples))] if samples is not None and len(samples) > 1 else found


def _summary_notes(run: ReportedRun, report: RunReport) -> None:
    if run.status.message:
        report.note("summary", f"{run.name}: {run.status.message}")
    if run.trained.step != run.status.step:
        which = (
            "averaged weights that rows held out have kept"
            if run.trained.kept_after > run.trained.step
            else "newest averaged weights"
        )
        report.note(
            "summary", f"{run.name}: samples and measurements are those of the {which}, step {run.trained.step:,}."
        )


def _log_notes(report: RunReport) -> None:
    history = report.history
    if history.block > 1:
        report.note("loss", f"{report.name}: each point is the mean of {history.block} of {history.lines:,} log lines.")
    if history.unreadable:
        report.note(
            "loss",
            f"{report.name}: {history.unreadable} log lines could not be read; the last one may be half written.",
        )
    if history.skipped:
        report.note(
            "loss", f"{report.name}: {history.skipped} steps were skipped, as their loss or gradient was not finite."
        )


def _rows(run: ReportedRun, report: RunReport) -> Observed | None:
    """The noisy rows that the run was trained on; None, and a note, where they cannot be read or are others now."""
    config = run.trained.config
    try:
        crops = [name for name in config.augment if name.startswith("crop=")]  # turned and flipped they need not be
        rows = of_one_shape(observed(run.trained.rows(), config.corruption, config.seed, crops))
        signal = run.trained.signal
        if tuple(rows[0].x_n.shape) == signal.conds.get("measured", signal.shape):
            return rows
        reason = f"its rows have shape {tuple(rows[0].x_n.shape)} now"
    except InputError as error:
        reason = str(error)
    for section in ("samples", "nearest", "metrics", "verify"):
        report.note(section, f"What the run was trained on cannot be read: {reason}")
    return None


def _nearest(samples: Tensor, rows: Observed, latents: bool, report: RunReport) -> None:
    """Add the nearest rows of samples (B, *S), as a picture where they are images, and as a table."""
    every = math.ceil(len(rows) / LOOKED_AT)
    looked_at = range(0, len(rows), every)

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, len(looked_at), BLOCK):
            places = list(looked_at[first : first + BLOCK])
            yield torch.tensor(places), rows.__getitems__(places).x_n

    found = nearest_rows(samples, blocks())
    nearest = rows.__getitems__(found.row.tolist())
    decode = rows.decode if latents else None
    if samples.ndim == 4 or latents:
        labels = [*map(str, range(len(samples))), *(f"{distance:.3g}" for distance in found.distance.tolist())]
        pairs = torch.cat([samples, nearest.x_n.to(samples)])
        report.nearest = picture_of(
            "Samples, and below them their nearest rows",
            pairs,
            report.name,
            columns=len(samples),
            labels=labels,
            decode=decode,
        )
    lines = [
        (str(i), f"{row:,}", f"{distance:.4g}")
        for i, (row, distance) in enumerate(zip(nearest.row.tolist(), found.distance.tolist(), strict=True))
    ]
    report.nearest_table = Table(
        "Nearest training row of each sample", ("sample", "row", "root mean square difference"), lines
    )
    which = f"all {len(rows):,} rows" if every == 1 else f"{len(looked_at):,} of {len(rows):,} rows, every {every}th"
    report.note("nearest", f"Sought among {which}. Below each sample stands its number, below each row its distance.")
