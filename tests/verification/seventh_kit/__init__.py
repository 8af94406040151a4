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

NOT_WRONG = {
    "seven-ratio-inverted": "errors of first order add up to a difference of the first and last step: still order 2",
    "seven-keeps-values": "all batches of a run have one size, so that what it keeps does not change its shape",
}
"""Of the wrong parts, those that proved not to be wrong, each with its reason."""

LET_PASS = {
    "levels": ("seven-shifted-floor", "seven-clamped-levels", "seven-flow-floor"),
    "scale": ("seven-floor-factor", "seven-cleanest-pixels"),
    "objective-contract": (
        "seven-buffer-old-conditions",
        "seven-buffer-one-place-on",
        "seven-buffer-regrown",
        "seven-denoising-takes-noisy",
    ),
    "detached-anchor": ("seven-ends-learn",),
    "points-at-level": ("seven-low-levels-alike", "seven-churn-told", "seven-churn-inflated"),
    "further-mask": ("seven-floor-of-missing",),
    "model-contract": ("seven-skip-under-mask",),
    "null-attack": ("seven-gives-rows-back",),
}
"""Check -> the wrong parts that passed when the kit was written, and that it rejects now."""


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls in module.PARTS]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part, done in unusual ways."""
    return [cls() for cls in (*right_objectives.PARTS, *right_others.PARTS)]
