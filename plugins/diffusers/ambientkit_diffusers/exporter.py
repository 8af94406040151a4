"""The export forms of networks of diffusers: a whole folder, a LoRA in diffusers' own layout, and one in kohya's
keys."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Exporter, Finished, Model
from ambientkit.maths.precondition import TOLD
from ambientkit_diffusers.adapter import adapter_of, kohya_names, metadata_of
from ambientkit_diffusers.calls import CALLS
from ambientkit_diffusers.library import diffusers, peft, quietly
from ambientkit_diffusers.models import DiffusersUNet
from ambientkit_diffusers.unet2d import UNet2D

SNIPPET = """\
import torch
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained({path})
pictures = pipeline(batch_size=4, num_inference_steps=32{cond}, generator=torch.Generator().manual_seed(0)).images
pictures[0].save("picture.png")
"""
NETWORK = """\
import diffusers

network = diffusers.{kind}.from_pretrained({path}, subfolder="{folder}")
scheduler = diffusers.{scheduler}.from_pretrained({path}, subfolder="scheduler")
# of a pipeline it takes the network's place: diffusers.DiffusionPipeline.from_pretrained(BASE, {folder}=network)
"""
LORA = """\
import torch
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained({base})  # the folder that the run was trained over
pipeline.load_lora_weights({path}{weight})
picture = pipeline("a picture", guidance_scale=5.0, generator=torch.Generator().manual_seed(0)).images[0]
picture.save("picture.png")
"""


class DiffusersFolder(Exporter):
    """A folder for diffusers: `unet` (or `transformer`) and `scheduler`, both its own classes, and for `unet2d` a
    pipeline that joins them.

    Of `unet2d` the scheduler is EDMEulerScheduler, which carries sigma_min, sigma_max and sigma_data, so that c_skip x
    + c_out F(c_in x, c_noise) is the same denoiser; its steps are those of Euler's rule on the levels of `--schedule
    karras`. The pipeline is `ConsistencyModelPipeline`, the one of diffusers' own that leaves the scaling of noise and
    input to the scheduler; its samples are no consistency model's. It takes square pictures only, and cuts them to [0,
    1]; `UNet2DModel.from_pretrained(PATH, subfolder="unet")` and the scheduler leave them whole. Of `diffusers-unet`
    the scheduler is the one it was trained under, and an adapter is merged into the weights, W + (alpha / rank) B A, in
    float32.
    """

    name = "diffusers"
    source = "diffusers, EDMEulerScheduler; arXiv 2206.00364, table 1 and algorithm 1"
    suffix = ""

    def takes(self, model: Model) -> bool:
        """True for `unet2d` and `diffusers-unet`."""
        return isinstance(model, UNet2D | DiffusersUNet)

    def write(self, finished: Finished, path: Path) -> None:
        """`unet/` with safetensors, `scheduler/`, and `model_index.json` of `unet2d`. Raises InputError for pictures
        of that which are not square."""
        library, model = diffusers(), finished.model
        if isinstance(model, DiffusersUNet):
            with quietly():
                place = path / CALLS[type(finished.network).__name__].folder
                merged(finished.network).save_pretrained(place, safe_serialization=True)  # type: ignore[operator]
            library.SchedulerMixin.save_pretrained(model.scheduler_object(), path / "scheduler")
            return
        if told := sorted(set(finished.signal.conds) & set(TOLD)):
            raise InputError(
                f"diffusers' pipeline gives its network no {', '.join(told)}: a network for masked rows stays here"
            )
        _, height, width = finished.signal.shape
        if height != width:
            raise InputError(f"diffusers' pipeline draws square pictures only, and these are {height} x {width}")
        scheduler = library.EDMEulerScheduler(
            sigma_min=finished.levels.sigma_min,
            sigma_max=finished.levels.sigma_max,
            sigma_data=finished.signal.sigma_data,
        )
        pipeline = library.ConsistencyModelPipeline(unet=finished.network, scheduler=scheduler)
        pipeline.save_pretrained(path, safe_serialization=True)

    def snippet(self, finished: Finished, path: str) -> str:
        """The pipeline, by its general name; of `diffusers-unet` network and scheduler."""
        model = finished.model
        if isinstance(model, DiffusersUNet):
            scheduler = type(model.scheduler_object()).__name__
            kind = type(finished.network).__name__
            return NETWORK.format(kind=kind, folder=CALLS[kind].folder, scheduler=scheduler, path=json.dumps(path))
        return SNIPPET.format(
            path=json.dumps(path), cond=", class_labels=[0] * 4" if "class_cond" in finished.signal.conds else ""
        )


class DiffusersLoRA(Exporter):
    """A LoRA for diffusers: a folder with `pytorch_lora_weights.safetensors`, and rank and alpha in its header.

    `pipeline.load_lora_weights(FOLDER)` gives the trained denoiser to rounding, at any alpha: the header holds peft's
    configuration, without which diffusers takes alpha for the rank. `pipeline.fuse_lora()` merges it.
    """

    name = "diffusers-lora"
    source = "diffusers, save_lora_weights of StableDiffusionXLLoraLoaderMixin and SD3LoraLoaderMixin"
    suffix = ""

    def takes(self, model: Model) -> bool:
        """True for models of diffusers with an adapter."""
        return isinstance(model, DiffusersUNet) and model.rank is not None

    def write(self, finished: Finished, path: Path) -> None:
        """The file, by diffusers' own function. Raises InputError for a network that no pipeline of diffusers puts an
        adapter on."""
        call = CALLS[type(finished.network).__name__]
        if call.lora is None:
            raise _no_lora(finished, self.name)
        layers, metadata = adapter_of(finished.network), _plain(metadata_of(finished.network))
        if call.folder == "unet":
            layers = diffusers().utils.convert_state_dict_to_diffusers(layers)
        getattr(diffusers().loaders, call.lora).save_lora_weights(
            path,
            **{f"{call.folder}_lora_layers": layers, f"{call.folder}_lora_adapter_metadata": metadata},
            safe_serialization=True,
        )

    def snippet(self, finished: Finished, path: str) -> str:
        """The base pipeline with the adapter on it."""
        return LORA.format(base=_base(finished), path=json.dumps(path), weight="")


class KohyaLoRA(Exporter):
    """A LoRA under kohya's keys, one file: for A1111, ComfyUI and others, which read these.

    By diffusers' converter, which writes the rank as alpha; here it is the true one. Names of modules are diffusers'
    (`lora_unet_down_blocks_...`).
    """

    name = "kohya-lora"
    source = "diffusers, convert_state_dict_to_kohya"
    suffix = ".safetensors"

    def takes(self, model: Model) -> bool:
        """True for models of diffusers with an adapter."""
        return isinstance(model, DiffusersUNet) and model.rank is not None

    def write(self, finished: Finished, path: Path) -> None:
        """The file. Raises InputError for a network that no pipeline of diffusers puts an adapter on."""
        if type(finished.network).__name__ != "UNet2DConditionModel":
            raise _no_lora(finished, self.name)
        told = metadata_of(finished.network)
        rank, alpha = told["r"], float(told["lora_alpha"])
        metadata = {"format": "pt", "ss_network_module": "networks.lora", "ss_network_dim": str(rank)}
        metadata["ss_network_alpha"] = f"{alpha:g}"
        save_file(kohya_names(adapter_of(finished.network), alpha), path, metadata)

    def snippet(self, finished: Finished, path: str) -> str:
        """diffusers reads kohya's keys too."""
        place = Path(path)
        return LORA.format(
            base=_base(finished), path=json.dumps(str(place.parent)), weight=f", weight_name={json.dumps(place.name)}"
        )


def merged(network: nn.Module) -> nn.Module:
    """A network without its adapter, which is added to the weights in float32; without one, the network itself."""
    layer = peft().tuners.tuners_utils.BaseTunerLayer if hasattr(network, "peft_config") else None
    if layer is None:
        return network
    whole = deepcopy(network).float()
    for module in whole.modules():
        if isinstance(module, layer):
            module.merge(safe_merge=True)
    return diffusers().utils.peft_utils.recurse_remove_peft_layers(whole)


def _no_lora(finished: Finished, form: str) -> InputError:
    kind = type(finished.network).__name__
    other = "; --format diffusers-lora has its own keys" if form == "kohya-lora" and CALLS[kind].lora else ""
    return InputError(
        f"--format {form}: diffusers loads no LoRA of this form on a {kind}; --format diffusers merges it into the "
        f"weights{other}"
    )


def _base(finished: Finished) -> str:
    model = finished.model
    assert isinstance(model, DiffusersUNet)
    return json.dumps(model.path.name if model.path is not None else "BASE")


def _plain(value: Any) -> Any:
    """As JSON holds it: peft's configuration has sets and enumerations."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
