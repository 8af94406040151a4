"""Sampling: images from a trained run, each a function of (seed, index) alone, and pictures of them."""

from ambientkit.sample.draw import draw, step_grid
from ambientkit.sample.load import Trained, load_run

__all__ = ["Trained", "draw", "load_run", "step_grid"]
