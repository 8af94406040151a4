"""One writer for each folder."""

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

from ambientkit.checkpoint.names import LOCK
from ambientkit.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no flock: there a second writer is not noticed
    fcntl = None  # type: ignore[assignment]

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
    """Hold a run folder for the training in this process. Raises InputError naming the process that holds it."""
    with folder_lock(folder, LOCK, "training", "--output-dir"):
        yield


@contextmanager
def folder_lock(folder: Path, name: str, doing: str, flag: str, passing: bool = False) -> Iterator[None]:
    """Hold a folder for this process. Raises InputError naming the process that holds it.

    The lock is the kernel's (flock) on the file `name`, not the file: it ends with the process, however that ends, so there are no stale
    locks. NFS passes it on to its server; on a file system without locks a warning is printed, and nothing guards the folder.
    doing: what the holder does there, in one word; flag: by which another folder is given. passing: remove the file at the end.
    """
    descriptor = _acquire(folder, name, doing, flag)
    _held.add(descriptor)
    try:
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        with suppress(OSError):  # a full disk; the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        if passing:
            with suppress(OSError):
                (folder / name).unlink()
        _held.discard(descriptor)
        os.close(descriptor)


@contextmanager
def at_work(folder: Path, name: str, doing: str, flag: str) -> Iterator[None]:
    """Make a folder that a command writes into, and hold it while it does; the file of the lock goes with the command.

    Raises InputError where the folder is a file or cannot be made, and as `folder_lock`.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{flag} {folder}: is a file, not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag} {folder}: cannot be made ({error.strerror})") from None
    with folder_lock(folder, name, doing, flag, passing=True):
        yield


def _acquire(folder: Path, name: str, doing: str, flag: str) -> int:
    for attempt in range(TRIES):  # `ambientkit status` looks at the lock for an instant
        time.sleep(0.1 * (attempt > 0))
        try:
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written to ({error.strerror})") from None
        if fcntl is None:
            return descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError as error:
            print(f"warning: {folder}: this file system has no locks ({error.strerror}); start no second command here", file=sys.stderr)
            return descriptor
        if _is_there(descriptor, folder / name):
            return descriptor
        os.close(descriptor)  # its holder removed the file meanwhile, and another may hold a new one
    raise InputError(f"{folder}: {holder(folder, name) or 'another process'} is {doing} here. Wait for it, stop it, or give another {flag}")


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def holder(folder: Path, name: str = LOCK) -> str:
    """Who took the lock last, as "process 12 on host (since ...)"; empty where that is not known."""
    try:
        facts = json.loads((folder / name).read_text())
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
