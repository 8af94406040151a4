"""A corrupted copy of clean data from anything that stands for data: the call behind `ambientkit corrupt`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ambientkit.batch import Clean
from ambientkit.checkpoint.target import as_path
from ambientkit.config.datapath import DataLike, data_argument, refuse_inside, with_bad_files
from ambientkit.config.inline import part_spec
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Data
from ambientkit.maths.levels import GREATEST, LEAST
from ambientkit.messages import INTERRUPTED, note, warn
from ambientkit.noisy_copy import KIND, MANIFEST, PROGRESS, file_hashes, own_level
from ambientkit.noisy_copy import corrupt as write_copy
from ambientkit.readers.copied import read_manifest
from ambientkit.registry import Registry, load, spec_of
from ambientkit.rows import as_rows
from ambientkit.seeds import check_seed
from ambientkit.tables import Record
from ambientkit.text import number
from ambientkit.versions import versions


@dataclass(frozen=True, slots=True)
class NoisyCopy(Record):
    """A corrupted copy of a data set in a folder."""

    path: Path
    """The folder."""
    rows: int
    shape: tuple[int, ...]
    sigma: float | tuple[float, float]
    """Std of the noise added, units of [-1, 1]: one for all rows, or the range of one per row."""
    seed: int
    eight_bit: bool
    """Whether it is 8-bit pictures, which clip and round the noise: for the eye, not for training."""
    corruption: Mapping[str, Any] = field(default_factory=lambda: {"name": "gaussian"})
    """Name and fields of what corrupted the rows."""
    missing: float = 0.0
    """Share of the values that are missing."""

    def blocks(self) -> list[str]:
        """The files that were written, and the command that uses them."""
        if self.eight_bit:
            return [f"{self.path}: {self.rows:,} 8-bit pictures of noisy rows with their manifest"]
        told = f"{self.path}: {self.rows:,} noisy rows with their manifest"
        train = f"next: ambientkit train --data {shlex.quote(str(self.path))}"
        if self.corruption["name"] == "gaussian":
            return [told, train]
        fields = ", ".join(
            f"{key}: {value}" for key, value in self.corruption.items() if key not in ("name", "sigma_n")
        )
        word = f"{self.corruption['name']}{{{fields}}}" if fields else str(self.corruption["name"])
        noise_free = " --objective tweedie" if self.sigma == 0 else ""
        return [
            f"{self.path}: {self.rows:,} rows, {100 * self.missing:.3g} % of their values missing, with masks and "
            "manifest",
            f"{train} --corruption {shlex.quote(word)}{noise_free}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "path": str(self.path),
            "rows": self.rows,
            "shape": list(self.shape),
            "sigma": list(self.sigma) if isinstance(self.sigma, tuple) else self.sigma,
            "seed": self.seed,
            "eight_bit": self.eight_bit,
            "corruption": dict(self.corruption),
            "missing": self.missing,
        }


def corrupt(
    source: DataLike,
    out: str | Path,
    *,
    sigma: float | tuple[float, float] | str | None = None,
    corruption: str | Mapping[str, Any] | Corruption = "gaussian",
    seed: int = 0,
    workers: int = 0,
    again: bool = False,
    force_8_bit: bool = False,
    on_bad_file: str | None = None,
    progress: bool = False,
    registry: Registry | None = None,
) -> NoisyCopy:
    """Write a corrupted copy of clean data into a folder: the very noise and masks that training on them with this seed
    would simulate.

    The same call goes on where an interrupted one was, to the same bytes, with any number of `workers` (processes; 0
    for this one alone). source: a name, a path, a part, an array, a tensor or a torch `Dataset`. sigma: std in units of
    [-1, 1], or (low, high) for one level per row, also as the text "LOW,HIGH"; it may be left out where values are
    missing. corruption: "gaussian", noise alone, or "mask", missing values, also as 'NAME{field: value}', a mapping or
    a part; masks are written beside the rows, and the data set `masked` reads the folder. again: add noise even to rows
    that are noisy. force_8_bit: PNG pictures instead of float32. Raises InputError where the source is noisy or seen in
    part already, or the folder holds something else.
    """
    check_seed(seed)
    registry = registry or load()
    target = as_path(out, "DST")
    made = _corruption(corruption, sigma, registry)
    if made.carries and force_8_bit:
        raise InputError("--force-8-bit: pictures have no room for masks; leave it out")
    part = _source(source, again, on_bad_file, registry)
    refuse_inside("DST", target, part)
    rows = part.rows()
    total = len(rows)  # type: ignore[arg-type]
    called = source if isinstance(source, str | Path) else type(source).__name__
    if total == 0:
        raise InputError(f"{called}: the data set has no rows")
    first = rows[0]
    if own_level(first) > 0 and not again:
        raise InputError(
            f"{called}: these rows are noisy already (sigma_n {own_level(first):.4g}). To add noise to noise say "
            "--again"
        )
    path = Path(source) if isinstance(source, str | Path) else None
    about = {
        "source": spec_of(part),
        "source_files_sha256": file_hashes(path) if path is not None and path.exists() else {},
        "source_mapping": str(as_rows(rows).mapping),
        "source_left_out": list(as_rows(rows).left_out),
        "made_by": {"ambientkit": versions()["ambientkit"]} if "ambientkit" in versions() else {},
    }
    steps = write_copy(rows, made, target, seed, about, workers=workers, eight_bit=force_8_bit, again=again)
    try:
        with tqdm(desc="corrupting", unit="piece", leave=False, disable=not progress) as bar:
            for done, pieces in steps:
                bar.total = pieces
                bar.update(done - bar.n)
    except BaseException as error:
        if not isinstance(error, Exception) and (target / PROGRESS).is_dir():
            note(f"{target}: interrupted; the same command goes on from there", INTERRUPTED)
        raise
    if force_8_bit:
        warn(f"{target}: 8-bit pictures clip and round the noise; they are for the eye, and `train` refuses them")
    shape = tuple((first.x_0 if isinstance(first, Clean) else first.x_n).shape)
    spec = {"name": made.name, **made.model_dump(mode="json", exclude_defaults=True)}
    missing = 0.0 if force_8_bit or not made.carries else float(read_manifest(target)["missing"])
    return NoisyCopy(target, total, shape, made.sigma_n, seed, force_8_bit, spec, missing)  # type: ignore[attr-defined]


def _corruption(spec: str | Mapping[str, Any] | Corruption, sigma: Any, registry: Registry) -> Corruption:
    """The corruption with its noise. Raises InputError for one that no copy is made of, or without noise where it does
    nothing else."""
    made = registry.build(Corruption, part_spec(spec))
    if made.name != "gaussian" and made.carries != {"mask"}:
        raise InputError(
            f"--corruption {made.name}: copies are made with gaussian or mask; rows measured through an operator are "
            "simulated by `train`"
        )
    if sigma is not None:
        level = _level(sigma)
        made = registry.build(
            Corruption, {**spec_of(made), "sigma_n": list(level) if isinstance(level, tuple) else level}
        )
    elif not made.carries and "sigma_n" not in made.model_fields_set:
        raise InputError("--sigma: is missing; give the noise std in units of [-1, 1], a number or LOW,HIGH")
    return made


def _source(source: DataLike, again: bool, on_bad_file: str | None, registry: Registry) -> Data:
    """The data set to copy; one that may be clean or noisy is taken for clean, unless it says its level or `again` is
    set."""
    if not again and isinstance(source, str | Path):
        _refuse_copies(Path(source))
    in_memory = not isinstance(source, str | Path | dict | Data) and hasattr(source, "__array__")
    if in_memory:
        return registry.build(Data, data_argument(source, registry, "SRC", clean=True))
    found = data_argument(source, registry, "SRC")
    if on_bad_file is not None and isinstance(found, dict):
        found = with_bad_files(found, on_bad_file, registry)
    elif on_bad_file is not None:
        found = data_argument(found, registry, "SRC", on_bad_file=on_bad_file)
    part = type(found) if isinstance(found, Data) else registry.find("data", str(found["name"])).part
    told = found.model_dump(exclude_defaults=True) if isinstance(found, Data) else found
    if not again and "clean" in part.model_fields and not {"sigma_n", "counts", "clean"} & told.keys():
        found = data_argument(found, registry, "SRC", clean=True)
    return registry.build(Data, found)


def _level(sigma: float | tuple[float, float] | str) -> float | tuple[float, float]:
    words = sigma.split(",") if isinstance(sigma, str) else np.atleast_1d(sigma).tolist()
    try:
        values = [number(word) for word in words]
    except (TypeError, ValueError):
        values = []
    if len(values) not in (1, 2) or not all(LEAST <= value <= GREATEST for value in values) or values != sorted(values):
        raise InputError(
            f"--sigma {sigma}: should be a number, or LOW,HIGH, in units of [-1, 1]; from {LEAST:g}, below which "
            f"float32 holds no noise, to {GREATEST:g}"
        )
    return values[0] if len(values) == 1 else (values[0], values[1])


def _refuse_copies(path: Path) -> None:
    """What this call made is not taken for clean, whichever file of it is named."""
    for folder in (path, path.parent):
        manifest = folder / MANIFEST
        if path.exists() and manifest.is_file():
            try:
                kind = json.loads(manifest.read_text(encoding="utf-8")).get("kind")
            except (ValueError, AttributeError):
                continue
            if kind == KIND:
                raise InputError(
                    f"{path}: was made by `ambientkit corrupt` and is noisy already. To add noise to noise say --again"
                )
