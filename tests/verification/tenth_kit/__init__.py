"""The tenth kit: wrong and right parts whose author had read the documents and the right parts, and not a check."""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.tenth_kit import (
    below,
    corruptions,
    draws,
    levels,
    memory,
    models,
    right_objectives,
    right_others,
    samplers,
    values,
    views,
)

MODULES = (values, views, levels, below, draws, corruptions, samplers, models, memory)

NOT_WRONG: dict[str, str] = {}
"""Of the wrong parts, those that proved not to be wrong, each with its reason."""

LET_PASS = {
    "levels": ("ten-two-generators-one-seed", "ten-clean-rows-pile-up"),
    "objective-contract": ("ten-clean-rows-cost-nothing",),
    "model-contract": ("ten-net-detached-input",),
    "measure-contract": ("ten-measure-columns-apart",),
}
"""Check -> the wrong parts that passed when the kit was written, and that it rejects now."""


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls in module.PARTS]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part, done in unusual ways."""
    return [cls() for cls in (*right_objectives.PARTS, *right_others.PARTS)]
