"""What a signal does to a command: Ctrl-C, SIGTERM and SIGHUP end it in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
WAIT, LONGEST = 0.02, 20.0
"""Seconds between two looks at an import that is under way, and at most in all."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does, so that it can say what is to be done; the exit status is 128
    and the signal.

    A signal waits for the end of an import: an exception in the middle of one may be caught on its way, and then it is
    lost, or leaves a module without half of its names.
    """
    received: list[tuple[int, float]] = []
    waiting: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append((number, time.monotonic()))
        if _imports(frame) and time.monotonic() - received[0][1] < LONGEST:
            waiting.append(threading.Timer(WAIT, os.kill, (os.getpid(), number)))
            waiting[-1].daemon = True
            waiting[-1].start()
            return
        raise KeyboardInterrupt

    ours = {"SIGINT": signal.default_int_handler}
    before: dict[int, Any] = {}
    with suppress(ValueError):  # not in the main thread: signals are somebody else's
        for name in NAMES:  # one that is ignored, as under nohup, stays so
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is ours.get(name, signal.SIG_DFL):
                before[number] = signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:  # before there is a command that could end by it
        sys.exit(128 + (received[0][0] if received else signal.SIGINT))
    except SystemExit:
        if received and received[0][0] != signal.SIGINT:
            sys.exit(128 + received[0][0])
        raise
    finally:
        for timer in waiting:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _imports(frame: FrameType | None) -> bool:
    """True where an import is under way."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
