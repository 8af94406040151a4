"""How an argument is called in a message: `--sigma-n` by a command, `sigma_n` in Python.

Messages are written once, with the flags of the commands. Where one leaves the library for a program, and not for a
command, `in_python` gives the flags the names of the arguments.
"""

from __future__ import annotations

import re
from collections.abc import Collection

OTHER_NAMES = {
    "from": ("noisy",),
    "class": ("classes",),
    "cond": ("conds",),
    "json": ("json_file",),
    "extractor": ("extractors",),
    "format": ("format", "form"),
    "tracker": ("trackers",),
    "lr-schedule": ("lr_schedule",),
}
"""Flag -> the arguments that may stand for it, where the flag with underscores is not the only one."""
SWITCHES = frozenset(
    {"again", "all-checkpoints", "force", "force-8-bit", "mutants", "quick", "skip-preflight", "strict"}
)
"""Flags without a value."""

_LEFT = r"`[^`]*`|\b(?:ambientkit [a-z]+ |torchrun )[^\n]*"  # a command to type stays one
_FLAG = r"(?<![\w-])--set (?=[a-z])|(?<![\w-])--(no-)?([a-z][a-z0-9-]*)"
_ANY = re.compile(f"{_LEFT}|{_FLAG}")


def in_python(text: str, takes: Collection[str] = ()) -> str:
    """A message with the names of arguments in place of flags; commands to type stay as they are. takes: the arguments
    of the function that was called, which decide between several names."""

    def name(found: re.Match[str]) -> str:
        without, flag = found[1], found[2]
        if flag is None:
            return "" if found[0].startswith("--set") else found[0]
        names = OTHER_NAMES.get(flag, (flag.replace("-", "_"),))
        called = next((one for one in names if one in takes), names[0])
        return f"{called}={not without}" if without or flag in SWITCHES else called

    return _ANY.sub(name, text)
