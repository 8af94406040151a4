"""What a run is doing, or how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ambientkit.checkpoint.evaluations import describe
from ambientkit.checkpoint.folder import MANIFEST, checkpoints
from ambientkit.checkpoint.lines import first_line, last_line
from ambientkit.checkpoint.lock import holder, is_held
from ambientkit.checkpoint.names import CHECKPOINTS, EVALUATIONS, METRICS
from ambientkit.checkpoint.status import RunStatus, State, read_status
from ambientkit.errors import InputError
from ambientkit.run.folder import resume_command
from ambientkit.run.going import Going, going
from ambientkit.tables import Record
from ambientkit.text import clock


@dataclass(frozen=True, slots=True)
class Status(Record):
    """The facts about a run in a folder: its state, how far it is, its last figures, and the command that goes on with
    it."""

    folder: Path
    state: State
    """As in `RunStatus`, but true now: a run that was killed has failed."""
    step: int
    end_step: int
    processes: int
    message: str
    """Of a run at work the process that holds it; otherwise why it ended, where it says so."""
    time: float
    """Of its last sign of life, seconds since 1970."""
    warnings: tuple[str, ...]
    loss: float | None
    """In the last line of the log, as are the next three; None before the first."""
    examples_per_s: float | None
    eta_s: float | None
    """Seconds that a run at work still needs."""
    going: Going
    """Whether the run goes well; from the first percent of its steps on."""
    skipped_steps: int
    """Steps whose loss or gradient was not finite."""
    evaluation: Mapping[str, Any] | None
    """The last line of `evaluations.jsonl`."""
    last_checkpoint: Path | None
    resume: str | None
    """The command that goes on with the run; None for one that is at work or finished."""

    def blocks(self) -> list[str]:
        """The state, and below it one line for each fact that is known."""
        rows = {"step": f"{self.step} of {self.end_step} ({self.step / self.end_step:.0%})"}
        rows["going well"] = str(self.going)
        if self.loss is not None:
            rows["last loss"] = f"{self.loss:.4g}"
        if self.examples_per_s is not None:
            rows["speed"] = f"{self.examples_per_s:.0f} examples/s"
        if self.eta_s is not None:
            rows["left"] = clock(self.eta_s)
        if self.skipped_steps:
            rows["skipped"] = f"{self.skipped_steps} steps whose loss or gradient was not finite"
        for number, warning in enumerate(self.warnings):
            rows["warning" + f" {number + 1}" * (number > 0)] = warning
        if self.evaluation:
            rows["last evaluation"] = f"step {self.evaluation['step']}: {describe(self.evaluation)}"
        rows["last sign of life"] = f"{clock(max(time.time() - self.time, 0))} ago"
        rows["last checkpoint"] = str(self.last_checkpoint or "none")
        if self.resume:
            rows["go on with"] = self.resume
        width = max(map(len, rows)) + 1
        head = f"{self.folder}: {self.state}{': ' if self.message else ''}{self.message}"
        return [head, *(f"  {name + ':':{width}} {text}" for name, text in rows.items())]

    def to_dict(self) -> dict[str, Any]:
        """All but the folder, as `ambientkit status --json` prints it."""
        return {
            "state": self.state,
            "step": self.step,
            "end_step": self.end_step,
            "processes": self.processes,
            "message": self.message,
            "time": self.time,
            "warnings": list(self.warnings),
            "loss": self.loss,
            "examples_per_s": self.examples_per_s,
            "eta_s": self.eta_s,
            "going": {"answer": self.going.answer, "why": self.going.why},
            "skipped_steps": self.skipped_steps,
            "evaluation": None if self.evaluation is None else dict(self.evaluation),
            "last_checkpoint": None if self.last_checkpoint is None else str(self.last_checkpoint),
            "resume": self.resume,
        }


def status(folder: str | Path) -> Status:
    """The status of the run in `folder`. Raises InputError where there is none, or where one of its files cannot be
    read."""
    folder = Path(folder)
    written = read_status(folder)
    if written is None:
        raise InputError(f"{folder}: holds no run; give the folder that `ambientkit train` wrote (its --output-dir)")
    line = last_line(folder / METRICS)
    if written.state == "running":  # it has logged since
        written = replace(written, step=max(written.step, line.get("step", 0)))
    now = _alive(written, folder)
    running = now.state == "running"
    return Status(
        folder=folder,
        state=now.state,
        step=now.step,
        end_step=now.end_step,
        processes=now.processes,
        message=now.message,
        time=max(now.time, line.get("time", 0)),
        warnings=tuple(now.warnings),
        loss=line.get("loss"),
        examples_per_s=line.get("examples_per_s"),
        eta_s=line.get("eta_s") if running else None,
        going=going(first_line(folder / METRICS), line, now.step, now.end_step, now.warnings),
        skipped_steps=line.get("skipped_steps", 0),
        evaluation=last_line(folder / EVALUATIONS) or None,
        last_checkpoint=next(
            (path for _, path in checkpoints(folder / CHECKPOINTS) if (path / MANIFEST).is_file()), None
        ),
        resume=None if running or now.state == "finished" else resume_command(folder, now.processes),
    )


def _alive(written: RunStatus, folder: Path) -> RunStatus:
    """The status as it is now: a run that says it is running, but holds no lock, was killed."""
    held = is_held(folder)
    who = holder(folder)
    if held:
        return replace(written, state="running", message=who)
    if written.state == "running" and held is False:
        return replace(
            written,
            state="failed",
            message=f"{who or 'its process'} ended silently (killed, or the machine went down)",
        )
    return written
