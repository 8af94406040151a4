"""`ambientkit verify`: the record of one call of the library, and the JSON file."""

from __future__ import annotations

import sys
from pathlib import Path

import ambientkit as ak
from ambientkit.cli.output import check_files, progress_wanted, write_json
from ambientkit.cli.tables import show

PROCESSES = 2
"""Of a long plan; the library starts none by itself."""


def run(
    parts: tuple[str, ...], quick: bool, seed: int, json: Path | None, plan_only: bool, mutants: bool, strict: bool
) -> None:
    """The whole command; ends with exit status 0 or 1, or raises InputError (2)."""
    check_files(json)
    if plan_only:
        show(ak.planned(parts, quick=quick, mutants=mutants))
        sys.exit(0)
    found = ak.verify(
        parts, quick=quick, seed=seed, mutants=mutants, strict=strict, processes=PROCESSES, progress=progress_wanted()
    )
    show(found)
    if json is not None:
        write_json(json, found)
    sys.exit(found.exit_status)
