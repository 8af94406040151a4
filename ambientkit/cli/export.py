"""The flags of `ambientkit export` and `ambientkit card`; nothing heavy is imported before they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or its model_ema.safetensors.")],
    format: Annotated[
        str,
        typer.Option(
            help="ambientkit (one file that `sample` reads, without the paths of this machine), or the form of a "
            "plug-in: k-diffusion, diffusers."
        ),
    ] = "ambientkit",
    out: Annotated[
        Path | None, typer.Option(help="File or folder to write. [default: RUN/export/FORMAT]", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> None:
    """Write the averaged weights of a run for ambientkit elsewhere, or for another library, which then needs nothing of
    ambientkit."""
    import ambientkit as ak
    from ambientkit.cli.tables import show

    show(ak.export_run(run, format, out, force=force))


def card(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a README.md that was changed, or that is not ours.")
    ] = False,
) -> None:
    """Write the model card of a run, README.md, anew: with the scores of `evaluate --json` files in the run folder."""
    import ambientkit as ak
    from ambientkit.cli.tables import show

    show(ak.renew_card(run, force=force))
