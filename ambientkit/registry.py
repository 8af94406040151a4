"""Finds every part there is: built in, or from installed packages that name a module in the entry-point group
`ambientkit`.

Each plug-in is loaded and asked alone, so that a broken one is set aside with its reason and the others go on. Of two
parts of one name neither can be used by it, whatever the order of installation.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, TypeVar, cast, overload

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from pydantic import ValidationError

from ambientkit import hookspecs
from ambientkit.builtin import plugin as builtin_plugin
from ambientkit.errors import InputError, PluginError, explain, nearest
from ambientkit.interfaces import (
    Check,
    Corruption,
    Data,
    Exporter,
    Extractor,
    Model,
    Mutant,
    Objective,
    Part,
    Recipe,
    Sampler,
)
from ambientkit.messages import warn

GROUP = "ambientkit"
KINDS: dict[str, tuple[type[Part], str]] = {
    "corruption": (Corruption, "register_corruptions"),
    "objective": (Objective, "register_objectives"),
    "recipe": (Recipe, "register_recipes"),
    "sampler": (Sampler, "register_samplers"),
    "model": (Model, "register_models"),
    "data": (Data, "register_datasets"),
    "extractor": (Extractor, "register_extractors"),
    "exporter": (Exporter, "register_exporters"),
    "check": (Check, "register_checks"),
}
"""kind -> (contract, hook)."""
LATE = ("check",)
"""Kinds that nothing but verification needs: their hooks, and that of mutants, are asked when one of them is asked
for."""
MUTANTS = "register_mutants"
"""The hook for parts of any kind that are wrong on purpose; they are kept apart, so that nobody can name one by
accident."""

Late = Callable[[], "tuple[list[Entry], list[Problem]]"]
P = TypeVar("P", bound=Part)
Report = Callable[[tuple[str | int, ...], str], InputError]
"""Makes the error for a path below a part's own place and a sentence."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered part and where it comes from."""

    kind: str
    part: type[Part]
    package: str
    version: str

    @property
    def line(self) -> str:
        """The first line of the part's docstring."""
        return (inspect.getdoc(self.part) or "").partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Problem:
    """A plug-in that failed to load (its parts are missing), or that loaded with a doubt."""

    plugin: str
    package: str
    version: str
    cause: str
    fatal: bool

    def __str__(self) -> str:
        state = "was not loaded" if self.fatal else "was loaded, but"
        return f"plug-in {self.plugin!r} of {self.package} {self.version} {state}: {self.cause}"


class Registry:
    """All parts by kind and name. Build one with `load`; `problems` says what is broken and why.

    late: gives the entries of checks and mutants, and the problems of their hooks; asked once, when one of them is
    wanted.
    """

    def __init__(self, entries: Sequence[Entry], problems: Sequence[Problem] = (), late: Late | None = None) -> None:
        self.problems = tuple(problems)
        self._late = late
        self._mutants: list[Entry] = []
        self._entries: dict[tuple[str, str], Entry] = {}
        self._clashes: dict[tuple[str, str], str] = {}
        """What is wrong with a name that several packages claim."""
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
        known = {entry.part for entry in self._entries.values()}
        new = [part for part in dict.fromkeys(parts) if part not in known]
        kinds = [next(kind for kind, (contract, _) in KINDS.items() if issubclass(part, contract)) for part in new]
        added = [Entry(kind, part, "this session", "") for kind, part in zip(kinds, new, strict=True)]
        return Registry([*self._entries.values(), *self._mutants, *added], self.problems, self._late) if added else self

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

    def failures(self) -> list[str]:
        """A line for each plug-in that failed to load, for errors of which that may be the reason."""
        return [str(problem) for problem in self.problems if problem.fatal]

    def find(self, kind: str, name: str) -> Entry:
        """The entry of a name. Raises InputError listing what exists, and which plug-ins failed to load."""
        if kind in LATE:
            self._ask_the_rest()
        entry = self._entries.get((kind, name))
        if (kind, name) in self._clashes:
            raise PluginError(self._clashes[kind, name])
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
                    f"should be {'an' if kind[0] in 'aeiou' else 'a'} {kind}, but is the part {spec.name!r} of another kind",
                )
            return spec
        fields = {"name": spec} if isinstance(spec, str) else dict(spec) if isinstance(spec, Mapping) else {}
        name = fields.pop("name", None)
        if not isinstance(name, str):
            raise report(
                (),
                f"should be the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}, or a mapping with a 'name', but is {spec!r}",
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
        f"the {first.kind} name {first.part.name!r} is registered {'twice' if len(found) == 2 else f'{len(found)} times'}: by {others}. "
        "None of them can be used by this name: uninstall one, or ask its author to rename it"
    )


def spec_of(part: Part) -> dict[str, Any]:
    """The plain mapping that `Registry.build` turns back into the part."""
    return {"name": part.name, **part.model_dump(mode="json")}


def load() -> Registry:
    """The registry of this environment; its `problems` name plug-ins that failed to load, and names that two packages
    claim."""
    return environment()


@cache
def environment() -> Registry:
    """As `load`, found once per process. Problems are reported as warnings when they are found."""
    own = "ambientkit"
    asked = [_Asked(builtin_plugin, own, own, metadata.version(own))]
    entries = asked[0].parts()
    problems: list[Problem] = []
    points = sorted(metadata.entry_points(group=GROUP), key=lambda point: (_package(point), point.name))
    for point in points:
        package, version = _package(point), (point.dist.version if point.dist else None) or "?"

        def problem(cause: str, fatal: bool, point=point, package=package, version=version) -> None:
            problems.append(Problem(point.name, package, version, cause, fatal))

        for conflict in _conflicts(point.dist):
            problem(conflict, fatal=False)
        try:
            plugin = _Asked(point.load(), point.name, package, version)
            entries += plugin.parts()
            asked.append(plugin)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit included: a plug-in must not be able to end the program
            problem(_cause(error), fatal=True)

    def late() -> tuple[list[Entry], list[Problem]]:
        found: list[Entry] = []
        broken: list[Problem] = []
        for plugin in asked:
            try:
                found += plugin.checks_and_mutants()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                broken.append(
                    Problem(
                        plugin.name,
                        plugin.package,
                        plugin.version,
                        f"without its checks and mutants: {_cause(error)}",
                        False,
                    )
                )
        return found, broken

    registry = Registry(entries, problems, late)
    for found_problem in registry.problems:
        warn(str(found_problem))
    return registry


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _ask(plugin: object, package: str, version: str) -> list[Entry]:
    """All that one plug-in registers. Raises PluginError for a hook that is unknown, takes an argument, or returns
    anything but classes of its kind."""
    asked = _Asked(plugin, package, package, version)
    return [*asked.parts(), *asked.checks_and_mutants()]


class _Asked:
    """One plug-in, whose hooks are asked when what they register is wanted."""

    def __init__(self, plugin: object, name: str, package: str, version: str) -> None:
        """Raises PluginError for a hook that is unknown or takes an argument."""
        self.name, self.package, self.version = name, package, version
        self._manager = _manager(plugin)

    def parts(self) -> list[Entry]:
        """Entries of all kinds but the late ones. Raises PluginError for a hook that returns anything but classes of
        its kind."""
        return [entry for kind in KINDS if kind not in LATE for entry in self._of(kind)]

    def checks_and_mutants(self) -> list[Entry]:
        """The others. Raises PluginError likewise."""
        entries = [entry for kind in LATE for entry in self._of(kind)]
        for part in _classes(self._manager, MUTANTS):
            mutant = _accept(part, Mutant, MUTANTS)
            if absent := [
                field for field in ("mutant_of", "wrong") if not isinstance(getattr(mutant, field, None), str)
            ]:
                raise PluginError(f"{mutant.__name__} does not say {' and '.join(absent)}")
            kinds = [kind for kind, (contract, _) in KINDS.items() if issubclass(mutant, contract)]
            if len(kinds) != 1:
                raise PluginError(
                    f"{mutant.__name__} must subclass Mutant and the contract of one kind, not of {kinds or 'none'}"
                )
            entries.append(Entry(kinds[0], mutant, self.package, self.version))
        return entries

    def _of(self, kind: str) -> list[Entry]:
        contract, hook = KINDS[kind]
        return [
            Entry(kind, _accept(part, contract, hook), self.package, self.version)
            for part in _classes(self._manager, hook)
        ]


def _manager(plugin: object) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    names = [*(hook for _, hook in KINDS.values()), MUTANTS]
    hooks = ", ".join(names)
    for hook in names:
        if inspect.isroutine(function := getattr(plugin, hook, None)) and not hasattr(function, f"{GROUP}_impl"):
            raise PluginError(f"{hook} is not marked @hookimpl, so it would never be asked")
    try:
        manager.register(plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(
            f"{error}. The hooks of ambientkit {metadata.version('ambientkit')} are {hooks}; none takes arguments"
        ) from None
    return manager


def _classes(manager: pluggy.PluginManager, hook: str) -> list[object]:
    found: list[object] = []
    for parts in getattr(manager.hook, hook)():
        if not isinstance(parts, list | tuple):
            raise PluginError(f"{hook} must return a list of classes, not {type(parts).__name__}")
        found += parts
    return found


def _accept(part: object, contract: type[P], hook: str) -> type[P]:
    if not (inspect.isclass(part) and issubclass(part, contract)):
        raise PluginError(f"{hook} must return subclasses of {contract.__name__}, not {part!r}")
    if issubclass(part, Mutant) and contract is not Mutant:
        raise PluginError(f"{part.__name__} is a mutant: register it with {MUTANTS}, not with {hook}")
    if inspect.isabstract(part):
        raise PluginError(f"{part.__name__} leaves {', '.join(sorted(part.__abstractmethods__))} abstract")
    name = getattr(part, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        raise PluginError(f"{part.__name__}.name must be a lower-case word such as 'my-part', not {name!r}")
    return cast(type[P], part)


def _package(point: metadata.EntryPoint) -> str:
    """The name of a plug-in's package; where an interrupted uninstall has left no metadata, what the entry point
    names."""
    return (point.dist.name if point.dist else None) or point.value


def _conflicts(dist: metadata.Distribution | None) -> list[str]:
    """Requirements of a plug-in's package that this environment does not meet."""
    found = []
    for line in (dist.requires if dist else None) or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            found.append(f"its requirement {line!r} cannot be read")
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found.append(f"it requires {requirement}, which is not installed")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            found.append(f"it requires {requirement}, and {requirement.name} {installed} is installed")
    return found
