"""Every part there is, built in or of an installed package, by kind and name.

Of two parts of one name neither can be used by it, in any order of installation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast, overload

from pydantic import ValidationError

from ambientkit.errors import InputError, PluginError, explain, nearest
from ambientkit.interfaces import Mutant, Objective, Part, Recipe
from ambientkit.messages import warn
from ambientkit.plugins import KINDS, LATE, Entry, Late, Problem, ask

__all__ = ["Entry", "Problem", "Registry", "environment", "load", "spec_of"]

P = TypeVar("P", bound=Part)
Report = Callable[[tuple[str | int, ...], str], InputError]
"""Makes the error for a path below a part's own place and a sentence."""


class Registry:
    """All parts by kind and name. Build one with `load`; `problems` says what is broken and why.

    late: gives the entries of checks and mutants, and the problems of their hooks; asked once, when one of them is
    wanted.
    """

    def __init__(self, entries: Sequence[Entry], problems: Sequence[Problem] = (), late: Late | None = None) -> None:
        self.problems = tuple(problems)
        self._late = late
        self._mutants: list[Entry] = []
        self._several: list[Entry] = []
        """The entries that share a name, and are not in `_entries`."""
        self._entries: dict[tuple[str, str], Entry] = {}
        self._clashes: dict[tuple[str, str], str] = {}
        """The error for each name that several packages claim."""
        self._add(entries)

    def _add(self, entries: Sequence[Entry]) -> None:
        clashes: dict[tuple[str, str], list[Entry]] = {}
        self._mutants += [entry for entry in entries if issubclass(entry.part, Mutant)]
        for entry in (entry for entry in entries if not issubclass(entry.part, Mutant)):
            key = ("objective" if entry.kind == "recipe" else entry.kind, entry.part.name)  # --objective names either
            if key in self._entries:
                clashes.setdefault(key, [self._entries[key]]).append(entry)
            else:
                self._entries[key] = entry
        self._clashes |= {key: _describe_clash(found) for key, found in clashes.items()}
        for key in clashes:  # which of them is meant cannot be known, so none can be named
            del self._entries[key]
        self._several += [entry for found in clashes.values() for entry in found]
        found = [
            Problem(e[-1].part.name, e[-1].package, e[-1].version, self._clashes[key], False)
            for key, e in clashes.items()
        ]
        self.problems = (*self.problems, *found)

    def _ask_the_rest(self) -> None:
        if self._late is not None:
            late, self._late = self._late, None
            entries, problems = late()
            self.problems += tuple(problems)
            self._add(entries)

    def including(self, parts: Iterable[type[Part]]) -> Registry:
        """A registry that knows these classes too, as parts of this session; those that it has already change nothing.

        One that has the name of another registered part makes both unusable by that name.
        """
        old = [*self._entries.values(), *self._several]
        known = {entry.part for entry in old}
        new = [part for part in dict.fromkeys(parts) if part not in known]
        kinds = [next(kind for kind, (contract, _) in KINDS.items() if issubclass(part, contract)) for part in new]
        added = [Entry(kind, part, "this session", "") for kind, part in zip(kinds, new, strict=True)]
        if not added:
            return self
        problems = [problem for problem in self.problems if problem.cause not in self._clashes.values()]
        return Registry([*old, *self._mutants, *added], problems, self._late)

    def entries(self) -> list[Entry]:
        """Every part, by kind and then by name."""
        self._ask_the_rest()
        kinds = list(KINDS)
        return sorted(self._entries.values(), key=lambda entry: (kinds.index(entry.kind), entry.part.name))

    def mutants(self) -> list[Entry]:
        """Every mutant, by kind, by the part it is a wrong variant of, and by name; none of them is in `entries`."""
        self._ask_the_rest()
        kinds = list(KINDS)
        return sorted(
            self._mutants,
            key=lambda entry: (kinds.index(entry.kind), cast(type[Mutant], entry.part).mutant_of, entry.part.name),
        )

    def names(self, kind: str) -> list[str]:
        """The names of one kind; for "objective" recipes too."""
        if kind in LATE:
            self._ask_the_rest()
        return sorted(name for slot, name in self._entries if slot == kind)

    def clash(self, kind: str, name: str) -> str | None:
        """The error for a name that several packages claim; None for others."""
        return self._clashes.get((kind, name))

    def failures(self) -> list[str]:
        """A line for each plug-in that failed to load, for errors of which that may be the reason."""
        return [str(problem) for problem in self.problems if problem.fatal]

    def find(self, kind: str, name: str) -> Entry:
        """The entry of a name. Raises InputError listing what exists, and which plug-ins failed to load."""
        if kind in LATE:
            self._ask_the_rest()
        entry = self._entries.get((kind, name))
        if (clash := self.clash(kind, name)) is not None:
            raise PluginError(clash)
        if entry is None:
            known = self.names(kind)
            lines = [f"there is no {kind} {name!r}{nearest(name, known) or '.'} Known: {', '.join(known) or 'none'}"]
            raise InputError("\n".join(lines + self.failures()))
        return entry

    @overload
    def build(self, kind: type[P], spec: str | Mapping[str, Any] | Part, report: Report | None = None) -> P: ...

    @overload
    def build(self, kind: str, spec: str | Mapping[str, Any] | Part, report: Report | None = None) -> Part: ...

    def build(self, kind: type[P] | str, spec: str | Mapping[str, Any] | Part, report: Report | None = None) -> Part:
        """A part from its name, or from {"name": ..., **fields}; a part is passed on as it is.

        kind: the contract (`Sampler`), or its name ("sampler"), which for "objective" allows recipes too.
        report: makes the error for a path below the part's own place and a sentence; the default writes "kind.path:
        sentence".
        """
        contract: type[Part] = KINDS[kind][0] if isinstance(kind, str) else kind
        wanted = (Objective, Recipe) if kind == "objective" else (contract,)
        kind = next(name for name, (known, _) in KINDS.items() if known is contract)
        report = report or (lambda path, text: InputError(f"{'.'.join(map(str, (kind, *path)))}: {text}"))
        if isinstance(spec, Part):
            if not isinstance(spec, wanted):
                raise report(
                    (),
                    f"should be {'an' if kind[0] in 'aeiou' else 'a'} {kind}, but is the part {spec.name!r} of "
                    "another kind",
                )
            return spec
        fields = {"name": spec} if isinstance(spec, str) else dict(spec) if isinstance(spec, Mapping) else {}
        name = fields.pop("name", None)
        if not isinstance(name, str):
            raise report(
                (),
                f"should be the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}, or a mapping with a 'name', "
                f"but is {spec!r}",
            )
        try:
            part = self.find(kind, name).part
        except InputError as error:
            raise report(("name",) if isinstance(spec, Mapping) else (), str(error)) from None
        if not issubclass(part, wanted):
            raise report((), f"{name!r} is a recipe; a single objective is needed here")
        try:
            return part(**fields)
        except ValidationError as error:
            path, sentence = explain(error, (), part.model_fields)[0]
            raise report(
                path, f"{sentence} ({kind} {name!r} takes: {', '.join(part.model_fields) or 'no fields'})"
            ) from None
        except TypeError as error:  # a plug-in's class that cannot be instantiated
            raise report((), f"{kind} {name!r} cannot be made: {error}") from None


def _describe_clash(found: Sequence[Entry]) -> str:
    first = found[0]
    others = " and by ".join(f"{entry.package} {entry.version}" for entry in found)
    return (
        f"the {first.kind} name {first.part.name!r} is registered "
        f"{'twice' if len(found) == 2 else f'{len(found)} times'}: by {others}. "
        "None of them can be used by this name: uninstall one, or ask its author to rename it"
    )


def spec_of(part: Part) -> dict[str, Any]:
    """The plain mapping that `Registry.build` turns back into the part."""
    return {"name": part.name, **part.model_dump(mode="json")}


def given_spec(part: Part) -> dict[str, Any]:
    """As `spec_of`, with the fields that were given alone."""
    return {"name": part.name, **part.model_dump(mode="json", exclude_unset=True)}


def load() -> Registry:
    """The registry of this environment; its `problems` name plug-ins that failed to load, and names that two packages
    claim."""
    return environment()


@cache
def environment() -> Registry:
    """As `load`, found once per process. Problems are reported as warnings when they are found."""
    registry = Registry(*ask())
    for problem in registry.problems:
        warn(str(problem))
    return registry
