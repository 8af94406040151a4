"""One writer for each run folder."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ambientkit.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no flock: there a second writer is not noticed
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
TRIES = 5
_held: set[int] = set()


def _leave_to_parent() -> None:
    # Workers that read data inherit the descriptor, and would keep the lock for some seconds after the run was killed.
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process. Raises InputError naming the process that holds it.

    The lock is the kernel's (flock), not the file: it ends with the process, however that ends, so there are no stale locks. NFS passes it
    on to its server; on a file system without locks a warning is printed, and nothing guards the folder.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror})") from None
    _held.add(descriptor)
    try:
        _acquire(descriptor, folder)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        with suppress(OSError):  # a full disk; the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> None:
    if fcntl is None:
        return
    for _ in range(TRIES):  # `ambientkit status` looks at the lock for an instant
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.1)
        except OSError as error:
            print(f"warning: {folder}: this file system has no locks ({error.strerror}); start no second run here", file=sys.stderr)
            return
    raise InputError(
        f"{folder}: {holder(folder) or 'another process'} is training here. Wait for it, stop it, or give another --output-dir"
    )


def holder(folder: Path) -> str:
    """Who took the lock last, as "process 12 on host (since ...)"; empty where that is not known."""
    try:
        facts = json.loads((folder / LOCK).read_text())
        return f"process {facts['pid']} on {facts['host']} (since {facts['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def is_held(folder: Path) -> bool | None:
    """Whether a process holds the run folder; None where that cannot be found out."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False
