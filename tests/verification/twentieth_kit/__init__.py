"""The twentieth kit: wrong and right parts, written from the contracts and the built-in parts before any check was
read. Mistakes of authors who port from other conventions, augment, regularise, vectorise, or misread a formula."""

from __future__ import annotations

from ambientkit.interfaces import Part

from . import (
    corruptions,
    corruptions_partial,
    memory,
    models,
    objectives_below,
    objectives_values,
    objectives_views,
    right,
    right_models,
    right_more,
    samplers,
)

WRONG_IN = (
    objectives_views,
    objectives_values,
    objectives_below,
    corruptions,
    corruptions_partial,
    samplers,
    models,
    memory,
)

NOT_WRONG: dict[str, str] = {
    "kit20-multistep-ratio-inverted": "its errors cancel from step to step on any grid: it is of second order",
    "kit20-answers-averaged-with-the-last": "its error vanishes with the step, and a single hop is right",
}
"""Name -> why the part is right all the same, by the contracts."""

NOT_RIGHT: dict[str, str] = {
    "kit20-right-score-network": "at low levels its network must answer 250 times as much as at high ones",
}
"""Name -> why the part is wrong all the same, by the contracts."""

LET_PASS: dict[str, tuple[str, ...]] = {"objective-contract": ("kit20-quieter-rows-left-out",)}
"""Check -> parts that had passed all checks, or failed by an error alone, and that it rejects now by a number."""


def wrong_parts() -> list[Part]:
    """Each with one mistake, in its docstring, and the claims of the part that it should be."""
    return [part for module in WRONG_IN for part in module.WRONG if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    parts = (*right.RIGHT, *right_more.RIGHT, *right_models.RIGHT)
    return [part for part in parts if part.name not in NOT_RIGHT]
