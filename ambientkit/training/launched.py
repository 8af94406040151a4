"""Settings that accelerate's launcher gives by environment variables: each is applied or rejected with an error naming
it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ambientkit.config import RunConfig
from ambientkit.errors import InputError

FSDP = "ACCELERATE_USE_FSDP"
DEEPSPEED = "ACCELERATE_USE_DEEPSPEED"
ZERO_STAGE = "ACCELERATE_DEEPSPEED_ZERO_STAGE"
ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"

OFF = ("", "no", "none", "false", "0", "auto")
"""Values that ask for nothing; in capitals as well."""

REFUSED = {
    FSDP: {
        "FSDP_OFFLOAD_PARAMS": "weights are kept on the device; leave fsdp_offload_params out",
        "FSDP_ACTIVATION_CHECKPOINTING": "use --checkpointing instead",
    },
    DEEPSPEED: {
        "ACCELERATE_DEEPSPEED_CONFIG_FILE": "it would not be followed; give zero_stage in accelerate's "
        "configuration, the rest by options of train",
        "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "the optimiser's state is kept on the device; leave "
        "offload_optimizer_device out",
        "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "weights are kept on the device; leave offload_param_device out",
        "ACCELERATE_DEEPSPEED_ZERO3_INIT": "the network is whole in every process; set zero3_init_flag to false",
    },
}
"""Per way to split: variable -> what to do instead."""

NOT_DONE = {
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM, which takes over the backward pass and the step. Use data "
    "parallelism (torchrun, or MULTI_GPU), or FSDP",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism_config (tensor or context parallelism). Use data "
    "parallelism (torchrun, or MULTI_GPU), or FSDP",
    "ACCELERATE_DYNAMO_BACKEND": "a dynamo_backend. Use --compile, which is torch.compile's own backend, and leave "
    "dynamo_backend at no",
}
"""Variable -> what it is, and what to do."""


def split_asked() -> str:
    """By what name the launcher asks for the optimiser's state to be split over the processes: FSDP, DeepSpeed ZeRO, or
    empty.

    Read here, because accelerate itself silently ignores both on a CPU. DeepSpeed's stage 0 splits nothing.
    """
    if _on(FSDP):
        return "FSDP"
    return "DeepSpeed ZeRO" if _on(DEEPSPEED) and os.environ.get(ZERO_STAGE, "2") != "0" else ""


def check_launched(config: RunConfig) -> None:
    """Raises InputError naming the first thing the launcher asks for that is not done here, or that the run's
    configuration contradicts."""
    for way, kind in ((FSDP, "FSDP"), (DEEPSPEED, "DeepSpeed")):
        for name, instead in REFUSED[way].items():
            if _on(way) and _on(name):
                key = name.removeprefix("ACCELERATE_DEEPSPEED_").lower()
                raise InputError(f"accelerate is configured for {kind} with {key}, which is not supported: {instead}")
    for name, what in NOT_DONE.items():
        if _on(name):
            raise InputError(f"accelerate is configured for {what}")
    if split_asked() and config.mixed_precision == "fp16":
        raise InputError(
            f"mixed_precision: fp16 is not supported with {split_asked()}, as its gradients are scaled; use bf16, or no"
        )
    for name, own, flag in (
        ("ACCELERATE_MIXED_PRECISION", config.mixed_precision, "--mixed-precision"),
        (ACCUMULATION, str(config.grad_accum_steps), "--grad-accum-steps"),
        ("ACCELERATE_GRADIENT_CLIPPING", str(config.optimizer.max_grad_norm), "--set optimizer.max_grad_norm="),
    ):
        asked = os.environ.get(name, "").lower()
        if (
            asked not in OFF and not _same(asked, own) and not (name == ACCUMULATION and asked == "1")
        ):  # 1 is what the launcher always says
            to_do = f"{flag}{asked}" if flag.endswith("=") else f"{flag} {asked}"
            key = name.removeprefix("ACCELERATE_").lower()
            raise InputError(
                f"accelerate's launcher asks for {key} {asked}, but the run's configuration for {own}: give train "
                f"{to_do}, or take it out of the launcher's"
            )


@contextmanager
def by_itself() -> Iterator[None]:
    """Let accelerate start without what this package does by itself: its engines are not for objectives that call the
    network as often as they like, and its accumulation would divide the loss a second time."""
    before = {name: os.environ.pop(name) for name in (FSDP, DEEPSPEED, ACCUMULATION) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def _on(name: str) -> bool:
    return os.environ.get(name, "").lower() not in OFF


def _same(asked: str, own: str) -> bool:
    try:
        return float(asked) == float(own)
    except ValueError:
        return asked == own
