"""The flags of `ambientkit report`; nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ambientkit.cli.flags import BatchSize, Device, Seed, Steps


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, finished or still at work.")],
    out: Annotated[Path, typer.Option(help="The page to write; one that is there is replaced.")] = Path("report.html"),
    pdf: Annotated[
        Path | None, typer.Option(help="Print the page to this PDF file as well; needs Chromium or Chrome.")
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "--n", "-n", min=4, help="Samples of each kind. [default: 64, or 2000 points]", show_default=False
        ),
    ] = None,
    steps: Steps = 32,
    rows: Annotated[
        int, typer.Option(min=2, help="Rows that the denoiser is measured on, where `verify --run` has not done it.")
    ] = 64,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    watch: Annotated[
        bool, typer.Option("--watch", help="Write the page again while the runs go on; it reloads itself.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="With --watch: seconds between two pages.")] = 30,
) -> None:
    """Write one self-contained page on one or several runs: samples, progress, losses, consistency, nearest rows,
    metrics, configuration."""
    import ambientkit as ak
    from ambientkit.cli.output import progress_wanted
    from ambientkit.cli.tables import show

    shown = ak.write_report(
        runs,
        out,
        pdf=pdf,
        n=n,
        steps=steps,
        rows=rows,
        seed=seed,
        batch_size=batch_size,
        device=device,
        progress=progress_wanted(),
        watch=watch,
        every=every,
    )
    show(shown)
