"""`ambientkit inspect`: the rows of a data set, how noisy they are, and whether their noise keeps the assumptions."""

from __future__ import annotations

import sys
from pathlib import Path

import ambientkit as ak
from ambientkit.cli.output import check_files, show_and_write


def run(
    data: str,
    sigma_n: str | None,
    json: Path | None,
    html: Path | None,
    rows: int,
    on_bad_file: str | None = None,
    write: Path | None = None,
    dark: str | None = None,
    flat: list[str] | None = None,
    repeats: list[str] | None = None,
    corruption: str | None = None,
) -> None:
    """The whole command; ends with exit status 0, or 1 where the noise model is violated or nothing can be proposed."""
    check_files(json, html)
    found = ak.inspect(
        data,
        sigma_n=sigma_n,
        corruption=corruption,
        rows=rows,
        on_bad_file=on_bad_file,
        write=write,
        dark=dark,
        flat=flat or (),
        repeats=repeats or (),
    )
    show_and_write(found, json, html, found.page)
    sys.exit(int(found.violated or (found.proposal is not None and not found.proposal.complete)))
