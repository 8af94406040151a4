"""The fourth kit: wrong parts and right ones, written and committed before its author had read the code of a check.

Its mistakes are others than those of the second kit and the third list. Each part is one small implementation with one
fault, chosen by its name.
"""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.fourth_kit import corruptions, models, objectives, samplers

MODULES = (objectives, corruptions, samplers, models)

NOT_WRONG = {name: why for module in MODULES for name, why in module.NOT_WRONG.items()}
"""Parts that were written as wrong and turned out not to be, each with its reason."""

LET_PASS = {
    "levels": ("kit4-tweedie-levels-above-1",),
    "picture-views": ("kit4-tweedie-view-quantised",),
    "objective-contract": (
        "kit4-tweedie-high-levels-detached",
        "kit4-tweedie-low-levels-detached",
        "kit4-tweedie-channels-averaged",
        "kit4-tweedie-centred-residual",
        "kit4-tweedie-softmax-weights",
    ),
    "noise-law": ("kit4-gaussian-clipped-noise",),
    "expect": ("kit4-gaussian-expect-first-channel",),
    "sampler-contract": ("kit4-ancestral-condition-to-float", "kit4-heun-ends-early"),
    "grid": ("kit4-ancestral-told-at-most-10",),
    "point-kernel": ("kit4-ancestral-no-noise-below",),
    "model-contract": (
        "kit4-edm-list-of-layers",
        "kit4-edm-centres-input",
        "kit4-edm-normalises-input",
        "kit4-edm-input-detached",
        "kit4-edm-condition-abs",
        "kit4-edm-condition-first",
        "kit4-edm-out-centred",
        "kit4-edm-out-positive",
        "kit4-edm-out-normed",
        "kit4-edm-one-value",
        "kit4-edm-last-pixel-dead",
        "kit4-edm-skip-detached",
    ),
    "eps-form": ("kit4-eps-cancellation",),
}
"""Wrong parts that the checks had let pass when the kit was written, by the check that rejects them now."""


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls, _ in module.WRONG]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part."""
    return [cls() for module in MODULES for cls in module.RIGHT]
