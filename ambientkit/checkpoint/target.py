"""What a path is that a result is to be written to: a regular file is replaced as a whole, a link is followed, a stream
is written to."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import tempfile
from pathlib import Path

from ambientkit.checkpoint.own import refuse_own
from ambientkit.errors import InputError
from ambientkit.messages import note

KINDS = {"JSON": b"{", "HTML": b"<", "PDF": b"%PDF"}
"""How the files that commands replace begin."""


def as_path(given: str | Path, flag: str) -> Path:
    """A path that was given to write to. Raises InputError for an empty one, which would be the current folder."""
    if str(given) == "":
        raise InputError(f"{flag}: is empty; give a path ('.' is the current folder)")
    return Path(given)


def check_target(path: Path, flag: str, kind: str | None = None) -> None:
    """Raise InputError naming the flag where a file cannot be written to this path, or where that would take away a
    file of a run, or any file that is not of this kind (one of KINDS). Nothing is written."""
    refuse_own(path, flag, folder=False)
    try:
        if path.is_dir() or not followed(path).parent.is_dir():
            raise InputError(f"{flag} {path}: should be a file in a folder that exists")
        reason = refusal(path) or _unwritable(path)
    except OSError as error:  # a folder that cannot be searched, a name that is too long, a link to itself
        raise InputError(f"{flag} {path}: cannot be written ({error.strerror}); give another path") from None
    if reason:
        raise InputError(f"{flag} {path}: {reason}; give another path, or see who may write there (ls -ld)")
    if kind is not None and path.is_file() and not is_stream(path) and not _begins(path, KINDS[kind]):
        raise InputError(f"{flag} {path}: is there already and is no {kind} file; give another path, or remove it")


def _begins(path: Path, start: bytes) -> bool:
    """Whether a file begins like this, or is empty; one that cannot be read does not."""
    try:
        with path.open("rb") as file:
            content = file.read(200).lstrip()
    except OSError:
        return False
    return not content or content.startswith(start)


def check_place(path: Path, flag: str) -> None:
    """Raise InputError naming the flag where neither a file nor a folder can be written to this path, the missing
    folders above it made. Nothing is written."""
    try:
        place = followed(path)
        while not place.parent.exists():
            place = place.parent
        reason = (
            refusal(place) or _unwritable(place) if place.parent.is_dir() else f"{place.parent} is a file, not a folder"
        )
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
    if reason:
        raise InputError(f"{flag} {path}: {reason}; give another path, or see who may write there (ls -ld)")


def refuse_broken(folder: Path, flag: str) -> None:
    """Raise InputError naming the flag where a folder to be written, or one above it, is a link to nothing: what it
    leads to may be a disk that is not there, and no folder is made in its place."""
    for place in (folder, *folder.parents):
        if place.is_symlink() and not place.exists():
            which = "is" if place == folder else f"{place} is"
            raise InputError(f"{flag} {folder}: {which} a link to {place.readlink()}, which is not there")


def write_through(path: Path, content: bytes) -> None:
    """Write to what is no regular file, or is open already in this process. A pipe waits for its reader, and says
    so."""
    own = _own_descriptor(path)
    if own is None and stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(content)
        return
    with open(_opened(path) if own is None else os.dup(own), "wb", buffering=0) as stream:
        left = memoryview(content)
        while left:
            left = left[stream.write(left) :]


def _opened(path: Path) -> int:
    """A descriptor to write by; of a pipe as soon as it has a reader."""
    if not stat.S_ISFIFO(path.stat().st_mode):
        return os.open(path, os.O_WRONLY)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # refused where nobody reads
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        note(f"{path}: is a pipe that nobody reads; waiting for a reader")
        return os.open(path, os.O_WRONLY)
    os.set_blocking(descriptor, True)
    return descriptor


def _unheard(path: Path) -> str:
    """Why nothing can be sent to a socket; empty where somebody listens, who hears nothing of being asked: the kernel
    refuses a socket of another type with a reason of its own."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno == errno.EPROTOTYPE:
                return ""
            if error.errno == errno.ECONNREFUSED:
                return "is a socket that nobody listens on: start the reader first"
            return f"is a socket that cannot be written ({error.strerror or error})"
    return "is a socket for datagrams, and a result is sent as one stream"


def is_stream(path: Path) -> bool:
    """Whether this is a device, a pipe or a socket, or a name of what is open already in this process: replaced it must
    not be."""
    if _own_descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def followed(path: Path) -> Path:
    """What a link stands for in the end, whether it exists or not."""
    return Path(os.path.realpath(path))


def _own_descriptor(path: Path) -> int | None:
    """The number in /dev/stdout or /dev/fd/1, which may be a file that something else is being written to; None for
    other paths."""
    for _ in range(8):
        folder = os.path.realpath(path.parent)
        if re.fullmatch(rf"/proc/{os.getpid()}(/task/\d+)?/fd", folder) and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / os.readlink(path)
    return None


def refusal(path: Path) -> str:
    """Why nothing can be written to a path; empty where it can."""
    if _own_descriptor(path) is not None:
        return ""
    if path.is_socket():
        return _unheard(path)
    effective = os.access in os.supports_effective_ids
    if path.exists() and not path.is_dir() and not os.access(path, os.W_OK, effective_ids=effective):
        return "is read-only"
    folder = followed(path).parent
    if not is_stream(path) and folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        return "its folder is read-only"
    return ""


def _unwritable(path: Path) -> str:
    """The error of the system where the folder of a regular file takes no new ones although its permissions allow that
    (/proc, a share that maps root to nobody); empty where it takes one. The file that is tried leaves no trace."""
    folder = followed(path).parent
    if is_stream(path) or not folder.is_dir():
        return ""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"its folder takes no files ({error.strerror or error})"
    return ""
