"""What a noise level given for a data set means: declared where its rows carry noise, simulated by the corruption where
they are clean."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from ambientkit.batch import Clean
from ambientkit.config.datapath import DataLike, data_argument, numbered
from ambientkit.config.inline import is_there
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Data
from ambientkit.readers.part import ESTIMATES
from ambientkit.registry import Registry, spec_of
from ambientkit.text import number

NOISE = frozenset({"sigma_n", "sigma_units", "clean"})
"""Fields of a data set that say how noisy its rows are, not which rows they are."""


def noise_level(text: str) -> float | list[float] | str:
    """A level as the command line takes it: a number, [LOW, HIGH], a file of levels per row, or "estimate". Raises
    InputError otherwise."""
    words = text.split(",")
    try:
        numbers = [number(word) for word in words]
    except ValueError:
        if text.strip() and (is_there(text) or text in ESTIMATES):
            return text
        numbers = []
    if len(numbers) not in (1, 2):
        raise InputError(
            f"--sigma-n {text}: should be a number, LOW,HIGH, an existing file of levels per row, or 'estimate'"
        )
    return numbers[0] if len(numbers) == 1 else numbers


def level_text(sigma_n: Any) -> str:
    """A level as the command line has it; a pair of numbers is a range."""
    return ",".join(map(str, sigma_n)) if isinstance(sigma_n, list | tuple) else str(sigma_n)


def noise_place(data: str | Mapping[str, Any] | Data, level: Any, registry: Registry) -> Literal["data", "corruption"]:
    """The part of a run whose field `sigma_n` a level is for: "data", where it declares their noise, or "corruption",
    which simulates it.

    data: as a configuration has it. Raises InputError for a range of declared noise, and for levels per row of
    simulated noise.
    """
    if isinstance(data, Data):
        known, clean = type(data).model_fields, bool(getattr(data, "clean", False))
    else:
        fields = data if isinstance(data, Mapping) else {"name": data}
        known, clean = (
            registry.find("data", str(fields.get("name"))).part.model_fields,
            bool(fields.get("clean", False)),
        )
    declared = "sigma_n" in known and not clean
    shown = level_text(level) if isinstance(level, list | tuple) else level
    if declared and isinstance(level, list | tuple):
        raise InputError(
            f"--sigma-n {shown}: a range is for simulated noise; these data are noisy already, so give their level "
            "per row as a file"
        )
    if not declared and not isinstance(level, float | int | list | tuple):
        what = shown if isinstance(shown, str) else f"of type {type(shown).__name__}"
        raise InputError(
            f"--sigma-n {what}: this data set is clean and its noise is simulated; give a number, or LOW,HIGH"
        )
    return "data" if declared else "corruption"


def with_noise(
    data: DataLike, sigma_n: Any, corruption: Corruption, registry: Registry, flag: str = "--data"
) -> tuple[Data, Corruption]:
    """A data set, and the corruption that simulates the noise of its rows where they are clean.

    data: anything that stands for data. sigma_n: None, which leaves both as they are; a level as `noise_level` takes
    it, or gives it; for rows in memory also one level per row or per value. corruption: the one to change. Raises
    InputError where there are no such data, or the level does not suit them.
    """
    level = (
        noise_level(sigma_n) if isinstance(sigma_n, str) else float(sigma_n) if isinstance(sigma_n, int) else sigma_n
    )
    if level is None:
        return registry.build(Data, data_argument(data, registry, flag)), corruption
    clean_rows = numbered(data) and len(data) > 0 and isinstance(data[0], Clean)
    in_memory = not clean_rows and not isinstance(data, str | Path | Mapping | Data)
    if in_memory:
        return registry.build(Data, data_argument(data, registry, flag, sigma_n=level)), corruption
    found = data_argument(data, registry, flag)
    place = "corruption" if clean_rows else noise_place(found, level, registry)
    if place == "corruption":
        return registry.build(Data, found), registry.build(Corruption, {**spec_of(corruption), "sigma_n": level})
    return registry.build(Data, data_argument(found, registry, flag, sigma_n=level)), corruption


def says_the_same(part: Data, own: Data, *, but: Collection[str] = ()) -> bool:
    """Whether every field that is given for a data set on disk has the value that it has in `own`, wherever their paths
    are seen from.

    but: fields that are not compared.
    """

    def same(value: Any, other: Any) -> bool:
        if isinstance(value, Path) and isinstance(other, Path):
            return os.path.realpath(value) == os.path.realpath(other)
        return bool(value == other)

    return type(part) is type(own) and all(
        same(getattr(part, name), getattr(own, name)) for name in part.model_fields_set.difference(but)
    )
