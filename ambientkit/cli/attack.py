"""The flags of `ambientkit attack`; nothing heavy is imported before it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ambientkit.cli.flags import Device, Fdr, HeldOut, Html, Json, LevelOfBoth, Seed, Similarity, TrainedOn


def attack(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder, checkpoint, or a weights file that `export` wrote.")
    ],
    heldout: HeldOut,
    train: TrainedOn = None,
    sigma_n: LevelOfBoth = None,
    kind: Annotated[
        str,
        typer.Option(metavar="NAME", help="noise, mask, box, loss, or another attack: NAME or 'NAME{field: value}'."),
    ] = "noise",
    level: Annotated[
        float | None,
        typer.Option(
            help="Std of the noise in units of [-1, 1], or the share of pixels hidden. [default: 4 stds of the "
            "data, or 0.75]",
            show_default=False,
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Restorations of each row.")] = 8,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Training rows attacked, at random.")] = 100,
    null: Annotated[
        int, typer.Option(min=19, help="Held-out rows attacked, at random; no p-value is below 1 / (this + 1).")
    ] = 400,
    similarity: Similarity = "pixels",
    over: Annotated[
        str, typer.Option(metavar="nearest|mean", help="Of the draws of a row, which distance counts.")
    ] = "nearest",
    p_level: Annotated[float, typer.Option(help="Level of the single p-values behind the share.")] = 0.05,
    fdr: Fdr = 0.1,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of the reverse process. [default: 32, or 64 for masks]", show_default=False),
    ] = None,
    sampler: Annotated[str, typer.Option(help="Sampler by name, for noise.")] = "stochastic-heun",
    particles: Annotated[int, typer.Option(min=1, help="Particles of each draw, for masks.")] = 64,
    seed: Seed = 0,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Rows restored at a time; changes nothing but the speed.")
    ] = 256,
    device: Device = "auto",
    json: Json = None,
    html: Html = None,
) -> None:
    """Corrupt training rows extremely and let the model restore them: which come back, with p-values against held-out
    rows."""
    import ambientkit as ak
    from ambientkit.cli.output import check_files, show_and_write

    check_files(json, html)
    found = ak.attack(
        run,
        heldout=heldout,
        train=train,
        sigma_n=sigma_n,
        kind=kind,
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
    show_and_write(found, json, html, found.html)
