"""Which objectives serve which corruption: one that was made for whole rows is biased where a part of them is
hidden."""

from __future__ import annotations

from collections.abc import Iterable

from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Objective

USE = {"serves-masks": "tweedie or consistency", "serves-operators": "tweedie"}
"""Claim -> the built-in objectives that make it."""
SERVED_BY = {"masked": "serves-masks", "linear": "serves-operators"}
"""What a corruption that hides something claims -> what an objective must claim to be unbiased with it."""

OF_HIDDEN = (*SERVED_BY.values(), "scale-under-masks")
"""Claims of objectives that say nothing of a run whose rows are whole."""


def refuse_pairs(objectives: Iterable[Objective], corruption: Corruption) -> None:
    """Raise InputError for an objective that does not claim to serve a corruption that hides a part of its rows.

    Each such claim is measured by `ambientkit verify`. A corruption that hides something and claims none of
    `SERVED_BY` is served by no objective.
    """
    if not corruption.carries:
        return
    kinds = [kind for kind in SERVED_BY if kind in corruption.claims]
    if not kinds:
        raise InputError(
            f"corruption {corruption.name!r} hides a part of its rows ({', '.join(sorted(corruption.carries))}), "
            "but claims none of "
            f"{', '.join(SERVED_BY)}: nothing says which objectives are unbiased with it"
        )
    for objective in objectives:
        lacking = [SERVED_BY[kind] for kind in kinds if SERVED_BY[kind] not in objective.claims]
        if lacking:
            raise InputError(
                f"objective {objective.name!r} is biased on rows of which a part is hidden (corruption "
                f"{corruption.name!r}): "
                f"it does not claim {lacking[0]!r}. Use {USE[lacking[0]]}, or corruption gaussian on whole rows"
            )
