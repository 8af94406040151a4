"""The second kit: wrong parts, and right ones, written before its author had read the code of a check.

The first kit, in `ambientkit.builtin.mutants`, was written together with the checks, so its kill rate says only that nothing has broken since.
This one was committed before any check was changed for it. Each part is one small implementation with one fault, chosen by its name.
"""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verify.second_kit import corruptions, models, objectives, samplers

KINDS = {"objective": objectives, "corruption": corruptions, "sampler": samplers, "model": models}


def wrong_parts() -> list[tuple[str, Part, str]]:
    """Every wrong part: kind, part, what is wrong."""
    return [(kind, cls(), text) for kind, module in KINDS.items() for cls, text in module.WRONG]


def right_parts() -> list[tuple[str, Part]]:
    """Every right part: kind, part."""
    return [(kind, cls()) for kind, module in KINDS.items() for cls in module.RIGHT]
