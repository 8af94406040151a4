"""Parts written in one word: NAME, or NAME{field: value}."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from ambientkit.config.files import parsed, too_large
from ambientkit.errors import InputError


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file or folder; text that is too long for a name, or holds a null byte, is none."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def part_spec(given: Any) -> Any:
    """What the registry builds of a part that may be written in one word; anything but text is passed on."""
    if not isinstance(given, str):
        return given
    name, fields = split_fields(given)
    return {"name": name, **fields}


def split_fields(text: str) -> tuple[str, dict[str, Any]]:
    """ "NAME{field: value}" as the name and the fields; without braces there are none. Raises InputError where it
    cannot be read."""
    match = re.fullmatch(r"([^\s{}]+)(\{.*\})?", text.strip(), re.DOTALL)
    if match is None:
        raise InputError(f"{text!r} is not a part: give NAME, KIND:NAME or 'KIND:NAME{{field: value}}'")
    name, fields = match.groups()
    if fields is None:
        return name, {}
    try:
        tree = parsed(fields)
        too_large(tree, f"the fields of {name}")
    except (YAMLError, RecursionError):
        tree = None
    if not isinstance(tree, dict) or not all(isinstance(key, str) and ":" not in key for key in tree):
        raise InputError(
            f"{text!r}: the fields should be written {{name: value, name: value}}, with a space after each colon"
        )
    return name, tree
