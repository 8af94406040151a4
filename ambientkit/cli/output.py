"""What a command prints, and where: results and progress to stdout, notes and warnings to stderr, a bar where a person looks; and --json."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ambientkit.api.training import Stop
    from ambientkit.tables import Record

NOTE = 25
"""Level of a note: `ambientkit.messages.NOTE`, which is not imported here so that `--help` stays immediate."""


def progress_wanted() -> bool:
    """True where standard error is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Printer(logging.Handler):
    """Prints what the library tells."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= NOTE:
            kind = "warning" if record.levelno >= logging.WARNING else "note"
            print(f"{kind}: {text}", file=sys.stderr, flush=True)
        elif record.name == "ambientkit.progress":
            say(text)


def say(text: str) -> None:
    """Print a line at once. A reader that has gone away (`| head`) is no reason to stop the work: it goes on in silence."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        silence()


def silence() -> None:
    """Send what is still printed to nowhere, so that the interpreter does not complain of the broken pipe when it ends."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (it is open until the process ends)


def print_messages() -> None:
    """Print what the library tells from now on."""
    logger = logging.getLogger("ambientkit")
    if not any(isinstance(handler, _Printer) for handler in logger.handlers):
        logger.addHandler(_Printer())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def json_file(path: Path | None, flag: str = "--json") -> None:
    """Raise InputError where the file that a flag names cannot be written. Called before the work whose result it is to hold."""
    from ambientkit.checkpoint.target import check_target

    if path is not None:
        check_target(path, flag)


def write_json(path: Path, content: Record | dict[str, Any]) -> None:
    """Write a result as a JSON file, whole or not at all. Raises RunError where the disk refuses."""
    from ambientkit.checkpoint.folder import write_file

    document = content if isinstance(content, dict) else content.to_dict()
    sys.stdout.flush()  # the path may be that of standard output
    write_file(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


@contextmanager
def stopping() -> Iterator[Stop]:
    """Within the block the first signal asks the work to stop in an orderly way; a second one ends the process at once."""
    from ambientkit.api.training import stop_on_signals

    with stop_on_signals() as stop:
        yield stop
