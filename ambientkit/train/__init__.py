"""Training: build a run, then take its steps one at a time."""

from ambientkit.train.average import WarmedUpAverage
from ambientkit.train.loop import Step, steps
from ambientkit.train.run import Run, build

__all__ = ["Run", "Step", "WarmedUpAverage", "build", "steps"]
