"""The recipe `tweedie-consistency`: the method, as a list of weighted objectives."""

from __future__ import annotations

from ambientkit.interfaces import Recipe, WeightedObjective


class TweedieConsistency(Recipe):
    """Tweedie above the noise of the data throughout; below it, posterior draws and consistency from a tenth of the run on."""

    name = "tweedie-consistency"
    source = "arXiv 2404.10177, section 3; arXiv 2405.13712, algorithm 1; weights, starts and shares measured: docs/quality.md"

    terms: tuple[WeightedObjective, ...] = (
        WeightedObjective(objective="tweedie"),
        WeightedObjective(objective="posterior-buffer", start=0.1, ramp=0.05, every=2),
        WeightedObjective(objective={"name": "consistency", "fraction": 0.25, "chain_steps": 2}, weight=0.1, start=0.1, ramp=0.05, every=8),
    )
