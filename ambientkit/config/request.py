"""The request to training, by flags or from Python, brought into one configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from ambientkit.builtin.data.dataset import Given
from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.config import RunConfig, Source, dump, load_file, merge, resolve
from ambientkit.config.datapath import DataLike, data_argument
from ambientkit.config.files import KeyPath, at, from_settings
from ambientkit.config.inline import split_fields
from ambientkit.config.noise import level_text, noise_level, noise_place
from ambientkit.config.places import anchored, refuse_beside
from ambientkit.config.places import stored as stored_source
from ambientkit.config.run import DEFAULTS, Absent, differences
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.readers import Stored
from ambientkit.registry import Registry, spec_of

MAY_CHANGE = frozenset(
    {"end_step", "save_every", "keep_last", "log_every", "demo_every", "sample_n", "num_workers", "device"}
    | {"evaluate_every", "evaluate_n", "evaluate_data"}
    | {"checkpointing", "compile", "max_bad_steps", "trackers", "stop_early"}
)
"""Fields that a resumed run may change: none of them changes what an earlier step did."""
MAY_MOVE = {
    "fingerprint": {"data.path"},
    "operator": {"corruption.operator.path", "corruption.operator.kernel"},
}
"""What a run may know its data, or its operator, by -> the field that may change then."""
IDENTITY = "data.json"
"""File of a run folder with what its data are known by, and what was estimated from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request to training, as given."""

    flags: Mapping[KeyPath, tuple[str, Any]] = field(default_factory=dict)
    """Key of the configuration -> (how the user calls it, value)."""
    data: DataLike = None
    clean: bool = False
    """The rows are clean, and noise of level `sigma_n` is simulated on them; only for data that could be either."""
    sigma_n: Any = None
    """A level, a range, the name of a file of levels, "estimate", or an array of levels for rows in memory."""
    config: tuple[Path | Mapping[str, Any], ...] = ()
    """Files or mappings, of which the later win, key by key."""
    settings: tuple[str, ...] = ()
    """"a.b=value" strings."""
    output_dir: Path | None = None
    resume: str | None = None
    """"latest" (in `output_dir`), or a run or checkpoint folder to go on from; None for a new run."""
    skip_preflight: bool = False
    allow: tuple[str, ...] = ()
    """Findings about the noise of the data that do not stop the run."""
    time_limit: str | float | None = None
    """After this time, in seconds or as "2h30m", the run is saved and left."""
    evaluate_data: DataLike = None
    on_bad_file: str | None = None


def configure(request: Request, registry: Registry, stored: Path | None) -> RunConfig:
    """The configuration: defaults, then the stored one of a resumed run, files, flags and settings, the later winning.

    Raises InputError where something is wrong, or where a resumed run would change what earlier steps did.
    """
    base = [stored_source(stored)] if stored else []
    given = _given(request)
    sigma_n = request.sigma_n
    if request.data is not None:
        data = request.data
        if (
            isinstance(data, np.ndarray | Tensor | list | Dataset) and not request.clean
        ):  # rows in memory carry their level
            data, sigma_n = data_argument(data, registry, sigma_n=sigma_n), None
        elif request.clean:
            data = data_argument(data, registry, clean=True)
        given.append(at(("data",), _spec(data, registry, "--data"), "--data"))
    if request.on_bad_file is not None:
        given.append(at(("data", "on_bad_file"), request.on_bad_file, "--on-bad-file"))
    if request.evaluate_data is not None:
        given.append(
            at(("evaluate_data",), _spec(request.evaluate_data, registry, "--evaluate-data"), "--evaluate-data")
        )
    settings = from_settings(request.settings)
    if sigma_n is not None:
        given.append(_noise(sigma_n, merge([Source(DEFAULTS), *base, *given, *settings]), registry))
    found = anchored(resolve(merge([*base, *given, *settings]), registry, absent=stored is not None))
    refuse_beside(found, [one for one in request.config if isinstance(one, str | Path)])
    config = _settled(found)
    if stored:
        if lacking := [entry.objective.name for entry in config.objective if isinstance(entry.objective, Absent)]:
            raise InputError(
                f"{stored.parent}: the run cannot go on without its objective {lacking[0]!r}, which no installed "
                "package registers: "
                "install its package, or give it from Python, ambientkit.train(..., objective=...)"
            )
        old = anchored(resolve(base[0], registry, absent=True))
        may_change = MAY_CHANGE | _may_move(stored.parent / IDENTITY)
        changed = [d for d in differences(dump(old), dump(config)) if not {d.path, d.path.split(".")[0]} & may_change]
        if changed:
            lines = [f"  {d.path}: {d.old!r} in the run, {d.new!r} now" for d in changed[:10]]
            raise InputError(
                "\n".join(
                    [
                        f"{stored.parent}: a resumed run cannot change",
                        *lines,
                        "start a new run in another --output-dir instead",
                    ]
                )
            )
    return config


def _may_move(identity: Path) -> set[str]:
    """The fields that may change of a run with this file of what its data are known by, or without it."""
    try:
        known = dict(json.loads(identity.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # there is none, or it is refused when the data are read
        return set()
    return {field for name, fields in MAY_MOVE.items() if known.get(name) for field in fields}


def other_length(config: RunConfig, stored: Path, registry: Registry) -> str:
    """What a run that goes on should know where its length is not that of its stored configuration; else empty."""
    old = anchored(resolve(stored_source(stored), registry, absent=True))
    if config.end_step == old.end_step or not (shares := _shares(config)):
        return ""
    return (
        f"end_step was {old.end_step} and is {config.end_step} now; {', '.join(shares)} follow the new length, so this "
        "will not be the run that was that long from the start"
    )


def names_model(request: Request) -> bool:
    """Whether a request says anything of the model."""
    return any("model" in source.tree for source in (*_given(request), *from_settings(request.settings)))


IN_ONE_WORD = {("corruption",), ("model",), ("objective",)}
"""Entries of a configuration that a flag may give as 'NAME{field: value}'."""


def _given(request: Request) -> list[Source]:
    """Configurations, then flags."""
    files = [Source(dict(one)) if isinstance(one, Mapping) else load_file(one) for one in request.config]
    return files + [at(path, _fields(path, value), flag) for path, (flag, value) in request.flags.items()]


def _fields(path: KeyPath, value: Any) -> Any:
    """A part written in one word, 'NAME{field: value}', as a mapping; anything else as it is."""
    if path not in IN_ONE_WORD or not isinstance(value, str):
        return value
    name, fields = split_fields(value)
    return {"name": name, **fields} if fields else name


def _spec(data: DataLike, registry: Registry, flag: str) -> Any:
    """Data as a tree of plain values; a part that only its program knows stays one."""
    spec = data_argument(data, registry, flag)
    known = isinstance(spec, Data) and not isinstance(spec, InMemory | Given) and spec.name in registry.names("data")
    return spec_of(spec) if isinstance(spec, Data) and known else spec


def _settled(config: RunConfig) -> RunConfig:
    """With what is measured on the data written as numbers, so that the run means the same wherever and whenever it is
    read."""
    found = {
        name: part.settled() for name in ("data", "evaluate_data") if isinstance(part := getattr(config, name), Stored)
    }
    return (
        config.model_copy(update=found) if any(found[name] is not getattr(config, name) for name in found) else config
    )


def _shares(config: RunConfig) -> list[str]:
    """What of a run is a share of its length."""
    shares = ["the cosine schedule"] if config.optimizer.schedule == "cosine" else []
    for place, entry in enumerate(config.objective):
        shares += [
            f"objective.{place}.{name}"
            for name in ("start", "ramp", "stop")
            if isinstance(getattr(entry, name), float) and getattr(entry, name)
        ]
    return shares


def _noise(sigma_n: Any, so_far: Source, registry: Registry) -> Source:
    """--sigma-n: declared with data that carry their noise, simulated by the corruption for clean ones."""
    level, data = noise_level(level_text(sigma_n)), so_far.tree["data"]
    if isinstance(data, Data) and not getattr(data, "clean", False):
        raise InputError(
            f"--sigma-n {level_text(sigma_n)}: the data set {data.name!r} brings its own noise level; leave one "
            "of the two out"
        )
    return at((noise_place(data, level, registry), "sigma_n"), level, "--sigma-n")
