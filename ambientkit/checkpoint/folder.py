"""A checkpoint is a folder that is either whole or not there: written aside, flushed to disk, renamed, with a manifest
of hashes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from ambientkit.checkpoint.names import step_of_checkpoint
from ambientkit.checkpoint.replace import UNTOUCHED, remove, replacing
from ambientkit.checkpoint.space import GOES_ON
from ambientkit.errors import InputError

MANIFEST = "manifest.json"
FORMAT_VERSION = 1


def check_version(version: object, where: object, known: int = FORMAT_VERSION) -> None:
    """Raise InputError naming `where` for a file of another format than this version reads."""
    if version != known:
        raise InputError(f"{where}: format {version!r} is not known to this version of ambientkit, which reads {known}")


def write_file(path: Path, content: bytes, *, intact: str = UNTOUCHED) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; a stream is written to. intact: what
    the message promises where it fails. Raises RunError as `replacing`."""
    with replacing(path, intact=intact) as aside:
        aside.write_bytes(content)


def write_part(path: Path, content: bytes) -> None:
    """`write_file`, of a part of a work that the same command goes on with."""
    write_file(path, content, intact=GOES_ON)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a checkpoint folder of these files. Raises RunError where the disk refuses; `path` is then as before."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = json.dumps({"format_version": FORMAT_VERSION, "sha256": hashes}, indent=1).encode()
    with replacing(path, intact=_earlier(path)) as aside:
        remove(aside)  # of an interrupted write by a process of the same number
        aside.mkdir(parents=True)
        for name, content in {**files, MANIFEST: manifest}.items():
            (aside / name).write_bytes(content)


def _earlier(path: Path) -> str:
    """The message for a checkpoint that cannot be written: the one that the run goes on from."""
    found = [(step, one.name) for one in path.parent.glob("*") if (step := step_of_checkpoint(one.name)) is not None]
    if not found:
        return "it would have been the first: make room on the disk, and the same command begins anew"
    return f"{max(found)[1]} is untouched: make room on the disk, and go on from there (--resume)"


def read_folder(path: Path) -> dict[str, bytes]:
    """The files of a checkpoint folder. Raises InputError naming the file that is missing, damaged or of another
    format."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        version, hashes = manifest["format_version"], dict(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a whole checkpoint ({MANIFEST} cannot be read: {type(error).__name__})"
        ) from None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: checkpoint format {version} is not known to this version of ambientkit, which writes "
            f"{FORMAT_VERSION}"
        )
    files = {}
    for name, digest in hashes.items():
        if Path(name).name != name:
            raise InputError(f"{path}: the manifest names a file outside the checkpoint ({name!r})")
        try:
            files[name] = (path / name).read_bytes()
        except OSError:
            raise InputError(f"{path / name}: missing from the checkpoint") from None
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise InputError(f"{path / name}: damaged (its content does not match the manifest)")
    return files


def checkpoints(folder: Path) -> Iterator[tuple[int, Path]]:
    """(step, path) of every checkpoint folder of a run, newest first."""
    found = []
    for path in folder.glob("checkpoint_*"):
        if (step := step_of_checkpoint(path.name)) is not None:
            found.append((step, path))
    yield from sorted(found, reverse=True)


def whole_checkpoints(folder: Path) -> tuple[list[tuple[int, Path]], list[str]]:
    """(step, path) of every checkpoint that is whole, oldest first; and a line for each that is not."""
    whole, damaged = [], []
    for step, path in sorted(checkpoints(folder)):
        try:
            read_folder(path)
            whole.append((step, path))
        except InputError as error:
            damaged.append(str(error))
    return whole, damaged


def latest(folder: Path) -> tuple[Path, dict[str, bytes], list[str]]:
    """The newest whole checkpoint of a run: its path, its files, and a line for each newer one that was skipped.

    Raises InputError where there is none.
    """
    skipped: list[str] = []
    for _, path in checkpoints(folder):
        try:
            return path, read_folder(path), skipped
        except InputError as error:
            skipped.append(str(error))
    raise InputError("\n".join([f"{folder}: there is no checkpoint to resume from", *skipped]))


def set_aside_newer(folder: Path, step: int) -> list[Path]:
    """Rename the checkpoints after `step`, which a run resumed there will write again: a damaged one must not count as
    one of those kept.

    Their new names, which nothing here reads.
    """
    renamed = []
    for later, path in list(checkpoints(folder)):
        if later > step:
            number = 1
            while (new := path.with_name(f"set_aside_{number}_{path.name}")).exists():
                number += 1
            os.rename(path, new)
            renamed.append(new)
    return renamed


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what an interrupted save left aside."""
    for _, path in list(checkpoints(folder))[keep:]:
        shutil.rmtree(path, ignore_errors=True)
    clean(folder)


def clean(folder: Path) -> None:
    """Remove what interrupted writes left aside. Only for who holds the run's lock: others may be writing."""
    for path in folder.glob(".*.tmp-*"):
        remove(path)
