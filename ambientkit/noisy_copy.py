"""A corrupted copy of clean data, made once and for all: the noise and masks that training would simulate, on disk.

Row i gets the noise of (seed, "observe", i), so the copy has the same bits for any number of processes, after any
interruption, and trains like the clean source with the same seed. Finished pieces are known by small files, one per
piece; the manifest comes last.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ambientkit.batch import Batch, Clean
from ambientkit.checkpoint.folder import write_part
from ambientkit.checkpoint.lock import at_work
from ambientkit.checkpoint.space import NpyOnDisk
from ambientkit.data.observations import Observations
from ambientkit.errors import InputError, RunError
from ambientkit.interfaces import Corruption
from ambientkit.maths.precondition import TOLD
from ambientkit.processes import worker_pool
from ambientkit.readers.copied import FORMAT, KIND, LEVELS, MANIFEST, MASKS, ROWS
from ambientkit.rows import as_rows
from ambientkit.units.ranges import to_uint8

PICTURES, PROGRESS = "pictures", "progress"
LOCK = ".corrupt.lock"
PIECE = 2**20
"""Values of a piece, the unit of work and of resumption."""


class _AsClean:
    """Observations taken as if they were clean, to be made noisier; the keys of their noise stay."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self.number = as_rows(rows).number

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Clean:
        item = self._rows[index]
        return item if isinstance(item, Clean) else Clean(item.x_n, item.cond)


def own_level(item: Clean | Batch) -> float:
    """The level that a row brings: 0 for a clean one, the largest for one with a level per value."""
    return float(_levels(item).max())


def _levels(item: Clean | Batch) -> NDArray[np.float64]:
    """The level that a row brings, () or broadcastable to its values."""
    return np.zeros(()) if isinstance(item, Clean) else item.sigma_n.numpy().astype(np.float64)


def seen_in_part(item: Clean | Batch) -> bool:
    """Whether a row brings a mask: what it lacks must not be taken for measured in a copy."""
    return bool(set(item.cond) & set(TOLD))


def corrupt(
    rows: Any,
    corruption: Corruption,
    target: Path,
    seed: int,
    about: dict[str, Any],
    *,
    workers: int,
    eight_bit: bool,
    again: bool,
) -> Iterator[tuple[int, int]]:
    """Write the noisy copy; yields (pieces done, pieces) as it goes on. about: what the manifest says of the source.

    A corruption that hides values has its masks written beside the rows, true where a value was measured, and 0 in
    place of what is missing. The folder is held meanwhile. Raises InputError where rows are seen in part, or noisy
    already and `again` is not set, where the folder holds something else or half of another copy, and where another
    command is at work in it.
    """
    total = len(rows)
    first = rows[0]
    x = first.x_0 if isinstance(first, Clean) else first.x_n
    shape = tuple(x.shape)
    request = {
        "kind": KIND,
        "format": FORMAT,
        **about,
        "corruption": {"name": corruption.name, **corruption.model_dump(mode="json")},
        "seed": seed,
        "rows": total,
        "shape": list(shape),
        "units": "[-1, 1]",
        "again": again,
        "stored_as": "8-bit PNG: clipped and rounded, so the noise is no longer Gaussian" if eight_bit else "float32",
    }
    if corruption.carries:
        request["masks"] = MASKS
    with at_work(target, LOCK, "corrupting", "DST"):
        _begin(target, request, eight_bit, shape, total, by_value=_levels(first).ndim > 0)
        step = max(1, PIECE // max(1, x.numel()))
        pieces = [(start, min(start + step, total)) for start in range(0, total, step)]
        yield from _write(pieces, (rows, corruption, seed, target, eight_bit, again), workers)
        _finish(target, request, pieces)


def _write(pieces: list[tuple[int, int]], work: tuple[Any, ...], workers: int) -> Iterator[tuple[int, int]]:
    """Write the pieces that are not there yet; yields (pieces done, pieces)."""
    target = work[3]
    waiting = [piece for piece in pieces if not (target / PROGRESS / f"{piece[0]}.json").exists()]
    done = len(pieces) - len(waiting)
    yield done, len(pieces)
    if workers == 0:
        _initialise(*work)
        for piece in waiting:
            _piece(piece)
            done += 1
            yield done, len(pieces)
    else:
        with worker_pool(workers, _initialise, work) as pool:
            for future in [pool.submit(_piece, piece) for piece in waiting]:
                future.result()
                done += 1
                yield done, len(pieces)


def _begin(
    target: Path, request: dict[str, Any], eight_bit: bool, shape: tuple[int, ...], total: int, by_value: bool
) -> None:
    asked = target / PROGRESS / "request.json"
    if (target / MANIFEST).exists():  # of a finished copy, or of one killed while its progress was being removed
        raise InputError(f"{target}: holds a finished copy already. Give another folder")
    if asked.exists():
        before = json.loads(asked.read_text())
        if before != json.loads(json.dumps(request)):
            other = sorted(
                key for key in {*before, *request} if before.get(key) != json.loads(json.dumps(request)).get(key)
            )
            raise InputError(
                f"{target}: holds the beginning of another copy, with another {', '.join(other)}. Give another "
                "folder, or remove it"
            )
        return
    there = {file.name for file in target.iterdir()} - {LOCK}
    killed_here = (
        (target / PROGRESS).is_dir()
        and not any((target / PROGRESS).glob("*.json"))
        and there <= {PROGRESS, ROWS, LEVELS, MASKS, PICTURES}
    )
    if there and not killed_here:
        raise InputError(f"{target}: already exists and is not empty. Give another folder")
    (target / PROGRESS).mkdir(exist_ok=True)
    if eight_bit:
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise InputError(f"rows of shape {shape} cannot be written as 8-bit pictures")
        (target / PICTURES).mkdir(exist_ok=True)
    else:
        NpyOnDisk.create(target / ROWS, np.float32, (total, *shape))
    if "masks" in request:  # the channels of a picture share a mask
        NpyOnDisk.create(target / MASKS, np.bool_, (total, *((1, *shape[1:]) if len(shape) > 1 else shape)))
    # (N, 1) where a row has N values: there a plain (N,) could mean one level per value.
    one = (total, 1) if shape == (total,) else (total,)
    NpyOnDisk.create(target / LEVELS, np.float32, (total, *shape) if by_value else one)
    write_part(asked, json.dumps(request, indent=1).encode())


_work: tuple[Any, ...] = ()
"""What the pieces of this process belong to; set once a process, so that the rows are not sent again with every
piece."""


def _initialise(*work: Any) -> None:
    global _work
    _work = work


def _piece(bounds: tuple[int, int]) -> None:
    """Write rows start..stop, and then the file that says so."""
    rows, corruption, seed, target, eight_bit, again = _work
    torch.set_num_threads(1)
    start, stop = bounds
    source, noisy = hashlib.sha256(), hashlib.sha256()
    levels = NpyOnDisk(target / LEVELS)
    before = []
    for index in range(start, stop):
        item = rows[index]
        level = _levels(item)
        if level.max() > 0 and not again:
            raise InputError(
                f"row {index} is noisy already (sigma_n {level.max():.4g}). To add noise to noise say --again"
            )
        if seen_in_part(item):
            raise InputError(f"row {index} is seen in part already: a copy would take what it lacks for measured")
        before.append(level)
        source.update((item.x_0 if isinstance(item, Clean) else item.x_n).numpy().tobytes())
    batch = Observations(_AsClean(rows), corruption, seed).__getitems__(list(range(start, stop)))  # type: ignore[arg-type]
    x = batch.x_n.numpy()
    together = [np.sqrt(np.square(a) + np.square(b)) for a, b in zip(batch.sigma_n.numpy().astype(np.float64), before)]
    levels.write(
        start, _as_rows_of(together, levels.shape, start)
    )  # variances of independent noise add, value by value
    if eight_bit:
        from PIL import Image

        for index, row in enumerate(x, start):
            pixels, stream = to_uint8(row), io.BytesIO()
            Image.fromarray(np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels[0]).save(stream, "PNG")
            _write_picture(target / PICTURES / f"{index:08}.png", stream.getvalue())
    else:
        NpyOnDisk(target / ROWS).write(start, x)
    if corruption.carries:
        masks = NpyOnDisk(target / MASKS)
        seen = batch.cond["mask"].numpy().astype(np.bool_).reshape(stop - start, *masks.shape[1:])
        masks.write(start, seen)
        noisy.update(seen.tobytes())
    noisy.update(x.tobytes())
    done = {"source": source.hexdigest(), "noisy": noisy.hexdigest(), "stop": stop}
    write_part(target / PROGRESS / f"{start}.json", json.dumps(done).encode())


def _write_picture(path: Path, content: bytes) -> None:
    """Without waiting for the disk, which costs far more than the picture: the piece is written again unless its own
    file is there."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror}); make room and give the same command again, which goes on"
        ) from error


def _as_rows_of(levels: list[NDArray[np.float64]], shape: tuple[int, ...], start: int) -> NDArray[np.float64]:
    """The levels of some rows, the first of which is row `start`, as rows of an array of that shape, of one or of
    several levels per row.

    Raises InputError for a row with several in an array of one.
    """
    several = [start + i for i, level in enumerate(levels) if np.ptp(level) > 0]
    if several and shape[1:] in ((), (1,)) and levels[several[0] - start].size > 1:
        raise InputError(
            f"row {several[0]} has a noise level per value, and row 0 one for all of them: give all rows the same kind"
        )
    if len(shape) > 1 and shape[1:] != (1,):
        return np.stack([np.broadcast_to(level, shape[1:]) for level in levels])
    return np.asarray([level.max() for level in levels]).reshape(-1, *shape[1:])


def _finish(target: Path, request: dict[str, Any], pieces: list[tuple[int, int]]) -> None:
    done = [json.loads((target / PROGRESS / f"{start}.json").read_text()) for start, _ in pieces]
    for name in {ROWS, LEVELS, MASKS} & {file.name for file in target.iterdir()}:
        NpyOnDisk(target / name).flush()
    levels = np.load(target / LEVELS, mmap_mode="r")  # one per value is as large as the rows
    manifest = {
        **request,
        "sigma_n": float(levels[0]) if np.ptp(levels) == 0 else LEVELS,
        "sigma_n_range": [float(levels.min()), float(levels.max())],
        "source_rows_sha256": _together(piece["source"] for piece in done),
        "rows_sha256": _together(piece["noisy"] for piece in done),
        "hash": f"sha256 of the hexadecimal sha256 of pieces of {pieces[0][1]} rows of float32"
        + (", masks before rows" if "masks" in request else ""),
    }
    if "masks" in request:
        masks = np.load(target / MASKS, mmap_mode="r")
        shares = [float(masks[start:stop].mean()) * (stop - start) for start, stop in pieces]
        manifest["missing"] = 1 - sum(shares) / len(masks)
    write_part(target / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    for file in (target / PROGRESS).iterdir():
        file.unlink()
    (target / PROGRESS).rmdir()


def _together(hashes: Any) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def file_hashes(path: Path) -> dict[str, str]:
    """sha256 of a file, or of every file below a folder, by relative name."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    found = {}
    for file in files:
        with file.open("rb") as opened:
            found[file.name if path.is_file() else file.relative_to(path).as_posix()] = hashlib.file_digest(
                opened, "sha256"
            ).hexdigest()
    return found
