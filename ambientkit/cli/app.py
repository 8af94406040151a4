"""`ambientkit`: the commands, their flags and their help texts."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ambientkit.cli.attack import attack
from ambientkit.cli.evaluate import evaluate
from ambientkit.cli.export import card, export
from ambientkit.cli.flags import SEEDS, Html, Json, OnBadFile
from ambientkit.cli.memorization import memorization
from ambientkit.cli.output import command
from ambientkit.cli.report import report
from ambientkit.cli.sample import sample
from ambientkit.cli.status import status
from ambientkit.cli.train import train
from ambientkit.errors import AmbientError, InputError, refused

app = typer.Typer(
    name="ambientkit",
    help="Train a diffusion model when you own only noisy data, and sample the clean distribution it hides.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


app.command()(train)
app.command()(status)
app.command()(sample)
app.command()(evaluate)
app.command()(attack)
app.command()(memorization)
app.command()(report)
app.command()(export)
app.command()(card)


@app.command()
def verify(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PART]...",
            help="NAME, KIND:NAME, 'KIND:NAME{field: value}', or FILE.py. [default: all parts]",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the quick checks: those that `train` runs before step 1.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            **SEEDS,
            help="Seed of everything that is random; the same seed gives the same numbers.",
        ),
    ] = 0,
    json: Json = None,
    list_: Annotated[bool, typer.Option("--list", help="Show what would be checked, and how; run nothing.")] = False,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Test the checks themselves on parts that are wrong on purpose.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit status 1 also where a part is unchecked, or does not claim what it would pass."
        ),
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Report on a trained run instead, without clean data. Run folder, or its model_ema.safetensors."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="With --run: rows that the run has not seen, as for `train`, or 'NAME{field: value}'."),
    ] = None,
    sigma_n: Annotated[str | None, typer.Option(help="With --run: noise std of --data, as for `train`.")] = None,
    rows: Annotated[
        int | None, typer.Option(min=2, help="With --run: rows measured on. [default: 256]", show_default=False)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="With --run: auto, cpu, cuda or cuda:N. [default: auto]", show_default=False)
    ] = None,
) -> None:
    """Test what parts claim, on problems whose answer is known. Exit status 0: all passed, 1: a check failed, 2: wrong
    usage."""
    if run is None:
        given = {"--data": data, "--sigma-n": sigma_n, "--rows": rows, "--device": device}
        if alone := [flag for flag, value in given.items() if value is not None]:
            raise InputError(f"{alone[0]} belongs to --run RUN; parts are checked on problems of their own")
        from ambientkit.cli.verify import run as check

        check(tuple(parts or ()), quick, seed, json, list_, mutants, strict)
        return
    if parts or quick or list_ or mutants or strict:
        raise InputError("--run reports on one trained run: leave out parts, --quick, --list, --mutants and --strict")
    from ambientkit.cli.measured import run as measure

    measure(run, data, sigma_n, rows or 256, seed, json, device or "auto")


@app.command()
def inspect(
    data: Annotated[str, typer.Argument(help="Data set by name, 'NAME{field: value}', or a path.")],
    sigma_n: Annotated[
        str | None,
        typer.Option(
            help="Noise std that the rows are said to have, in units of [-1, 1]: a number, a file with one level "
            "per row, or 'estimate'. "
            "[default: the one stored with the data, otherwise estimated]",
            show_default=False,
        ),
    ] = None,
    corruption: Annotated[
        str | None,
        typer.Option(
            help="How the rows were observed, as for `train`: 'linear{operator: NAME}' for measurements of an "
            "operator, such as k-space or sinograms.",
            show_default=False,
        ),
    ] = None,
    json: Json = None,
    html: Html = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN.yaml",
            help="Propose a whole run, and write it as a configuration for `train -c`, with the reason of each line.",
        ),
    ] = None,
    dark: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="With --write: frames without light, to measure offset and read noise."),
    ] = None,
    flat: Annotated[
        list[str] | None,
        typer.Option(metavar="DATA", help="With --write: frames of an even light; once for each brightness."),
    ] = None,
    repeats: Annotated[
        list[str] | None,
        typer.Option(metavar="DATA", help="With --write: repeated frames of one scene; may be repeated."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows looked at, evenly spaced.")] = 512,
    on_bad_file: OnBadFile = None,
) -> None:
    """Say what a data set holds, and whether its noise is white, Gaussian and of the declared level; propose a run for
    it. Exit status 0: fine, 1: it is not, or nothing can be proposed, 2: wrong input."""
    from ambientkit.cli.inspect import run

    run(data, sigma_n, json, html, rows, on_bad_file, write, dark, flat, repeats, corruption)


@app.command("new-plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the part, lower case, such as my-objective.")],
    kind: Annotated[
        str,
        typer.Option(metavar="KIND", help="objective, corruption, sampler, model, data, check, extractor or attack."),
    ] = "objective",
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="New or empty folder. [default: ambientkit-NAME]", show_default=False),
    ] = None,
) -> None:
    """Write a plug-in package to change: one part, a wrong variant of it, tests that pass, and its entry point."""
    import ambientkit as ak
    from ambientkit.cli.tables import show

    show(ak.new_plugin(name, kind, folder))


@app.command()
def corrupt(
    src: Annotated[str, typer.Argument(help="Clean data set by name, 'NAME{field: value}', or a path.")],
    dst: Annotated[Path, typer.Argument(help="Folder to write; an interrupted copy goes on where it was.")],
    sigma: Annotated[
        str | None,
        typer.Option(
            help="Noise std in units of [-1, 1]: a number, or LOW,HIGH (one level per row). [default: none "
            "with --corruption mask]",
            show_default=False,
        ),
    ] = None,
    corruption: Annotated[
        str,
        typer.Option(
            help="gaussian: noise; mask: missing values, as in 'mask{missing: 0.4, kind: rows}'; their masks are "
            "written beside the rows."
        ),
    ] = "gaussian",
    seed: Annotated[
        int,
        typer.Option(**SEEDS, help="Seed of the noise and masks; row i depends on (seed, i) only."),
    ] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes; changes nothing but the speed.")] = 0,
    on_bad_file: OnBadFile = None,
    again: Annotated[bool, typer.Option("--again", help="Add noise even to rows that are noisy already.")] = False,
    force_8_bit: Annotated[
        bool,
        typer.Option(
            "--force-8-bit", help="Write PNG pictures, which clip and round the noise, instead of floating point."
        ),
    ] = False,
) -> None:
    """Write a corrupted copy of clean data: rows.npy (float32), masks.npy where values are missing, and a manifest with
    the corruption, seed and source hashes."""
    from ambientkit.cli.corrupt import run

    run(src, dst, sigma, corruption, seed, workers, again, force_8_bit, on_bad_file)


@app.command()
def plugins() -> None:
    """List every part there is: kind, name, what it does, package and version; and plug-ins that failed to load, with
    the reason."""
    from ambientkit.cli.plugins import run

    run()


def _version(value: bool) -> None:
    if value:
        from ambientkit import __version__

        typer.echo(f"ambientkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


WHO = "see who may read and write it (ls -ld), or give another path"
"""What to do where the system refuses."""
MISTAKEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""Refusals that a path was given for; others, as of a full disk, may come with any."""


def main() -> None:
    """Run the command line; known errors end in one message and their exit status, never in a traceback."""
    with command():
        _main()


TEXTS = {"--prompt", "--negative-prompt"}
"""Options whose value may be empty."""
EMPTY = "is empty; is a variable of the shell not set?"


def _check_options(arguments: Sequence[str]) -> None:
    """Raise InputError for an option of other trainers, with the reason, or with what it is called here; and for an
    empty argument, which as a path would be the current folder."""
    for before, word in zip(("ambientkit", *arguments), arguments):
        name, given, value = word.partition("=")
        if given and not value and name.startswith("--") and name not in TEXTS:
            raise InputError(f"{name}: its value {EMPTY}")
        if not word and before not in TEXTS:
            raise InputError(
                f"{before}: its value {EMPTY}" if before.startswith("-") else f"what follows {before} {EMPTY}"
            )
        if name.startswith("--") and (why := refused(name[2:])):
            raise InputError(f"{name}{why}")


def _main() -> None:
    try:
        _check_options(sys.argv[1:])
        app()
    except AmbientError as error:
        from ambientkit.api.outputs import redacted

        if os.environ.get("AMBIENTKIT_DEBUG") and error.__cause__ is not None:  # such as what a plug-in raised
            traceback.print_exception(error.__cause__)
        print(redacted(f"ambientkit: error: {error.for_command()}"), file=sys.stderr)
        sys.exit(error.exit_status)
    except Exception as error:
        if os.environ.get("AMBIENTKIT_DEBUG"):
            raise
        from ambientkit.api.outputs import redacted

        if isinstance(error, OSError) and error.filename and error.strerror:  # what the system refuses is no bug
            told = f"{os.fsdecode(error.filename)}: {error.strerror.lower()}"
            mistaken = error.errno in MISTAKEN
            print(redacted(f"ambientkit: error: {told}{f'; {WHO}' if mistaken else ''}"), file=sys.stderr)
            sys.exit(2 if mistaken else 1)
        reason = redacted(" ".join(str(error).split()))[:500]
        print(
            f"ambientkit: internal error: {type(error).__name__}: {reason}\n"
            "This is a bug. Set AMBIENTKIT_DEBUG=1 to see the traceback, and please report it.",
            file=sys.stderr,
        )
        sys.exit(1)
