"""One writer for each folder."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

from ambientkit.checkpoint.names import LOCK
from ambientkit.checkpoint.own import refuse_own
from ambientkit.checkpoint.target import refuse_broken
from ambientkit.errors import InputError
from ambientkit.messages import warn

PATIENCE, POLL = 0.4, 0.1
"""Seconds until a lock is given up, and between two looks at it: `ambientkit status` holds it for an instant."""
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What a file system answers that has no locks."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for the training in this process. Raises InputError naming the process that holds it."""
    with folder_lock(folder, LOCK, "training", "--output-dir"):
        yield


@contextmanager
def folder_lock(folder: Path, name: str, doing: str, flag: str, passing: bool = False) -> Iterator[None]:
    """Hold a folder for this process. Raises InputError naming the process that holds it.

    The lock is the kernel's on the file `name`, not the file: it ends with the process, however that ends, so there are
    no stale locks. NFS passes it on to its server; on a file system without locks a warning is given, and nothing
    guards the folder. doing: what the holder does there, in one word; flag: by which another folder is given. passing:
    remove the file at the end.
    """
    lock = FileLock(folder / name, mode=0o644, thread_local=False, preserve_lock_file=True, on_acquired=_sign)
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=POLL)
    except Timeout:
        who = holder(folder, name) or "another process"
        raise InputError(f"{folder}: {who} is {doing} here. Wait for it, stop it, or give another {flag}") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise InputError(f"{folder}: cannot be written to ({error.strerror})") from None
        warn(f"{folder}: this file system has no locks ({error.strerror}); start no second command here")
    try:
        yield
    finally:
        if passing:
            with suppress(OSError):  # while it is held: another process may hold a new file of this name afterwards
                (folder / name).unlink()
        lock.release()


@contextmanager
def at_work(folder: Path, name: str, doing: str, flag: str) -> Iterator[None]:
    """Make a folder that a command writes into, and hold it while it does; the file of the lock goes with the command.

    Raises InputError where the folder is a file, a link to nothing, a folder that a run keeps for itself, or cannot be
    made, and as `folder_lock`.
    """
    refuse_broken(folder, flag)
    refuse_own(folder, flag, folder=True)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{flag} {folder}: is a file, not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag} {folder}: cannot be made ({error.strerror})") from None
    with folder_lock(folder, name, doing, flag, passing=True):
        yield


def _sign(descriptor: int) -> None:
    """Write into the file of a lock who holds it."""
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    with suppress(OSError):  # a full disk; the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(facts).encode())


def holder(folder: Path, name: str = LOCK) -> str:
    """Who took the lock last, as "process 12 on host (since ...)"; empty where that is not known."""
    try:
        facts = json.loads((folder / name).read_text())
        return f"process {facts['pid']} on {facts['host']} (since {facts['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def is_held(folder: Path) -> bool | None:
    """Whether a process holds the run folder; None where that cannot be found out."""
    try:
        descriptor = _open(folder / LOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        if lock_descriptor(descriptor, blocking=False):
            return False
        time.sleep(POLL)  # perhaps it was another one that looked
        return not lock_descriptor(descriptor, blocking=False)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)  # which NFS needs
    except PermissionError:
        return os.open(path, os.O_RDONLY)
