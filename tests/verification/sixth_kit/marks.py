"""How the parts of this kit are marked as right or wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ambientkit.interfaces import Part

Marked = list[tuple[type[Part], str]]
P = TypeVar("P", bound=type[Part])


def marked(into: Marked, text: str) -> Callable[[P], P]:
    """Put a class into a list, with what is wrong with it, or unusual of it."""

    def put(cls: P) -> P:
        into.append((cls, text))
        return cls

    return put
