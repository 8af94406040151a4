"""The flags of `ambientkit evaluate`; nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ambientkit.cli.flags import SEEDS, BatchSize, Device, Json, SamplerName, Steps


def evaluate(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SAMPLES",
            help="Run folder (samples are drawn), a folder of samples or restored rows that `sample` wrote, or any "
            "data that are samples.",
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Data to compare with, clean or noisy: by name, 'NAME{field: value}', or a path. 'held-out': "
            "the rows that the run held out. [default: the noisy rows that it trained on]",
            show_default=False,
        ),
    ] = None,
    sigma_n: Annotated[
        str | None,
        typer.Option(
            help="Noise std of --reference in units of [-1, 1]: a number, or a file with one level per row; 0: its "
            "rows are clean."
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "--n", "-n", min=8, help="Samples, and rows of the reference. [default: 1000, or all in a folder]"
        ),
    ] = None,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Features to compare in: NAME or 'NAME{field: value}'; may be repeated. [default: "
            "efficientnet-lite0, pixels for no pictures]",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Sample seeds of a run, or random halves of samples already drawn.")
    ] = 3,
    seed: Annotated[
        int,
        typer.Option(**SEEDS, help="First seed of the samples, and seed of all else that is random."),
    ] = 0,
    steps: Steps = 32,
    sampler: SamplerName = "heun",
    batch_size: BatchSize = 64,
    device: Device = "auto",
    json: Json = None,
    all_checkpoints: Annotated[
        bool,
        typer.Option(
            "--all-checkpoints", help="Rank the checkpoints of a run instead, and say how sure the ranks are."
        ),
    ] = False,
) -> None:
    """Measure samples against data, clean or noisy: FID, KID, precision, recall, patches, spectra, noise left, each
    with its spread and its floor."""
    import ambientkit as ak
    from ambientkit.cli.output import check_files, progress_wanted, show_and_write
    from ambientkit.cli.tables import Record

    check_files(json)
    if (Path(subject) / "restored.json").is_file():
        found: Record = ak.compare_restored(subject, reference, sigma_n=sigma_n)
    else:
        found = (ak.rank_checkpoints if all_checkpoints else ak.evaluate)(
            subject,
            reference=reference,
            sigma_n=sigma_n,
            n=n,
            extractors=extractor or (),
            repeats=repeats,
            seed=seed,
            steps=steps,
            sampler=sampler,
            batch_size=batch_size,
            device=device,
            progress=progress_wanted(),
        )
    show_and_write(found, json)
