"""The data set `corrupted`: a noisy copy made by `ambientkit corrupt`."""

from __future__ import annotations

from pathlib import Path

from ambientkit.errors import InputError
from ambientkit.readers import Found, Stored
from ambientkit.readers.copied import MANIFEST, ROWS, array_of, level_of, read_manifest, refuse_masks


class Corrupted(Stored):
    """A folder written by `ambientkit corrupt`: rows.npy (float32, units of [-1, 1]) with the noise level of its
    manifest."""

    name = "corrupted"
    marks = ("manifest.json+rows.npy",)
    source = "ambientkit corrupt"

    path: Path
    """The folder."""

    def find(self) -> Found:
        """The rows and their level. Raises InputError where the folder is no finished copy, or its files do not fit the
        manifest."""
        if not (self.path / MANIFEST).is_file():
            unfinished = (self.path / "progress").is_dir()
            raise InputError(
                f"{self.path}: "
                + (
                    "the copy is not finished: run the same `ambientkit corrupt` again"
                    if unfinished
                    else "no manifest.json is there"
                )
            )
        manifest = read_manifest(self.path)
        refuse_masks(self.path, manifest)
        if not (self.path / ROWS).exists():
            raise InputError(
                f"{self.path}: there is no {ROWS}; an 8-bit copy is no data to train on, because clipping spoils "
                "the noise"
            )
        data, shape = array_of(self.path / ROWS), (manifest["rows"], *manifest["shape"])
        if data.shape != shape:
            raise InputError(f"{self.path}: {ROWS} has shape {data.shape}, but the manifest says {shape}")
        if self.clean:
            raise InputError(
                f"{self.path}: these rows are noisy, as their manifest says, and cannot be taken for clean ones"
            )
        if self.value_range not in (None, (-1.0, 1.0)):
            raise InputError(
                f"{self.path}: these rows and their level are in units of [-1, 1] already: leave value_range out"
            )
        return Found(data, "N...", level_of(self.path, manifest))
