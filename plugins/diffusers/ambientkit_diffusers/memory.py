"""What training a network of diffusers holds in memory, counted on tensors without values (`meta`): SDXL in seconds,
on any machine.

    held = base + adapter (weights, gradients, optimiser, average) + activations

Activations are what autograd keeps of one forward pass, counted by torch's own hooks: each storage once, parameters
left
out, attention as fused kernels keep it (queries, keys, values, the result, and a number for each query). Under
`checkpointing` they are the inputs of the blocks, what lies outside of them, and the largest block. The objectives of a
run go backward one after the other, and consistency takes a share of the rows, so that Tweedie's pass is the largest.
Not counted: scratch space of kernels, fragments of the allocator, the libraries' own; a tenth is left for them
(`ROOM`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from ambientkit.interfaces import Signal
from ambientkit.tables import Record
from ambientkit_diffusers.calls import CALLS
from ambientkit_diffusers.conditions import POOLED, PROMPT, TIME_IDS
from ambientkit_diffusers.models import DTYPES, DiffusersUNet

ROOM = 0.9
"""Share of a GPU's memory that is given out."""
OPTIMIZER_BYTES = {"adamw": 8, "adamw-8bit": 2, "sgd": 0, "prodigy": 16, "adamw-schedule-free": 8}
"""Bytes of state for each trained number."""
SDXL_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "in_channels": 4,
    "out_channels": 4,
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
"""The U-Net of SDXL, 2.57 billion numbers; its configuration as published with the weights."""
SDXL_SCHEDULER: dict[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
SDXL_SIGNAL = Signal((4, 128, 128), 1.0, {PROMPT: (77, 2048), POOLED: (1280,), TIME_IDS: (6,)})
"""Rows of 1024 x 1024 pixels."""


@dataclass(frozen=True, slots=True)
class Memory(Record):
    """Bytes that training holds."""

    base: int
    """Frozen weights."""
    trained: int
    """Trained weights with their gradients, optimiser state and average."""
    for_each_row: int
    """Activations of one row of the batch."""
    numbers: int
    """Trained numbers."""

    def total(self, batch_size: int) -> int:
        """Of a batch."""
        return self.base + self.trained + batch_size * self.for_each_row

    def largest_batch(self, gigabytes: float) -> int:
        """Rows that fit into a GPU of so many gigabytes (10^9 bytes), a tenth left free; 0 where none does."""
        return max(0, int((ROOM * gigabytes * 1e9 - self.base - self.trained) // self.for_each_row))

    def blocks(self) -> list[str]:
        """In gigabytes."""
        fits = ", ".join(f"{self.largest_batch(size)} rows on {size} GB" for size in (24, 40, 80))
        return [
            f"base {self.base / 1e9:.2f} GB, trained {self.trained / 1e9:.3f} GB ({self.numbers / 1e6:.1f} million "
            f"numbers), "
            f"activations {self.for_each_row / 1e9:.2f} GB a row; {fits}"
        ]

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return {name: getattr(self, name) for name in ("base", "trained", "for_each_row", "numbers")}


def training_memory(
    model: DiffusersUNet, signal: Signal, *, checkpointing: bool = False, optimizer: str = "adamw"
) -> Memory:
    """What training a model on rows of this signal holds. model: from a `config`; its weights are never made.

    Raises InputError where the model does not fit the signal.
    """
    model.check(signal)
    with torch.device("meta"), _FusedAttention():
        network = model.made()
        trained = [value for value in network.parameters() if value.requires_grad]
        frozen = [value for value in network.parameters() if not value.requires_grad]
        held = _Held(network)
        dtype = DTYPES[model.base_dtype]
        x = torch.zeros(1, *signal.shape, dtype=dtype)
        time = torch.zeros(1)
        cond = {name: torch.zeros(1, *shape) for name, shape in signal.conds.items()}
        call = CALLS[type(network).__name__]
        with held, saved_tensors_hooks(held.keep, lambda kept: kept):
            answer = call.ask(network, x, time, cond)
        del answer
    numbers = sum(value.numel() for value in trained)
    each = 4 * 3 + OPTIMIZER_BYTES[optimizer]  # weights, gradients, average
    return Memory(
        base=sum(value.nbytes for value in frozen),
        trained=numbers * each,
        for_each_row=held.checkpointed() if checkpointing else held.all(),
        numbers=numbers,
    )


class _Attention(torch.autograd.Function):
    """What a fused kernel keeps."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]
        answer = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, answer, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return answer


class _FusedAttention(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention:
            return _Attention.apply(*args[:3])
        return func(*args, **(kwargs or {}))


class _Held:
    """What autograd keeps, by the outermost block that it was made in."""

    def __init__(self, network: nn.Module) -> None:
        self._parameters = {value.untyped_storage()._cdata for value in network.parameters()}
        self._blocks = list(_blocks(network))
        self._kept: dict[str, dict[int, Tensor]] = {}
        self._inputs: dict[int, Tensor] = {}
        self._place = ""
        self._handles: list[Any] = []

    def __enter__(self) -> _Held:
        for index, block in enumerate(self._blocks):
            self._handles.append(block.register_forward_pre_hook(self._begin(str(index)), with_kwargs=True))
            self._handles.append(block.register_forward_hook(self._end))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def keep(self, value: Tensor) -> Tensor:
        """Note a tensor that autograd saves."""
        storage = value.untyped_storage()
        if storage._cdata not in self._parameters:
            self._kept.setdefault(self._place, {})[storage._cdata] = value
        return value

    def all(self) -> int:
        """Bytes of everything."""
        return _bytes({key: value for kept in self._kept.values() for key, value in kept.items()})

    def checkpointed(self) -> int:
        """Bytes where blocks are computed again."""
        outside = self._kept.get("", {})
        inside = [_bytes(kept) for place, kept in self._kept.items() if place]
        return _bytes({**outside, **self._inputs}) + max(inside, default=0)

    def _begin(self, place: str) -> Any:
        def hook(module: nn.Module, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
            self._place = place
            for value in _tensors([*args, *kwargs.values()]):
                if value.untyped_storage()._cdata not in self._parameters:
                    self._inputs[value.untyped_storage()._cdata] = value

        return hook

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        self._place = ""


def _blocks(module: nn.Module) -> Any:
    """The blocks that `checkpointing` computes again: items of outermost lists of modules."""
    for child in module.children():
        if isinstance(module, nn.ModuleList) and not isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield child
        else:
            yield from _blocks(child)


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _bytes(kept: dict[int, Tensor]) -> int:
    return sum(value.untyped_storage().nbytes() for value in kept.values())


def sdxl_memory(
    rank: int = 4, *, base_dtype: str = "bfloat16", checkpointing: bool = True, optimizer: str = "adamw"
) -> Memory:
    """That of SDXL under a LoRA, on pictures of 1024 x 1024 pixels."""
    model = DiffusersUNet.model_validate(
        {"config": SDXL_UNET, "scheduler": SDXL_SCHEDULER, "rank": rank, "base_dtype": base_dtype}
    )
    return training_memory(model, SDXL_SIGNAL, checkpointing=checkpointing, optimizer=optimizer)
