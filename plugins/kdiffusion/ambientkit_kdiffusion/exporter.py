"""The export form `k-diffusion`: one file that k-diffusion's own loader and its `sample.py` read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from ambientkit.errors import InputError
from ambientkit.interfaces import Exporter, Finished, Model
from ambientkit.maths.precondition import TOLD
from ambientkit_kdiffusion.image_v1 import ImageV1
from ambientkit_kdiffusion.json_config import READ
from ambientkit_kdiffusion.model import KDiffusionModel

SNIPPET = """\
import os

os.environ.setdefault("K_DIFFUSION_USE_COMPILE", "0")  # compiling takes half a minute on a CPU, and gains nothing there

import k_diffusion as K
import torch
from safetensors.torch import load_file

config = K.config.load_config({path})
network = K.config.make_model(config).eval().requires_grad_(False)
network.load_state_dict(load_file({path}))
denoiser = K.config.make_denoiser_wrapper(config)(network)

settings = config["model"]
sigmas = K.sampling.get_sigmas_karras(32, settings["sigma_min"], settings["sigma_max"])
noise = torch.randn(4, {shape}) * settings["sigma_max"]
samples = K.sampling.sample_heun(denoiser, noise, sigmas{cond})  # in [-1, 1]
"""


class KDiffusionFile(Exporter):
    """One .safetensors file for k-diffusion: the averaged weights, and its own configuration in the metadata.

    k-diffusion's `config.load_config`, `make_model` and `make_denoiser_wrapper` give the same denoiser from it, bit for
    bit on a CPU; its `sample.py` takes square pictures only. The rate of dropout is written as 0: k-diffusion's
    attention drops in evaluation too.
    """

    name = "k-diffusion"
    source = "k-diffusion 0.1.1.post1, config.load_config and make_model"
    suffix = ".safetensors"

    def takes(self, model: Model) -> bool:
        """True for k-diffusion's own networks; learned positions, and a canvas, are none of theirs."""
        return (
            isinstance(model, KDiffusionModel) and getattr(model, "positions", None) != "learned" and not model.canvas
        )

    def write(self, finished: Finished, path: Path) -> None:
        """Tensors by the names of k-diffusion's `state_dict`, metadata `config`: a text of JSON with `model` and
        `dataset.num_classes`."""
        # Clones: safetensors refuses tensors that share memory.
        tensors = {
            name: tensor.detach().cpu().contiguous().clone() for name, tensor in finished.network.state_dict().items()
        }
        path.write_bytes(save(tensors, metadata={"config": json.dumps(configuration(finished))}))

    def snippet(self, finished: Finished, path: str) -> str:
        """k-diffusion's own functions, one after another."""
        cond = ""
        if "class_cond" in finished.signal.conds:
            unet = isinstance(finished.model, ImageV1)  # which gets a class as a vector that is 1 at its place
            given = (
                f'"mapping_cond": torch.eye({finished.model.num_classes})[[0] * 4]'
                if unet
                else '"class_cond": torch.zeros(4, dtype=torch.long)'
            )
            cond = f", extra_args={{{given}}}"
        return SNIPPET.format(path=json.dumps(path), shape=", ".join(map(str, finished.signal.shape)), cond=cond)


def configuration(finished: Finished) -> dict[str, Any]:
    """What k-diffusion needs to build the network, and to sample it; of a JSON configuration that the model was made
    from, no more than that."""
    model = finished.model
    assert isinstance(model, KDiffusionModel)
    if told := sorted(set(finished.signal.conds) & set(TOLD)):
        raise InputError(
            f"k-diffusion's sampler gives its network no {', '.join(told)}: a network for masked rows stays here"
        )
    resolved = model.resolved(finished.signal)
    kept = {key: value for key, value in resolved["model"].items() if key in READ[model.name]}
    kept |= {
        "input_size": list(finished.signal.shape[1:]),
        "dropout_rate": 0.0,
        "sigma_data": model.sigma_data(finished.signal),
        "sigma_min": finished.levels.sigma_min,
        "sigma_max": finished.levels.sigma_max,
    }
    return {"model": kept, "dataset": {"num_classes": resolved["dataset"]["num_classes"]}}
