"""A file or a folder that takes the place of what was there as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import get_native_id

from safetensors import SafetensorError

from ambientkit.checkpoint.target import followed, is_stream, refusal, write_through
from ambientkit.errors import RunError

UNTOUCHED = "what was there before is untouched"


@contextmanager
def replacing(
    target: Path,
    *,
    suffix: str = "",
    check: Callable[[Path], None] | None = None,
    intact: str = UNTOUCHED,
) -> Iterator[Path]:
    """A path beside `target` to write a file or a folder to, which takes the target's place once it is whole and on
    disk.

    A reader sees the old content or the new, never a part. After an error the target is as before, and nothing is left
    beside it. suffix: of the path, for writers that look at it. check: is called with the path before it takes the
    target's place, and may refuse that by an error. intact: what the message promises. Raises RunError where the target
    is read-only, or the disk refuses.

    A link is followed, and stays a link. A device, a pipe or a socket is never replaced: the content of the path is
    written to it.
    """
    try:
        if is_stream(target):
            with TemporaryDirectory() as folder:
                yield (content := Path(folder) / f"content{suffix}")
                if check is not None:
                    check(content)
                write_through(target, content.read_bytes())
            return
        if reason := refusal(target):
            raise RunError(f"{target}: {reason}; {intact}")
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror or error}); {intact}") from error
    target = followed(target)
    aside = target.with_name(f".{target.name}.tmp-{os.getpid()}-{get_native_id()}{suffix}")
    old = aside.with_name(f"{aside.name}-old")
    try:
        yield aside
        _flush(aside)
        if check is not None:
            check(aside)
        if target.is_dir() and not aside.is_dir():
            raise RunError(f"{target}: is a folder, where a file is to be written; {intact}")
        if target.is_dir():  # a folder that is not empty cannot be replaced in one step
            os.rename(target, old)
        os.replace(aside, target)
        flush_folder(target.parent)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror or error}); {intact}") from error
    except SafetensorError as error:  # in which the library wraps what the system says
        if "I/O error" not in str(error):
            raise
        raise RunError(f"{target}: cannot be written ({str(error).rpartition('I/O error: ')[2]}); {intact}") from error
    finally:
        with suppress(OSError):  # of a name that is too long, which has been reported above
            if old.exists() and not target.exists():  # stopped between the two renames
                os.rename(old, target)
            remove(aside)
            remove(old)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, where there is one. A folder is removed as far as the system
    allows."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Bring a file, or a folder with all that is in it, to the disk."""
    for part in [path, *path.rglob("*")] if path.is_dir() else [path]:
        flush_folder(part) if part.is_dir() else _flush_file(part)


def _flush_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def flush_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
