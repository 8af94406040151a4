"""The processes that share one command's work, as torchrun or accelerate has started them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed.nn.functional  # before the group is made, as in train/run.py: none of its threads may outlive it

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


def processes(device: str) -> Processes:
    """Join the siblings, each on a device of its own. device: auto, cpu, cuda or cuda:N. Raises InputError where it is not there."""
    try:
        wanted = torch.device("cuda" if device == "auto" else device)
    except RuntimeError:
        raise InputError(f"--device {device}: should be auto, cpu, cuda or a torch device such as cuda:1") from None
    available = torch.cuda.is_available()
    if device == "auto" and not available:
        wanted = torch.device("cpu")
    if wanted.type == "cuda" and not (available and (wanted.index or 0) < torch.cuda.device_count()):
        raise InputError(
            f"--device {device}: this machine has {torch.cuda.device_count() if available else 0} usable GPUs; use cpu or auto"
        )
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
