"""Sampling: images from a trained run and restorations of noisy rows, each a function of (seed, index) alone, and pictures of them."""

from ambientkit.sample.batches import Batches
from ambientkit.sample.draw import draw, draw_all, step_grid
from ambientkit.sample.load import Trained, load_run
from ambientkit.sample.restore import Restored, restore
from ambientkit.sample.schedule import SCHEDULES
from ambientkit.sample.store import read_samples

__all__ = ["SCHEDULES", "Batches", "Restored", "Trained", "draw", "draw_all", "load_run", "read_samples", "restore", "step_grid"]
