"""`ambientkit`, `python -m ambientkit` and `torchrun -m ambientkit`: the command line, from its first import on."""

from __future__ import annotations

import os
import signal
import threading

INTERRUPTED = b"note: interrupted; no unfinished file is left, and the same command begins anew\n"
"""What a command says that has not begun (`cli.output` says the same)."""


def main() -> None:
    """Run the command line. Ctrl-C while it is imported ends it as later: one line, exit status 130."""
    ours = threading.current_thread() is threading.main_thread()
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)  # an exception might be caught on its way through somebody's imports
    try:
        from ambientkit.cli import main as command

        if ours and signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command()
    except KeyboardInterrupt:  # before the command takes care of it, or after
        _end()
    finally:
        # `python -m` ends by SIGINT, with any exit status, once an interrupt has left an `exec`, as dataclasses use
        # it while they are imported; until the next `exec`.
        exec("")


def _end(*_: object) -> None:
    if os.environ.get("RANK", "0") == "0":  # of several processes
        os.write(2, INTERRUPTED)
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
