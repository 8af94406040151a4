"""`ambientkit status`: what a run is doing, or how it ended."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ambientkit.checkpoint.evaluations import EVALUATIONS, describe
from ambientkit.checkpoint.folder import MANIFEST, checkpoints
from ambientkit.checkpoint.lines import last_line
from ambientkit.checkpoint.lock import holder, is_held
from ambientkit.checkpoint.status import RunStatus, read_status
from ambientkit.errors import InputError
from ambientkit.text import clock


def run(folder: Path, as_json: bool) -> None:
    """Print the status of the run in `folder`. Raises InputError where there is none."""
    facts = collect(folder)
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    print(f"{folder}: {facts['state']}{': ' if facts['message'] else ''}{facts['message']}")
    share = facts["step"] / facts["end_step"]
    rows = {"step": f"{facts['step']} of {facts['end_step']} ({share:.0%})"}
    if facts["loss"] is not None:
        rows["last loss"] = f"{facts['loss']:.4g}"
    if facts["examples_per_s"] is not None:
        rows["speed"] = f"{facts['examples_per_s']:.0f} examples/s"
    if facts["eta_s"] is not None:
        rows["left"] = clock(facts["eta_s"])
    if facts["skipped_steps"]:
        rows["skipped"] = f"{facts['skipped_steps']} steps whose loss or gradient was not finite"
    for number, warning in enumerate(facts["warnings"]):
        rows["warning" + f" {number + 1}" * (number > 0)] = warning
    if facts["evaluation"]:
        rows["last evaluation"] = f"step {facts['evaluation']['step']}: {describe(facts['evaluation'])}"
    rows["last sign of life"] = f"{clock(max(time.time() - facts['time'], 0))} ago"
    rows["last checkpoint"] = facts["last_checkpoint"] or "none"
    if facts["resume"]:
        rows["go on with"] = facts["resume"]
    width = max(map(len, rows)) + 1
    for name, text in rows.items():
        print(f"  {name + ':':{width}} {text}")


def collect(folder: Path) -> dict[str, Any]:
    """The facts about a run. Raises InputError where `folder` holds none."""
    from ambientkit.run.folder import CHECKPOINTS, METRICS, resume_command

    status = read_status(folder)
    if status is None:
        raise InputError(f"{folder}: holds no run; give the folder that `ambientkit train` wrote (its --output-dir)")
    line = last_line(folder / METRICS)
    if status.state == "running":  # it has logged since
        status = replace(status, step=max(status.step, line.get("step", 0)))
    status = _alive(status, folder)
    running = status.state == "running"
    newest = next((path for _, path in checkpoints(folder / CHECKPOINTS) if (path / MANIFEST).is_file()), None)
    facts = {
        **asdict(status),
        "time": max(status.time, line.get("time", 0)),
        "loss": line.get("loss"),
        "examples_per_s": line.get("examples_per_s"),
        "eta_s": line.get("eta_s") if running else None,
        "skipped_steps": line.get("skipped_steps", 0),
        "evaluation": last_line(folder / EVALUATIONS) or None,
        "last_checkpoint": str(newest) if newest else None,
        "resume": None if running or status.state == "finished" else resume_command(folder, status.processes),
    }
    return facts


def _alive(status: RunStatus, folder: Path) -> RunStatus:
    """The status as it is now: a run that says it is running, but holds no lock, was killed."""
    held = is_held(folder)
    who = holder(folder)
    if held:
        return replace(status, state="running", message=who)
    if status.state == "running" and held is False:
        return replace(status, state="failed", message=f"{who or 'its process'} ended without a word (killed, or the machine went down)")
    return status
