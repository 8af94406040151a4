"""The fourteenth kit: wrong and right parts, written from the contracts and the built-in parts before any check was
read. Mistakes of authors who implement a paper, port code, optimise for speed, or add a feature."""

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
    objectives_values,
    objectives_views,
    right,
    right_more,
    samplers,
)

WRONG_IN = (
    objectives_levels,
    objectives_views,
    objectives_values,
    objectives_below,
    corruptions,
    corruptions_partial,
    samplers,
    models,
    models_networks,
    memory,
)

NOT_WRONG: dict[str, str] = {
    "kit14-names-by-size": "all batches of a run have one size, so that one name comes with the first and stays",
    "kit14-columns-as-rows": "what a field means is no contract: mask, views and weight fit each other",
    "kit14-jitter-in-training": "a network may draw while it trains, as dropout does; its answers stay row by row",
    "kit14-warms-up": "a network may change with the number of its calls, as spectral normalisation does",
    "kit14-offered-for-all": "a proposal promises nothing of conditions: `mlp` offers itself alike, and refuses them",
}
"""Name -> why the part is right all the same, by the contracts."""

LET_PASS: dict[str, tuple[str, ...]] = {
    "levels": ("kit14-clean-rows-held-low",),
    "objective-contract": ("kit14-tall-turned",),
    "picture-views": ("kit14-clean-raised-in-place", "kit14-anchor-as-observed", "kit14-anchors-below-mean"),
    "stationarity-under-masks": ("kit14-drops-untold",),
    "scale": ("kit14-scaled-after-ten-calls",),
    "value-unbiased": ("kit14-square-of-one-row",),
    "detached-anchor": ("kit14-gradient-to-anchor-of-one",),
    "noise-law": ("kit14-fourth-channel-clean",),
    "floor": ("kit14-two-percent-below",),
    "degrade-law": ("kit14-as-many-rows-as-columns",),
    "corruption-contract": ("kit14-one-cap",),
    "corruption-rows": ("kit14-clean-rows-share-noise",),
    "further-mask": ("kit14-channels-hidden-apart", "kit14-whole-rows-bare"),
    "point-kernel": ("kit14-s-noise",),
    "sampler-contract": (
        "kit14-dynamic-threshold",
        "kit14-chunks-first-conditions",
        "kit14-guides-itself",
        "kit14-single-step-in-place",
    ),
    "grid": ("kit14-short-steps-skipped",),
    "flow-form": ("kit14-time-held",),
    "model-contract": ("kit14-drops-labels-in-training",),
    "null-attack": ("kit14-one-draw-repeated", "kit14-refuses-late", "kit14-said-shown-in-full"),
}
"""Check -> parts that had passed all checks, or failed by an error alone, and that it rejects now by a number."""


def wrong_parts() -> list[Part]:
    """Each with one mistake, in its docstring, and the claims of the part that it should be."""
    return [part for module in WRONG_IN for part in module.WRONG if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    return [*right.RIGHT, *right_more.RIGHT]
