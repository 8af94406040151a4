"""Latents and encoded captions on the disk, each under a hash of everything that made it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ambientkit.checkpoint.replace import replacing

VERSION = 1
"""Of what is stored; another one makes other keys."""
SAMPLES, PIECE = 64, 2**16
"""Pieces of a large file that are hashed, and bytes of each."""


def default_store() -> Path:
    """Where encoded rows are kept unless a data set says otherwise: a folder of the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ambientkit" / "latents"


def key_of(made_from: Mapping[str, Any]) -> str:
    """The name of an entry: a hash of what it was made from, which JSON can hold."""
    text = json.dumps({"version": VERSION, **made_from}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def weights_hash(folder: Path) -> str:
    """A hash of a component of a pipeline: its small files whole, and of files of weights the size and 64 pieces,
    evenly
    spaced, with both ends. A component that was trained further differs in each of them."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size <= SAMPLES * PIECE:
                digest.update(stream.read())
                continue
            for index in range(SAMPLES):
                stream.seek(index * (size - PIECE) // (SAMPLES - 1))
                digest.update(stream.read(PIECE))
    return digest.hexdigest()


class Store:
    """Entries by key, each a safetensors file that is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """The file of an entry."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def holds(self, key: str) -> bool:
        """Whether the entry is there and whole: a file of safetensors whose length is the one that it states."""
        return self.read(key) is not None

    def read(self, key: str) -> dict[str, Tensor] | None:
        """An entry; None where it is not there, or is damaged, so that it is made again."""
        try:
            return load_file(self.path(key))
        except (OSError, SafetensorError):
            return None

    def write(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Write an entry."""
        file = self.path(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as unfinished:
            save_file({name: value.contiguous() for name, value in tensors.items()}, unfinished)
