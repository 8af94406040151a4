"""Reading configuration files, and remembering where each value was written.

YAML 1.2 (so that 1e-3 is a number and a key may stand only once), which JSON is a part of. Nothing is executed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap, CommentedSeq
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from ambientkit.errors import InputError

KeyPath = tuple[str | int, ...]

THOUSANDS = re.compile(r"[+-]?\d{1,3}(_\d{3})+(\.\d*)?")
"""A number with underscores between its thousands."""
LARGEST, DEEPEST = 100_000, 50
"""Values in a configuration, and levels of nesting, at most."""
SECRET = re.compile(r"token|secret|passw|credential|api_?key|access_?key", re.IGNORECASE)


def is_secret(path: Iterable[str | int]) -> bool:
    """Whether a key is named like one whose value must not be printed."""
    return any(isinstance(word, str) and SECRET.search(word) for word in path)


def redacted(text: str) -> str:
    """A message without the values of environment variables that are named like secrets, which an error of a library
    may quote."""
    for name, value in os.environ.items():
        if is_secret([name]) and len(value) >= 6:
            text = text.replace(value, "***")
    return text


@dataclass(frozen=True, slots=True)
class Source:
    """A tree of plain values, and the place where each was written ("run.yaml:3", "--lr")."""

    tree: dict[str, Any]
    places: dict[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """Where the value at `path`, or the nearest value above it, was written; empty if it is a default."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return ""


def load_file(path: Path) -> Source:
    """Read one YAML or JSON file that holds a mapping. Raises InputError naming file and line for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    try:
        tree = parsed(text, "rt")
        too_large(tree, str(path))
    except RecursionError:
        raise InputError(f"{path}: is nested more than {DEEPEST} levels deep, which no configuration is") from None
    except DuplicateKeyError:
        key, first, second = next(_duplicates(YAML(typ="rt", pure=True).compose(text)))
        raise InputError(f"{path}:{second}: has the key {key!r} twice, first at line {first}; keep one") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(tree, CommentedMap):
        raise InputError(
            f"{path}: should hold a mapping such as 'end_step: 1000', but holds "
            f"{'nothing' if tree is None else type(tree).__name__}"
        )
    places: dict[KeyPath, str] = {}
    return Source(_plain(tree, path, (), places), places)


def from_settings(settings: Iterable[str]) -> list[Source]:
    """`--set a.b=value` strings, in order; the value is read as YAML. Raises InputError for one without '='."""
    sources = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not all(key.split(".")):
            shown = key if is_secret([key]) else setting
            raise InputError(f"--set {shown}: should be KEY=VALUE with a dotted key, such as optimizer.lr=1e-3")
        try:
            value = parsed(text)
            too_large(value, f"--set {key}")
        except RecursionError:
            raise InputError(f"--set {key}: is nested more than {DEEPEST} levels deep, which no value is") from None
        except YAMLError:
            shown = "its value" if is_secret([key]) else f"the value {text!r}"
            raise InputError(f"--set {key}: {shown} cannot be read as YAML; quote it if it is a text") from None
        path = tuple(int(word) if word.isdigit() else word for word in key.split("."))
        sources.append(at(path, value, f"--set {key}"))
    return sources


def parsed(text: str, typ: str = "safe") -> Any:
    """What YAML text stands for; typ as of ruamel.yaml. Raises its YAMLError, and RecursionError for text that is
    nested far too deeply, before it is parsed: the parser takes a time quadratic in the depth."""
    depth = 0
    for bracket in re.findall(r"[][{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > 10 * DEEPEST:  # brackets in comments and quoted text need not match
            raise RecursionError
    reader = YAML(typ=typ, pure=True)
    reader.Constructor = _without_slips(reader.Constructor)
    return reader.load(text)


@cache
def _without_slips(base: type) -> type:
    """A constructor of ruamel.yaml that raises its ConstructorError for numbers with underscores at other places than
    those of thousands: 0_0.6 is a slip, and 2024_12 a name."""

    class Constructor(base):  # type: ignore[misc,valid-type]
        pass

    for kind in ("int", "float"):
        construct = getattr(base, f"construct_yaml_{kind}")

        def checked(self: Any, node: ScalarNode, construct: Any = construct) -> Any:
            if "_" in node.value and not THOUSANDS.fullmatch(node.value):
                why = f"{node.value} is no plain number; write it without underscores, or quote it if it is a text"
                raise ConstructorError(None, None, why, node.start_mark)
            return construct(self, node)

        Constructor.add_constructor(f"tag:yaml.org,2002:{kind}", checked)
    return Constructor


def too_large(tree: Any, where: str) -> None:
    """Raise InputError for a tree with more values, aliases written out, than a configuration has, or one nested more
    deeply.

    A few hundred bytes of YAML can stand for billions of values: an alias of a list of aliases, and so on.
    """
    waiting, seen = [(tree, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > LARGEST:
            raise InputError(
                f"{where}: stands for more than {LARGEST:,} values, its aliases written out, which no "
                "configuration does"
            )
        if depth > DEEPEST:
            raise InputError(f"{where}: is nested more than {DEEPEST} levels deep, which no configuration is")
        below = node.values() if isinstance(node, Mapping) else node if isinstance(node, list | tuple) else ()
        waiting += [(item, depth + 1) for item in below]


def at(path: KeyPath, value: Any, place: str) -> Source:
    """A source that holds one value."""
    tree: Any = value
    for word in reversed(path):
        tree = {word: tree}
    return Source(tree, {path: place})


def merge(sources: Iterable[Source]) -> Source:
    """Deep merge, later sources winning; a mapping under a number-keyed path ("terms.1.weight") changes one item of a
    list.

    A mapping given for a part of another name replaces it: its fields belong to the other part.
    """
    result = Source({}, {})
    for source in sources:
        result = Source(_merge(result.tree, source.tree), {**result.places, **source.places})
    return result


def _merge(old: Any, new: Any) -> Any:
    if isinstance(old, list | tuple) and isinstance(new, Mapping) and new and all(isinstance(key, int) for key in new):
        if beyond := [key for key in new if key >= len(old)]:
            raise InputError(f"item {beyond[0]} is set in a list of {len(old)} (the first is 0)")
        return [_merge(item, new[index]) if index in new else item for index, item in enumerate(old)]
    if isinstance(old, str) and isinstance(new, Mapping) and "name" not in new:
        old = {"name": old}  # a part given by name, then fields for it
    if isinstance(old, Mapping) and isinstance(new, str) and "name" in old:
        return dict(old) if old["name"] == new else new
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return new
    if "name" in new and "name" in old and new["name"] != old["name"]:
        return dict(new)
    return {**old, **{key: _merge(old[key], value) if key in old else value for key, value in new.items()}}


def _plain(node: Any, path: Path, at: KeyPath, places: dict[KeyPath, str]) -> Any:
    if isinstance(node, CommentedBase) and (node.tag.value or "").startswith(("!", "tag:")):
        raise InputError(
            f"{places.get(at, path)}: {'.'.join(map(str, at))} has the YAML tag {node.tag.value!r}; tags are not read"
        )
    if isinstance(node, CommentedMap):
        plain = {}
        for key, value in node.items():
            places[(*at, key)] = f"{path}:{node.lc.key(key)[0] + 1}"
            plain[key] = _plain(value, path, (*at, key), places)
        return plain
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            places[(*at, index)] = f"{path}:{node.lc.item(index)[0] + 1}"
        return [_plain(value, path, (*at, index), places) for index, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):  # ruamel's round-trip scalars are subclasses of these
        if isinstance(node, kind):
            return kind(node)
    raise InputError(
        f"{places.get(at, path)}: {'.'.join(map(str, at))} should be a number, a text, a list or a mapping, not "
        f"{type(node).__name__}"
    )


def _duplicates(node: Any) -> Iterator[tuple[str, int, int]]:
    """(key, first line, second line) of every key that stands twice in a mapping, lines from 1. Values may be secret,
    and are left out."""
    if not isinstance(node, MappingNode | SequenceNode):
        return
    seen: dict[Any, int] = {}
    for child in node.value:
        if isinstance(node, MappingNode):
            key, child = child
            line = key.start_mark.line + 1
            name = str(key.value) if isinstance(key, ScalarNode) else ""
            if name and name in seen:
                yield name, seen[name], line
            seen.setdefault(name, line)
        yield from _duplicates(child)
