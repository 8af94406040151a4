"""The eleventh kit: wrong and right parts whose author had read the contracts and their pages, and no check or kit."""

from __future__ import annotations

from types import ModuleType

from ambientkit.interfaces import Part
from tests.verification.eleventh_kit import (
    above,
    bases,
    corruptions,
    hiding,
    in_part,
    memory,
    networks,
    rest,
    right_objectives,
    right_others,
    samplers,
)

MODULES = (above, in_part, corruptions, hiding, samplers, networks, memory)
BASES = frozenset({"Risk", "Hop", "Buffer", "Through", "Asks", "Stays", "Near"})
"""Right parts among the wrong ones, which these change in one method each."""
OTHER_KINDS = rest
"""Data sets, extractors and checks, which `verify` did not look at when the kit was written."""

NOT_WRONG = {
    "kit11-deaf-field": "all claims hold with any value of the field, and no contract says what a field does: some of "
    "the right parts have fields without effect",
    "kit11-half-under-autocast": "no objective is called under autocast: accelerate puts it round the network alone",
    "kit11-skips-half": "no denoiser is called under autocast: accelerate puts it round the network alone",
    "kit11-no-top-up": "the martingale property holds from any point, and it claims nothing of where its points lie",
    "kit11-bold-multistep": "of second order all the same: neighbouring steps become alike as a grid is refined",
    "kit11-unscaled-flow": "the claim says what the network answers, not what it is fed: its input may be x itself",
    "kit11-reads-hidden": "a view is 0 where its mask hides, so that there is nothing to read",
    "kit11-adds-all": "rows of both sides are treated alike and memory is found, which is all that `blind` claims",
    "kit11-barely-noisy": "a model that gives back its rows answers with one of them at any level: memory is found",
    "kit11-unit-norm": "a flat row is 0 over 1e-30, which is 0, and no division by 0",
    "kit11-divides-by-null": "without held-out rows the right measures raise as well, and no run has none",
}
"""Of the wrong parts, those that proved not to be wrong, each with its reason."""

LET_PASS = {
    "objective-contract": (
        "kit11-small-noise-is-none",
        "kit11-safe-a",
        "kit11-half-rounded-down",
        "kit11-says-below",
        "kit11-skips-border",
        "kit11-first-three-channels",
    ),
    "objective-fields": ("kit11-other-distance",),
    "levels": ("kit11-own-range",),
    "scale": ("kit11-luminance",),
    "stationarity-under-masks": (
        "kit11-float-mask",
        "kit11-fills-holes",
    ),
    "stationarity": ("kit11-keeps-means",),
    "picture-stationarity": ("kit11-stops-short",),
    "noise-law": (
        "kit11-tiled-noise",
        "kit11-grey-noise",
    ),
    "degrade-law": ("kit11-large-levels-whole",),
    "corruption-contract": (
        "kit11-shared-floor",
        "kit11-one-dictionary",
        "kit11-float-labels",
        "kit11-spread-of-levels",
        "kit11-expects-later",
        "kit11-always-lost",
        "kit11-lost-in-any",
    ),
    "further-mask": ("kit11-by-square",),
    "mask-law": ("kit11-saturated",),
    "operator-views": (
        "kit11-through-shift",
        "kit11-through-colours",
        "kit11-through-saturation",
    ),
    "point-kernel": ("kit11-inflated-noise",),
    "grid": (
        "kit11-stops-early",
        "kit11-merges-levels",
    ),
    "sampler-contract": ("kit11-detaches-old",),
    "sampler-rows": ("kit11-churn-of-batch",),
    "model-contract": (
        "kit11-dead-start",
        "kit11-last-column",
    ),
    "null-attack": ("kit11-counts-brightness",),
    "similarity-rows": (
        "kit11-half-view",
        "kit11-whitens-colours",
    ),
    "sees-copies": (
        "kit11-second-nearest",
        "kit11-of-training-rows",
    ),
    "measure-contract": ("kit11-first-forty",),
}
"""Check -> the wrong parts that passed when the kit was written, and that it rejects now."""


def of(module: ModuleType) -> list[type[Part]]:
    """The parts that a module defines, in order."""
    return [
        cls
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Part) and cls.__module__ == module.__name__
    ]


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls in of(module) if cls.__name__ not in BASES and hasattr(cls, "claims")]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part: the bases, and those that are done in unusual ways."""
    plain = [cls for module in MODULES for cls in of(module) if cls.__name__ in BASES]
    return [cls() for cls in (*of(bases), *plain, *of(right_objectives), *of(right_others))]
