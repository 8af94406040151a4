"""`ambientkit inspect`: what is there, how noisy it is, and whether the noise is what the mathematics takes it for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ambientkit.checkpoint.folder import write_file
from ambientkit.cli.tables import show
from ambientkit.data.inspected import inspect
from ambientkit.errors import InputError
from ambientkit.inspection import Verdict


def run(data: str, sigma_n: str | None, json_file: Path | None, html_file: Path | None, rows: int, on_bad_file: str | None = None) -> None:
    """The whole command; ends with exit status 0, or 1 where the noise model is violated."""
    for flag, path in (("--json", json_file), ("--html", html_file)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InputError(f"{flag} {path}: should be a file in a folder that exists")
    found = inspect(data, sigma_n=sigma_n, rows=rows, on_bad_file=on_bad_file)
    if json_file is not None:
        write_file(json_file, (json.dumps(found.to_dict(), indent=1, allow_nan=False) + "\n").encode())
    if html_file is not None:
        write_file(html_file, found.page().encode())
    show(found)
    sys.exit(1 if found.verdict is Verdict.VIOLATED else 0)
