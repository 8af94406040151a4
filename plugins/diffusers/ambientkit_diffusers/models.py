"""The models `diffusers-unet` and `sdxl-lora`: networks of diffusers, trained from a configuration, fine-tuned, or
adapted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels, Model, Signal
from ambientkit.maths.noise import per_row
from ambientkit_diffusers.adapter import ADAPTER, ATTENTION, add_adapter, fill_adapter, is_adapter, read_adapter
from ambientkit_diffusers.calls import CALLS, check_signal
from ambientkit_diffusers.conditions import CLASS, POOLED, PROMPT, TIME_IDS, time_ids
from ambientkit_diffusers.edge import Edge, built, edge_of
from ambientkit_diffusers.files import component, fetched_by, network_folder, read_json, variant_of
from ambientkit_diffusers.library import diffusers, quietly
from ambientkit_diffusers.text import TextEncoders
from ambientkit_diffusers.vae import pixels_per_cell

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def _content(value: object) -> object:
    """The path of a JSON file to its content, so that a stored run does not depend on the file."""
    if isinstance(value, str | Path):
        try:
            value = json.loads(Path(value).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"should be a configuration of diffusers that can be read ({error})") from None
    if value is not None and not (isinstance(value, Mapping) and "_class_name" in value):
        raise ValueError("should be a configuration of diffusers, which names its class as _class_name")
    return value


Configuration = Annotated[dict[str, Any] | None, BeforeValidator(_content)]
"""A field that takes the path of a JSON file of diffusers, or its content, and holds the content."""


class DiffusersUNet(Model):
    """A network of diffusers between the levels of its scheduler: `UNet2DModel`, `UNet2DConditionModel`,
    `DiTTransformer2DModel`, `SD3Transformer2DModel`.

    From a folder (`path`: of a pipeline, or of the network itself) with its weights, or from a configuration alone
    (`config`, with weights that depend on the seed). With a `rank` the network is frozen and an adapter is trained on
    the modules whose names end in one of `targets`; otherwise all of it is trained. The scheduler's table becomes our
    levels, sigma = s / alpha, and what the network answers (eps, v, x_0 or a flow) becomes x_0_hat, in float32 at
    least:
    `ambientkit_diffusers.edge`. The network takes the conditions that it takes in diffusers: `class_cond`,
    `prompt_embeds`, `pooled_prompt_embeds`, `time_ids`.
    """

    name = "diffusers-unet"
    source = "diffusers 0.42; forms: ambientkit.maths.forms; adapters arXiv 2106.09685"
    claims = frozenset({"denoiser-contract"})
    always = frozenset({TIME_IDS})

    path: Path | None = None
    """Folder of a pipeline (with `unet` or `transformer`, and `scheduler`), or of a network."""
    config: Configuration = None
    """Configuration of a network to begin with fresh weights: a JSON file of diffusers, or its content."""
    scheduler: Configuration = None
    """Configuration of the scheduler it was, or will be, trained under; that of the pipeline where it is not given."""
    predicts: Literal["epsilon", "v_prediction", "sample", "flow_prediction"] | None = None
    """What the network answers with, where the scheduler does not say it."""
    rank: int | None = Field(None, ge=1)
    """Rank of the adapter; none is made where it is not given."""
    alpha: float | None = Field(None, gt=0)
    """The adapter counts alpha / rank times; alpha = rank where it is not given."""
    targets: tuple[str, ...] = Field(ATTENTION, min_length=1)
    """Ends of the names of the modules that are adapted; by default the projections of every attention."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of an adapter's inputs dropped while training."""
    base_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the frozen weights under an adapter, whose own are float32."""
    num_classes: int | None = Field(None, ge=1)
    """Classes of the condition `class_cond`, labels 0 to num_classes - 1; num_classes stands for none, where the
    network
    has a place for it."""

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> DiffusersUNet:
        if self.path is not None and self.config is not None:
            raise ValueError("give either path, a folder with weights, or config, a network without, but not both")
        if self.rank is None:
            defaults = type(self).model_fields
            given = [name for name in ("alpha", "targets", "dropout") if getattr(self, name) != defaults[name].default]
            if given:
                raise ValueError(f"{', '.join(given)} belongs to an adapter: give rank too")
            if self.base_dtype != "float32":
                raise ValueError(
                    f"base_dtype {self.base_dtype} belongs to an adapter, whose base is frozen: weights that are "
                    f"trained stay float32; give rank, or "
                    "mixed_precision of the run"
                )
        if self.path is None and self.config is None:
            raise ValueError("needs path, the folder of a pipeline or network, or config, a network's JSON file")
        return self

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return 1.0 if self.alpha is None or self.rank is None else self.alpha / self.rank

    @property
    def classes(self) -> int | None:
        """num_classes; of a DiT, which always takes a class, those of its configuration."""
        config = self._config() if self.num_classes is None else {}
        return int(config.get("num_embeds_ada_norm") or 1000) if _is_dit(config) else self.num_classes

    def null_cond(self, name: str) -> float | Tensor | None:
        """What stands for no caption (`TextEncoders.empty_prompt`; zeros where the pipeline says so, without loading
        anything), and the label num_classes for no class, where the network has an embedding for it."""
        if name == CLASS:
            rows = self._config().get("num_class_embeds")
            return None if self.classes is None or (rows is not None and rows <= self.classes) else self.classes
        if name not in (PROMPT, POOLED) or self.path is None:
            return None
        index = read_json(self.path / "model_index.json") if (self.path / "model_index.json").is_file() else {}
        if not index or index.get("force_zeros_for_empty_prompt"):
            return None  # zeros
        return _empty_prompt(self.path)[name]

    def level_range(self) -> Levels | None:
        """That of the scheduler's table."""
        return self.edge().levels

    def edge(self) -> Edge:
        """The scheduler as our edge. Raises InputError naming a scheduler that has no table, or is not there."""
        return edge_of(self._scheduler(), self.predicts)

    def scheduler_object(self) -> Any:
        """The scheduler itself. Raises InputError where it is not there."""
        return built(self._scheduler())

    def network(self, signal: Signal) -> nn.Module:
        """The network, with its adapter where it has one. Raises InputError where files are missing, or shape,
        conditions or targets do not fit."""
        self.check(signal)
        return self.made()

    def check(self, signal: Signal) -> None:
        """Raise InputError where files are missing, or rows of this signal do not fit."""
        config = self._config()
        check_signal(self.name, self._kind(config), config, self.num_classes, signal)
        self.edge()

    def made(self) -> nn.Module:
        """The network, unchecked."""
        config = self._config()
        network = self._loaded(self._kind(config), config)
        for module in network.modules():
            if isinstance(module, diffusers().models.embeddings.LabelEmbedding):
                module.dropout_prob = 0.0  # by torch's global generator; a run drops labels by cond_dropout
        if self.rank is None:
            return network.requires_grad_(True)
        alpha = float(self.rank if self.alpha is None else self.alpha)
        return add_adapter(network, self.rank, alpha, self.targets, self.dropout, self.name)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma) for x (B, C, h, w), sigma (B,)."""
        edge, call, dtype = self.edge(), CALLS[self._kind(self._config())], DTYPES[self.base_dtype]

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            level = sigma.to(wide)
            output = call.ask(network, edge.input(wide, level).to(dtype), edge.time(sigma), cond)
            return edge.x_0(output.to(wide.dtype), wide, level).to(x.dtype)

        return denoise

    def prompted(self, prompts: Sequence[str], signal: Signal) -> dict[str, Tensor]:
        """The conditions of captions, (len(prompts), ...): the pipeline's text encoders are loaded, asked and unloaded.
        Pictures of SDXL are asked for in full: their own size, no crop."""
        if self.path is None or PROMPT not in signal.conds:
            raise InputError(
                f"model {self.name!r} takes no prompt: it takes {', '.join(signal.conds) or 'no conditions'}"
            )
        with TextEncoders(self.path) as text:
            found = text.encode(prompts)
            if "" in prompts:
                nothing = text.empty_prompt()
                empty = torch.tensor([not prompt for prompt in prompts])
                found = {
                    name: torch.where(per_row(empty.float(), value) > 0, nothing[name], value)
                    for name, value in found.items()
                }
        if TIME_IDS in signal.conds:
            cell = pixels_per_cell(self.path)
            size = (signal.shape[1] * cell, signal.shape[2] * cell)
            found[TIME_IDS] = time_ids(size, (0, 0), size).repeat(len(prompts), 1)
        return {name: value for name, value in found.items() if name in signal.conds}

    def translated(
        self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], network: nn.Module, where: str
    ) -> Mapping[str, Tensor]:
        """A LoRA of diffusers or kohya under the names of the network's own weights; other tensors as they are."""
        if not is_adapter(tensors) or any(f".{ADAPTER}." in name for name in tensors):
            return tensors
        if self.rank is None:
            raise InputError(f"{where}: is a LoRA, but the model has no adapter: give the model its rank and alpha")
        return fill_adapter(network, read_adapter(tensors, metadata, network, where), where)

    def _scheduler(self) -> dict[str, Any]:
        """Its configuration."""
        if self.scheduler is not None:
            return self.scheduler
        if self.path is None:
            raise InputError(
                f"model {self.name!r} with a config needs a scheduler too: the JSON file of one, or its content"
            )
        return read_json(component(self.path, "scheduler", f"model {self.name!r}") / "scheduler_config.json")

    def _config(self) -> dict[str, Any]:
        """Of the network."""
        if self.config is not None:
            return self.config
        return read_json(self._folder() / "config.json")

    def _folder(self) -> Path:
        """Of the network's files."""
        assert self.path is not None  # or there is a config, and no files
        if (self.path / "config.json").is_file():
            return self.path
        return network_folder(self.path, f"model {self.name!r}")

    def _kind(self, config: Mapping[str, Any]) -> str:
        kind = "DiTTransformer2DModel" if _is_dit(config) else str(config.get("_class_name"))
        if kind not in CALLS:
            raise InputError(f"model {self.name!r} knows the networks {', '.join(CALLS)} of diffusers, not {kind!r}")
        return kind

    def _loaded(self, kind: str, config: Mapping[str, Any]) -> nn.Module:
        cls = getattr(diffusers(), kind)
        if self.config is not None:
            network = cls.from_config(dict(config))
            return _cast(network, DTYPES[self.base_dtype])
        folder = self._folder()
        if not any(folder.glob("*.safetensors")):
            raise InputError(
                f"model {self.name!r}: {folder} holds no weights (*.safetensors). They are never fetched by "
                f"ambientkit; {fetched_by(folder.parent)}"
            )
        try:
            with quietly():
                network = cls.from_pretrained(
                    folder,
                    dtype=torch.float32 if self.rank is None else DTYPES[self.base_dtype],
                    variant=variant_of(folder),
                    local_files_only=True,
                    use_safetensors=True,
                )
        except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
            raise InputError(
                f"model {self.name!r}: {folder} cannot be read ({' '.join(str(error).split())[:300]})"
            ) from None
        return network


class SDXLLoRA(DiffusersUNet):
    """SDXL under a LoRA: `diffusers-unet` of a pipeline folder of SDXL, its U-Net frozen in bfloat16, rank 4 on the
    attention.

    A run of it is written for diffusers by `export --format diffusers-lora`, for others by `--format kohya-lora`.
    """

    name = "sdxl-lora"
    source = "arXiv 2307.01952; adapters arXiv 2106.09685; diffusers, train_text_to_image_lora_sdxl.py"

    rank: int | None = Field(4, ge=1)
    """Rank of the adapter."""
    base_dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Of the frozen U-Net, under an adapter in float32. float16 overflows more easily, but GPUs before Ampere have no
    other."""

    @model_validator(mode="after")
    def _of_sdxl(self) -> SDXLLoRA:
        if self.rank is None or self.config is not None or self.num_classes is not None:
            raise ValueError(
                "is SDXL under an adapter: it takes path and rank, and neither config nor num_classes; for others "
                "there is diffusers-unet"
            )
        return self


def _is_dit(config: Mapping[str, Any]) -> bool:
    """Also under the name that its weights were published with, as diffusers reads them."""
    kind = config.get("_class_name")
    return kind == "DiTTransformer2DModel" or (
        kind == "Transformer2DModel" and config.get("norm_type") == "ada_norm_zero"
    )


def _cast(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network with its weights in this dtype; `to` of diffusers warns, and takes no tensors without values."""
    for module in network.modules():
        for name, value in module._parameters.items():
            if value is not None and value.dtype != dtype:
                module._parameters[name] = nn.Parameter(value.detach().to(dtype), requires_grad=value.requires_grad)
    return network


@lru_cache(maxsize=4)
def _empty_prompt(path: Path) -> dict[str, Tensor]:
    with TextEncoders(path) as text:
        return text.empty_prompt()
