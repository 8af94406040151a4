"""The accelerator of a training: device, precision and processes, as its configuration asks for them."""

from __future__ import annotations

from typing import Any

# Before any process group is made: its functions have the group as a default argument, so that a later import (which
# that of torch._dynamo
# is) keeps the group and gloo's threads beyond `end_training`, and a thread alive when the interpreter ends may abort
# the process.
import torch.distributed.nn.functional  # noqa: F401
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from ambientkit.config import RunConfig
from ambientkit.errors import InputError
from ambientkit.processes import device_of
from ambientkit.training.launched import by_itself, check_launched, sharding_asked
from ambientkit.training.sharded import library


def accelerator_for(config: RunConfig, **options: Any) -> Accelerator:
    """The accelerator a configuration asks for; options: as accelerate takes them. Raises InputError where the device
    is not there."""
    cpu = device_of(config.device).type == "cpu"
    if config.mixed_precision == "fp16" and cpu:
        raise InputError("mixed_precision: fp16 needs a GPU; use bf16, or no")
    check_launched(config)
    if sharding_asked():
        library()
    _forget_another(cpu, config.mixed_precision)
    with by_itself():
        return Accelerator(cpu=cpu, mixed_precision=config.mixed_precision, **options)


def _forget_another(cpu: bool, mixed_precision: str) -> None:
    """Let a program, such as a notebook, train with another precision or device than before: accelerate keeps those of
    the first accelerator for the whole process, and raises ValueError at the next that differs."""
    if not AcceleratorState._shared_state:
        return
    known = AcceleratorState()
    if known.num_processes == 1 and (known.mixed_precision != mixed_precision or (known.device.type == "cpu") != cpu):
        AcceleratorState._reset_state(reset_partial_state=True)
