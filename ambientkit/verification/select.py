"""Which parts are meant: by name, by kind and fields, by the file that defines them, or the parts themselves."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ambientkit.config.inline import split_fields
from ambientkit.errors import InputError, PluginError, explain, nearest
from ambientkit.interfaces import Check, Mutant, Part
from ambientkit.plugins import KINDS
from ambientkit.registry import Registry
from ambientkit.verification.plan import expand
from ambientkit.verification.runner import one_line


def select(asked: Sequence[str | Path | Part | type[Part]], registry: Registry) -> list[Part]:
    """The parts that are meant, each once; a recipe stands for its objectives.

    asked: NAME, KIND:NAME, KIND:NAME{field: value}, FILE.py, a part, or a class of one that needs no field. Raises
    InputError for anything else.
    """
    found: list[Part] = []
    for one in asked:
        found += [single for part in _meant(one, registry) for single in expand(part, registry) if single not in found]
    return found


def _meant(asked: str | Path | Part | type[Part], registry: Registry) -> list[Part]:
    if isinstance(asked, Part):
        return [asked]
    if isinstance(asked, type) and issubclass(asked, Part):
        return [_made(asked)]
    if isinstance(asked, Path) or (isinstance(asked, str) and asked.endswith(".py")):
        return from_file(Path(asked))
    if not isinstance(asked, str):
        raise InputError(f"a part to be verified should be a name, a file, a part or its class, but is {asked!r}")
    name, fields = split_fields(asked)
    before, _, name = name.rpartition(":")
    return [registry.build(kind, {"name": name, **fields}) for kind in _kinds(before or None, name, registry)]


def _made(cls: type[Part]) -> Part:
    if inspect.isabstract(cls):
        raise InputError(
            f"{cls.__name__} leaves {', '.join(sorted(cls.__abstractmethods__))} abstract: it cannot be verified"
        )
    try:
        return cls()
    except ValidationError as error:
        path, sentence = explain(error, (), cls.model_fields)[0]
        raise InputError(
            f"{cls.__name__} needs fields ({'.'.join(map(str, path))}: {sentence}): give a part, not its class"
        ) from None


def from_file(path: Path) -> list[Part]:
    """The parts that a Python file defines, with default fields, in the order written. The file is run, as `python
    FILE.py` would run it.

    Raises InputError where it is missing, cannot be run, or defines no part.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    folder, name = str(path.absolute().parent), path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if name in sys.modules or not name.isidentifier() or spec is None or spec.loader is None:
        raise InputError(
            f"{path}: a module of this name exists already, or it cannot be the name of one: give the file another"
        )
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # its imports lie beside it
    try:
        spec.loader.exec_module(module)
        classes = [value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == name]
        parts = [
            cls()
            for cls in classes
            if issubclass(cls, Part) and not issubclass(cls, Check | Mutant) and not inspect.isabstract(cls)
        ]
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"{path}: cannot be run ({one_line(error)})") from None
    if not parts:
        raise InputError(
            f"{path}: defines no part: no class in it implements all of a contract of ambientkit.interfaces"
        )
    return parts


def _kinds(kind: str | None, name: str, registry: Registry) -> list[str]:
    """The kinds in which a name is registered."""
    slots = [slot for slot in KINDS if slot != "recipe"]  # recipes share the names of objectives
    if kind is not None:
        kind = "objective" if kind == "recipe" else kind
        if kind not in slots:
            raise InputError(
                f"there is no kind of part {kind!r}{nearest(kind, slots) or '.'} Known: {', '.join(slots)}"
            )
        registry.find(kind, name)
        return [kind]
    kinds = [slot for slot in slots if name in registry.names(slot)]
    if not kinds:
        if clashes := [clash for slot in slots if (clash := registry.clash(slot, name)) is not None]:
            raise PluginError("\n".join(clashes))
        known = sorted({name for slot in slots for name in registry.names(slot)})
        lines = [f"there is no part {name!r}{nearest(name, known) or '.'} `ambientkit plugins` lists all parts"]
        raise InputError("\n".join([*lines, *(str(problem) for problem in registry.problems if problem.fatal)]))
    return kinds
