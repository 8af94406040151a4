"""What a run knows its data by, so that it notices where they are other data by now."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from ambientkit.batch import Batch, Clean, bytes_of, values_of
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.rows import Rows, as_rows, evenly

SAMPLED = 256
"""Rows, evenly spaced, whose values are hashed; of a full fingerprint, all."""

COMPARED = 20_000
"""Most rows of a set that are compared one by one."""

How = Literal["sampled", "full"]


def fingerprint(data: Data, rows: Any, how: How = "sampled") -> dict[str, Any]:
    """What identifies data by content: number of rows, a hash of rows evenly spaced (`how="full"`: of all), and size
    and time of the files.

    A row counts with its values, its noise level and its conditions, as the data set returns them.
    """
    known = as_rows(rows)
    files, size, newest = _files(getattr(data, "path", None))
    return {
        "rows": len(known),
        "how": how,
        "sha256": _hash(known, how),
        "files": files,
        "bytes": size,
        "newest": newest,
    }


def stored_fingerprint(value: Any) -> dict[str, Any] | None:
    """A fingerprint as a file holds it, None where it holds none. Raises ValueError for anything else."""
    if not value:  # a run of an early version
        return None
    known = dict(value)
    if (
        not isinstance(known.get("rows"), int)
        or not isinstance(known.get("sha256"), str)
        or known.get("how") not in get_args(How)
    ):
        raise ValueError(f"fingerprint of the data {str(known)[:100]}")
    return known


def refuse_other(data: Data, rows: Any, stored: Mapping[str, Any] | None, where: str) -> None:
    """Raise InputError where data are not those of a stored fingerprint; nothing is done for a run of an early version,
    which has none.

    Files that were copied or touched are the same data where their rows are the same.
    """
    if not stored:
        return
    known = as_rows(rows)
    how = stored.get("how", "sampled")
    path = getattr(data, "path", None)
    if len(known) != stored["rows"]:
        raise InputError(
            f"{where}: its data {_called(data, path)} have {len(known):,} rows now, and had {stored['rows']:,} "
            "when it was trained"
        )
    if _hash(known, how) != stored["sha256"]:
        raise InputError(
            f"{where}: its data {_called(data, path)} were changed since it was trained (other values in the same "
            "number of rows). "
            "Give the data that it was trained on, or begin a new run"
        )


def rows_of_run(data: Data, stored: Mapping[str, Any] | None, where: str) -> Rows:
    """The rows that a run was trained on. Raises InputError where they cannot be read, or are other ones by now. where:
    the run, for messages."""
    try:
        rows = as_rows(data.rows())
    except InputError as error:
        raise InputError(f"{where}: the rows that it was trained on ({data.name}) cannot be read: {error}") from None
    refuse_other(data, rows, stored, where)
    return rows


def copies(rows: Any, of: Any, but: Collection[int] = ()) -> set[int]:
    """The positions of rows whose values are those of a row of another set, bit by bit; what noise they are said to
    have does not count.

    but: positions in `of` that do not count.
    """
    known, others = as_rows(rows), as_rows(of)
    seen = {_values(others[index]) for index in range(len(others)) if index not in but}
    return {index for index in range(len(known)) if _values(known[index]) in seen}


def _values(row: Clean | Batch) -> bytes:
    value = row.x_0 if isinstance(row, Clean) else row.x_n
    return hashlib.sha256(bytes_of(value)).digest()


def _called(data: Data, path: Any) -> str:
    return f"{data.name} ({path})" if path is not None else data.name


def _hash(rows: Rows, how: str) -> str:
    total, digest = len(rows), hashlib.sha256()
    for index in range(total) if how == "full" else evenly(total, SAMPLED):
        for value in values_of(rows[index]):
            digest.update(bytes_of(value))
    return digest.hexdigest()


def _files(path: Any) -> tuple[int, int, int]:
    """Number, total size and newest change (ns) of the files of a data set; zeros for one without."""
    if path is None or not Path(path).exists():
        return 0, 0, 0
    top = Path(path)
    stats = [file.stat() for file in ([top] if top.is_file() else top.rglob("*")) if file.is_file()]
    return len(stats), sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)
