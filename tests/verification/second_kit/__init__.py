"""The second kit: wrong parts, and right ones, written before its author had read the code of a check.

The first kit, in `ambientkit.builtin.mutants`, was written together with the checks, so its kill rate says only that
nothing has broken since.
This one was committed before any check was changed for it: only the claims of forms (eps, v, flow), which did not
exist, and `NOT_WRONG` were
added afterwards. Each part is one small implementation with one fault, chosen by its name.
"""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.second_kit import corruptions, models, objectives, samplers

MODULES = (objectives, corruptions, samplers, models)


NOT_WRONG = {name: why for module in MODULES for name, why in module.NOT_WRONG.items()}
"""Parts that were written as wrong and turned out not to be, each with its reason: left out of `wrong_parts`, not
rejected by intent."""

LET_PASS: dict[str, tuple[str, ...]] = {}


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls, _ in module.WRONG]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part."""
    return [cls() for module in MODULES for cls in module.RIGHT]
