"""The fifth kit: wrong parts and right ones, written from the contracts' prose and the guide for plug-ins before its
author had read the code of a check or of a mutant, or a list of claims; but for the names of the files of the checks.
"""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.fifth_kit import batches, below, corruptions, models, objectives, samplers

PARTS_OF_OBJECTIVES = (batches, below)  # imported, they add theirs to those of `objectives`

KINDS = {"objective": objectives, "corruption": corruptions, "sampler": samplers, "model": models}

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


def wrong_parts() -> list[tuple[str, Part, str]]:
    """Every wrong part: kind, part, what is wrong."""
    made = [(kind, cls(), text) for kind, module in KINDS.items() for cls, text in module.WRONG]
    return [one for one in made if one[1].name not in NOT_WRONG]


def right_parts() -> list[tuple[str, Part]]:
    """Every right part: kind, part."""
    return [(kind, cls()) for kind, module in KINDS.items() for cls, _ in module.RIGHT]
