"""The flags of `ambientkit attack`; nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def attack(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder, checkpoint, or a weights file that `export` wrote.")
    ],
    heldout: Annotated[
        str, typer.Option(metavar="DATA", help="Rows drawn like the training rows that the run has not seen: the null.")
    ],
    train: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="The rows that the run was trained on. [default: its own data]", show_default=False
        ),
    ] = None,
    sigma_n: Annotated[
        float | None,
        typer.Option(
            help="Noise std of both, where they are files that do not say; 0: clean rows.", show_default=False
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option(metavar="noise|mask|box", help="What hides a row: noise, a mask of random pixels, or a box.")
    ] = "noise",
    level: Annotated[
        float | None,
        typer.Option(
            help="Std of the noise in units of [-1, 1], or the share of pixels hidden. [default: 4 stds of the data, or 0.75]",
            show_default=False,
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Restorations of each row.")] = 8,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Training rows attacked, at random.")] = 100,
    null: Annotated[
        int, typer.Option(min=19, help="Held-out rows attacked, at random; no p-value is below 1 / (this + 1).")
    ] = 400,
    similarity: Annotated[
        str, typer.Option(metavar="NAME", help="pixels, correlation, or an extractor: NAME or 'NAME{field: value}'.")
    ] = "pixels",
    over: Annotated[
        str, typer.Option(metavar="nearest|mean", help="Of the draws of a row, which distance counts.")
    ] = "nearest",
    p_level: Annotated[float, typer.Option(help="Level of the single p-values behind the share.")] = 0.05,
    fdr: Annotated[float, typer.Option(help="False-discovery rate of the list.")] = 0.1,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of the reverse process. [default: 32, or 64 for masks]", show_default=False),
    ] = None,
    sampler: Annotated[str, typer.Option(help="Sampler by name, for noise.")] = "stochastic-heun",
    particles: Annotated[int, typer.Option(min=1, help="Particles of each draw, for masks.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.")] = 0,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Rows restored at a time; changes nothing but the speed.")
    ] = 256,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Write everything to this file as well.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page with pictures and histograms.")] = None,
) -> None:
    """Corrupt training rows extremely and let the model restore them: which come back, with p-values against held-out
    rows."""
    import ambientkit as ak
    from ambientkit.cli.output import json_file, write_json, write_text
    from ambientkit.cli.tables import show

    json_file(json)
    json_file(html, "--html")
    found = ak.attack(
        run,
        heldout=heldout,
        train=train,
        sigma_n=sigma_n,
        kind=kind,  # type: ignore[arg-type]
        level=level,
        draws=draws,
        n=n,
        null=null,
        similarity=similarity,
        over=over,  # type: ignore[arg-type]
        p_level=p_level,
        fdr=fdr,
        steps=steps,
        sampler=sampler,
        particles=particles,
        seed=seed,
        batch_size=batch_size,
        device=device,
    )
    show(found)
    if json is not None:
        write_json(json, found)
        print(f"\nwritten: {json}")
    if html is not None:
        write_text(html, found.html())
        print(f"\nwritten: {html}")
