"""The twelfth kit: wrong and right parts, written from the contracts and the built-in parts before any check was read.

Mistakes that authors of plug-ins make when they implement a paper or port code. After the
first run the anchors of `bases.Below` were mended, which had left low levels out, and nothing else of a part changed.
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

NOT_WRONG: dict[str, str] = {
    "kit12-midpoint-of-other": "of second order all the same: the two means differ by terms of second order",
    "kit12-ratio-inverted": "of second order all the same: neighbouring steps become alike as a grid is refined",
}
"""Name -> why the part is right all the same, by the contracts."""

LET_PASS: dict[str, tuple[str, ...]] = {
    "levels": ("kit12-levels-by-place",),
    "stationarity-under-masks": ("kit12-never-hides",),
    "objective-contract": ("kit12-stein-half-detached",),
    "model-scaling": ("kit12-spread-along-width",),
    "model-contract": ("kit12-hidden-skipped", "kit12-flat-answer"),
    "null-attack": ("kit12-other-level",),
}
"""Check -> parts that had passed all checks, or failed by an error alone, and that it rejects now by a number."""


def wrong_parts() -> list[Part]:
    """Each with one mistake, in its docstring, and the claims of the part that it should be."""
    return [part for module in WRONG_IN for part in module.WRONG if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    return list(right.RIGHT)
