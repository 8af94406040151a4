"""The thirteenth kit: wrong and right parts, written from the contracts and the built-in parts before any check was
read. Mistakes of authors who implement a paper, port code of other conventions, or tidy up."""

from __future__ import annotations

from ambientkit.interfaces import Part

from . import (
    corruptions,
    corruptions_partial,
    memory,
    models,
    models_networks,
    objectives_below,
    objectives_levels,
    objectives_memory,
    objectives_values,
    objectives_views,
    right,
    right_more,
    samplers,
    samplers_more,
)

WRONG_IN = (
    objectives_levels,
    objectives_views,
    objectives_values,
    objectives_below,
    objectives_memory,
    corruptions,
    corruptions_partial,
    samplers,
    samplers_more,
    models,
    models_networks,
    memory,
)

NOT_WRONG: dict[str, str] = {
    "kit13-2m-ratio-swapped": "of second order all the same: over the steps of any grid the errors telescope",
    "kit13-stops-together": "only the last level of a grid may be 0, and there the loop ends for all rows anyway",
}
"""Name -> why the part is right all the same, by the contracts."""

LET_PASS: dict[str, tuple[str, ...]] = {
    "picture-views": ("kit13-transposed-levels",),
    "stationarity": ("kit13-mean-as-draw",),
    "scale": ("kit13-stale-weights",),
    "keyed": ("kit13-seeded-by-row",),
    "order-2": ("kit13-heun-stops-correcting",),
    "model-scaling": ("kit13-noisy-in-training",),
    "null-attack": ("kit13-attack-whole-level",),
}
"""Check -> parts that had passed all checks, or failed by an error alone, and that it rejects now by a number."""


def wrong_parts() -> list[Part]:
    """Each with one mistake, in its docstring, and the claims of the part that it should be."""
    return [part for module in WRONG_IN for part in module.WRONG if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    return [*right.RIGHT, *right_more.RIGHT]
