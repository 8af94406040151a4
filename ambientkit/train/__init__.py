"""Training in memory: build one, then take its steps one at a time."""

from ambientkit.train.begin import build
from ambientkit.train.loop import Step, steps
from ambientkit.train.state import Training

__all__ = ["Step", "Training", "build", "steps"]
