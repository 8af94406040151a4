"""The twelfth kit: wrong and right parts, written from the contracts and the built-in parts before any check was read.

Mistakes that authors of plug-ins make when they implement a paper or port code. Nothing here was changed after the
first run but for `NOT_WRONG` and `LET_PASS`.
"""

from __future__ import annotations

from ambientkit.interfaces import Part

from . import (
    corruptions,
    memory,
    models,
    models_more,
    objectives_below,
    objectives_terms,
    objectives_views,
    right,
    samplers,
    samplers_more,
)

WRONG_IN = (
    objectives_views,
    objectives_terms,
    objectives_below,
    corruptions,
    samplers,
    samplers_more,
    models,
    models_more,
    memory,
)

NOT_WRONG: dict[str, str] = {}
"""Name -> why the part is right all the same, by the contracts."""

LET_PASS: dict[str, tuple[str, ...]] = {}
"""Check -> parts that had passed all checks, and that it rejects now."""


def wrong_parts() -> list[Part]:
    """Each with one mistake, in its docstring, and the claims of the part that it should be."""
    return [part for module in WRONG_IN for part in module.WRONG]


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    return list(right.RIGHT)
