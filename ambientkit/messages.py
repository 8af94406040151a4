"""Messages of the library while it works. It prints nothing: it logs, and a command or a notebook decides what becomes
of it.

Three levels: progress (INFO), a note about what was done with a request (NOTE), and a warning (WARNING).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ambientkit.processes import is_main
from ambientkit.spelling import in_python

NOTE = 25
"""Level of a note, between INFO and WARNING."""
INTERRUPTED = "interrupted"
"""Subject of what is said of work that a signal ends."""
PROGRESS = "ambientkit.progress"
"""Logger of what a command prints as its progress. All other messages go to the logger `ambientkit`."""

logging.addLevelName(NOTE, "NOTE")
_progress, _logger = logging.getLogger(PROGRESS), logging.getLogger("ambientkit")


def say(text: str) -> None:
    """Report progress. Of several processes only the first one reports."""
    if is_main():
        _progress.info("%s", text)


def note(text: str, subject: str = "") -> None:
    """Report a consequence of the request that the user may not expect. Of several processes only the first one
    reports. subject: what it is about, for `reported` and for a command."""
    if is_main():
        _log(NOTE, text, subject)


def warn(text: str) -> None:
    """Report something that may spoil the result. Of several processes only the first one reports."""
    if is_main():
        _log(logging.WARNING, text)


@contextmanager
def reported(*subjects: str) -> Iterator[None]:
    """Drop the messages on these subjects (`extra={"subject": ...}` of a record): the caller reports them himself."""

    def other(record: logging.LogRecord) -> bool:
        return getattr(record, "subject", None) not in subjects

    _logger.addFilter(other)
    try:
        yield
    finally:
        _logger.removeFilter(other)


@contextmanager
def without_progress() -> Iterator[None]:
    """Drop what is said of progress."""

    def nothing(record: logging.LogRecord) -> bool:
        return False

    _progress.addFilter(nothing)
    try:
        yield
    finally:
        _progress.removeFilter(nothing)


def _log(level: int, text: str, subject: str = "") -> None:
    """Names arguments; a command prints `as_command`, with its flags."""
    _logger.log(level, "%s", in_python(text), extra={"as_command": text, "subject": subject})
