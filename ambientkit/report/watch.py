"""A page that is written again and again while its runs go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ambientkit.checkpoint.names import METRICS, WEIGHTS
from ambientkit.errors import InputError
from ambientkit.messages import say
from ambientkit.report.content import RunReport
from ambientkit.report.history import read_history
from ambientkit.report.run import ReportedRun, about
from ambientkit.run.status import status


class Watched:
    """Draws and measures a run where its weights are new, and reads only its log where they are not."""

    def __init__(self, path: Path, open_: Callable[[], ReportedRun], collect: Callable[[ReportedRun], RunReport]):
        self._path, self._open, self._collect = path, open_, collect
        self._written: int | None = None
        self._run: ReportedRun | None = None
        self._report: RunReport | None = None

    @property
    def at_work(self) -> bool:
        """Whether a process holds the run now. Raises InputError where there is no run, or none any more."""
        try:
            return status(self._path).state == "running"
        except InputError:
            if self._report is not None and not self._path.is_dir():
                raise InputError(
                    f"{self._path}: the folder is gone while it was watched: removed, moved, or its disk not there. "
                    "The page stays as it was last"
                ) from None
            raise

    @property
    def has_weights(self) -> bool:
        """Whether there is anything to draw with yet."""
        return (self._path / WEIGHTS).is_file()

    def report(self) -> RunReport:
        """What the page says of the run now. Raises InputError where it cannot be read."""
        written = (self._path / WEIGHTS).stat().st_mtime_ns if self.has_weights else None
        if self._run is None or self._report is None or written != self._written:
            self._run, self._written = self._open(), written
            self._report = self._collect(self._run)
        else:
            self._run = replace(self._run, status=status(self._path))
            self._report = replace(
                self._report,
                state=self._run.state,
                finished=self._run.status.state == "finished",
                about=about(self._run),
                history=read_history(self._path / METRICS),
            )
        return self._report


def watch(
    runs: Sequence[Watched],
    write: Callable[[list[RunReport], float | None], None],
    every: float,
    sleep: Callable[[float], None] = time.sleep,
) -> list[RunReport]:
    """Write the page every `every` seconds until no run is at work any more; what it said last.

    write: the page, and the seconds after which it reloads itself, None once that is over. An interrupt ends the
    watching, not the runs; the page then stays as it is and reloads no more. One that comes before the first page is
    raised again. Raises InputError for a run that ended without weights, or whose folder is gone; a page that is there
    reloads no more then.
    """
    reports: list[RunReport] = []
    waited = False
    try:
        while True:
            going = any(run.at_work for run in runs)  # asked before anything is read: the last page has the end of all
            if going and not all(run.has_weights for run in runs):
                if not waited:
                    say("no weights yet: the page comes with the first checkpoint, `save_every` of the configuration")
                waited = True
            else:
                reports = [run.report() for run in runs]
                write(reports, every if going else None)
                if not going:
                    return reports
            sleep(every)
    except KeyboardInterrupt:
        if not reports:
            raise
        write(reports, None)
        say("stopped watching; the runs go on")
        return reports
    except InputError:
        if reports:
            write(reports, None)
        raise
