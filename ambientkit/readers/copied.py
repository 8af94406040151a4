"""What `ambientkit corrupt` wrote beside the rows of a noisy copy: its manifest, and the noise level in it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ambientkit.errors import InputError
from ambientkit.readers.npy import ArrayFile, find_arrays

MANIFEST, ROWS, LEVELS, MASKS = "manifest.json", "rows.npy", "sigma_n.npy", "masks.npy"
KIND = "ambientkit-corrupt"
FORMAT = 1
"""Of the manifest."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a noisy copy. Raises InputError where it is none, or of another format."""
    file = folder / MANIFEST
    try:
        manifest = dict(json.loads(file.read_text(encoding="utf-8")))
        manifest["rows"], [*manifest["shape"]], manifest["sigma_n"]
        if manifest["kind"] != KIND:
            raise KeyError("kind")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is no manifest of `ambientkit corrupt` ({error})") from None
    if (version := manifest.get("format", FORMAT)) != FORMAT:
        raise InputError(f"{file}: format {version!r} is not known to this version of ambientkit, which reads {FORMAT}")
    return manifest


def level_of(folder: Path, manifest: dict[str, Any]) -> ArrayFile | float:
    """The noise level of a copy: one number, or the array beside it. Raises InputError where that is missing."""
    level = manifest["sigma_n"]
    return float(level) if isinstance(level, float | int) and math.isfinite(level) else array_of(folder / LEVELS)


def array_of(path: Path) -> ArrayFile:
    """A .npy file. Raises InputError for anything else."""
    found = find_arrays(path)
    if None not in found:
        raise InputError(f"{path}: should be a .npy file")
    return found[None]


def copied_level(folder: Path) -> ArrayFile | float | None:
    """The noise level of rows in a folder that `ambientkit corrupt` wrote; None for any other folder.

    Raises InputError for a copy with masks, whose rows mean nothing without them.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        mine = manifest["kind"] == KIND
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not mine:
        return None
    found = read_manifest(folder)
    refuse_masks(folder, found)
    return level_of(folder, found)


def refuse_masks(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise InputError for a copy of which a part is missing, where whole rows are read."""
    if "masks" in manifest:
        raise InputError(
            f"{folder}: a part of these rows is missing, as {manifest['masks']} beside them says, and what stands "
            "there is no measurement. Give the folder itself, with --corruption mask"
        )
