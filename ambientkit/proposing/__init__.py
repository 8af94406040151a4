"""A whole run, proposed for a data set: what its values mean, how noisy they are, and the settings of a training."""

from ambientkit.proposing.propose import propose

__all__ = ["propose"]
