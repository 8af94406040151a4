"""The rows that an evaluation compares: a reference data set, samples already drawn, and what a run trained on."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from ambientkit.batch import Batch, Clean
from ambientkit.builtin.data.dataset import Given
from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.checkpoint.folder import check_version
from ambientkit.config.datapath import DataLike, data_argument
from ambientkit.config.inline import is_there
from ambientkit.errors import InputError
from ambientkit.evaluation.denoising import proximal
from ambientkit.interfaces import Data
from ambientkit.maths.randomness import derive_seed, keyed_generator
from ambientkit.readers import open_rows
from ambientkit.readers.npy import find_arrays
from ambientkit.readers.scan import UnknownNoise, check_scale
from ambientkit.registry import Registry, spec_of
from ambientkit.rows import as_rows
from ambientkit.sample.load import Trained
from ambientkit.sample.own_units import OwnUnits
from ambientkit.sample.store import FORMAT_VERSION
from ambientkit.text import number

SAMPLES, MANIFEST = "samples.npy", "samples.json"
NAME_MAX = 255
"""Bytes of a file name at most."""
HELD_OUT = "held-out"
"""The reference that is the rows which a run held out."""
REFERENCE, SUBJECT = "--reference", "SUBJECT"
"""What the two sides are called in messages."""

Level = Any
"""Noise std of a reference, units of [-1, 1]: a number or its text, "estimate", a file of levels, or an array of them.
0: clean rows."""


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows in memory, chosen at random, and what is known of them."""

    what: str
    """In words, for messages."""
    x: Tensor
    """(n, *S), units of [-1, 1]."""
    sigma_n: Tensor | None
    """(n,) or broadcastable to (n, *S); None for clean rows."""
    total: int
    """Rows there are."""
    stored: str
    """The number type in the file; empty where it is not known."""
    spec: dict[str, Any]
    """The data set, as the registry builds it."""
    of_run: str = ""
    """Of a run's own rows, which: "trained on" or "held out"."""
    held_out: int = 0
    """Of the rows that a run trained on: how many others of its data it held out."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return tuple(self.x.shape[1:])

    def part(self, first: int, last: int) -> RowSet:
        """Rows first..last - 1."""
        sigma_n = self.sigma_n if self.sigma_n is None else self.sigma_n[first:last]
        return replace(self, x=self.x[first:last], sigma_n=sigma_n)

    def levels(self, n: int) -> Tensor:
        """The noise levels of n rows, from the first on, again from the first where there are fewer. Only for noisy
        rows."""
        assert self.sigma_n is not None
        return self.sigma_n[torch.arange(n) % len(self.x)]


def reference_rows(data: DataLike, sigma_n: Level, most: int, seed: int, registry: Registry) -> RowSet:
    """Up to `most` rows of a reference. sigma_n: its declared noise; 0 says that its rows are clean.

    On a clean data set a level above 0 is simulated, as if it had been noisy. Raises InputError where the noise is not
    known.
    """
    path = path_of(data)
    if path is not None and (path / MANIFEST).is_file():  # samples of another run, say
        if sigma_n is not None and _level(sigma_n) != 0:
            raise InputError(f"--sigma-n {sigma_n}: {path} holds samples, which are clean; leave it out")
        return _sampled(path, most, seed)
    level, simulated, part = _declared(data, sigma_n, registry)
    what = _words(data, part)
    found = _choose(_rows_of(part, REFERENCE, what), what, most, seed, spec_of(part))
    if simulated and level:
        noisy = proximal(found.x, level, derive_seed(seed, "evaluate.reference"))
        return replace(found, what=f"{what} with simulated noise", x=noisy, sigma_n=torch.full((len(noisy),), level))
    return found


def first_rows(data: DataLike, sigma_n: Level, n: int, registry: Registry) -> RowSet:
    """The first n rows of a clean data set, fewer where it has fewer. Raises InputError where they are noisy."""
    level, _, part = _declared(data, sigma_n, registry)
    what = _words(data, part)
    rows = _rows_of(part, REFERENCE, what)
    found = _stack([rows[index] for index in range(min(n, len(rows)))], what, len(rows), "", spec_of(part))
    if found.sigma_n is not None or (sigma_n is not None and level != 0):
        raise InputError(
            f"{REFERENCE} {what}: these rows are noisy; restored rows are compared with clean ones (--sigma-n 0 "
            "says so of files)"
        )
    return found


def all_rows(data: DataLike, sigma_n: Level, registry: Registry, flag: str = REFERENCE) -> tuple[RowSet, OwnUnits]:
    """Every row of a data set in its own order, and the meaning of its file values. Noise that would be simulated is
    left out: clean rows stay clean.

    sigma_n: the declared noise of files; 0 says that their rows are clean. flag: what the data are called in messages.
    """
    _, _, part = _declared(data, sigma_n, registry)
    what = _words(data, part)
    rows = _rows_of(part, flag, what, judge=False)
    items = [rows[index] for index in range(len(rows))]
    return _stack(items, what, len(rows), as_rows(rows).stored, spec_of(part)), OwnUnits.of(rows)


def drawn_rows(data: DataLike, most: int, seed: int, registry: Registry) -> RowSet:
    """Up to `most` samples already drawn: a folder that `ambientkit sample` wrote, or anything that stands for data,
    read as clean rows.

    Raises InputError where the rows are noisy, or are not there.
    """
    path = path_of(data)
    if path is not None and ((path / SAMPLES).is_file() or (path / MANIFEST).is_file()):
        return _sampled(path, most, seed)
    found = _argument(data, registry, SUBJECT)
    if "clean" in _fields(found, registry) and not (isinstance(found, Data) and _declares(found)):
        found = _argument(data, registry, SUBJECT, clean=True)
    part = registry.build(Data, found)
    what = _words(data, part)
    # Unjudged: a constant or a repeated sample is a finding about the model, not a damaged file.
    rows = _choose(_rows_of(part, SUBJECT, what, judge=False), what, most, seed, spec_of(part))
    if rows.sigma_n is not None:
        raise InputError(f"{what}: these rows are noisy observations, not samples of clean ones")
    return rows


def declared_level(sigma_n: Level, clean: bool) -> Level:
    """The level of a reference that may be said to be clean. Raises InputError for clean rows of another level than
    0."""
    if clean and sigma_n is not None and _level(sigma_n) != 0:
        raise InputError(f"{REFERENCE}: clean rows have no sigma_n ({sigma_n}); leave one of the two out")
    return 0.0 if clean else sigma_n


def path_of(data: DataLike) -> Path | None:
    """The path that data may be; None for data in memory."""
    if not isinstance(data, str | os.PathLike):
        return None
    path = Path(data)
    return path if is_there(path) or len(path.name.encode()) <= NAME_MAX else None  # 'NAME{many: fields}' is no path


def _declared(data: DataLike, sigma_n: Level, registry: Registry) -> tuple[float | None, bool, Data]:
    """The declared level as a number, whether it would be simulated, and the data set with its noise as declared."""
    level = _level(sigma_n)
    found = _argument(data, registry, REFERENCE)
    known = _fields(found, registry)
    if "clean" in known and level == 0:
        found = _argument(data, registry, REFERENCE, clean=True)
    elif "sigma_n" in known and sigma_n is not None:
        found = _argument(data, registry, REFERENCE, sigma_n=sigma_n if level is None else level)
    elif level is None and sigma_n is not None:
        name = found.name if isinstance(found, Data) else found["name"]
        raise InputError(
            f"--sigma-n {sigma_n}: the data set {name!r} is clean and its noise is simulated; give a number"
        )
    return level, "sigma_n" not in known, registry.build(Data, found)


def _argument(data: DataLike, registry: Registry, flag: str, **more: Any) -> dict[str, Any] | Data:
    """The data set that data stand for. An array (N, F) is N rows of F values: no picture has but one axis."""
    flat = isinstance(data, np.ndarray | Tensor) and data.ndim == 2
    if flat:
        more["layout"] = "N..."
    return data_argument(data, registry, flag, **more)


def _fields(found: dict[str, Any] | Data, registry: Registry) -> Any:
    """The fields that a data set has."""
    return (
        type(found).model_fields
        if isinstance(found, Data)
        else registry.find("data", str(found["name"])).part.model_fields
    )


def _declares(part: Data) -> bool:
    """Whether a part says itself how noisy its rows are."""
    return bool(getattr(part, "clean", False)) or getattr(part, "sigma_n", None) is not None


def _words(data: DataLike, part: Data) -> str:
    """Data in words, for messages: the argument as given, or that it is in memory."""
    if path_of(data) is not None:
        return str(data)
    return "rows in memory" if isinstance(part, InMemory | Given) else part.name


def _sampled(folder: Path, most: int, seed: int) -> RowSet:
    """What `ambientkit sample` wrote, in units of [-1, 1]. Raises InputError where it is unfinished, or in a format
    with no way back."""
    written = manifest(folder / MANIFEST)
    if written.get("finished") is False:
        raise InputError(f"{folder}: its samples are not finished: run the same `ambientkit sample` again")
    if not (folder / SAMPLES).is_file():
        raise InputError(
            f"{folder}: there is no {SAMPLES}; draw the samples with --format npy, or give the folder of the "
            "pictures themselves"
        )
    array = find_arrays(folder / SAMPLES)[None]
    array.check()
    values = np.concatenate([array.read(index, index + 1) for index in _chosen(array.shape[0], most, seed)])
    x = to_unit(values, written, folder / SAMPLES)
    return RowSet(str(folder), x, None, array.shape[0], "float", {"path": str(folder / SAMPLES), "drawn": written})


def to_unit(values: NDArray[Any], written: dict[str, Any], file: Path) -> Tensor:
    """Rows as `ambientkit sample` wrote them, in units of [-1, 1]. Raises InputError where its units cannot be read, or
    values are not finite."""
    x = torch.from_numpy(values).float()
    if isinstance(units := written.get("units"), dict):  # those of the user's files
        try:
            x = OwnUnits.from_plain(units).to_unit(values).float()
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: the units in its manifest cannot be read ({error})") from None
    if not x.isfinite().all():
        raise InputError(f"{file}: holds values that are not finite")
    return x


def manifest(file: Path) -> dict[str, Any]:
    """What `ambientkit sample` wrote of its samples: run, step, seed, sampler; empty where it is not there. Raises
    InputError for a damaged file."""
    if not file.is_file():
        return {}
    try:
        written = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from None
    check_version(written.get("format_version", FORMAT_VERSION), file)
    return written


def run_rows(trained: Trained, most: int, seed: int, held_out: bool = False) -> RowSet:
    """Up to `most` of the observations that a run trained on, or of those that it held out, with the very noise that
    they have there. Raises InputError where they are others by now, or where it held none out."""
    config = trained.config
    seen, unseen = trained.observed()
    if held_out and unseen is None:
        raise InputError(
            f"{REFERENCE} {HELD_OUT}: {trained.called} held out none of its {len(seen)} rows (--hold-out of `train`); "
            "leave it out for the rows that the run trained on, or give rows that it has not seen"
        )
    rows = unseen if held_out and unseen is not None else seen
    batch = rows.__getitems__(_chosen(len(rows), most, seed))
    sigma_n = _noise(batch)
    noise, which = "noisy" if sigma_n is not None else "clean", "held out" if held_out else "trained on"
    return RowSet(
        f"the run's own {noise} rows ({config.data.name}), which it {which}",
        batch.x_n,
        sigma_n,
        len(rows),
        "",
        spec_of(config.data),
        which,
        0 if held_out or unseen is None else len(unseen),
    )


def _level(sigma_n: Level) -> float | None:
    """A declared level as a number; None where it is none."""
    if sigma_n is None or np.ndim(sigma_n):
        return None
    try:
        level = number(sigma_n) if isinstance(sigma_n, str) else float(sigma_n)
    except (TypeError, ValueError):
        return None
    if not 0 <= level < float("inf"):
        raise InputError(f"--sigma-n {sigma_n}: should be finite and 0 or more")
    return level


def _rows_of(part: Data, flag: str, text: str, judge: bool = True) -> Any:
    try:
        rows = open_rows(part, judge=judge)
    except UnknownNoise:
        raise InputError(
            f"{flag} {text}: nothing says how noisy these rows are. Give --sigma-n LEVEL (a number or a file of "
            "levels), or "
            "--sigma-n 0 for clean rows"
        ) from None
    if len(rows) == 0:  # type: ignore[arg-type]
        raise InputError(f"{flag} {text}: the data set has no rows")
    return rows


def chosen(total: int, most: int, seed: int) -> list[int]:
    """The numbers of the rows that `reference_rows` and `drawn_rows` give, in their order."""
    return _chosen(total, most, seed)


def _chosen(total: int, most: int, seed: int) -> list[int]:
    """Rows at random, in random order, the first of which are the same for any `most`."""
    return torch.randperm(total, generator=keyed_generator(seed, "evaluate.rows"))[:most].tolist()


def _choose(rows: Any, what: str, most: int, seed: int, spec: dict[str, Any]) -> RowSet:
    known = as_rows(rows)
    found = _stack([rows[index] for index in _chosen(len(rows), most, seed)], what, len(rows), known.stored, spec)
    if known.mapping is None:  # rows of no reader, which would have judged their scale
        sigma_n = 0.0 if found.sigma_n is None else float(found.sigma_n.max())
        check_scale(what, float(found.x.min()), float(found.x.max()), sigma_n, assumed=True, stored=known.stored)
    return found


def _stack(items: list[Any], what: str, total: int, stored: str, spec: dict[str, Any]) -> RowSet:
    clean = [item for item in items if isinstance(item, Clean)]
    if len(clean) == len(items):
        return RowSet(what, torch.stack([item.x_0 for item in clean]), None, total, stored, spec)
    if clean:
        raise InputError(
            f"{what}: holds clean rows beside noisy ones; give the noisy rows alone, or declare the clean ones "
            "with sigma_n 0"
        )
    batch = default_collate(items)
    sigma_n = _noise(batch)
    return RowSet(what, batch.x_n, sigma_n, total, stored, spec)


def _noise(batch: Batch) -> Tensor | None:
    """The levels with a row axis of the batch's length; None where all rows are clean."""
    if not bool((batch.sigma_n > 0).any()):
        return None
    sigma_n, n = batch.sigma_n, len(batch.x_n)
    return sigma_n.expand(n) if sigma_n.ndim == 0 else sigma_n.expand(n, *sigma_n.shape[1:])
