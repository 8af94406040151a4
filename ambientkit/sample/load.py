"""From a run folder to a denoiser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ambientkit.checkpoint.weights import fill, load_weights
from ambientkit.config import RunConfig, Source, resolve
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import Registry

WEIGHTS = "model_ema.safetensors"


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained denoiser and what it was trained for."""

    config: RunConfig
    signal: Signal
    denoiser: Denoiser
    step: int


def load_run(path: Path, registry: Registry, device: str | torch.device = "cpu") -> Trained:
    """The averaged weights of a run. path: the run folder, or its model_ema.safetensors. Raises InputError naming the file at fault."""
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; give the folder that `ambientkit train` wrote (its --output-dir)")
    tensors, metadata = load_weights(file)
    try:
        stored = metadata["signal"]
        signal = Signal(tuple(stored["shape"]), float(stored["sigma_data"]), {k: tuple(v) for k, v in stored["conds"].items()})
        tree, step = dict(metadata["config"]), int(metadata["step"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: its metadata are not those of an ambientkit run ({type(error).__name__}: {error})") from None
    config = resolve(Source(tree, {(key,): str(file) for key in tree}), registry)
    with isolated_global_generator(0, "load"):  # the fresh weights are overwritten
        network = config.model.network(signal).to(device)
    fill(network, tensors, str(file))
    network.eval().requires_grad_(False)
    return Trained(config, signal, config.model.denoiser(network, signal), step)
