"""Settings that accelerate's launcher gives by environment variables: each is applied or rejected with an error naming
it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ambientkit.config import RunConfig
from ambientkit.errors import InputError

FSDP = "ACCELERATE_USE_FSDP"
DEEPSPEED = "ACCELERATE_USE_DEEPSPEED"
ZERO_STAGE = "ACCELERATE_DEEPSPEED_ZERO_STAGE"
ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
VERSION = "FSDP_VERSION"
RESHARD = "FSDP_RESHARD_AFTER_FORWARD"
POLICY = "FSDP_AUTO_WRAP_POLICY"
CLASSES = "FSDP_TRANSFORMER_CLS_TO_WRAP"
NO_WRAP = "NO_WRAP"

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


class Sharding(NamedTuple):
    """How weights are to be sharded over the processes."""

    reshard: bool
    """Whether gathered weights are given back after each call, and gathered again for its backward pass."""
    policy: str
    """accelerate's name for the choice of blocks, in capitals; empty where there is none."""
    classes: tuple[str, ...]
    """Names of the classes whose modules are blocks; empty for the items of the network's lists of modules."""


def sharding_asked() -> Sharding | None:
    """How the launcher asks for fully sharded weights; None where it does not. Raises InputError for a setting that is
    not known.

    Read here, because accelerate itself silently ignores FSDP on a CPU.
    """
    version = os.environ.get(VERSION, "") or "1"
    if not _on(FSDP) or version == "1":
        return None
    if version != "2":
        raise InputError(f"{VERSION}={version}: accelerate's fsdp_version is 1 or 2")
    reshard = os.environ.get(RESHARD, "").lower() or "true"
    if reshard not in ("true", "false"):
        raise InputError(f"{RESHARD}={reshard}: fsdp_reshard_after_forward of FSDP 2 is true or false")
    policy = os.environ.get(POLICY, "").upper()
    if policy not in ("", NO_WRAP, "TRANSFORMER_BASED_WRAP"):
        raise InputError(
            f"{POLICY}={policy}: fsdp_auto_wrap_policy is TRANSFORMER_BASED_WRAP or NO_WRAP here; without it the items "
            "of the network's lists of modules are sharded one by one"
        )
    classes = os.environ.get(CLASSES, "").split(",")
    return Sharding(reshard == "true", policy, tuple(name.strip() for name in classes if name.strip()))


def split_asked() -> str:
    """By what name the launcher asks for the optimiser's state alone to be split over the processes: FSDP, DeepSpeed
    ZeRO, or empty.

    Read here, because accelerate itself silently ignores both on a CPU. DeepSpeed's stage 0 splits nothing.
    """
    if _on(FSDP):
        return "" if sharding_asked() else "FSDP"
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
    asked_for = split_asked() or ("FSDP 2" if sharding_asked() else "")
    if asked_for and config.mixed_precision == "fp16":
        raise InputError(
            f"mixed_precision: fp16 is not supported with {asked_for}, as its gradients are scaled; use bf16, or no"
        )
    if sharding_asked() and config.compile:
        raise InputError("compile: --compile is not supported with weights that FSDP 2 shards; leave it out")
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
