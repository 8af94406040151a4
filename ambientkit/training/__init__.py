"""Training in memory: build one, then take its steps one at a time."""

from ambientkit.training.begin import build
from ambientkit.training.loop import Step, steps
from ambientkit.training.state import Training

__all__ = ["Step", "Training", "build", "steps"]
