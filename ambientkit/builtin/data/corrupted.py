"""The data set `corrupted`: a noisy copy made by `ambientkit corrupt`."""

from __future__ import annotations

import json
import math
from pathlib import Path

from ambientkit.errors import InputError
from ambientkit.readers import Found, Stored
from ambientkit.readers.npy import ArrayFile, find_arrays

FORMAT = 1
"""Of the manifest."""


class Corrupted(Stored):
    """A folder written by `ambientkit corrupt`: rows.npy (float32, units of [-1, 1]) with the noise level of its manifest."""

    name = "corrupted"
    marks = ("manifest.json+rows.npy",)
    source = "ambientkit corrupt"

    path: Path
    """The folder."""

    def find(self) -> Found:
        """The rows and their level. Raises InputError where the folder is no finished copy, or its files do not fit the manifest."""
        if not (self.path / "manifest.json").is_file():
            unfinished = (self.path / "progress").is_dir()
            raise InputError(
                f"{self.path}: "
                + ("the copy is not finished: run the same `ambientkit corrupt` again" if unfinished else "no manifest.json is there")
            )
        try:
            manifest = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))
            shape, level = (manifest["rows"], *manifest["shape"]), manifest["sigma_n"]
            if manifest["kind"] != "ambientkit-corrupt":
                raise KeyError("kind")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.path}/manifest.json: is no manifest of `ambientkit corrupt` ({error})") from None
        if (version := manifest.get("format", FORMAT)) != FORMAT:
            raise InputError(
                f"{self.path}/manifest.json: format {version!r} is not known to this version of ambientkit, which reads {FORMAT}"
            )
        if not (self.path / "rows.npy").exists():
            raise InputError(f"{self.path}: there is no rows.npy; an 8-bit copy is no data to train on, because clipping spoils the noise")
        data = self._array("rows.npy")
        if data.shape != shape:
            raise InputError(f"{self.path}: rows.npy has shape {data.shape}, but the manifest says {shape}")
        if self.clean:
            raise InputError(f"{self.path}: these rows are noisy, as their manifest says, and cannot be taken for clean ones")
        if isinstance(level, float | int) and math.isfinite(level):
            return Found(data, "N...", float(level))
        return Found(data, "N...", self._array("sigma_n.npy"))

    def _array(self, name: str) -> ArrayFile:
        found = find_arrays(self.path / name)
        if None not in found:
            raise InputError(f"{self.path / name}: should be a .npy file")
        return found[None]
