"""Which files of a folder are data, and what is left out and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ambientkit.errors import InputError
from ambientkit.readers.foreign import way_round
from ambientkit.text import listed

HEAD = 1024
"""Bytes of a file by which its format is known."""
MEDIUM = "DICOMDIR"
"""Lists the DICOM files of a medium, and holds no picture."""


def printable(name: str) -> str:
    """A file name that can be written anywhere: bytes that are no UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


class LeftOut:
    """What a folder holds besides data, by reason."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def note(self, reason: str, name: str) -> None:
        """Count one more."""
        self._names.setdefault(reason, []).append(printable(name))

    def names(self) -> list[str]:
        """All of them."""
        return [name for names in self._names.values() for name in names]

    def __bool__(self) -> bool:
        return bool(self._names)

    def __str__(self) -> str:
        if not self._names:
            return ""
        return "; left out: " + "; ".join(
            f"{len(names)} {reason} ({listed(names, limit=3)})" for reason, names in self._names.items()
        )


def find(folder: Path, suffixes: Sequence[str], follow_links: bool, what: str = "image") -> tuple[list[Path], LeftOut]:
    """Files with one of the suffixes below a folder, in the order of their names. Each folder is entered once, so that
    a loop of links ends.

    Raises InputError where the folder is missing or cannot be read.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: " + (f"should be a folder of {what}s, but is a file" if folder.exists() else "no such folder")
        )
    found: list[Path] = []
    left_out = LeftOut()
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    article = "an" if what[0] in "aeiou" else "a"
    while waiting:
        here = waiting.pop()
        try:
            status = here.stat()
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"{here}: cannot be read ({error.strerror})") from None
        if (status.st_dev, status.st_ino) in entered:
            left_out.note("linked to a folder that is read already", here.name)
            continue
        entered.add((status.st_dev, status.st_ino))
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                left_out.note("hidden", entry.name)
            elif entry.is_symlink() and not follow_links:
                left_out.note("linked, which follow_links: true would follow", entry.name)
            elif entry.is_dir():
                waiting.append(path)
            elif not path.name.lower().endswith(tuple(suffixes)):
                left_out.note(f"without the suffix of {article} {what}", entry.name)
            elif (
                entry.is_file() or entry.is_symlink()
            ):  # a dangling link is a bad file, and is reported with the others
                found.append(path)
            else:
                left_out.note("that is no regular file", entry.name)
    return sorted(found, key=lambda path: path.relative_to(folder).parts), left_out


Signs = Sequence[tuple[int, bytes]]
"""(offset, bytes) in a file's first bytes, by one of which its format is known; see `Data.begins`."""


def begins(file: Path, signs: Signs) -> bool:
    """Whether a file has one of the signs; not where it cannot be read."""
    if not signs:
        return False
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD)
    except OSError:
        return False
    return any(head[at:].startswith(sign) for at, sign in signs)


def find_or_one(
    path: Path, suffixes: Sequence[str], follow_links: bool, what: str, signs: Signs = ()
) -> tuple[list[Path], LeftOut]:
    """As `find`, where the path may also be one file of any name, and where no file is named so those count that have
    one of the signs: scanners write DICOM without a suffix. Raises InputError where there is nothing to read."""
    if path.is_file():
        return [path], LeftOut()
    found, left_out = find(path, suffixes, follow_links, what)
    if not found and signs:
        every, others = find(path, ("",), follow_links, what)
        found = [file for file in every if begins(file, signs) and file.name != MEDIUM]
        for file in sorted(set(every) - set(found)) if found else ():
            others.note(f"that is no {what} by its content", file.name)
        left_out = others if found else left_out
    if not found:
        raise InputError(
            f"{path}: no {what} found{left_out}. Files named {', '.join(suffixes)} (any case) are read, in "
            f"sub-folders too{way_round(left_out.names())}"
        )
    return found, left_out
