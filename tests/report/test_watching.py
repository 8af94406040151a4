"""What ends the watching of runs leaves a page at rest, and says what it was; without a run that trains."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from ambientkit.checkpoint.names import WEIGHTS
from ambientkit.checkpoint.status import RunStatus
from ambientkit.cli.output import command
from ambientkit.errors import InputError
from ambientkit.report import write_report
from ambientkit.report.watch import Watched, watch


def test_a_run_whose_folder_disappears_is_named_and_its_page_is_at_rest(tmp_path: Path, monkeypatch) -> None:
    run, pages = tmp_path / "run", []
    run.mkdir()
    (run / WEIGHTS).touch()
    RunStatus("running", 1, 9).write(run)
    monkeypatch.setattr("ambientkit.run.status.is_held", lambda folder: True)
    watched = Watched(run, lambda: object(), lambda opened: "page")  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match=r"run: the folder is gone while it was watched"):
        watch(
            [watched],
            lambda reports, refresh: pages.append(refresh),
            7.0,
            lambda seconds: run.rename(tmp_path / "x") and None,
        )
    assert pages == [7.0, None]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)])
def test_the_end_by_a_batch_system_is_told_by_the_status_and_that_by_ctrl_c_is_a_success(
    tmp_path: Path, monkeypatch, number: int, status: int
) -> None:
    run, pages = tmp_path / "run", []
    run.mkdir()
    (run / WEIGHTS).touch()
    RunStatus("running", 1, 9).write(run)
    monkeypatch.setattr("ambientkit.run.status.is_held", lambda folder: True)
    watched = Watched(run, lambda: object(), lambda opened: "page")  # type: ignore[arg-type, return-value]

    @command()
    def watching() -> None:
        watch([watched], lambda _, refresh: pages.append(refresh), 7.0, lambda _: os.kill(os.getpid(), number))
        sys.exit(0)  # as typer ends it

    with pytest.raises(SystemExit) as end:
        watching()
    assert end.value.code == status
    assert pages == [7.0, None]


def test_a_page_is_not_watched_through_a_pipe(tmp_path: Path) -> None:
    """It would wait for a reader at each page, also where it is to end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"should be a file \(--watch\)"):
        write_report(tmp_path / "run", tmp_path / "pipe", watch=True)
