"""The recipe `tweedie-consistency`: the method, as a list of weighted objectives."""

from __future__ import annotations

from ambientkit.interfaces import Recipe, WeightedObjective


class TweedieConsistency(Recipe):
    """Tweedie above the noise of the data throughout; consistency below it from a fifth of the run on."""

    name = "tweedie-consistency"
    source = "arXiv 2404.10177, section 3; weight, start and ramp measured in examples/mixture_table.py"

    terms: tuple[WeightedObjective, ...] = (
        WeightedObjective(objective="tweedie"),
        WeightedObjective(objective={"name": "consistency", "fraction": 0.5}, weight=0.1, start=0.2, ramp=0.05, every=4),
    )
