"""The flags of `ambientkit memorization`; nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def memorization(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SAMPLES|RUN", help="A folder of samples, any data that are samples, or a run (samples are drawn)."
        ),
    ],
    heldout: Annotated[
        str,
        typer.Option(metavar="DATA", help="Rows drawn like the training rows that the model has not seen: the null."),
    ],
    train: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="The rows that the model was trained on. [default: the run's own data]",
            show_default=False,
        ),
    ] = None,
    sigma_n: Annotated[
        float | None,
        typer.Option(
            help="Noise std of both, where they are files that do not say; 0: clean rows.", show_default=False
        ),
    ] = None,
    similarity: Annotated[
        str, typer.Option(metavar="NAME", help="pixels, correlation, or an extractor: NAME or 'NAME{field: value}'.")
    ] = "pixels",
    shift: Annotated[
        int | None,
        typer.Option(
            min=0, help="Pixels by which pictures may be moved. [default: 2, 0 for less than 8 x 8]", show_default=False
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Whether mirrored pictures are copies.")] = True,
    level: Annotated[float, typer.Option(help="Level of the single p-values behind the share.")] = 0.01,
    fdr: Annotated[float, typer.Option(help="False-discovery rate of the list.")] = 0.1,
    n: Annotated[
        int | None,
        typer.Option(
            "--n", "-n", min=20, help="Samples. [default: 1000, or all there are up to 10,000]", show_default=False
        ),
    ] = None,
    duplicates_within: Annotated[
        float,
        typer.Option(
            min=0, help="Root mean square difference at which training rows count as one; 0: equal or mirrored ones."
        ),
    ] = 0.0,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler.")] = 32,
    sampler: Annotated[str, typer.Option(help="Sampler by name.")] = "heun",
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.")] = 0,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Samples drawn at a time; changes nothing but the speed.")
    ] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Write everything to this file as well.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page with pictures and histograms.")] = None,
) -> None:
    """Measure how much of a set of samples is copied from the training rows, each figure beside that of held-out
    rows."""
    import ambientkit as ak
    from ambientkit.cli.output import json_file, progress_wanted, write_json, write_text
    from ambientkit.cli.tables import show

    json_file(json)
    json_file(html, "--html")
    found = ak.memorization(
        subject,
        train=train,
        heldout=heldout,
        sigma_n=sigma_n,
        similarity=similarity,
        shift=shift,
        flip=flip,
        level=level,
        fdr=fdr,
        n=n,
        duplicates_within=duplicates_within,
        seed=seed,
        steps=steps,
        sampler=sampler,
        batch_size=batch_size,
        device=device,
        progress=progress_wanted(),
    )
    show(found)
    if json is not None:
        write_json(json, found)
        print(f"\nwritten: {json}")
    if html is not None:
        write_text(html, found.html())
        print(f"\nwritten: {html}")
