"""Ctrl-C ends a script of examples/ as it ends a command: one line, exit status 130."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable


def stoppable(main: Callable[[], None], goes_on: bool = False) -> None:
    """Run the whole script. goes_on: the same command goes on with what it has kept; otherwise it begins anew."""
    try:
        main()
    except KeyboardInterrupt:
        sys.stdout.flush()
        print(f"interrupted; the same command {'goes on' if goes_on else 'begins anew'}", file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)  # neither threads nor an interrupt that was caught on its way change the status
