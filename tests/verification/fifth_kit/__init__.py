"""The fifth kit: wrong parts and right ones, written from the contracts' prose and the guide for plug-ins before its
author had read the code of a check or of a mutant, or a list of claims; but for the names of the files of the checks.
"""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.fifth_kit import batches, below, corruptions, models, objectives, samplers

PARTS_OF_OBJECTIVES = (batches, below)  # imported, they add theirs to those of `objectives`

MODULES = (objectives, corruptions, samplers, models)

NOT_WRONG = {
    "label-shifted": "classes and none are exchanged one for one: the network learns the exchanged labels as well",
    "v-other-sign": "it claims no form, and a network learns an answer with the other sign as well",
    "eps-vp-unscaled": "it claims no form, and a network may see x itself; a finished one of the VP form would not do",
    "flow-told-sigma": "it claims no form, and sigma says the level as well as t does; a finished network would not do",
}
"""Parts that were written as wrong and turned out not to be, each with its reason."""

LET_PASS = {
    "levels": ("clean-rows-high", "stops-short"),
    "objective-contract": ("zero-second-half",),
    "order-1": ("five-percent-too-much",),
    "model-contract": ("null-is-class-0",),
}
"""Wrong parts that the checks had let pass when the kit was written, by the check that rejects them now."""


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls, _ in module.WRONG]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part."""
    return [cls() for module in MODULES for cls, _ in module.RIGHT]
