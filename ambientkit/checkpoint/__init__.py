"""Saving and loading: safetensors and JSON only, written aside and renamed, never half there."""

from ambientkit.checkpoint.folder import latest, prune, read_folder, write_folder
from ambientkit.checkpoint.initial import initial_weights
from ambientkit.checkpoint.state import load_state, save_state
from ambientkit.checkpoint.weights import fill, load_weights, save_weights

__all__ = [
    "fill",
    "initial_weights",
    "latest",
    "load_state",
    "load_weights",
    "prune",
    "read_folder",
    "save_state",
    "save_weights",
    "write_folder",
]
