"""The eighteenth kit: unusual right parts, written from the contracts and the built-in parts before any check was
read. What capable authors do who go their own way."""

from __future__ import annotations

from ambientkit.interfaces import Part

from . import corruptions, memory, models, objectives_calls, objectives_forms, samplers

RIGHT_IN = (objectives_calls, objectives_forms, corruptions, samplers, models, memory)

NOT_RIGHT: dict[str, str] = {
    "kit18-anchors-at-the-rows-alone": "its hops have a longest length, so that the lowest levels are never trained",
    "kit18-all-in-near-pairs": "levels above 1.05 times the noise are never trained",
    "kit18-strict-min-snr": "clean rows are hardly ever seen below 0.1",
    "kit18-hidden-values-in-full": "its law of levels leaves low and high ones out",
    "kit18-tiny-hops": "its hops are so short that the lowest levels are never trained",
    "kit18-gaussian-part-exact": "it overshoots by far for points far outside of [-1, 1], as its Gaussian has std 1",
    "kit18-two-terms": "the values of its second term carry no gradient, and have no cost in the scale of x_0",
}
"""Name -> why the part is wrong all the same, by the contracts."""

NOT_WRONG: dict[str, str] = {}
"""Name -> why the part is right all the same: of wrong parts, and this kit has none."""

LET_PASS: dict[str, tuple[str, ...]] = {}
"""Check -> parts that had passed all checks, and that it rejects now: of wrong parts, and this kit has none."""


def wrong_parts() -> list[Part]:
    """None."""
    return []


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    return [part for module in RIGHT_IN for part in module.RIGHT if part.name not in NOT_RIGHT]
