"""A configuration for others to read: without the paths of the machine that it was made on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ambientkit.config.files import is_secret
from ambientkit.config.run import RunConfig, dump

PARTS = ("data", "corruption", "model", "sampler", "evaluate_data")


def portable(config: RunConfig) -> dict[str, Any]:
    """`dump(config)` in which of every path the last name alone is left, and every value that is named like a secret is
    "***".

    A path is what a part declares as one, and any text that begins like an absolute path or leads out of its folder.
    """
    plain = dump(config)
    for kind in PARTS:
        if plain[kind] is None:
            continue
        plain[kind] = {
            "name": plain[kind]["name"],
            **_without(plain[kind], getattr(config, kind).model_dump(), drop="name"),
        }
    plain["objective"] = [
        {
            **term,
            "objective": {
                **term["objective"],
                **_without(term["objective"], entry.objective.model_dump(), drop="name"),
            },
        }
        for term, entry in zip(plain["objective"], config.objective, strict=True)
    ]
    if plain["init_from"] is not None:
        plain["init_from"] = last_name(plain["init_from"])
    return plain


def last_name(text: str) -> str:
    """The last part of a path of any machine."""
    return PureWindowsPath(text).name or "data"


def is_machine_path(text: str) -> bool:
    """Whether a text begins like a path that means something on one machine only."""
    return (
        PurePosixPath(text).is_absolute() or bool(PureWindowsPath(text).drive) or text.startswith(("~", "../", "..\\"))
    )


def _without(plain: Any, value: Any, drop: str = "") -> Any:
    """plain: JSON values; value: the same before they became JSON, where paths are still known as such."""
    if isinstance(plain, Mapping):
        whole = value if isinstance(value, Mapping) else {}
        return {
            key: "***" if is_secret([key]) and isinstance(item, str) else _without(item, whole.get(key))
            for key, item in plain.items()
            if key != drop
        }
    if isinstance(plain, list | tuple):
        items = list(value) if isinstance(value, list | tuple) and len(value) == len(plain) else [None] * len(plain)
        return [_without(item, other) for item, other in zip(plain, items, strict=True)]
    if isinstance(plain, str) and (isinstance(value, Path) or is_machine_path(plain)):
        return last_name(plain)
    return plain
