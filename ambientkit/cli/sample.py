"""The flags of `ambientkit sample`; nothing heavy is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ambientkit.cli.flags import SEEDS
from ambientkit.errors import InputError


def sample(
    run: Annotated[Path, typer.Argument(help="Run folder, or its model_ema.safetensors.")],
    n: Annotated[
        int | None,
        typer.Option("--n", "-n", min=1, help="Samples; with --from rows, the first ones. [default: 64, or all rows]"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler. [default: 32, with --from 16]")
    ] = None,
    seed: Annotated[int, typer.Option(**SEEDS, help="Seed; sample i depends on (seed, i) only.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--output-dir",
            help="Folder to write; a killed command goes on where it was. [default: RUN/samples/step-N-seed-S, or "
            "RUN/restored/...]",
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="Sampler: NAME or 'NAME{field: value}'. [default: heun, with --from stochastic-heun]",
            show_default=False,
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="Where the steps lie: karras, geometric or cosine. [default: karras, with --from cosine]"),
    ] = None,
    sigma_min: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL|sigma-n|auto",
            help="Level to stop at, with one last denoising; sigma-n: that of the data (the truncated baseline); "
            "auto: where the energy of detail fits the noisy rows best. [default: the run's levels.sigma_min]",
            show_default=False,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NOISY",
            help="Restore these noisy rows instead: by name, 'NAME{field: value}', or a path, as for `train`.",
        ),
    ] = None,
    sigma_n: Annotated[str | None, typer.Option(help="With --from: noise std of the rows, as for `train`.")] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="With --from: posterior samples of each row; 0: the posterior mean alone. [default: 8; of rows "
            "measured through an operator 0]",
        ),
    ] = None,
    particles: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="With --from rows of which values are missing: draw those too, by a particle filter of so many "
            "points; as many times the calls. 0: their mean, given the drawn values. [default: 1 where a tenth or "
            "less are missing, else 0]",
            show_default=False,
        ),
    ] = None,
    masks: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of a run on rows seen in part, without --from: masks that each call averages over. [default: 1]",
            show_default=False,
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="N[,N...]",
            help="Class of the samples; of several, sample i has the i-th, again from the first.",
        ),
    ] = None,
    cond: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another condition of the model; may be repeated.")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Text that samples are drawn under, of a model that takes one; may be repeated: samples take them "
            "in turn.",
        ),
    ] = None,
    negative_prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Text that --guidance leads away from. [default: no text]", show_default=False
        ),
    ] = None,
    guidance: Annotated[
        float,
        typer.Option(
            help="Weight of the conditions (classifier-free guidance): 1 is none, more exaggerates them. Twice the "
            "time."
        ),
    ] = 1.0,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="npy, npz, hdf5, tiff, fits, nifti, png (clipped to 8 bits), or data: that of the run's data; with "
            "--from, files like the noisy ones, with their names, axes and metadata. [default: npy, with --from data]",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="With --from: float32, or stored: the number type of the noisy files, rounded and clipped to it; "
            "clipped values are counted. [default: float32]",
            show_default=False,
        ),
    ] = None,
    tile_overlap: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="With --from pictures larger than those trained on: pixels that neighbouring tiles share. "
            "[default: half a tile]",
            show_default=False,
        ),
    ] = None,
    units: Annotated[
        str, typer.Option(help="data: the values and axes of the user's files; unit: [-1, 1], channels first.")
    ] = "data",
    batch_size: Annotated[
        int,
        typer.Option(
            min=1,
            help="Samples drawn at a time; halved where they do not fit into memory. Changes nothing but the speed.",
        ),
    ] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; several with torchrun.")] = "auto",
) -> None:
    """Draw samples of the clean distribution, or restore noisy rows: floating point, unclipped, in the units of the
    data, and a grid."""
    belonging = (
        ("--sigma-n", sigma_n),
        ("--draws", draws),
        ("--particles", particles),
        ("--dtype", dtype),
        ("--tile-overlap", tile_overlap),
    )
    for flag, value in belonging:
        if from_ is None and value is not None:
            raise InputError(f"{flag} belongs to --from NOISY: without it samples are drawn from noise")
    if from_ is not None and masks is not None:
        raise InputError("--masks belongs to samples: rows of --from are restored under their own masks")
    import ambientkit as ak
    from ambientkit.api.outputs import is_main
    from ambientkit.cli.output import progress_wanted
    from ambientkit.cli.tables import show

    given = {
        "n": n,
        "steps": steps,
        "sampler": sampler,
        "schedule": schedule,
        "sigma_min": sigma_min,
        "sigma_n": sigma_n,
        "draws": draws,
        "particles": particles,
        "masks": masks,
        "format": format_,
        "dtype": dtype,
        "tile_overlap": tile_overlap,
        "classes": class_,
        "prompt": prompt or None,
        "negative_prompt": negative_prompt,
    }
    wanted: dict[str, Any] = {
        name: value for name, value in given.items() if value is not None
    }  # the others have defaults that differ
    wanted |= {
        "seed": seed,
        "guidance": guidance,
        "conds": tuple(cond or ()),
        "units": units,
        "batch_size": batch_size,
        "device": device,
    }
    wanted["progress"] = progress_wanted()
    record = ak.draw_to_files(run, out, **wanted) if from_ is None else ak.restore_to_files(run, from_, out, **wanted)
    if is_main():
        show(record)
