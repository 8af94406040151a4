"""Saving and loading: safetensors and JSON only, written aside and renamed, never half there."""

from ambientkit.checkpoint.folder import latest, prune, read_folder, write_folder
from ambientkit.checkpoint.state import load_state, save_state
from ambientkit.checkpoint.weights import load_weights, save_weights

__all__ = ["latest", "load_state", "load_weights", "prune", "read_folder", "save_state", "save_weights", "write_folder"]
