"""Every part that can be named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ambientkit.registry import Entry, Problem, load
from ambientkit.tables import Record, Table


@dataclass(frozen=True, slots=True)
class Parts(Record):
    """Parts by kind and name, with the package each comes from, and plug-ins that failed to load or that loaded with a
    doubt."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def blocks(self) -> Sequence[str | Table]:
        """The table of parts, then a line for each problem."""
        rows = [
            (entry.kind, entry.part.name, entry.line, f"{entry.package} {entry.version}".strip())
            for entry in self.entries
        ]
        problems = [f"{'error' if problem.fatal else 'warning'}: {problem}" for problem in self.problems]
        return [Table("", ("kind", "name", "what it is", "package"), rows), *problems]

    def to_dict(self) -> dict[str, Any]:
        """Lists of plain mappings."""
        return {
            "format": 1,
            "parts": [
                {"kind": e.kind, "name": e.part.name, "line": e.line, "package": e.package, "version": e.version}
                for e in self.entries
            ],
            "problems": [
                {"plugin": p.plugin, "package": p.package, "cause": p.cause, "fatal": p.fatal} for p in self.problems
            ],
        }


def parts() -> Parts:
    """Every part there is, built in or of an installed plug-in: corruptions, objectives, samplers, models, data sets,
    checks and more."""
    registry = load()
    return Parts(tuple(registry.entries()), registry.problems)
