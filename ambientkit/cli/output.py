"""What is printed where: a progress bar for a person, plain lines for a log."""

from __future__ import annotations

import os
import sys
from datetime import timedelta


def progress_wanted() -> bool:
    """True where standard error is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def redacted(text: str) -> str:
    """A message without the values of environment variables that are named like secrets, which an error of a library may quote."""
    from ambientkit.config.files import is_secret

    for name, value in os.environ.items():
        if is_secret([name]) and len(value) >= 6:
            text = text.replace(value, "***")
    return text


def clock(seconds: float) -> str:
    """A duration as H:MM:SS, with days where there are any."""
    return str(timedelta(seconds=round(seconds)))


def is_main() -> bool:
    """Whether this is the process that writes, as torchrun and accelerate tell it, before accelerate itself has started."""
    return os.environ.get("RANK", "0") == "0"
