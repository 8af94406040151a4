"""Inspecting data, and proposing a run for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.checkpoint.folder import write_file
from ambientkit.config.datapath import DataLike, data_argument
from ambientkit.config.inline import part_spec
from ambientkit.data.inspected import Inspection
from ambientkit.data.inspected import inspect as look_at
from ambientkit.errors import InputError
from ambientkit.inspection.document import ROWS, measured
from ambientkit.interfaces import Corruption, Data
from ambientkit.messages import reported
from ambientkit.proposing.propose import path_of, propose
from ambientkit.registry import Registry, load


def inspect(
    data: DataLike,
    *,
    sigma_n: Any = None,
    corruption: Any = None,
    rows: int = ROWS,
    on_bad_file: str | None = None,
    write: str | Path | None = None,
    dark: DataLike = None,
    flat: DataLike | Sequence[DataLike] = (),
    repeats: DataLike | Sequence[DataLike] = (),
    registry: Registry | None = None,
) -> Inspection:
    """Look at a data set without judging whether `train` would take it; with `write` also propose a whole run for it.

    data: a name, a path, a part, an array, a tensor or a torch `Dataset`. sigma_n: the noise std that the rows are said
    to have, units of [-1, 1]: a number, a file of levels per row, one level per row of an array, or "estimate"; None
    for the level stored with the data, and an estimate where there is none. corruption: how the rows were observed, as
    `train` takes it: of "linear{operator: ...}" they are measurements, which get the tests that hold for them. rows:
    looked at, evenly spaced.

    write: a new .yaml file for `train(config=...)`, with the reason of each line; the record's `proposal` holds the
    same.
    The rows are then judged under the noise model proposed. Where something is missing, or the model is violated,
    nothing is written, and `proposal.missing` says what to measure. dark, flat, repeats: data sets of frames, in file
    units, by which the noise is measured: without light; of an even light, one data set per brightness; of one scene
    each. Raises InputError for what cannot be read.
    """
    registry = registry or load()
    through = None if corruption is None else registry.build(Corruption, part_spec(corruption))
    if write is None:
        for flag, given in (("--dark", dark), ("--flat", _several(flat)), ("--repeats", _several(repeats))):
            if given is not None and given != ():
                raise InputError(f"{flag}: frames measure the noise of a proposal; give --write too")
        return look_at(data, sigma_n=sigma_n, rows=rows, on_bad_file=on_bad_file, registry=registry, corruption=through)
    path = path_of(write)
    level = _level(sigma_n)
    with reported("value_range", "sigma_n"):  # they are measured for the proposal, which says so
        found = propose(
            data,
            registry,
            sigma_n=level,
            dark=dark,
            flat=_several(flat),
            repeats=_several(repeats),
            rows=rows,
            on_bad_file=on_bad_file,
            corruption=through,
        )
        if not found.complete:
            known = data if isinstance(through, Linear) else _in_any_units(data, registry)
            judged = look_at(known, rows=rows, on_bad_file=on_bad_file, registry=registry, corruption=through)
            judged.facts["data"] = str(data)
            return replace(judged, proposal=found)
        lowest = found.config.get("levels", {}).get("sigma_min")
        judged = look_at(found.config["data"], rows=rows, registry=registry, lowest=lowest, corruption=through)
        if found.photon is not None:
            measured(judged.facts)
        judged.facts["data"] = str(data)
        if judged.violated:
            why = [
                f"{one.name}: {one.reason} {one.remedy}".strip() for one in judged.findings if one.verdict == "violated"
            ]
            return replace(judged, proposal=replace(found, config={}, reasons={}, missing=tuple(why)))
        if found.refused:
            return replace(judged, proposal=replace(found, config={}, reasons={}, missing=(found.refused,)))
        write_file(path, found.yaml().encode())
        return replace(judged, proposal=found, written=path)


def _in_any_units(data: DataLike, registry: Registry) -> Any:
    """The data set with a range measured on its rows, where none is given: rows that are inspected must not be refused
    for
    it."""
    spec = data_argument(data, registry, "DATA")
    return spec if isinstance(spec, Data) or "counts" in spec else {"value_range": "data", **spec}


def _several(given: Any) -> tuple[Any, ...]:
    """One data set or several, as a tuple."""
    return tuple(given) if isinstance(given, list | tuple) else () if given is None else (given,)


def _level(sigma_n: Any) -> Any:
    """A level that a configuration can hold. Raises InputError for one that is no number and no name of a file."""
    if sigma_n is None or sigma_n == "estimate":
        return None
    try:
        return float(sigma_n)
    except (TypeError, ValueError):
        if isinstance(sigma_n, str | Path) and Path(sigma_n).exists():
            return str(sigma_n)
    raise InputError(f"--sigma-n {sigma_n}: a proposal takes a number or an existing file of levels")
