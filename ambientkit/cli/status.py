"""The flags of `ambientkit status`; nothing heavy is imported before it runs."""

from __future__ import annotations

import json as files
from pathlib import Path
from typing import Annotated

import typer


def status(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what a training run is doing, or how it ended, and the command that goes on with it."""
    import ambientkit as ak
    from ambientkit.cli.tables import show

    found = ak.status(run)
    if json:
        print(files.dumps(found.to_dict(), indent=1))
    else:
        show(found)
