"""Where a command prints to: a full disk, a closed stream, or one without the characters; and what it says when it is
stopped."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from ambientkit.cli.output import INTERRUPTED, NOTE, command
from ambientkit.messages import INTERRUPTED as SUBJECT
from ambientkit.messages import NOTE as LEVEL
from ambientkit.messages import note, warn


def ended(text: str, status: int) -> int:
    """Exit status of a command that prints a text and ends with a status."""

    @command()
    def printing() -> None:
        print(text)
        sys.exit(status)

    with pytest.raises(SystemExit) as end:
        printing()
    return int(end.value.code or 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize(("status", "told"), [(0, 1), (2, 2)])
def test_what_cannot_be_printed_is_told_and_is_no_success(status, told, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert ended("a result", status) == told
    message = "error: standard output: cannot be written (No space left on device)"
    assert (message in capsys.readouterr().err) == (status == 0)


@pytest.mark.parametrize(
    ("number", "status", "said", "early"),
    [
        (None, 130, False, False),
        (signal.SIGTERM, 143, False, False),
        (None, 130, True, False),
        (None, 130, False, True),
    ],
)
def test_a_command_that_is_stopped_says_once_what_becomes_of_its_work(number, status, said, early, capsys):
    """By Ctrl-C, as typer ends it, and by a signal of a batch system. said: the work has said it itself; early: typer
    is not there yet."""

    @command()
    def working() -> None:
        try:
            if said:
                note("interrupted; 3 of 9 rows are on disk", INTERRUPTED)
            if number is None:
                raise KeyboardInterrupt
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt as error:
            if early:
                raise
            raise SystemExit(130) from error

    with pytest.raises(SystemExit) as end:
        working()
    assert end.value.code == status
    told = "3 of 9 rows are on disk" if said else "no unfinished file is left, and the same command begins anew"
    assert capsys.readouterr().err == f"note: interrupted; {told}\n"


def test_levels_and_subjects_are_those_of_the_library():
    assert (NOTE, INTERRUPTED) == (LEVEL, SUBJECT)


def test_a_warning_is_printed_once(capsys):
    """Case: what the axes of a file mean was said four times, once for each time that it was opened."""

    @command()
    def opening() -> None:
        for axes in ("T as rows", "T as rows", "Z as rows", "T as rows"):
            warn(axes)
        note("T as rows")

    opening()
    assert capsys.readouterr().err.splitlines() == [
        "warning: T as rows",
        "warning: Z as rows",
        "note: T as rows",
    ]


def test_an_exit_status_of_130_by_itself_says_nothing(capsys):
    """As `train` ends, which has said where it stopped."""
    assert ended("stopped", 130) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", [0, 1])
def test_a_closed_stream_changes_nothing(status, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert ended("a result", status) == status


def test_a_character_that_the_stream_lacks_is_written_as_its_code(monkeypatch):
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding="ascii"))
    assert ended("\xfc \udcff", 0) == 0
    assert kept.getvalue() == rb"\xfc \udcff" + b"\n"
