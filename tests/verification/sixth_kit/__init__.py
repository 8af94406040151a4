"""The sixth kit: wrong parts and right ones, written from the contracts, the guide for plug-ins, and the built-in parts
and plug-ins that are right, before its author had read a check, a mutant or a part of an earlier kit."""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.sixth_kit import (
    above,
    below,
    draws,
    hidden,
    in_part,
    measured,
    memory,
    models,
    networks,
    noise,
    pairs,
    samplers,
    views,
)

MODULES = (above, pairs, below, in_part, noise, views, hidden, measured, samplers, draws, models, networks, memory)

NOT_WRONG = {
    "six-eps-unscaled": "the form eps says what a network answers with; it may be fed x itself, and learns it as well",
    "six-turned-ratio": "its errors of first order add up to a difference of the first and last step: still order 2",
    "six-normalised-weights": "it claims no scale; the factor is positive and says nothing of the row",
}
"""Parts that were written as wrong and turned out not to be, each with its reason."""

LET_PASS = {
    "levels": ("six-sorted",),
    "picture-views": ("six-perturbed",),
    "stationarity-under-operators": ("six-pairs-under-masks",),
    "objective-contract": ("six-takes-all",),
    "corruption-contract": (
        "six-half-weight",
        "six-slope-one",
        "six-noisy-std",
        "six-std-of-zeros",
        "six-show-hides",
        "six-same-each-epoch",
        "six-never-unseen",
    ),
    "operator-views": ("six-not-correlated", "six-half-in-each"),
    "model-contract": ("six-table-of-steps", "six-cuts"),
    "null-attack": ("six-attack-global", "six-ranked"),
    "similarity-rows": ("six-flat-row",),
}
"""Wrong parts that the checks had let pass when the kit was written, by the check that rejects them now."""


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls, _ in module.WRONG]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part."""
    return [cls() for module in MODULES for cls, _ in module.RIGHT]
