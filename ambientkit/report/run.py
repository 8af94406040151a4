"""A run that a report is written on: its data and model, how it was made, and how to make it again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ambientkit.checkpoint.lines import first_line, last_line
from ambientkit.checkpoint.names import CONFIG, METRICS, WEIGHTS
from ambientkit.config.run import ScheduledObjective
from ambientkit.errors import InputError
from ambientkit.registry import Registry
from ambientkit.run.folder import read_versions
from ambientkit.run.status import Status, status
from ambientkit.sample import Trained, load_run
from ambientkit.sample.suited import restores_alone, sample_command
from ambientkit.text import clock


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A run in a folder, with its newest averaged weights."""

    path: Path
    name: str
    """As the page calls it."""
    status: Status
    trained: Trained
    device: str
    """Where its network is."""

    @property
    def state(self) -> str:
        """Such as "unfinished, step 120 of 300 (still training)"."""
        now = self.status
        if now.state == "finished":
            early = now.step < now.end_step
            return (
                f"finished early, step {now.step:,} of {now.end_step:,}"
                if early
                else f"finished, {now.end_step:,} steps"
            )
        why = {"running": "still training", "unfinished": "time limit reached"}.get(now.state, now.state)
        return f"unfinished, step {now.step:,} of {now.end_step:,} ({why})"


def names(runs: Sequence[Path]) -> list[str]:
    """A name for each run: that of its folder, with as many folders above it as distinguish them."""
    parts = [Path(os.path.realpath(path)).parts for path in runs]
    depth = 1
    while len({own[-depth:] for own in parts}) < len(parts):
        depth += 1
    return ["/".join(own[-depth:]) for own in parts]


def open_run(path: Path, name: str, device: str, registry: Registry) -> ReportedRun:
    """The run in a folder. Raises InputError where there is no run, or none with weights yet."""
    if path.is_file():
        raise InputError(f"{path}: is a file; give the folder of the run")
    now = status(path)
    if not (path / WEIGHTS).is_file():
        raise InputError(
            f"{path}: the run has no weights yet ({now.state}, step {now.step} of {now.end_step}): the first "
            "checkpoint comes with "
            f"step `save_every` of {path / CONFIG}; write the report after it"
        )
    return ReportedRun(path, name, now, load_run(path, registry, device), device)


def about(run: ReportedRun) -> dict[str, str]:
    """What the page says of the run at its head."""
    config, signal = run.trained.config, run.trained.signal
    return {
        "folder": str(run.path),
        "state": run.state,
        "weights of step": f"{run.trained.step:,}",
        "data": f"{config.data.name}, rows of shape {' x '.join(map(str, signal.shape))}",
        "noise of the data, sigma_n": _noise(run.trained.sigma_n),
        "std of the clean data, sigma_data": f"{signal.sigma_data:.4g}",
        "corruption": config.corruption.name,
        "objective": ", ".join(map(_weighted, config.objective)),
        "model": config.model.name,
        "batch size": str(config.batch_size * config.grad_accum_steps * run.status.processes),
        "seed": str(config.seed),
        "time": _time(run.path),
        "hardware": f"{run.status.processes} x {read_versions(run.path).get('device') or 'not recorded'}",
    }


def _time(path: Path) -> str:
    """From the first to the last line of the log, pauses included."""
    first, last = first_line(path / METRICS), last_line(path / METRICS)
    if "time" not in first or "time" not in last or first["step"] == last["step"]:
        return "not recorded"
    return f"{clock(last['time'] - first['time'])} for steps {first['step']:,} to {last['step']:,}"


def _noise(levels: tuple[float, float] | None) -> str:
    if levels is None:
        return "not recorded"
    low, high = levels
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _weighted(entry: ScheduledObjective) -> str:
    """An objective with its weight, and when it counts where that is not always."""

    def when(value: int | float) -> str:
        return f"step {value:,}" if isinstance(value, int) else f"{value:.0%} of the run"

    said = f"weight {entry.weight:g}"
    said += f", from {when(entry.start)}" if entry.start else ""
    said += f", until {when(entry.stop)}" if entry.stop is not None else ""
    return f"{entry.objective.name} ({said})"


def versions(path: Path) -> dict[str, str]:
    """Package versions as the run wrote them; empty where it did not. Raises InputError for a file of another
    format."""
    return {name: "not installed" if version is None else version for name, version in read_versions(path).items()}


def commands(run: ReportedRun) -> list[tuple[str, str]]:
    """Titles and commands to make the run again and to use it."""
    folder, quoted = str(run.path).rstrip("/"), shlex.quote(str(run.path))
    again = (
        f"ambientkit train --config {shlex.quote(str(run.path / CONFIG))} --output-dir {shlex.quote(folder + '-again')}"
    )
    if run.status.processes > 1:
        again = again.replace("ambientkit", f"torchrun --nproc_per_node {run.status.processes} -m ambientkit", 1)
    found = [("Train it again, from the same seed", again)]
    if run.status.resume:
        found.append(("Go on with it", run.status.resume))
    return [
        *found,
        ("Draw samples", sample_command(run.path, restores_alone(run.trained))),
        ("Measure it without clean data", f"ambientkit verify --run {quoted}"),
    ]
