"""Messages of a run in progress: lines of metrics.jsonl, and the same to trackers."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from ambientkit.checkpoint.lines import to_line
from ambientkit.errors import RunError
from ambientkit.messages import warn
from ambientkit.run.trackers import flat, trackable
from ambientkit.text import clock
from ambientkit.training import Step, Training
from ambientkit.training.metrics import Window, memory_mb


class Log:
    """The log of the main process; in other processes it writes nothing. A context manager."""

    def __init__(self, path: Path, training: Training) -> None:
        self._path, self._training = path, training
        self._stream: TextIO | None = None
        self._since, self._at = training.step, time.monotonic()
        self._trackers = True

    def __enter__(self) -> Log:
        if self._training.accelerator.is_main_process:
            try:
                self._stream = open(self._path, "a", encoding="utf-8")
            except OSError as error:
                raise self._refused(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            with suppress(OSError):  # every line was flushed when it was written
                self._stream.close()

    def write(self, window: Window, step: Step, note: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Write the line of a window that `step` ends, and return it. note: what else it says. Raises RunError where
        the disk refuses."""
        config, now = self._training.config, time.monotonic()
        per_step = (now - self._at) / max(step.step - self._since, 1)
        rows = config.batch_size * config.grad_accum_steps * self._training.accelerator.num_processes
        line = {
            **window.line(step),
            "skipped_steps": self._training.skipped,
            "examples_per_s": round(rows / max(per_step, 1e-9), 1),
            "eta_s": round(per_step * (config.end_step - step.step), 3),
            "memory_mb": memory_mb(self._training.accelerator.device),
            "time": time.time(),
            **(note or {}),
        }
        self._since, self._at = step.step, now
        if self._stream is not None:
            try:
                self._stream.write(to_line(line))
                self._stream.flush()
            except OSError as error:
                raise self._refused(error) from error
            self.track(
                flat({key: value for key, value in line.items() if key not in ("step", "time", "warnings")}), step.step
            )
        return line

    def sync(self) -> None:
        """Bring the lines to the disk, before a checkpoint that comes after them. Raises RunError where the disk
        refuses."""
        if self._stream is not None:
            try:
                os.fsync(self._stream.fileno())
            except OSError as error:
                raise self._refused(error) from error

    def track(self, values: Mapping[str, Any], step: int) -> None:
        """Pass values to the trackers. One that fails is left out from then on: it is no reason to end a run."""
        if not (self._trackers and self._training.accelerator.trackers):
            return
        try:
            self._training.accelerator.log(trackable(values), step=step)
        except Exception as error:
            self._trackers = False
            reason = " ".join(str(error).split())[:200]
            warn(f"a tracker failed and is left out from step {step} on: {type(error).__name__}: {reason}")

    def _refused(self, error: OSError) -> RunError:
        return RunError(f"{self._path}: cannot be written ({error.strerror}); the last checkpoint is intact")


def describe_line(line: Mapping[str, Any], end_step: int) -> str:
    """A line of the log as people read it."""
    words = [f"step {line['step']}/{end_step}", *(f"{name} {mean:.4g}" for name, mean in line["terms"].items())]
    words += [f"{line['examples_per_s']:.0f} examples/s", f"{clock(line['eta_s'])} left"]
    return "  ".join(words + ([f"{line['skipped']} steps skipped (not finite)"] if line["skipped"] else []))
