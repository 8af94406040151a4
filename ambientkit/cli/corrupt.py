"""`ambientkit corrupt`: a faithful noisy or masked copy of clean data."""

from __future__ import annotations

from pathlib import Path

import ambientkit as ak
from ambientkit.cli.output import progress_wanted
from ambientkit.cli.tables import show


def run(
    source: str,
    target: Path,
    sigma: str | None,
    corruption: str,
    seed: int,
    workers: int,
    again: bool,
    force_8_bit: bool,
    on_bad_file: str | None,
) -> None:
    """The whole command."""
    show(
        ak.corrupt(
            source,
            target,
            sigma=sigma,
            corruption=corruption,
            seed=seed,
            workers=workers,
            again=again,
            force_8_bit=force_8_bit,
            on_bad_file=on_bad_file,
            progress=progress_wanted(),
        )
    )
