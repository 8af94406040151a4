"""Files that a run adds lines to, each line a JSON object with its step and its format version: metrics.jsonl and
evaluations.jsonl."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from ambientkit.checkpoint.folder import write_file
from ambientkit.errors import InputError, RunError

LINES_VERSION = 1
"""In every line, so that the end of a file, a part of it, or two files joined still say what they are."""
TAIL = 2**20
"""Bytes in which the last line is sought."""


@dataclass(frozen=True, slots=True)
class _Level:
    mean: float
    n: NonNegativeInt


@dataclass(frozen=True, slots=True)
class _Score:
    name: str
    extractor: str | None
    value: float | None
    floor: float | None


@dataclass(frozen=True, slots=True)
class _Line:
    """The values of a line that have readers; others are left as they are."""

    step: NonNegativeInt
    time: FiniteFloat = 0
    loss: float | None = None
    terms: dict[str, float | None] = field(default_factory=dict)
    by_level: dict[str, dict[FiniteFloat, _Level]] = field(default_factory=dict)
    skipped_steps: NonNegativeInt = 0
    examples_per_s: FiniteFloat = 0
    eta_s: FiniteFloat = 0
    error: str = ""
    n: NonNegativeInt = 0
    held_out: bool = False
    tweedie_mean: float = 0
    scores: tuple[_Score, ...] = ()


_LINE = TypeAdapter(_Line)


def to_line(values: Mapping[str, Any]) -> str:
    """The line for these values by name, its end included."""
    return json.dumps({"format_version": LINES_VERSION, **values}) + "\n"


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Add a line and bring it to the disk. Raises RunError where the disk refuses."""
    try:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(to_line(values))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); the last checkpoint is intact") from error


def from_line(line: str, where: str) -> dict[str, Any] | None:
    """The values of a line by name; None for one that is cut or damaged, by a value of a wrong type too. Raises
    InputError naming `where` for a line of another format."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    if (version := values.pop("format_version", LINES_VERSION)) != LINES_VERSION:
        raise InputError(
            f"{where}: format {version!r} is not known to this version of ambientkit, which reads {LINES_VERSION}"
        )
    try:
        _LINE.validate_python(values)
    except ValidationError:
        return None
    return values


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """All whole lines, and how many others there are: the last one while a run writes it. None of a file that cannot be
    read.

    Raises InputError naming a line of another format.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return [], 0
    found = [from_line(line, f"{path}, line {number}") for number, line in enumerate(text.splitlines(), 1)]
    whole = [values for values in found if values is not None]
    return whole, len(found) - len(whole)


def first_line(path: Path) -> dict[str, Any]:
    """The first line; empty where there is no file, or the line cannot be read."""
    try:
        with path.open(encoding="utf-8") as stream:
            return from_line(stream.readline(), str(path)) or {}
    except (OSError, UnicodeDecodeError):
        return {}


def last_line(path: Path) -> dict[str, Any]:
    """The last whole line; empty where there is none. Raises InputError where it is of another format."""
    try:
        with open(path, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(stream.tell() - TAIL, 0))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    return next((values for line in reversed(lines) if (values := from_line(line, str(path))) is not None), {})


def cut_after(path: Path, step: int) -> None:
    """Take away the lines after `step`, which a run resumed there writes again, and those that are not whole. Lines
    kept stay as they are.

    Raises InputError naming a line of another format, and RunError where the disk refuses; the file is then as before.
    """
    if not path.exists():
        return
    kept = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True), 1):
        values = from_line(line, f"{path}, line {number}") if line.endswith("\n") else None
        if values is not None and isinstance(values.get("step"), int) and values["step"] <= step:
            kept.append(line)
    write_file(path, "".join(kept).encode())
