"""`ambientkit`: the commands, their flags and their help texts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ambientkit.cli.evaluate_flags import evaluate
from ambientkit.cli.export_flags import card, export
from ambientkit.cli.report_flags import report
from ambientkit.cli.sample_flags import sample
from ambientkit.errors import AmbientError, InputError

app = typer.Typer(
    name="ambientkit",
    help="Train a diffusion model when you own only noisy data, and sample the clean distribution it hides.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def train(
    objective: Annotated[str | None, typer.Option(help="Objective or recipe, by name. [default: tweedie-consistency]")] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set by name, or a path: a folder of images, a .npy or a .npz file. [default: digits]")
    ] = None,
    sigma_n: Annotated[
        str | None,
        typer.Option(
            help="Noise std of the observations in units of [-1, 1]: a number, LOW,HIGH (simulated, one level a row), or a file "
            "of levels by row. Declared for noisy data, simulated for clean data sets. [default: 0.2 if simulated]"
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model by name. [default: mlp]")] = None,
    output_dir: Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/DATA-OBJECTIVE]")] = None,
    end_step: Annotated[int | None, typer.Option("--end-step", "--max-steps", help="Optimiser steps. [default: 10000]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in each process and micro-step. [default: 64]")] = None,
    grad_accum_steps: Annotated[int | None, typer.Option(help="Micro-steps in an optimiser step. [default: 1]")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate. [default: 5e-4]")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is random. [default: 0]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [default: auto]")] = None,
    mixed_precision: Annotated[
        str | None, typer.Option(help="no, bf16 or fp16; the ambient algebra stays in float32. [default: no]")
    ] = None,
    num_workers: Annotated[int | None, typer.Option(help="Processes that read data. [default: 0]")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw or sgd. [default: adamw]")] = None,
    lr_schedule: Annotated[
        str | None, typer.Option(help="constant, cosine or inverse-sqrt, after the warm-up. [default: constant]")
    ] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Optimiser steps of warm-up. [default: 100]")] = None,
    checkpointing: Annotated[
        bool | None, typer.Option("--checkpointing/--no-checkpointing", help="Recompute activations: less memory, more time.")
    ] = None,
    compile_: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Compile the network with torch.compile.")] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(metavar="FILE|RUN", help="Begin with these weights: a run, a checkpoint, a .safetensors, or a .pth of k-diffusion."),
    ] = None,
    config: Annotated[
        list[Path] | None, typer.Option("--config", "-c", help="YAML or JSON file; may be repeated, the later wins, key by key.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Any key of the configuration, such as optimizer.lr=1e-3; wins over files and flags."),
    ] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints. [default: 1000]")] = None,
    keep_last: Annotated[int | None, typer.Option(help="Checkpoints kept. [default: 3]")] = None,
    log_every: Annotated[int | None, typer.Option(help="Steps between log lines. [default: 50]")] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            help="flip-horizontal, flip-vertical, quarter-turns or crop=HxW: poses that keep the law of the noise; may be repeated."
        ),
    ] = None,
    tracker: Annotated[
        list[str] | None, typer.Option(help="tensorboard, wandb, trackio or mlflow, besides metrics.jsonl; may be repeated.")
    ] = None,
    demo_every: Annotated[int | None, typer.Option(help="Steps between sample grids; 0: only at the end. [default: 0]")] = None,
    time_limit: Annotated[
        str | None, typer.Option(metavar="TIME", help="Save and leave with exit status 0 after this time, such as 90s, 30m or 2h30m.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="latest|PATH", help="Go on from the newest checkpoint in --output-dir, or from a run or checkpoint folder."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved configuration and stop.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Train although the data violate the noise model in this point, as `inspect` names it; may be repeated."
        ),
    ] = None,
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight", help="Train even an objective that the check before step 1 rejects.")
    ] = False,
) -> None:
    """Train on noisy data. Without any flag: digits with simulated noise, tweedie-consistency, a small network."""
    from ambientkit.cli.train import Request, run

    flags = {
        ("objective",): ("--objective", objective),
        ("model",): ("--model", model),
        ("end_step",): ("--end-step", end_step),
        ("batch_size",): ("--batch-size", batch_size),
        ("grad_accum_steps",): ("--grad-accum-steps", grad_accum_steps),
        ("optimizer", "lr"): ("--lr", lr),
        ("seed",): ("--seed", seed),
        ("device",): ("--device", device),
        ("mixed_precision",): ("--mixed-precision", mixed_precision),
        ("num_workers",): ("--num-workers", num_workers),
        ("optimizer", "name"): ("--optimizer", optimizer),
        ("optimizer", "schedule"): ("--lr-schedule", lr_schedule),
        ("optimizer", "warmup_steps"): ("--warmup-steps", warmup_steps),
        ("checkpointing",): ("--checkpointing", checkpointing),
        ("compile",): ("--compile", compile_),
        ("init_from",): ("--init-from", None if init_from is None else str(init_from)),
        ("log_every",): ("--log-every", log_every),
        ("augment",): ("--augment", augment or None),
        ("trackers",): ("--tracker", tracker or None),
        ("save_every",): ("--save-every", save_every),
        ("keep_last",): ("--keep-last", keep_last),
        ("demo_every",): ("--demo-every", demo_every),
    }
    given: dict[tuple[str | int, ...], tuple[str, object]] = {
        path: (flag, value) for path, (flag, value) in flags.items() if value is not None
    }
    run(
        Request(
            given,
            data,
            sigma_n,
            tuple(config or ()),
            tuple(set_ or ()),
            output_dir,
            resume,
            dry_run,
            skip_preflight,
            tuple(allow or ()),
            time_limit,
        )
    )


@app.command()
def status(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell what a training run is doing, or how it ended, and the command that goes on with it."""
    from ambientkit.cli.status import run as show

    show(run, json)


app.command()(sample)
app.command()(evaluate)
app.command()(report)
app.command()(export)
app.command()(card)


@app.command()
def verify(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PART]...", help="NAME, KIND:NAME, 'KIND:NAME{field: value}', or FILE.py. [default: all parts]", show_default=False
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the quick checks: those that `train` runs before step 1.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything that is random; the same seed gives the same numbers.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file as well.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show what would be checked, and how; run nothing.")] = False,
    mutants: Annotated[bool, typer.Option("--mutants", help="Test the checks themselves on parts that are wrong on purpose.")] = False,
    run: Annotated[
        Path | None,
        typer.Option(help="Report on a trained run instead, without clean data. Run folder, or its model_ema.safetensors."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="With --run: rows that the run has not seen, as for `train`, or 'NAME{field: value}'.")
    ] = None,
    sigma_n: Annotated[str | None, typer.Option(help="With --run: noise std of --data, as for `train`.")] = None,
    rows: Annotated[int | None, typer.Option(min=2, help="With --run: rows measured on. [default: 256]", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="With --run: auto, cpu, cuda or cuda:N. [default: auto]", show_default=False)] = None,
) -> None:
    """Test what parts claim, on problems whose answer is known. Exit status 0: all passed, 1: a check failed, 2: wrong usage."""
    if run is None:
        given = {"--data": data, "--sigma-n": sigma_n, "--rows": rows, "--device": device}
        if alone := [flag for flag, value in given.items() if value is not None]:
            raise InputError(f"{alone[0]} belongs to --run RUN; parts are checked on problems of their own")
        from ambientkit.cli.verify import Request
        from ambientkit.cli.verify import run as check

        check(Request(tuple(parts or ()), quick, seed, json, list_, mutants))
        return
    if parts or quick or list_ or mutants:
        raise InputError("--run reports on one trained run: leave out parts, --quick, --list and --mutants")
    from ambientkit.cli.verify_run import RunRequest
    from ambientkit.cli.verify_run import run as measure

    measure(RunRequest(run, data, sigma_n, rows or 256, seed, json, device or "auto"))


@app.command()
def inspect(
    data: Annotated[str, typer.Argument(help="Data set by name, 'NAME{field: value}', or a path.")],
    sigma_n: Annotated[
        str | None,
        typer.Option(
            help="Noise std that the rows are said to have, in units of [-1, 1]: a number, a file of levels by row, or 'estimate'. "
            "[default: the one stored with the data, otherwise estimated]",
            show_default=False,
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file as well.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page with pictures and histograms.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows looked at, evenly spaced.")] = 512,
) -> None:
    """Say what a data set holds, and whether its noise is white, Gaussian and of the declared level. Exit status 0: fine, 1: it is not, 2: wrong input."""
    from ambientkit.cli.inspect import run

    run(data, sigma_n, json, html, rows)


@app.command()
def corrupt(
    src: Annotated[str, typer.Argument(help="Clean data set by name, 'NAME{field: value}', or a path.")],
    dst: Annotated[Path, typer.Argument(help="Folder to write; an interrupted copy goes on where it was.")],
    sigma: Annotated[str, typer.Option(help="Noise std in units of [-1, 1]: a number, or LOW,HIGH (one level a row).")],
    seed: Annotated[int, typer.Option(help="Seed of the noise; row i depends on (seed, i) only.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes; changes nothing but the speed.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Add noise even to rows that are noisy already.")] = False,
    force_8_bit: Annotated[
        bool, typer.Option("--force-8-bit", help="Write PNG pictures, which clip and round the noise, instead of floating point.")
    ] = False,
) -> None:
    """Write a noisy copy of clean data: rows.npy (float32) and a manifest with sigma, seed and source hashes."""
    from ambientkit.cli.corrupt import run

    run(src, dst, sigma, seed, workers, again, force_8_bit)


@app.command()
def plugins() -> None:
    """List every part there is: kind, name, what it does, package and version; and plug-ins that failed to load, with the reason."""
    from ambientkit.cli.plugins import run

    run()


def _version(value: bool) -> None:
    if value:
        from ambientkit import __version__

        typer.echo(f"ambientkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; known errors end in one message and their exit status, never in a traceback."""
    try:
        app()
    except AmbientError as error:
        from ambientkit.cli.output import redacted

        print(redacted(f"ambientkit: error: {error}"), file=sys.stderr)
        sys.exit(error.exit_status)
    except Exception as error:
        if os.environ.get("AMBIENTKIT_DEBUG"):
            raise
        from ambientkit.cli.output import redacted

        reason = redacted(" ".join(str(error).split()))[:500]
        print(
            f"ambientkit: internal error: {type(error).__name__}: {reason}\n"
            "This is a bug. Set AMBIENTKIT_DEBUG=1 to see the traceback, and please report it.",
            file=sys.stderr,
        )
        sys.exit(1)
