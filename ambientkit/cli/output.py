"""What is printed where: a progress bar for a person, plain lines for a log."""

from __future__ import annotations

import os
import sys


def progress_wanted() -> bool:
    """True where standard error is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
