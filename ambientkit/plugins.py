"""Asks the built-in parts and every plug-in what they register: packages that name a module in the entry-point group
`ambientkit`.

Each plug-in is loaded and asked alone, so that a broken one is set aside with its reason and the others go on.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import TypeVar, cast

import pluggy
from packaging.requirements import InvalidRequirement, Requirement

from ambientkit import hookspecs
from ambientkit.builtin import plugin as builtin_plugin
from ambientkit.errors import PluginError
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
from ambientkit.memorisation_parts import Attack, MemoryMeasure, Similarity

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
    "similarity": (Similarity, "register_similarities"),
    "attack": (Attack, "register_attacks"),
    "memory-measure": (MemoryMeasure, "register_memory_measures"),
    "check": (Check, "register_checks"),
}
"""kind -> (contract, hook)."""
LATE = ("check",)
"""Kinds that nothing but verification needs: their hooks, and that of mutants, are asked when one of them is asked
for."""
MUTANTS = "register_mutants"
"""The hook for parts of any kind that are wrong on purpose; they are kept apart, so that nobody can name one by
accident."""

P = TypeVar("P", bound=Part)


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered part and where it comes from."""

    kind: str
    part: type[Part]
    package: str
    version: str

    @property
    def line(self) -> str:
        """The first paragraph of the part's docstring, in one line."""
        return " ".join((inspect.getdoc(self.part) or "").partition("\n\n")[0].split())


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


Late = Callable[[], tuple[list[Entry], list[Problem]]]


def ask() -> tuple[list[Entry], list[Problem], Late]:
    """All that is built in or registered by an installed plug-in, what is wrong with plug-ins, and how to ask for
    checks and mutants, which are loaded when they are wanted."""
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

    return entries, problems, late


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def ask_one(plugin: object, package: str, version: str) -> list[Entry]:
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
