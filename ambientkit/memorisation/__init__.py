"""Memorisation: what a model gives back of its training rows, measured and attacked, with p-values against rows that
were held out."""

from ambientkit.maths.conformal import conformal_p_values, listed, null_rows_needed
from ambientkit.memorisation.attacks import Attack, attack
from ambientkit.memorisation.copies import duplicate_groups, refuse_overlap
from ambientkit.memorisation.inpaint import inpaint
from ambientkit.memorisation.measured import Measure
from ambientkit.memorisation.moved import distance_moved, nearest_moved
from ambientkit.memorisation.neighbours import Neighbours, nearest
from ambientkit.memorisation.samples import Memorization, memorization

__all__ = [
    "Attack",
    "Measure",
    "Memorization",
    "Neighbours",
    "attack",
    "conformal_p_values",
    "distance_moved",
    "duplicate_groups",
    "inpaint",
    "listed",
    "memorization",
    "nearest",
    "nearest_moved",
    "null_rows_needed",
    "refuse_overlap",
]
