"""The processes that share one piece of work, as torchrun or accelerate has started them, and the device of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

from ambientkit.errors import InputError


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among its siblings."""

    rank: int
    world: int
    device: torch.device
    wait: Callable[[], None]
    """Until all have come here."""
    gather: Callable[[list[Any]], list[Any]]
    """The lists of all, joined; all wait for it."""
    end: Callable[[], None]


def is_main() -> bool:
    """Whether this is the process that writes, as torchrun and accelerate define it, before accelerate itself has started."""
    return os.environ.get("RANK", "0") == "0"


def device_of(device: str | torch.device) -> torch.device:
    """The device that "auto", "cpu", "cuda", "cuda:N" or "mps" stands for; "auto" is the first GPU, or the CPU where there is none.

    Raises InputError where torch knows no such device, or this machine has none.
    """
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        return torch.device("cuda" if available else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise InputError(f"--device {device}: should be auto, cpu, cuda or a torch device such as cuda:1") from None
    if wanted.type == "cuda" and not (available and (wanted.index or 0) < torch.cuda.device_count()):
        gpus = torch.cuda.device_count() if available else 0
        raise InputError(f"--device {device}: this machine has {gpus} usable GPUs; use cpu or auto")
    if wanted.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"--device {device}: this machine has no usable Apple GPU; use cpu or auto")
    if wanted.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"--device {device}: only cpu, cuda and mps are supported; use one of these, or auto")
    return wanted


def processes(device: str) -> Processes:
    """Join the siblings, each on a device of its own. device: auto, cpu, cuda or cuda:N. Raises InputError where it is not there."""
    wanted = device_of(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(0, 1, wanted, lambda: None, lambda values: values, lambda: None)
    from accelerate import PartialState
    from accelerate.utils import gather_object

    # One that is done waits for the slowest: no reason to give up.
    state = PartialState(cpu=wanted.type == "cpu", timeout=timedelta(days=7))

    def end() -> None:
        with suppress(Exception):  # the files are complete
            state.destroy_process_group()

    return Processes(state.process_index, state.num_processes, state.device, state.wait_for_everyone, gather_object, end)
