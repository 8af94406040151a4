"""The run folder: finding what is to be resumed, opening it, saving to it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from torch import Tensor

from ambientkit.checkpoint import latest, prune, read_folder, write_folder
from ambientkit.checkpoint.folder import FORMAT_VERSION, check_version, checkpoints, clean, set_aside_newer, write_file
from ambientkit.checkpoint.lines import cut_after, read_lines
from ambientkit.checkpoint.names import (
    CHECKPOINTS,
    CONFIG,
    EVALUATIONS,
    LOCK,
    LOGS,
    METRICS,
    PREFLIGHT,
    STATUS,
    VERSIONS,
    WEIGHTS,
    checkpoint_name,
)
from ambientkit.checkpoint.own import refuse_own
from ambientkit.checkpoint.target import refuse_broken
from ambientkit.checkpoint.weights import to_bytes
from ambientkit.config import RunConfig, dump
from ambientkit.config.request import IDENTITY, Request
from ambientkit.config.run import to_yaml
from ambientkit.errors import InputError
from ambientkit.messages import say, warn
from ambientkit.training import Training
from ambientkit.training.collapse import Detector
from ambientkit.training.metrics import Window
from ambientkit.training.state import Whole
from ambientkit.versions import versions

LINES = (METRICS, EVALUATIONS)
"""Files that a run adds lines to."""
UNBEGUN = {LOCK, VERSIONS, IDENTITY, CONFIG, PREFLIGHT, STATUS, METRICS, CHECKPOINTS, LOGS}
"""What a run that ended before its first step may have left in its folder, VERSIONS always."""
COLLAPSE = "collapse.json"
"""In a checkpoint: what the detector of collapse knows."""

Checkpoint = tuple[Path, dict[str, bytes]]


def resumed(request: Request) -> tuple[Path, Path | None] | None:
    """The run folder to go on in and the checkpoint, where one was named; None for a new run. Raises InputError where
    there is none."""
    if request.resume is None:
        return None
    if request.resume == "latest":
        if request.output_dir is None:
            raise InputError("--resume latest needs --output-dir, the folder of the run")
        given = request.output_dir
    else:
        given = Path(request.resume)
    named = given.parent.name == CHECKPOINTS
    folder = given.parent.parent if named else given
    if not given.is_dir() or not folder.is_dir():
        raise InputError(
            f"--resume {given}: there is no such folder; give a run folder or one of its checkpoints, or 'latest'"
        )
    if not (folder / CONFIG).is_file():
        raise InputError(f"--resume {given}: no run was begun there ({CONFIG} is missing); start it without --resume")
    for name in LINES:
        read_lines(folder / name)  # of another format they are refused now, before anything is written
    return folder, given if named else None


def checkpoint_of(folder: Path, named: Path | None) -> Checkpoint | None:
    """The checkpoint to resume from: the one named, or the newest whole one; None where the run ended before its first
    one.

    Raises InputError where the one named, or every one there is, is damaged.
    """
    if named is not None:
        return named, read_folder(named)
    if not any(checkpoints(folder / CHECKPOINTS)):
        return None
    path, files, skipped = latest(folder / CHECKPOINTS)
    for line in skipped:
        warn(f"skipped {line}")
    return path, files


def refuse_used(folder: Path) -> None:
    """Raise InputError where a new run would write into a folder with something in it. What a run left that ended
    before its first step is nothing: there is nothing to go on from, and what ended it may ask for other settings."""
    refuse_broken(folder, "--output-dir")
    if not folder.exists():
        refuse_own(folder, "--output-dir", folder=True)
        return
    if not folder.is_dir():
        raise InputError(f"--output-dir {folder}: is a file, not a folder; give another path")
    if not (left_unbegun(folder) or _names(folder) <= {LOCK}):
        raise InputError(
            f"--output-dir {folder}: already exists and is not empty. Go on with --resume latest, or give another "
            "folder"
        )
    if not left_unbegun(folder):
        refuse_own(folder, "--output-dir", folder=True)


def left_unbegun(folder: Path) -> bool:
    """Whether a folder holds what a run left that ended before its first step, and nothing else."""
    names = _names(folder) if folder.is_dir() else set()
    made_by_steps = [folder / METRICS] if METRICS in names and (folder / METRICS).stat().st_size else []
    made_by_steps += [path for _, path in checkpoints(folder / CHECKPOINTS)]
    return VERSIONS in names and names <= UNBEGUN and not made_by_steps


def _names(folder: Path) -> set[str]:
    """The names in a folder, without those that interrupted writes left aside."""
    return {path.name for path in folder.iterdir() if not path.match(".*.tmp-*")}


def make(folder: Path) -> None:
    """Make the folder of a new run. Raises InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output-dir {folder}: cannot be made ({error.strerror})") from None


def refuse_unmakeable(folder: Path) -> None:
    """Raise InputError where the folder of a run cannot be made, or no file can be made in it, as below /proc. Only
    trying shows that; what was made is removed again."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        make(folder)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"--output-dir {folder}: cannot be written to ({error.strerror})") from None
    finally:
        for place in missing:
            with suppress(OSError):  # it was not made, or another run has begun there
                place.rmdir()


def open_folder(folder: Path, config: RunConfig, training: Training) -> None:
    """Make the run folder ready for the next steps: take away what interrupted writes left, and what a resumed run will
    write again."""
    clean(folder)
    # First, because no file of a user has this name: by it `left_unbegun` knows the folder of a run.
    write_file(folder / VERSIONS, json.dumps({"format_version": FORMAT_VERSION, **versions()}, indent=1).encode())
    known = {name: training.about_data.get(name) for name in ("fingerprint", "operator")}
    identity = {**known, "sigma_data": training.signal.sigma_data}
    write_file(folder / IDENTITY, json.dumps({"format_version": FORMAT_VERSION, **identity}, indent=1).encode())
    write_file(folder / CONFIG, to_yaml({"format_version": FORMAT_VERSION, **dump(config)}).encode())
    step = training.step
    for path in set_aside_newer(folder / CHECKPOINTS, step):
        say(f"a checkpoint after step {step} is set aside as {path}")
    for name in LINES:
        cut_after(folder / name, step)


def save(
    training: Training,
    window: Window,
    detector: Detector,
    folder: Path,
    whole: Whole,
    more: Mapping[str, bytes],
) -> None:
    """Write a checkpoint and the averaged weights, and remove old checkpoints. Raises RunError where the disk refuses.

    whole: of all processes. more: further files of the checkpoint.
    """
    told = {"window.json": window.state, COLLAPSE: detector.state}
    files = {
        **training.state(whole),
        **{name: json.dumps(state).encode() for name, state in told.items()},
        **more,
    }
    write_folder(folder / CHECKPOINTS / checkpoint_name(training.step), files)
    prune(folder / CHECKPOINTS, training.config.keep_last)
    prefix = "module."
    average = {name.removeprefix(prefix): value for name, value in whole.average.items() if name.startswith(prefix)}
    save_average(training, folder, average)


def save_average(training: Training, folder: Path, average: Mapping[str, Tensor]) -> None:
    """Write averaged weights of this moment (`Training.average_of_all`), which samples are drawn with where no earlier
    ones are kept."""
    write_file(folder / WEIGHTS, to_bytes(average, {**average_metadata(training), **training.base.entry()}))


def average_metadata(training: Training) -> dict[str, Any]:
    """What a file of averaged weights says of its run."""
    signal = training.signal
    return {
        "config": dump(training.config),
        "signal": {"shape": signal.shape, "sigma_data": signal.sigma_data, "conds": dict(signal.conds)},
        "step": training.step,
        "data": dict(training.about_data),
    }


def read_identity(folder: Path) -> dict[str, Any]:
    """What a run knows its data by, and what was estimated from them; empty for a run of an early version. Raises
    InputError."""
    path = folder / IDENTITY
    if not path.is_file():
        return {}
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__})") from None
    check_version(found.get("format_version"), path)
    return found


def read_versions(folder: Path) -> dict[str, str | None]:
    """What a run was made with, by name; empty where it does not say. Raises InputError for a file of another
    format."""
    try:
        found = dict(json.loads((folder / VERSIONS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
    check_version(found.pop("format_version", FORMAT_VERSION), folder / VERSIONS)
    return {str(name): None if version is None else str(version) for name, version in found.items()}


def resume_command(folder: Path, processes: int) -> str:
    """The command that goes on with a run."""
    program = "ambientkit" if processes == 1 else f"torchrun --nproc_per_node {processes} -m ambientkit"
    return f"{program} train --resume {shlex.quote(str(folder))}"
