"""The networks of diffusers that are understood: what each one takes, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit_diffusers.conditions import CLASS, POOLED, PROMPT, TIME_IDS

Config = Mapping[str, Any]
Conds = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Call:
    """How a class of networks is asked."""

    folder: str
    """Where a pipeline keeps it."""
    takes: Callable[[Config, int | None], dict[str, tuple[int | None, ...]]]
    """Its conditions and their shapes, by its configuration and the number of classes; None for any length."""
    arguments: Callable[[Conds, Any], dict[str, Any]]
    """Keyword arguments from a batch's conditions and the dtype of the network."""
    lora: str | None = None
    """The class of diffusers that saves and loads an adapter on it; None where no pipeline of diffusers does."""

    def ask(self, network: nn.Module, x: Tensor, time: Tensor, cond: Conds) -> Tensor:
        """(B, C, h, w), the network's answer; of a network that answers with a variance too, the first half."""
        answer = network(x, timestep=time, return_dict=False, **self.arguments(cond, x.dtype))
        output = answer if isinstance(answer, Tensor) else answer[0]
        return output[:, : x.shape[1]]


def _classes(config: Config, classes: int | None) -> dict[str, tuple[int | None, ...]]:
    if classes is None:
        return {}
    rows = config.get("num_class_embeds")
    if rows is None or rows < classes:
        has = "none" if rows is None else f"{rows}"
        raise InputError(
            f"num_classes {classes}: the network has embeddings for {has} (num_class_embeds): leave it out, or give "
            f"a network that has them"
        )
    return {CLASS: ()}


def _unet_2d_condition(config: Config, classes: int | None) -> dict[str, tuple[int | None, ...]]:
    kind = config.get("addition_embed_type")
    if kind not in (None, "text_time"):
        raise InputError(f"a U-Net with addition_embed_type {kind!r} takes conditions that are not known here")
    for field in ("encoder_hid_dim_type", "class_embed_type"):
        if config.get(field):
            raise InputError(f"a U-Net with {field} {config[field]!r} takes conditions that are not known here")
    width = config.get("cross_attention_dim", 1280)
    width = width if isinstance(width, int) else next(iter(width))
    found: dict[str, tuple[int | None, ...]] = {PROMPT: (None, width), **_classes(config, classes)}
    if kind == "text_time":
        ids = 6 * int(config["addition_time_embed_dim"])
        found |= {POOLED: (int(config["projection_class_embeddings_input_dim"]) - ids,), TIME_IDS: (6,)}
    return found


def _unet_2d_condition_arguments(cond: Conds, dtype: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"encoder_hidden_states": cond[PROMPT].to(dtype), "class_labels": cond.get(CLASS)}
    if TIME_IDS in cond:  # whose embedding is made in float32, and is cast by the network
        found["added_cond_kwargs"] = {"text_embeds": cond[POOLED].to(dtype), "time_ids": cond[TIME_IDS].float()}
    return found


def _sd3(config: Config, classes: int | None) -> dict[str, tuple[int | None, ...]]:
    return {
        PROMPT: (None, int(config.get("joint_attention_dim", 4096))),
        POOLED: (int(config.get("pooled_projection_dim", 2048)),),
    }


def _dit(config: Config, classes: int | None) -> dict[str, tuple[int | None, ...]]:
    rows = int(config.get("num_embeds_ada_norm") or 1000)
    if classes not in (None, rows):
        raise InputError(
            f"num_classes {classes}: the network has {rows} classes (num_embeds_ada_norm), and its embedding {rows} "
            "stands for none: leave num_classes out"
        )
    return {CLASS: ()}


CALLS: dict[str, Call] = {
    "UNet2DModel": Call("unet", _classes, lambda cond, dtype: {"class_labels": cond.get(CLASS)}),
    "UNet2DConditionModel": Call(
        "unet", _unet_2d_condition, _unet_2d_condition_arguments, lora="StableDiffusionXLLoraLoaderMixin"
    ),
    "DiTTransformer2DModel": Call("transformer", _dit, lambda cond, dtype: {"class_labels": cond[CLASS]}),
    "SD3Transformer2DModel": Call(
        "transformer",
        _sd3,
        lambda cond, dtype: {
            "encoder_hidden_states": cond[PROMPT].to(dtype),
            "pooled_projections": cond[POOLED].to(dtype),
        },
        lora="SD3LoraLoaderMixin",
    ),
}
"""Name of the class in diffusers -> how it is asked."""


def multiple_of(kind: str, config: Config) -> int:
    """What a network of this class needs height and width of its rows to be multiples of."""
    stages = len(config.get("block_out_channels", ())) or 1
    return int(2 ** (stages - 1)) if kind.startswith("UNet") else int(config.get("patch_size", 1))


def check_signal(name: str, kind: str, config: Config, classes: int | None, signal: Signal) -> None:
    """Raise InputError where a network does not fit the rows of a signal, in shape or in conditions. name: of the
    model."""
    if len(signal.shape) != 3 or 0 in signal.shape:
        raise InputError(
            f"model {name!r} takes rows of shape (channels, height, width), but these have shape {tuple(signal.shape)}"
        )
    if signal.shape[0] != config["in_channels"]:
        raise InputError(
            f"model {name!r}: its {kind} takes {config['in_channels']} channels, but the rows have {signal.shape[0]}: "
            "are they latents of another VAE, or pictures?"
        )
    multiple = multiple_of(kind, config)
    if signal.shape[1] % multiple or signal.shape[2] % multiple:
        raise InputError(
            f"model {name!r}: its {kind} needs a height and width that are multiples of {multiple}, but the rows "
            f"are {signal.shape[1]} x {signal.shape[2]}"
        )
    wanted = CALLS[kind].takes(config, classes)
    carried = {key: tuple(shape) for key, shape in signal.conds.items()}
    if surplus := sorted(carried.keys() - wanted.keys()):
        hint = " or give num_classes for labels named class_cond" if surplus == [CLASS] else ""
        raise InputError(f"model {name!r} takes no {', '.join(surplus)}, but the data carry it: leave it out{hint}")
    for key, shape in wanted.items():
        if key not in carried:
            raise InputError(f"model {name!r} needs the condition {key!r}, {_text(shape)}, which the data do not carry")
        fits = len(shape) == len(carried[key]) and all(a in (None, b) for a, b in zip(shape, carried[key]))
        if not fits:
            raise InputError(
                f"model {name!r} needs the condition {key!r} of shape {_text(shape)}, but the data carry "
                f"{carried[key]}: "
                "were the captions encoded by the text encoders of another pipeline?"
            )


def _text(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)}{',' if len(shape) == 1 else ''})"
