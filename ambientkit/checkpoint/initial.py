"""Weights to begin with, from wherever they were trained."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ambientkit.checkpoint.base import Base, check_base
from ambientkit.checkpoint.folder import read_folder
from ambientkit.checkpoint.names import AVERAGE, CHECKPOINTS, WEIGHTS
from ambientkit.checkpoint.weights import from_bytes, load_weights
from ambientkit.errors import InputError

KEYS = ("model_ema", "model")
"""Where k-diffusion's training keeps weights in its .pth files, the average first."""


def initial_weights(path: Path, base: Base | None = None) -> tuple[dict[str, Tensor], str]:
    """The tensors of a network, by the names of its `state_dict`, and the file they are from.

    path: a run folder or one of its checkpoints (the averaged weights), a .safetensors file such as k-diffusion's for
    inference, or a .pth file of k-diffusion's training. A .pth is a pickle: it is read with `weights_only`, and refused
    where that does not suffice. base: of the network they are for; the weights must not belong to another one. Raises
    InputError naming the file.
    """
    if path.is_dir():
        if path.parent.name == CHECKPOINTS:
            files = read_folder(path)
            if AVERAGE not in files:
                raise InputError(f"{path / AVERAGE}: missing from the checkpoint")
            tensors, _ = from_bytes(files[AVERAGE], str(path / AVERAGE))
            if base is not None:
                check_base(base, json.loads(files.get("state.json", b"{}")).get("counters", {}).get("base"), path)
            return {key.removeprefix("module."): value for key, value in tensors.items() if key != "n_averaged"}, str(
                path / AVERAGE
            )
        path = path / WEIGHTS
    if not path.is_file():
        raise InputError(
            f"--init-from {path}: there is no such file; give a run folder, a checkpoint, a .safetensors or a .pth file"
        )
    if path.suffix in (".pth", ".pt", ".ckpt"):
        return _from_pth(path), str(path)
    tensors, told = load_weights(path)
    if base is not None:
        check_base(base, told.get("base") if isinstance(told.get("base"), dict) else None, path)
    return tensors, str(path)


def stated(file: str) -> dict[str, Any]:
    """The metadata of a .safetensors file; none for any other."""
    return load_weights(Path(file))[1] if file.endswith(".safetensors") else {}


def _from_pth(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's version: an unreadable file is refused below
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (
        pickle.UnpicklingError,
        RuntimeError,
        ValueError,
        EOFError,
        KeyError,
        AttributeError,
        TypeError,
        IndexError,
    ) as error:
        raise InputError(
            f"{path}: refused: it does not hold tensors only, and reading it otherwise could run any code "
            f"({type(error).__name__}). "
            "Convert it to .safetensors where you trust it"
        ) from None
    found = next(
        (content[key] for key in KEYS if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)),
        content,
    )
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(
            f"{path}: holds no weights; should have the entry 'model_ema' or 'model', as k-diffusion's files do"
        )
    for name, value in found.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"{path}: tensor {name!r} holds values that are not finite")
    return dict(found)
