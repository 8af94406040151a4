"""The eleventh kit: wrong and right parts whose author had read the contracts and their pages, and no check or kit."""

from __future__ import annotations

from types import ModuleType

from ambientkit.interfaces import Part
from tests.verification.eleventh_kit import (
    above,
    bases,
    corruptions,
    hiding,
    in_part,
    memory,
    networks,
    rest,
    right_objectives,
    right_others,
    samplers,
)

MODULES = (above, in_part, corruptions, hiding, samplers, networks, memory)
BASES = frozenset({"Risk", "Hop", "Buffer", "Through", "Asks", "Stays", "Near"})
"""Right parts among the wrong ones, which these change in one method each."""
OTHER_KINDS = rest
"""Data sets, extractors and checks, which `verify` did not look at when the kit was written."""

NOT_WRONG: dict[str, str] = {}
"""Of the wrong parts, those that proved not to be wrong, each with its reason."""

LET_PASS: dict[str, tuple[str, ...]] = {}
"""Check -> the wrong parts that passed when the kit was written, and that it rejects now."""


def of(module: ModuleType) -> list[type[Part]]:
    """The parts that a module defines, in order."""
    return [
        cls
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Part) and cls.__module__ == module.__name__
    ]


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls in of(module) if cls.__name__ not in BASES and hasattr(cls, "claims")]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part: the bases, and those that are done in unusual ways."""
    plain = [cls for module in MODULES for cls in of(module) if cls.__name__ in BASES]
    return [cls() for cls in (*of(bases), *plain, *of(right_objectives), *of(right_others))]
