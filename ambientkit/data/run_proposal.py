"""A whole configuration that was proposed for a data set, with the reason of each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ambientkit.config.files import KeyPath
from ambientkit.config.run import to_yaml
from ambientkit.inspection.transfer import PhotonTransfer
from ambientkit.tables import Record, Table

WIDTH = 110
"""Columns at which a reason is broken."""


@dataclass(frozen=True, slots=True)
class RunProposal(Record):
    """A configuration for `ambientkit train -c`, the reason of each of its lines, and what could not be proposed."""

    config: Mapping[str, Any]
    """As `train` takes it; empty where something is missing without which nothing can be proposed."""
    reasons: Mapping[KeyPath, str]
    """Key -> why it has this value."""
    missing: Sequence[str] = ()
    """Quantities that are not known, each with the way to measure it."""
    head: Sequence[str] = ()
    """Of the whole: its grounds and its time."""
    photon: PhotonTransfer | None = field(default=None, repr=False)
    """How the noise grows with brightness, where that was fitted."""
    refused: str = field(default="", repr=False)
    """Why `train` would not begin with it."""

    @property
    def complete(self) -> bool:
        """Whether `train` can run with it."""
        return bool(self.config)

    def yaml(self) -> str:
        """The configuration as YAML, the reasons as comments above the keys."""
        lines = [f"# {line}" for text in self.head for line in _wrapped(text)]
        return "\n".join([*lines, *_lines(self.config, self.reasons, ())]) + "\n"

    def lines(self) -> list[tuple[str, str, str]]:
        """(key, value, reason) of each line that has one."""
        return [
            (".".join(map(str, path)), _short(_at(self.config, path)), why)
            for path, why in self.reasons.items()
            if self.complete and not isinstance(_at(self.config, path), Mapping)
        ]

    def blocks(self) -> list[str | Table]:
        """The proposed values with their reasons, then what is missing."""
        rows = self.lines()
        told: list[str | Table] = [Table("", ("proposed", "value", "because"), rows)] if rows else []
        return [*told, *(f"\nmissing: {text}" for text in self.missing)]

    def to_dict(self) -> dict[str, Any]:
        """The content for JSON."""
        return {
            "config": dict(self.config),
            "reasons": {".".join(map(str, path)): why for path, why in self.reasons.items()},
            "missing": list(self.missing),
            "noise": None if self.photon is None else asdict(self.photon),
        }


def _at(tree: Any, path: KeyPath) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _wrapped(text: str, width: int = WIDTH) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]


def _on_one_line(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_on_one_line, value))}]"
    return to_yaml({"x": value}).strip().removeprefix("x: ")


def _lines(tree: Mapping[str, Any], reasons: Mapping[KeyPath, str], at: KeyPath) -> list[str]:
    """The lines of a mapping; a value without mappings inside is written as the YAML library writes it, on one line."""
    lines = []
    indent = "  " * len(at)
    for key, value in tree.items():
        path = (*at, key)
        if path in reasons:
            lines += [f"{indent}# {line}" for line in _wrapped(reasons[path], WIDTH - len(indent))]
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", *_lines(value, reasons, path)]
        elif isinstance(value, list | tuple):
            lines.append(f"{indent}{key}: {_on_one_line(value)}")
        else:
            lines.append(indent + to_yaml({key: value}).strip())
    return lines
