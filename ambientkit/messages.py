"""Messages of the library while it works. It prints nothing: it logs, and a command or a notebook decides what becomes
of it.

Three levels: progress (INFO), a note about what was done with a request (NOTE), and a warning (WARNING).
"""

from __future__ import annotations

import logging

from ambientkit.processes import is_main
from ambientkit.spelling import in_python

NOTE = 25
"""Level of a note, between INFO and WARNING."""
PROGRESS = "ambientkit.progress"
"""Logger of what a command prints as its progress. All other messages go to the logger `ambientkit`."""

logging.addLevelName(NOTE, "NOTE")
_progress, _logger = logging.getLogger(PROGRESS), logging.getLogger("ambientkit")


def say(text: str) -> None:
    """Report progress. Of several processes only the first one reports."""
    if is_main():
        _progress.info("%s", text)


def note(text: str) -> None:
    """Report a consequence of the request that the user may not expect. Of several processes only the first one
    reports."""
    if is_main():
        _log(NOTE, text)


def warn(text: str) -> None:
    """Report something that may spoil the result. Of several processes only the first one reports."""
    if is_main():
        _log(logging.WARNING, text)


def _log(level: int, text: str) -> None:
    """Names arguments; a command prints `as_command`, with its flags."""
    _logger.log(level, "%s", in_python(text), extra={"as_command": text})
