"""Latents and encoded captions on the disk, each under a hash of everything that made it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ambientkit.checkpoint.replace import replacing

VERSION = 2
"""Of what is stored; another one makes other keys."""


def default_store() -> Path:
    """Where encoded rows are kept unless a data set says otherwise: a folder of the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ambientkit" / "latents"


def key_of(made_from: Mapping[str, Any]) -> str:
    """The name of an entry: a hash of what it was made from, which JSON can hold."""
    text = json.dumps({"version": VERSION, **made_from}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def weights_hash(folder: Path) -> str:
    """A hash of every file of a component of a pipeline, whole: one changed row of an embedding is another component.
    Files are read once in a process, unless their size or time changes."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        told = file.stat()
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        digest.update(_file_hash(file.resolve(), told.st_size, told.st_mtime_ns))
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _file_hash(file: Path, size: int, changed: int) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


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
