"""From rows of data to batches: corrupted once, in an order that is a function of the seed and the step alone."""

from ambientkit.data.augment import Augmented, observed
from ambientkit.data.conditions import drop_conditions, null_values
from ambientkit.data.held_out import Observed, WithoutHeldOut, of_one_shape
from ambientkit.data.observations import Observations
from ambientkit.data.order import KeyedBatches, Visit
from ambientkit.data.survey import Survey, survey

__all__ = [
    "Augmented",
    "KeyedBatches",
    "Observations",
    "Observed",
    "Survey",
    "Visit",
    "WithoutHeldOut",
    "drop_conditions",
    "null_values",
    "observed",
    "of_one_shape",
    "survey",
]
