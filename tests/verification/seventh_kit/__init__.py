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


def wrong_parts() -> list[type[Part]]:
    """Parts that are wrong."""
    modules = (levels, values, points, hopping, risks, noises, hiding, flows, draws, networks, memory)
    return [part for module in modules for part in module.PARTS]


def right_parts() -> list[type[Part]]:
    """Parts that are right, in unusual ways."""
    return [*right_objectives.PARTS, *right_others.PARTS]


NOT_WRONG: dict[str, str] = {}
"""Of `wrong_parts`, those that proved right, each with the reason."""

LET_PASS: dict[str, tuple[str, ...]] = {}
"""Check -> the wrong parts that passed when the kit was written, and that it rejects now."""
