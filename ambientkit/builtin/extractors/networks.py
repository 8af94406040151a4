"""What the extractors that are networks share: which rows they read, and how they are asked."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ambientkit.errors import InputError

CHUNK = 64
"""Rows at a time; fixed, so that features do not depend on how many rows are asked for."""


def colour(pictures: Tensor, name: str) -> Tensor:
    """Pictures (N, C, H, W) with three channels; grey is repeated. Raises InputError for rows of other shapes."""
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3):
        raise InputError(
            f"extractor {name!r}: reads pictures (C, H, W) with 1 or 3 channels, not rows of shape "
            f"{tuple(pictures.shape[1:])}; "
            "'pixels' reads rows of any shape"
        )
    return pictures.expand(-1, 3, -1, -1)


def by_chunks(pictures: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """function, applied to CHUNK rows at a time in float32, without gradients. Returns (N, F)."""
    with torch.no_grad():
        return torch.cat([function(chunk.float()) for chunk in pictures.split(CHUNK)])


def load_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth file that holds nothing else. No code in it is ever run.

    Raises InputError where the file is missing, cannot be read, or holds other things.
    """
    if not path.is_file():
        raise InputError(f"extractor {name!r}: weights: there is no file {path}; nothing is downloaded")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"extractor {name!r}: {path}: cannot be read as a file of weights ({_short(error)})") from None
    except Exception as error:  # safetensors' own error is a plain Exception
        raise InputError(f"extractor {name!r}: {path}: cannot be read as a file of weights ({_short(error)})") from None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"extractor {name!r}: {path}: should hold tensors by name and nothing else")
    return tensors


def as_file(tensors: dict[str, Tensor]) -> io.BytesIO:
    """Tensors as an open .pth file, for a library that loads nothing else."""
    stream = io.BytesIO()
    torch.save(tensors, stream)
    stream.seek(0)
    return stream


def digest(path: Path) -> str:
    """The first eight digits of a file's SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:8]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
