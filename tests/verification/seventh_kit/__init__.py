"""The seventh kit: wrong and right parts whose author had read the documents and the parts, and not a check."""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.seventh_kit import (
    draws,
    flows,
    hiding,
    hopping,
    levels,
    memory,
    networks,
    noises,
    points,
    right_objectives,
    right_others,
    risks,
    values,
)


MODULES = (levels, values, points, hopping, risks, noises, hiding, flows, draws, networks, memory)

NOT_WRONG: dict[str, str] = {}
"""Of `wrong_parts`, those that proved right, each with the reason."""

LET_PASS: dict[str, tuple[str, ...]] = {}
"""Check -> the wrong parts that passed when the kit was written, and that it rejects now."""


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls in module.PARTS]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part, done in unusual ways."""
    return [cls() for cls in (*right_objectives.PARTS, *right_others.PARTS)]
