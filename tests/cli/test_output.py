"""Where a command prints to: a full disk, a closed stream, or one without the characters."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from ambientkit.cli.output import command


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
