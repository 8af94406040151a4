"""One file as the target of a result: a regular file is replaced as a whole, and anything else is written to, never replaced."""

from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path

from ambientkit.errors import InputError, RunError


def check_target(path: Path, flag: str) -> None:
    """Raise InputError naming the flag where `write_file` could not write to this path. Nothing is written."""
    try:
        if path.is_dir() or not _followed(path).parent.is_dir():
            raise InputError(f"{flag} {path}: should be a file in a folder that exists")
        reason = _refused(path)
    except OSError as error:  # a folder that cannot be searched, a name that is too long, a link to itself
        raise InputError(f"{flag} {path}: cannot be written ({error.strerror}); give another path") from None
    if reason:
        raise InputError(f"{flag} {path}: {reason}; give another path, or see who may write there (ls -ld)")


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    A link is followed and stays a link. A device, a pipe or a socket is opened and written to. Raises RunError where the file is read-only,
    or the disk refuses.
    """
    try:
        if (own := _own_descriptor(path)) is not None or not _regular(path):
            _write_to(path, own, content)
            return
        if reason := _refused(path):
            raise RunError(f"{path}: {reason}; what was there before is untouched")
        _replace(_followed(path), content)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); what was there before is untouched") from error


def flush_folder(path: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with open(aside, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
        flush_folder(path.parent)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def _write_to(path: Path, own: int | None, content: bytes) -> None:
    """Write to what is no regular file, or is open already. A pipe waits for its reader."""
    if own is None and stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(content)
        return
    with open(path if own is None else os.dup(own), "wb", buffering=0) as stream:
        left = memoryview(content)
        while left:
            left = left[stream.write(left) :]


def _regular(path: Path) -> bool:
    """Whether this is a regular file, by way of links, or nothing yet."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _followed(path: Path) -> Path:
    """What a link stands for in the end, whether it exists or not."""
    return Path(os.path.realpath(path))


def _own_descriptor(path: Path) -> int | None:
    """The number in /dev/stdout or /dev/fd/1, which may be a file that something else is being written to; None for other paths."""
    for _ in range(8):
        folder = os.path.realpath(path.parent)
        if re.fullmatch(rf"/proc/{os.getpid()}(/task/\d+)?/fd", folder) and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / os.readlink(path)
    return None


def _refused(path: Path) -> str:
    """Why a path cannot be written to; empty where it can."""
    if _own_descriptor(path) is not None:
        return ""
    effective = os.access in os.supports_effective_ids
    if path.exists() and not os.access(path, os.W_OK, effective_ids=effective):
        return "is read-only"
    if _regular(path) and not os.access(_followed(path).parent, os.W_OK | os.X_OK, effective_ids=effective):
        return "its folder is read-only"
    return ""
