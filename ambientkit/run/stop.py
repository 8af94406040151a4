"""Stopping in an orderly way: the first signal, or the time limit, ends the run after the current step, or at once
while rows are read; a second signal at once."""

from __future__ import annotations

import math
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ambientkit.errors import InputError

WORSE = 1
"""In the place of what `Stop.asked` returns: the loss on rows held out has risen for good. Below all others, which can
be resumed from."""
TIME_UP = 2
"""What `Stop.asked` returns at the time limit: below every signal, so that a signal counts more."""
SIGNALLED = 100
"""What `Stop.asked` adds to the number of a signal, of which one is 1."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))
"""Clusters announce the end of a job with SIGTERM or SIGUSR1; SIGHUP is a lost connection."""
ECHO = 2.0
"""Seconds in which torchrun may pass on a signal that the terminal has sent to everybody."""


class Asked(BaseException):
    """The run was asked to stop while a batch is read; no `Exception`, which readers take for a damaged row."""


@dataclass(slots=True)
class Stop:
    """Whether the run was asked to stop."""

    signal: int = 0
    """The first signal; 0 for none."""
    deadline: float = math.inf
    """When to stop, on the clock of `time.monotonic`."""
    leaving: bool = False
    """Whether a signal ends what the main thread is doing."""
    left: bool = False
    """Whether one has."""

    def asked(self) -> int:
        """SIGNALLED plus the signal's number, TIME_UP after the deadline, or 0."""
        return SIGNALLED + self.signal if self.signal else TIME_UP if time.monotonic() >= self.deadline else 0

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block a signal raises Asked: nothing of the run changes there, and it may take long."""
        if self.signal:
            raise Asked
        self.leaving = True
        try:
            yield
        finally:
            self.leaving = self.left

    def heard(self, number: int) -> None:
        """What the main thread does at a signal."""
        if self.leaving and not self.left:
            self.signal, self.left = self.signal or number, True
            raise Asked


@contextmanager
def stop_on_signals(deadline: float = math.inf) -> Iterator[Stop]:
    """Within the block, note the first signal instead of dying of it, and leave with 128 plus the number of a second
    one.

    The numbers arrive through a pipe that a thread reads, so that a second signal ends the process even while it waits
    for another one.
    """
    stop = Stop(deadline=deadline)
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        first = 0.0
        while number := reader.recv(1):
            if number[0] not in SIGNALS:
                continue
            if not first:
                first, stop.signal = time.monotonic(), number[0]
                when = b"" if stop.leaving else b" after this step, and saving; a second signal stops at once"
                os.write(2, b"\nstopping" + when + b"\n")
            elif "TORCHELASTIC_RUN_ID" not in os.environ or time.monotonic() > first + ECHO:
                os._exit(128 + number[0])

    # A signal that is ignored, as SIGHUP under nohup, stays ignored.
    caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _: stop.heard(number)) for number in caught}
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        writer.close()
        thread.join(1)
        reader.close()


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Within the block, note the first Ctrl-C (or interrupt of a notebook's kernel); a second one raises
    KeyboardInterrupt at once.

    In another thread than the main one nothing is caught: Python handles signals in the main thread only.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note_it(number: int, frame: object) -> None:
        if stop.signal:
            raise KeyboardInterrupt
        stop.signal = number
        stop.heard(number)

    before = signal.signal(signal.SIGINT, note_it)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def describe_signal(number: int) -> str:
    """The name of a signal."""
    return signal.Signals(number).name


def seconds(given: str | float) -> float:
    """A duration such as 90, 90s, 30m, 1.5h, 2h30m or 1d, in seconds. Raises InputError for anything else, and for
    0."""
    text = str(given)
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    if re.fullmatch(r"\d+(\.\d+)?", text):
        total = float(text)
    elif re.fullmatch(r"(\d+(\.\d+)?[dhms])+", text):
        total = sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([dhms])", text))
    else:
        total = 0.0
    if total <= 0:
        raise InputError(f"--time-limit {text}: should be a time above 0 such as 90s, 30m or 2h30m")
    return total
