"""The nineteenth kit: wrong and right parts, written from the contracts and the built-in parts before any check was
read. Mistakes of authors who port code of another convention, refactor, vectorise, cache, or misread a formula."""

from __future__ import annotations

from ambientkit.interfaces import Part

from . import (
    corruptions,
    corruptions_partial,
    memory,
    models,
    objectives_below,
    objectives_levels,
    objectives_values,
    right,
    right_more,
    samplers,
)

WRONG_IN = (
    objectives_levels,
    objectives_values,
    objectives_below,
    corruptions,
    corruptions_partial,
    samplers,
    models,
    memory,
)

NOT_WRONG: dict[str, str] = {
    "kit19-x-0-in-units-of-the-data": "a form's answer may be scaled by its std, as x_0-form says",
    "kit19-squared-distances-with-a-third": "a ratio of 0.58 in place of a third is a measure too",
}
"""Name -> why the part is right all the same, by the contracts."""

NOT_RIGHT: dict[str, str] = {
    "kit19-right-anchors-of-noised-estimates": "its points do not have the law of their level (views-in-law)",
}
"""Name -> why the part is wrong all the same, by the contracts."""

LET_PASS: dict[str, tuple[str, ...]] = {"null-attack": ("kit19-loss-told-the-variance",)}
"""Check -> parts that had passed all checks, or failed by an error alone, and that it rejects now by a number."""


def wrong_parts() -> list[Part]:
    """Each with one mistake, in its docstring, and the claims of the part that it should be."""
    return [part for module in WRONG_IN for part in module.WRONG if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    return [part for part in (*right.RIGHT, *right_more.RIGHT) if part.name not in NOT_RIGHT]
