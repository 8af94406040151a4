"""Sampling: images from a trained run and restorations of noisy rows, each a function of (seed, index) alone, and
pictures of them."""

from ambientkit.sample.batches import Batches
from ambientkit.sample.draw import draw, draw_all, step_grid, warn_of_far
from ambientkit.sample.drawn import sample_rows
from ambientkit.sample.files import WrittenSamples, draw_to_files
from ambientkit.sample.load import Trained, load_run
from ambientkit.sample.restore import Restored, restore
from ambientkit.sample.restored import restore_rows
from ambientkit.sample.restored_files import WrittenRestorations, restore_to_files
from ambientkit.sample.schedule import SCHEDULES
from ambientkit.sample.stop_level import StopLevel
from ambientkit.sample.store import read_samples

__all__ = [
    "SCHEDULES",
    "Batches",
    "Restored",
    "StopLevel",
    "Trained",
    "WrittenRestorations",
    "WrittenSamples",
    "draw",
    "draw_all",
    "draw_to_files",
    "load_run",
    "read_samples",
    "restore",
    "restore_rows",
    "restore_to_files",
    "sample_rows",
    "step_grid",
    "warn_of_far",
]
