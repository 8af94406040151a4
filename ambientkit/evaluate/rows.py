"""The rows that `ambientkit evaluate` compares: a reference data set, samples already drawn, and what a run trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from ambientkit.batch import Batch, Clean
from ambientkit.checkpoint.folder import check_version
from ambientkit.config import RunConfig
from ambientkit.config.datapath import data_spec
from ambientkit.data import observed
from ambientkit.errors import InputError
from ambientkit.evaluate import proximal
from ambientkit.interfaces import Data
from ambientkit.maths.randomness import derive_seed, keyed_generator
from ambientkit.readers import open_rows
from ambientkit.readers.npy import find_arrays
from ambientkit.readers.scan import UnknownNoise, check_scale
from ambientkit.registry import Registry, spec_of
from ambientkit.rows import as_rows
from ambientkit.sample.store import FORMAT_VERSION

SAMPLES, MANIFEST = "samples.npy", "samples.json"


@dataclass(frozen=True, slots=True)
class Rows:
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

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return tuple(self.x.shape[1:])

    def part(self, first: int, last: int) -> Rows:
        """Rows first..last - 1."""
        sigma_n = self.sigma_n if self.sigma_n is None else self.sigma_n[first:last]
        return Rows(self.what, self.x[first:last], sigma_n, self.total, self.stored, self.spec)

    def levels(self, n: int) -> Tensor:
        """The noise levels of n rows, from the first on, again from the first where there are fewer. Only for noisy rows."""
        assert self.sigma_n is not None
        return self.sigma_n[torch.arange(n) % len(self.x)]


def reference_rows(text: str, sigma_n: str | None, most: int, seed: int, registry: Registry) -> Rows:
    """Up to `most` rows of what --reference names. sigma_n: as given; "0" says that they are clean.

    On a clean data set a level above 0 is simulated, as if it had been noisy. Raises InputError where the noise is not known.
    """
    if (Path(text) / MANIFEST).is_file():  # samples of another run, say
        if sigma_n is not None and _level(sigma_n) != 0:
            raise InputError(f"--sigma-n {sigma_n}: {text} holds samples, which are clean; leave it out")
        return _sampled(Path(text), most, seed)
    level, simulated, part = _declared(text, sigma_n, registry)
    rows = _rows_of(part, "--reference", text)
    found = _choose(rows, text, most, seed, spec_of(part))
    if simulated and level:
        noisy = proximal(found.x, level, derive_seed(seed, "evaluate.reference"))
        return Rows(f"{text} with simulated noise", noisy, torch.full((len(noisy),), level), found.total, found.stored, found.spec)
    return found


def first_rows(text: str, sigma_n: str | None, n: int, registry: Registry) -> tuple[Tensor, Data]:
    """The first n rows of a clean data set, fewer where it has fewer. Raises InputError where they are noisy."""
    _, _, part = _declared(text, sigma_n, registry)
    rows = _rows_of(part, "--reference", text)
    found = _stack([rows[index] for index in range(min(n, len(rows)))], text, len(rows), "", spec_of(part))
    if found.sigma_n is not None or (sigma_n is not None and _level(sigma_n) != 0):
        raise InputError(
            f"--reference {text}: these rows are noisy; restored rows are compared with clean ones (--sigma-n 0 says so of files)"
        )
    return found.x, part


def _declared(text: str, sigma_n: str | None, registry: Registry) -> tuple[float | None, bool, Data]:
    """--sigma-n as a number, whether it would be simulated, and the data set with its noise as declared."""
    level = _level(sigma_n)
    spec = data_spec(text, registry, "--reference")
    fields = dict(spec) if isinstance(spec, dict) else {"name": spec}
    known = registry.find("data", fields["name"]).part.model_fields
    if "clean" in known and level == 0:
        fields["clean"] = True
    elif "sigma_n" in known and sigma_n is not None:
        fields["sigma_n"] = level if level is not None else sigma_n
    elif level is None and sigma_n is not None:
        raise InputError(f"--sigma-n {sigma_n}: the data set {fields['name']!r} is clean and its noise is simulated; give a number")
    return level, "sigma_n" not in known, _build(fields, registry)


def drawn_rows(text: str, most: int, seed: int, registry: Registry) -> Rows:
    """Up to `most` samples already drawn: a folder that `ambientkit sample` wrote, or any data, read as clean. Raises InputError."""
    path = Path(text)
    if (path / SAMPLES).is_file() or (path / MANIFEST).is_file():
        return _sampled(path, most, seed)
    spec = data_spec(text, registry, "SUBJECT")
    fields = dict(spec) if isinstance(spec, dict) else {"name": spec}
    if "clean" in registry.find("data", fields["name"]).part.model_fields:
        fields["clean"] = True
    part = _build(fields, registry)  # a constant or a repeated sample is a finding about the model, not a damaged file
    found = _choose(_rows_of(part, "SUBJECT", text, judge=False), text, most, seed, spec_of(part))
    if found.sigma_n is not None:
        raise InputError(f"{text}: these rows are noisy observations, not samples of clean ones")
    return found


def _sampled(folder: Path, most: int, seed: int) -> Rows:
    """What `ambientkit sample` wrote, in units of [-1, 1]. Raises InputError where it is unfinished, or in a format with no way back."""
    facts = manifest(folder / MANIFEST)
    if facts.get("finished") is False:
        raise InputError(f"{folder}: its samples are not finished: run the same `ambientkit sample` again")
    if not (folder / SAMPLES).is_file():
        raise InputError(
            f"{folder}: there is no {SAMPLES}; draw the samples with --format npy, or give the folder of the pictures themselves"
        )
    array = find_arrays(folder / SAMPLES)[None]
    array.check()
    values = np.concatenate([array.read(index, index + 1) for index in _chosen(array.shape[0], most, seed)])
    x = to_unit(values, facts, folder / SAMPLES)
    return Rows(str(folder), x, None, array.shape[0], "float", {"path": str(folder / SAMPLES), "drawn": facts})


def to_unit(values: NDArray[Any], facts: dict[str, Any], file: Path) -> Tensor:
    """Rows as `ambientkit sample` wrote them, in units of [-1, 1]. Raises InputError where its units cannot be read, or values are not finite."""
    x = torch.from_numpy(values).float()
    if isinstance(units := facts.get("units"), dict):  # those of the user's files
        from ambientkit.sample.own_units import OwnUnits

        try:
            x = OwnUnits.from_plain(units).to_unit(values).float()
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: the units in its manifest cannot be read ({error})") from None
    if not x.isfinite().all():
        raise InputError(f"{file}: holds values that are not finite")
    return x


def manifest(file: Path) -> dict[str, Any]:
    """What `ambientkit sample` wrote of its samples: run, step, seed, sampler; empty where it is not there. Raises InputError for a damaged file."""
    if not file.is_file():
        return {}
    try:
        facts = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from None
    check_version(facts.get("format_version", FORMAT_VERSION), file)
    return facts


def trained_rows(config: RunConfig, most: int, seed: int) -> Rows:
    """Up to `most` of the observations that a run trained on, with the very noise that it saw."""
    observations = observed(config.data.rows(), config.corruption, config.seed, config.augment)
    chosen = _chosen(len(observations), most, seed)
    batch = observations.__getitems__(chosen)
    sigma_n = _noise(batch)
    noise = "noisy" if sigma_n is not None else "clean"
    return Rows(f"the run's own {noise} rows ({config.data.name})", batch.x_n, sigma_n, len(observations), "", spec_of(config.data))


def _level(sigma_n: str | None) -> float | None:
    """--sigma-n as a number; None where it is none."""
    try:
        level = None if sigma_n is None else float(sigma_n)
    except ValueError:
        return None
    if level is not None and not 0 <= level < float("inf"):
        raise InputError(f"--sigma-n {sigma_n}: should be finite and 0 or more")
    return level


def _build(fields: dict[str, Any], registry: Registry) -> Data:
    part = registry.build(Data, fields)
    return part


def _rows_of(part: Data, flag: str, text: str, judge: bool = True) -> Any:
    try:
        rows = open_rows(part, judge=judge)
    except UnknownNoise:
        raise InputError(
            f"{flag} {text}: nothing says how noisy these rows are. Give --sigma-n LEVEL (a number or a file of levels), or --sigma-n 0 for clean rows"
        ) from None
    if len(rows) == 0:  # type: ignore[arg-type]
        raise InputError(f"{flag} {text}: the data set has no rows")
    return rows


def _chosen(total: int, most: int, seed: int) -> list[int]:
    """Rows at random, in random order, the first of which are the same whatever `most`."""
    return torch.randperm(total, generator=keyed_generator(seed, "evaluate.rows"))[:most].tolist()


def _choose(rows: Any, what: str, most: int, seed: int, spec: dict[str, Any]) -> Rows:
    known = as_rows(rows)
    found = _stack([rows[index] for index in _chosen(len(rows), most, seed)], what, len(rows), known.stored, spec)
    if known.mapping is None:  # rows of no reader, which would have judged their scale
        sigma_n = 0.0 if found.sigma_n is None else float(found.sigma_n.max())
        check_scale(what, float(found.x.min()), float(found.x.max()), sigma_n, assumed=True, stored=known.stored)
    return found


def _stack(items: list[Any], what: str, total: int, stored: str, spec: dict[str, Any]) -> Rows:
    clean = [item for item in items if isinstance(item, Clean)]
    if len(clean) == len(items):
        return Rows(what, torch.stack([item.x_0 for item in clean]), None, total, stored, spec)
    if clean:
        raise InputError(f"{what}: holds clean rows beside noisy ones; give the noisy rows alone, or declare the clean ones with sigma_n 0")
    batch = default_collate(items)
    sigma_n = _noise(batch)
    return Rows(what, batch.x_n, sigma_n, total, stored, spec)


def _noise(batch: Batch) -> Tensor | None:
    """The levels with a row axis of the batch's length; None where all rows are clean."""
    if not bool((batch.sigma_n > 0).any()):
        return None
    sigma_n, n = batch.sigma_n, len(batch.x_n)
    return sigma_n.expand(n) if sigma_n.ndim == 0 else sigma_n.expand(n, *sigma_n.shape[1:])
