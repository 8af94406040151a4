"""The sixteenth kit: wrong and right parts, written from the contracts and the built-in parts before any check was
read. Mistakes of authors who implement a paper, port code of another convention, refactor, or optimise."""

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
    "kit16-multistep-ratio-inverted": "errors (h_old^2 - h^2) / 2 cancel from step to step: second order on any grid",
    "kit16-memory-of-the-batch-s-size": "all batches of a run have one size, and so has what it keeps",
    "kit16-gap-with-more-training-rows": "a figure need not be 0 without copies: that of held-out rows is raised alike",
    "kit16-distance-over-norm-blur-proof": "averages have a small norm, and so a large distance over it",
}
"""Name -> why the part is right all the same, by the contracts."""

LET_PASS: dict[str, tuple[str, ...]] = {
    "picture-views": ("kit16-transposes-squares",),
    "objective-contract": ("kit16-drops-the-last-chunk",),
    "scale": ("kit16-lambda-no-higher-than-100",),
    "further-mask": ("kit16-hides-by-channel-tells-the-first",),
    "operator-views": ("kit16-first-row-s-operator",),
    "finds-memory": ("kit16-compares-the-sign-of-the-mean",),
    "null-attack": ("kit16-one-draw-whatever-is-wanted",),
    "measure-contract": (
        "kit16-number-not-share",
        "kit16-distances-over-their-own-mean",
    ),
}
"""Check -> parts that had passed all checks, or failed by an error alone, and that it rejects now by a number."""


def wrong_parts() -> list[Part]:
    """Each with one mistake, in its docstring, and the claims of the part that it should be."""
    return [part for module in WRONG_IN for part in module.WRONG if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Parts that must pass every check."""
    return [*right.RIGHT, *right_more.RIGHT]
