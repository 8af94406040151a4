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

NOT_WRONG: dict[str, str] = {}
"""Name -> why the part is right all the same, by the contracts."""

LET_PASS: dict[str, tuple[str, ...]] = {}
"""Check -> parts that had passed all checks, or failed by an error alone, and that it rejects now by a number."""


def wrong_parts() -> list[Part]:
    """Each with one mistake, in its docstring, and the claims of the part that it should be."""
    return [part for module in WRONG_IN for part in module.WRONG if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    return [*right.RIGHT, *right_more.RIGHT, *right_models.RIGHT]
