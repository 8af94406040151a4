"""The flags of `ambientkit memorization`; nothing heavy is imported before it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ambientkit.cli.flags import (
    BatchSize,
    Device,
    Fdr,
    HeldOut,
    Html,
    Json,
    LevelOfBoth,
    SamplerName,
    Seed,
    Similarity,
    Steps,
    TrainedOn,
)


def memorization(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SAMPLES|RUN", help="A folder of samples, any data that are samples, or a run (samples are drawn)."
        ),
    ],
    heldout: HeldOut,
    train: TrainedOn = None,
    sigma_n: LevelOfBoth = None,
    similarity: Similarity = "pixels",
    shift: Annotated[
        int | None,
        typer.Option(
            min=0, help="Pixels by which pictures may be moved. [default: 2, 0 for less than 8 x 8]", show_default=False
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Whether mirrored pictures are copies.")] = True,
    level: Annotated[float, typer.Option(help="Level of the single p-values behind the share.")] = 0.01,
    fdr: Fdr = 0.1,
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
    index: Annotated[
        str, typer.Option(help="exact, or usearch: an approximate index offers the rows that are compared (--shift 0).")
    ] = "exact",
    steps: Steps = 32,
    sampler: SamplerName = "heun",
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    json: Json = None,
    html: Html = None,
) -> None:
    """Measure how much of a set of samples is copied from the training rows, each figure beside that of held-out
    rows."""
    import ambientkit as ak
    from ambientkit.cli.output import check_files, progress_wanted, show_and_write

    check_files(json, html)
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
        index=index,
        seed=seed,
        steps=steps,
        sampler=sampler,
        batch_size=batch_size,
        device=device,
        progress=progress_wanted(),
    )
    show_and_write(found, json, html, found.html)
