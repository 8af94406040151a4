"""What Ctrl-C does to a command that is still being imported."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ambientkit.__main__ import INTERRUPTED
from ambientkit.cli import signals

HOOK = """
import os, runpy, signal, sys

class Hook:
    def find_spec(self, name, *_):
        if name == MODULE:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except SWALLOWED:
                pass

sys.meta_path.insert(0, Hook())
sys.argv = ["ambientkit", "plugins"]
runpy.run_module("ambientkit", run_name="__main__", alter_sys=True)
"""
"""The command, sent SIGINT as soon as it imports a module."""
LEFT = """
import sys
import ambientkit.cli
from ambientkit.__main__ import main

def command():
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        sys.exit(130)

ambientkit.cli.main = command
main()
"""
"""A command in which an interrupt leaves an `exec`: `python -m` then ends by the signal, whatever status is asked for.
"""


def interrupted(module: str, swallowed: str = "()") -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of the command; swallowed: exceptions that the importer catches."""
    code = f"MODULE, SWALLOWED = {module!r}, {swallowed}\n{HOOK}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["ambientkit.cli", "ambientkit.errors", "typer", "typer.main"])
def test_a_command_that_is_interrupted_while_it_is_imported_says_one_line(module: str) -> None:
    assert interrupted(module) == (130, "", INTERRUPTED.decode())


def test_it_ends_also_where_somebody_catches_every_exception() -> None:
    assert interrupted("typer", "BaseException") == (130, "", INTERRUPTED.decode())


@pytest.mark.slow
@pytest.mark.parametrize("swallowed", ["()", "BaseException"])
@pytest.mark.parametrize("module", ["ambientkit.api", "torch", "torch.nn"])
def test_the_same_while_the_command_imports_what_it_needs(module: str, swallowed: str) -> None:
    """Case: an interrupt that numpy or torch caught on its way was lost, or became an error of a module without half of
    its names."""
    assert interrupted(module, swallowed) == (130, "", INTERRUPTED.decode())


@pytest.mark.parametrize(("imports", "seconds"), [(True, 0.3), (False, 0.0)])
def test_an_interrupt_waits_for_an_import_but_not_for_ever(imports: bool, seconds: float, monkeypatch) -> None:
    monkeypatch.setattr(signals, "_imports", lambda frame: imports)
    monkeypatch.setattr(signals, "LONGEST", 0.3)

    @signals.stopped_by_signals()
    def command() -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(10)

    began = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 130
    assert seconds <= time.monotonic() - began < seconds + 1


def test_the_status_is_130_also_where_the_interrupt_has_left_an_exec(tmp_path: Path) -> None:
    (tmp_path / "left.py").write_text(LEFT)
    command = [sys.executable, "-m", "left"]
    assert subprocess.run(command, timeout=60, check=False, cwd=tmp_path).returncode == 130


def test_the_line_is_that_of_a_command_that_has_begun() -> None:
    from ambientkit.cli import output

    assert INTERRUPTED.decode() == f"note: {output.NOTHING_DONE}\n"
