"""LoRA by peft on named modules of a network, and its files: diffusers' own layout, and kohya's keys.

    y = W x + (alpha / rank) B A x,  A (rank, in), B (out, rank), B = 0 at first

The base W is frozen, in any dtype; A and B are float32 and trained. Source: arXiv 2106.09685, section 4.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.messages import note
from ambientkit_diffusers.calls import CALLS
from ambientkit_diffusers.library import diffusers, peft

ADAPTER = "default"
"""peft's name of the one adapter of a network."""
ATTENTION = ("to_k", "to_q", "to_v", "to_out.0")
"""The modules that diffusers' own script adapts: the four projections of every attention."""
METADATA = "lora_adapter_metadata"
"""Where diffusers keeps peft's configuration in the header of a file."""


def add_adapter(
    network: nn.Module, rank: int, alpha: float, targets: Sequence[str], dropout: float, model: str
) -> nn.Module:
    """Freeze a network of diffusers and put an adapter on every module whose name ends in one of `targets`.

    A is normal of std 1 / rank (peft's "gaussian", which diffusers' script uses), from torch's global generator. Raises
    InputError naming targets that match no module.
    """
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    if idle := [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in names)]:
        known = sorted({name.rsplit(".", 1)[-1] for name in names if not name.rsplit(".", 1)[-1].isdigit()})
        raise InputError(
            f"model {model!r}: targets {', '.join(idle)} match no linear or convolutional module of its network; "
            f"names end in {', '.join(known)}"
        )
    network.requires_grad_(False)
    asked = peft().LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, init_lora_weights="gaussian", target_modules=list(targets)
    )
    peft().inject_adapter_in_model(
        asked, network, ADAPTER
    )  # what `add_adapter` of diffusers calls; all networks have it
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return network


def adapter_of(network: nn.Module) -> dict[str, Tensor]:
    """The adapter's tensors under peft's names without the adapter's: "down_blocks.1...to_q.lora_A.weight"."""
    found: dict[str, Tensor] = peft().get_peft_model_state_dict(network, adapter_name=ADAPTER)
    return {name: value.detach().cpu().contiguous() for name, value in found.items()}


def metadata_of(network: nn.Module) -> dict[str, Any]:
    """peft's configuration of the adapter, as diffusers writes it into the file's header: rank and alpha among it."""
    return dict(network.peft_config[ADAPTER].to_dict())  # type: ignore[operator, union-attr, index]


class Adapter(NamedTuple):
    """An adapter from a file."""

    tensors: dict[str, Tensor]
    """Under peft's names without the adapter's."""
    scales: dict[str, float]
    """alpha / rank of each module, by its name."""


def is_adapter(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file's tensors are a LoRA of diffusers or of kohya."""
    marks = (".lora.down.weight", ".lora_A.weight", ".lora_down.weight", ".lora_linear_layer.down.weight")
    return any(name.endswith(marks) for name in tensors)


def read_adapter(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], network: nn.Module, where: str) -> Adapter:
    """The network's part of a LoRA file of diffusers (also old ones, and peft's keys) or of kohya, by diffusers'
    converters.

    Where a file says no alpha, alpha is the rank, as diffusers takes it. Raises InputError for files that hold another
    kind of adapter, and for networks whose adapters diffusers does not load.
    """
    call = CALLS[type(network).__name__]
    if call.lora is None:
        raise InputError(f"{where}: is a LoRA, but diffusers loads none on a {type(network).__name__}")
    unet = call.folder == "unet"
    kohya = any(name.endswith((".lora_down.weight", ".alpha")) or name.startswith("lora_unet_") for name in tensors)
    if kohya and not unet:
        raise InputError(f"{where}: has kohya's keys, which diffusers reads for a U-Net alone: give its own file")
    try:
        read: Any = getattr(diffusers().loaders, call.lora).lora_state_dict(
            {name: value.clone() for name, value in tensors.items()},
            return_lora_metadata=False,
            **({"unet_config": network.config if kohya else None} if unet else {}),
        )
    except (ValueError, KeyError, RuntimeError, AttributeError, TypeError, IndexError) as error:
        raise InputError(f"{where}: cannot be read as a LoRA ({' '.join(str(error).split())[:200]})") from None
    found, alphas = read if unet else (read, {})
    begin = f"{call.folder}."
    own = {name.removeprefix(begin): value for name, value in found.items() if name.startswith(begin)}
    if not own:
        what = "a U-Net" if unet else "a transformer"
        raise InputError(f"{where}: holds no adapter of {what}; its names begin with {_heads(tensors)}")
    if others := sorted({name.partition(".")[0] for name in found if not name.startswith(begin)}):
        note(f"{where}: its adapter of {', '.join(others)} is left out: only that of the {call.folder} is trained on")
    plain = diffusers().utils.convert_unet_state_dict_to_peft(own) if unet else own
    plain = {name.replace(".processor.", ".").replace("_lora.", "."): value for name, value in plain.items()}
    ranks = {
        name.removesuffix(".lora_A.weight"): len(value)
        for name, value in plain.items()
        if name.endswith(".lora_A.weight")
    }
    said = _said_alpha(metadata, begin)
    stated = {
        _module(name): value for name, value in diffusers().utils.convert_unet_state_dict_to_peft(alphas or {}).items()
    }
    scales = {}
    for module, rank in ranks.items():
        alpha = stated.get(module, said)
        scales[module] = 1.0 if alpha is None else float(alpha) / rank
    return Adapter({name: value.float() for name, value in plain.items()}, scales)


def _module(name: str) -> str:
    """The module that an alpha of kohya's belongs to, by the name that diffusers' converters leave it with."""
    name = name.removeprefix("unet.").replace(".processor.", ".").removesuffix(".alpha")
    return name.removesuffix(".weight").removesuffix(".lora_A")


def _said_alpha(metadata: Mapping[str, Any], begin: str) -> float | None:
    """alpha of the header that diffusers writes; begin: of the network's names in it."""
    told = metadata.get(METADATA)
    told = json.loads(told) if isinstance(told, str) else told
    if not isinstance(told, Mapping):
        return None
    value = told.get(f"{begin}lora_alpha", told.get("lora_alpha"))
    return None if value is None else float(value)


def fill_adapter(network: nn.Module, adapter: Adapter, where: str) -> dict[str, Tensor]:
    """The adapter's tensors under the names of the network's `state_dict`. Raises InputError where it belongs to
    another base, or has another rank, alpha or other modules."""
    own = adapter_of(network)
    lacking, surplus = sorted(own.keys() - adapter.tensors.keys()), sorted(adapter.tensors.keys() - own.keys())
    config = network.peft_config[ADAPTER]  # type: ignore[union-attr, index]
    ranks = {len(value) for name, value in adapter.tensors.items() if name.endswith(".lora_A.weight")}
    if ranks != {config.r}:
        raise InputError(
            f"{where}: has rank {_listed(ranks)}, but the model rank {config.r}: give the model the same rank"
        )
    if lacking or surplus:
        raise InputError(
            f"{where}: this LoRA belongs to another base, or to other targets: {len(surplus)} of its tensors have "
            "no place in this network"
            f"{_first(surplus)}, and {len(lacking)} of the network's are not in it{_first(lacking)}"
        )
    for name, value in adapter.tensors.items():
        if value.shape != own[name].shape:
            raise InputError(
                f"{where}: this LoRA belongs to another base: {name} has shape {tuple(value.shape)}, but this "
                f"network's is {tuple(own[name].shape)}"
            )
    scale = config.lora_alpha / config.r
    if off := sorted({other * config.r for other in adapter.scales.values() if abs(other - scale) > 1e-6 * scale}):
        raise InputError(
            f"{where}: has alpha {_listed(off)}, but the model alpha {config.lora_alpha:g}: give the model the "
            "same alpha"
        )
    return {_inside(name): value for name, value in adapter.tensors.items()}


def _inside(name: str) -> str:
    """The name in `state_dict`: with the adapter's own name."""
    head, _, tail = name.rpartition(".")
    return f"{head}.{ADAPTER}.{tail}"


def kohya_names(tensors: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Adapter tensors under kohya's keys, by diffusers' converter, with the true alpha: the converter writes the
    rank."""
    found = diffusers().utils.convert_state_dict_to_kohya({f"unet.{name}": value for name, value in tensors.items()})
    return {
        name: torch.tensor(float(alpha)) if name.endswith(".alpha") else value.contiguous()
        for name, value in found.items()
    }


def _heads(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted({name.partition(".")[0] for name in tensors})[:5])


def _listed(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values)) or "none"


def _first(names: Sequence[str]) -> str:
    return f" ({names[0]}{', ...' if len(names) > 1 else ''})" if names else ""
