"""`ambientkit verify`: the flags, the record of one call of the library, and the JSON file."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from ambientkit.checkpoint.folder import write_file
from ambientkit.cli.output import progress_wanted
from ambientkit.cli.tables import show
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.verify.verifying import planned, verify


@dataclass(frozen=True, slots=True)
class Request:
    """The flags of `ambientkit verify` as given."""

    parts: tuple[str, ...]
    quick: bool = False
    seed: int = 0
    json: Path | None = None
    list: bool = False
    mutants: bool = False
    strict: bool = False


def run(request: Request) -> None:
    """The whole command; ends with exit status 0 or 1, or raises InputError (2)."""
    if request.json is not None and (request.json.is_dir() or not request.json.absolute().parent.is_dir()):
        raise InputError(f"--json {request.json}: should be a file in a folder that exists")
    if request.list:
        show(planned(request.parts, quick=request.quick, mutants=request.mutants, registry=load()))
        sys.exit(0)
    found = verify(
        request.parts,
        quick=request.quick,
        seed=request.seed,
        mutants=request.mutants,
        strict=request.strict,
        progress=progress_wanted(),
        registry=load(),
    )
    show(found)
    if request.json is not None:
        write_file(request.json, (json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n").encode())
    sys.exit(found.exit_status)
