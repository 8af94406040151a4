"""A run folder opened for `ambientkit report`: what it is, how it was made, and how to make it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ambientkit.config.run import ScheduledObjective
from ambientkit.errors import InputError
from ambientkit.registry import Registry
from ambientkit.report.command import ReportRequest
from ambientkit.run import status
from ambientkit.run.folder import CONFIG, read_versions
from ambientkit.sample import Trained, load_run
from ambientkit.sample.load import WEIGHTS


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that a report can be written on."""

    path: Path
    name: str
    state: str
    facts: dict[str, Any]
    """As `ambientkit status --json` has them."""
    trained: Trained
    device: str


def names(runs: Sequence[Path]) -> list[str]:
    """A name for each run: that of its folder, with as many folders above it as it takes to tell them apart."""
    parts = [path.resolve().parts for path in runs]
    depth = 1
    while len({own[-depth:] for own in parts}) < len(parts):
        depth += 1
    return ["/".join(own[-depth:]) for own in parts]


def opened(path: Path, name: str, request: ReportRequest, registry: Registry) -> Opened:
    """The run in a folder with its newest averaged weights. Raises InputError where there is no run, or none with weights yet."""
    if path.is_file():
        raise InputError(f"{path}: is a file; give the folder of the run")
    facts = status.collect(path)
    if not (path / WEIGHTS).is_file():
        raise InputError(
            f"{path}: the run has no weights yet ({facts['state']}, step {facts['step']} of {facts['end_step']}): the first checkpoint comes with "
            f"step `save_every` of {path / CONFIG}; write the report after it"
        )
    device = request.device if request.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    trained = load_run(path, registry, device)
    return Opened(path, name, _state(facts), facts, trained, device)


def _state(facts: dict[str, Any]) -> str:
    if facts["state"] == "finished":
        return f"finished, {facts['end_step']:,} steps"
    why = {"running": "still training", "unfinished": "time limit reached"}.get(facts["state"], facts["state"])
    return f"unfinished, step {facts['step']:,} of {facts['end_step']:,} ({why})"


def facts(run: Opened) -> dict[str, str]:
    """What the page says of the run at its head."""
    config, signal = run.trained.config, run.trained.signal
    known = run.trained.sigma_n
    return {
        "folder": str(run.path),
        "state": run.state,
        "weights of step": f"{run.trained.step:,}",
        "data": f"{config.data.name}, rows of shape {' x '.join(map(str, signal.shape))}",
        "noise of the data, sigma_n": "not recorded"
        if known is None
        else f"{known[0]:.4g}"
        if known[0] == known[1]
        else f"{known[0]:.4g} to {known[1]:.4g}",
        "std of the clean data, sigma_data": f"{signal.sigma_data:.4g}",
        "corruption": config.corruption.name,
        "objective": ", ".join(map(_weighted, config.objective)),
        "model": config.model.name,
        "batch size": str(config.batch_size * config.grad_accum_steps * run.facts["processes"]),
        "seed": str(config.seed),
    }


def _weighted(entry: ScheduledObjective) -> str:
    """An objective with its weight, and when it counts where that is not always."""

    def when(value: int | float) -> str:
        return f"step {value:,}" if isinstance(value, int) else f"{value:.0%} of the run"

    said = f"weight {entry.weight:g}"
    said += f", from {when(entry.start)}" if entry.start else ""
    said += f", until {when(entry.stop)}" if entry.stop is not None else ""
    return f"{entry.objective.name} ({said})"


def versions(path: Path) -> dict[str, str]:
    """Package versions as the run wrote them; empty where it did not. Raises InputError for a file of another format."""
    return {name: "not installed" if version is None else version for name, version in read_versions(path).items()}


def commands(run: Opened) -> list[tuple[str, str]]:
    """Titles and commands to make the run again and to use it."""
    folder, quoted = str(run.path).rstrip("/"), shlex.quote(str(run.path))
    again = f"ambientkit train --config {shlex.quote(str(run.path / CONFIG))} --output-dir {shlex.quote(folder + '-again')}"
    if run.facts["processes"] > 1:
        again = again.replace("ambientkit", f"torchrun --nproc_per_node {run.facts['processes']} -m ambientkit", 1)
    found = [("Train it again, from the same seed", again)]
    if run.facts["resume"]:
        found.append(("Go on with it", run.facts["resume"]))
    return [*found, ("Draw samples", f"ambientkit sample {quoted}"), ("Measure it without clean data", f"ambientkit verify --run {quoted}")]
