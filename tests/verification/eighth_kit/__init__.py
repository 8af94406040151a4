"""The eighth kit: wrong and right parts whose author had read the documents and the parts, and not a check."""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.eighth_kit import (
    below,
    corruptions,
    hiding,
    memory,
    networks,
    right_objectives,
    right_others,
    risks,
    samplers,
    values,
    views,
)

MODULES = (views, values, risks, below, corruptions, hiding, samplers, networks, memory)

NOT_WRONG = {
    "eight-filled-in": "a denoiser reads what the mask shows, and chains of `consistency` leave numbers there too",
    "eight-net-frozen-last": "a network may hold frozen parameters, drawn by the seed of the run: adapters do",
}
"""Of the wrong parts, those that proved not to be wrong, each with its reason."""

LET_PASS = {
    "levels": ("eight-stale-levels", "eight-strata-in-order"),
    "objective-contract": ("eight-mean-of-nothing",),
    "corruption-contract": ("eight-shows-as-is",),
    "model-contract": (
        "eight-net-square-only",
        "eight-net-mask-unread",
        "eight-net-offers-all",
        "eight-net-turned-range",
    ),
}
"""Check -> the wrong parts that passed when the kit was written, and that it rejects now."""


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls in module.PARTS]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part, done in unusual ways."""
    return [cls() for cls in (*right_objectives.PARTS, *right_others.PARTS)]
