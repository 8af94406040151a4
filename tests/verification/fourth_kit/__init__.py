"""The fourth kit: wrong parts and right ones, written and committed before its author had read the code of a check.

Its mistakes are others than those of the second kit and the third list. Each part is one small implementation with one
fault, chosen by its name.
"""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.fourth_kit import corruptions, models, objectives, samplers

KINDS = {"objective": objectives, "corruption": corruptions, "sampler": samplers, "model": models}

NOT_WRONG = {name: why for module in KINDS.values() for name, why in module.NOT_WRONG.items()}
"""Parts that were written as wrong and turned out not to be, each with its reason."""


def wrong_parts() -> list[tuple[str, Part, str]]:
    """Every wrong part: kind, part, what is wrong."""
    made = [(kind, cls(), text) for kind, module in KINDS.items() for cls, text in module.WRONG]
    return [one for one in made if one[1].name not in NOT_WRONG]


def right_parts() -> list[tuple[str, Part]]:
    """Every right part: kind, part."""
    return [(kind, cls()) for kind, module in KINDS.items() for cls in module.RIGHT]
