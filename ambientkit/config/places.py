"""Paths in a configuration, made to mean the same from every folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from ambientkit.config.files import Source, load_file
from ambientkit.config.portable import last_name
from ambientkit.config.run import RunConfig
from ambientkit.errors import InputError
from ambientkit.fields import Fields

P = TypeVar("P", bound=Fields)

PARTS = ("data", "corruption", "model", "sampler", "evaluate_data")


def anchored(config: RunConfig) -> RunConfig:
    """The configuration with every path made absolute, seen from the present folder.

    A path is a field of a part, or of an operator in it, that is one by its type, a noise level that names a file, and
    `init_from`. Links stay links.
    """
    changes: dict[str, Any] = {name: _part(part) for name in PARTS if (part := getattr(config, name)) is not None}
    changes["objective"] = tuple(
        entry.model_copy(update={"objective": _part(entry.objective)}) for entry in config.objective
    )
    if config.init_from is not None:
        changes["init_from"] = str(Path(config.init_from).absolute())
    return config.model_copy(update=changes)


def refuse_beside(config: RunConfig, files: Iterable[str | Path]) -> None:
    """Raise InputError where a data set is missing in the present folder, but lies in that of a configuration file."""
    here = Path.cwd()
    for name in ("data", "evaluate_data"):
        path = getattr(getattr(config, name), "path", None)
        if not isinstance(path, Path) or path.exists() or not path.is_relative_to(here):
            continue
        for file in files:
            folder = Path(file).absolute().parent
            beside = folder / path.relative_to(here)
            if beside.exists():
                raise InputError(
                    f"{file}: {name}.path: there is no {path}: a relative path is looked for in the current folder, "
                    f"{here}, and not in that of the file. Write {beside}, or run the command in {folder}"
                )


def beside(source: Source, folder: Path) -> Source:
    """A run's configuration whose operator's files are those in the folder of the run, or of its weights, where they
    are not where it says. Of an export it says their names alone."""
    operator = (source.tree.get("corruption") or {}).get("operator")
    if not isinstance(operator, dict):
        return source
    found = {
        name: str(there)
        for name, value in operator.items()
        if isinstance(value, str)
        and value.endswith(".npy")
        and not (Path(value).is_absolute() and Path(value).exists())
        and (there := folder.absolute() / last_name(value)).is_file()
    }
    corruption = {**source.tree["corruption"], "operator": {**operator, **found}}
    return Source({**source.tree, "corruption": corruption}, source.places) if found else source


def stored(path: Path) -> Source:
    """The configuration that a run was begun with, from its file."""
    return beside(load_file(path), path.parent)


def _part(part: P) -> P:
    changes: dict[str, Any] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Path):
            changes[name] = value.absolute()
        elif isinstance(value, Fields):
            changes[name] = _part(value)
        elif name == "sigma_n" and isinstance(value, str) and Path(value).exists():
            changes[name] = str(Path(value).absolute())
    return part.model_copy(update=changes) if changes else part
