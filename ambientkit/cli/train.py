"""The flags of `ambientkit train`; nothing heavy is imported before it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ambientkit.cli.flags import SEEDS


def train(
    objective: Annotated[
        str | None,
        typer.Option(help="Objective or recipe: NAME or 'NAME{field: value}'. [default: tweedie-consistency]"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Data set by name, or a path: a folder of images, a .npy or a .npz file. [default: digits]"),
    ] = None,
    sigma_n: Annotated[
        str | None,
        typer.Option(
            help="Noise std of the observations in units of [-1, 1]: a number, LOW,HIGH (simulated, one level per "
            "row), or a file "
            "with one level per row. Declared for noisy data, simulated for clean data sets. [default: 0.2 if "
            "simulated]"
        ),
    ] = None,
    corruption: Annotated[
        str | None,
        typer.Option(
            help="How the rows were corrupted: gaussian, mask (missing values), linear (measured through an operator), "
            "as NAME or 'NAME{field: value}'. [default: gaussian]",
            show_default=False,
        ),
    ] = None,
    on_bad_file: Annotated[
        str | None,
        typer.Option(
            metavar="fail|skip",
            help="Files and rows that cannot be used: list them and stop, or leave them out. [default: fail]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model: NAME or 'NAME{field: value}'. [default: one that suits shape and number of the rows]"
        ),
    ] = None,
    output_dir: Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/DATA-OBJECTIVE]")] = None,
    end_step: Annotated[
        int | None,
        typer.Option(
            "--end-step", "--max-steps", help="Optimiser steps. [default: 10000, or what suits the model chosen]"
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in each process and micro-step. [default: 64]")] = None,
    grad_accum_steps: Annotated[int | None, typer.Option(help="Micro-steps in an optimiser step. [default: 1]")] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate. [default: 5e-4, or what suits the model chosen]")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(**SEEDS, help="Seed of everything that is random. [default: 0]"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [default: auto]")] = None,
    mixed_precision: Annotated[
        str | None, typer.Option(help="no, bf16 or fp16; the ambient algebra stays in float32. [default: no]")
    ] = None,
    num_workers: Annotated[int | None, typer.Option(help="Processes that read data. [default: 0]")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw or sgd. [default: adamw]")] = None,
    lr_schedule: Annotated[
        str | None,
        typer.Option(
            help="constant, cosine or inverse-sqrt, after the warm-up. [default: constant, or what suits the model "
            "chosen]"
        ),
    ] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Optimiser steps of warm-up. [default: 100]")] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option("--checkpointing/--no-checkpointing", help="Recompute activations: less memory, more time."),
    ] = None,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the network with torch.compile.")
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|RUN",
            help="Begin with these weights: a run, a checkpoint, a .safetensors, or a .pth of k-diffusion.",
        ),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="YAML or JSON file; may be repeated, the later wins, key by key."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="A.B=C",
            help="Any key of the configuration, such as optimizer.lr=1e-3; wins over files and flags.",
        ),
    ] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints. [default: 1000]")] = None,
    keep_last: Annotated[int | None, typer.Option(help="Checkpoints kept. [default: 3]")] = None,
    log_every: Annotated[int | None, typer.Option(help="Steps between log lines. [default: 50]")] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            help="flip-horizontal, flip-vertical, quarter-turns or crop=HxW: poses that keep the law of the noise; "
            "may be repeated."
        ),
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(help="tensorboard, wandb, trackio or mlflow, besides metrics.jsonl; may be repeated."),
    ] = None,
    demo_every: Annotated[
        int | None, typer.Option(help="Steps between sample grids; 0: only at the end. [default: 0]")
    ] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(
            help="Steps between evaluations of the averaged weights, which change nothing in training; 0: none. "
            "[default: 0]"
        ),
    ] = None,
    evaluate_data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Rows to evaluate on that are not trained on, as for --data. [default: the run's own rows]",
        ),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the rows that are not trained on, by which the best weights are kept; 0: none. "
            "[default: 0.1, of 512 rows at most]",
        ),
    ] = None,
    stop_early: Annotated[
        bool | None,
        typer.Option(
            "--stop-early/--no-stop-early",
            help="Stop where the loss on the rows held out has risen for good. [default: stop]",
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Save and leave with exit status 0 after this time, such as 90s, 30m or 2h30m."
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="latest|PATH",
            help="Go on from the newest checkpoint in --output-dir, or from a run or checkpoint folder.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check all that the run checks before step 1, but for its quick checks of parts; print the "
            "resolved configuration and stop. Nothing is written.",
        ),
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Train although the data violate the noise model in this point, as `inspect` names it; may be "
            "repeated.",
        ),
    ] = None,
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight", help="Train even an objective that the check before step 1 rejects.")
    ] = False,
) -> None:
    """Train on noisy data. Without any flag: digits with simulated noise, tweedie-consistency, a small network."""
    from ambientkit.api.training import Request, dry_run_text, train_run
    from ambientkit.cli.output import progress_wanted, stopping

    flags = {
        ("objective",): ("--objective", objective),
        ("model",): ("--model", model),
        ("corruption",): ("--corruption", corruption),
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
        ("evaluate_every",): ("--evaluate-every", evaluate_every),
        ("hold_out",): ("--hold-out", hold_out),
        ("stop_early",): ("--stop-early", stop_early),
    }
    given: dict[tuple[str | int, ...], tuple[str, object]] = {
        path: (flag, value) for path, (flag, value) in flags.items() if value is not None
    }
    request = Request(
        flags=given,
        data=data,
        sigma_n=sigma_n,
        config=tuple(config or ()),
        settings=tuple(set_ or ()),
        output_dir=output_dir,
        resume=resume,
        skip_preflight=skip_preflight,
        allow=tuple(allow or ()),
        time_limit=time_limit,
        evaluate_data=evaluate_data,
        on_bad_file=on_bad_file,
    )
    if dry_run:
        print(dry_run_text(request), end="")
        return
    with stopping() as stop:
        run = train_run(request, stop=stop, progress=progress_wanted())
    if run.ended.signal:
        sys.exit(128 + run.ended.signal)
    if run.ended.state == "finished":
        print(f"run: {run.path}\nnext: {run.next_command}")
