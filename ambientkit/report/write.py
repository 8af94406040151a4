"""One page on one or several runs, written to a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ambientkit.checkpoint.folder import write_file
from ambientkit.checkpoint.target import check_target, is_stream
from ambientkit.errors import InputError
from ambientkit.messages import say
from ambientkit.processes import device_of
from ambientkit.registry import Registry, load
from ambientkit.report.collect import collect
from ambientkit.report.content import RunReport
from ambientkit.report.page import page
from ambientkit.report.pdf import find_browser, print_pdf
from ambientkit.report.run import ReportedRun, names, open_run
from ambientkit.report.watch import Watched
from ambientkit.report.watch import watch as watch_runs
from ambientkit.seeds import check_seed
from ambientkit.tables import Record

OUT = Path("report.html")
"""The page where no other name is given."""

LONGEST = 86_400.0
"""Seconds between two pages at most."""


@dataclass(frozen=True, slots=True)
class WrittenReport(Record):
    """The page that `write_report` has written."""

    path: Path
    pdf: Path | None
    notes: Mapping[str, Mapping[str, Sequence[str]]]
    """Run -> section of the page -> what it says of how it was made, such as what could not be shown, and why."""

    def blocks(self) -> list[str]:
        """Where the page is, and its print."""
        return [f"report: {self.path}", *([f"pdf: {self.pdf}"] if self.pdf is not None else [])]

    def to_dict(self) -> dict[str, Any]:
        """Everything, paths as text."""
        notes = {run: {section: list(lines) for section, lines in found.items()} for run, found in self.notes.items()}
        return {"report": str(self.path), "pdf": None if self.pdf is None else str(self.pdf), "notes": notes}


def write_report(
    runs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | Path | None = None,
    *,
    pdf: str | Path | None = None,
    n: int | None = None,
    steps: int = 32,
    rows: int = 64,
    seed: int = 0,
    batch_size: int = 64,
    device: str | torch.device = "auto",
    progress: bool = False,
    watch: bool = False,
    every: float = 30.0,
    registry: Registry | None = None,
) -> WrittenReport:
    """Write one self-contained page on one or several runs: samples, progress, losses, consistency, nearest rows,
    metrics, configuration.

    runs: one run folder or several, of runs that are finished or still at work. out: the page, "report.html" in the
    current folder where it is not given; one that is there is replaced as a whole. pdf: print the page to this file
    too, which needs Chromium or Chrome. n: samples of each kind, at least 4; 64 where it is not given, or 2000 for
    points of the plane. steps: of the sampler. rows: the denoiser is measured on so many, at least 2, where `verify
    --run` has not done it. seed: of everything that is random. batch_size: samples drawn at a time, which changes
    nothing but the speed. progress: show a bar while samples are drawn. watch: write the page again every `every`
    seconds, at least 1, until all runs have ended; it reloads itself meanwhile. Samples are drawn anew with each new
    checkpoint only. An interrupt (Ctrl-C, a notebook's stop) ends the watching, not the runs, and is no error.

    Raises InputError, before anything is drawn, for a folder without a run or without weights, for a file that cannot
    be written to or a browser that is missing, and RunError where the disk or the browser refuses. Anything else that
    is missing is named on the page."""
    check_seed(seed)
    folders = [Path(runs)] if isinstance(runs, str | os.PathLike) else [Path(run) for run in runs]
    out, pdf = Path(OUT if out is None else out), None if pdf is None else Path(pdf)
    _check_numbers(n, steps, rows, batch_size, every)
    browser = _check_paths(folders, out, pdf)
    if watch and is_stream(out):
        raise InputError(f"--out {out}: a page that is written again and again should be a file (--watch)")
    place = str(device_of(device))
    registry = load() if registry is None else registry
    command = _command(
        folders,
        out,
        (
            ("--pdf", pdf, None),
            ("-n", n, None),
            ("--steps", steps, 32),
            ("--rows", rows, 64),
            ("--seed", seed, 0),
            ("--device", device, "auto"),
        ),
    )

    def collected(run: ReportedRun) -> RunReport:
        say(f"{run.path}: {run.state}; drawing and measuring")
        return collect(run, registry, n=n, steps=steps, rows=rows, seed=seed, batch_size=batch_size, progress=progress)

    def write(reports: Sequence[RunReport], refresh: float | None = None) -> None:
        written = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        write_file(out, page(reports, command=command, written=written, refresh=refresh).encode())

    named = list(zip(folders, names(folders), strict=True))
    if watch:
        reports = watch_runs(
            [Watched(folder, partial(open_run, folder, name, place, registry), collected) for folder, name in named],
            write,
            every,
        )
    else:
        opened = [open_run(folder, name, place, registry) for folder, name in named]
        reports = [collected(run) for run in opened]
        write(reports)
    if pdf is not None and browser is not None:
        print_pdf(out, pdf, browser)
    return WrittenReport(out, pdf, {report.name: report.notes for report in reports})


def _check_numbers(n: int | None, steps: int, rows: int, batch_size: int, every: float) -> None:
    for flag, value, least in (
        ("-n", n, 4),
        ("--steps", steps, 1),
        ("--rows", rows, 2),
        ("--batch-size", batch_size, 1),
        ("--every", every, 1),
    ):
        if value is not None and value < least:
            raise InputError(f"{flag} {value}: should be at least {least}")
    if not every <= LONGEST:
        raise InputError(f"--every {every:g}: should be at most {LONGEST:.0f}, a day, in seconds")


def _check_paths(runs: Sequence[Path], out: Path, pdf: Path | None) -> str | None:
    """The browser that is to print the page, if one is. Raises InputError for what cannot be."""
    if not runs:
        raise InputError("there is no run to report on: give the folder of one, or of several")
    for flag, path, kind in (("--out", out, "HTML"), ("--pdf", pdf, "PDF")):
        if path is not None:
            check_target(path, flag, kind)
    if pdf is not None and pdf.absolute() == out.absolute():
        raise InputError(f"--pdf {pdf}: is the page itself; give another file")
    browser = find_browser() if pdf is not None else None
    if len({os.path.realpath(run) for run in runs}) < len(runs):
        raise InputError("a run is named twice; each needs to be named once")
    return browser


def _command(runs: Sequence[Path], out: Path, flags: Sequence[tuple[str, Any, Any]]) -> str:
    """The command that writes the page again; flags: (name, value, what it is where it is not given)."""
    words = ["ambientkit", "report", *map(str, runs), "--out", str(out)]
    for flag, value, usual in flags:
        words += [flag, str(value)] if value != usual else []
    return shlex.join(words)
