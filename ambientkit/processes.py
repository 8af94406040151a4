"""The processes that share one piece of work: siblings, as torchrun or accelerate has started them, with their devices;
and workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

from ambientkit.errors import InputError


def memory() -> int | None:
    """Bytes of memory that this machine has; None where the system does not say."""
    with suppress(AttributeError, ValueError, OSError):
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return pages * size if pages > 0 and size > 0 else None
    return None


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
    """Whether this is the process that writes, as torchrun and accelerate define it, before accelerate itself has
    started."""
    return os.environ.get("RANK", "0") == "0"


def is_alone() -> bool:
    """Whether this process has no siblings, as torchrun and accelerate define it."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


def device_of(device: str | torch.device) -> torch.device:
    """The device that "auto", "cpu", "cuda", "cuda:N" or "mps" stands for; "auto" is the first GPU, or the CPU where
    there is none.

    Raises InputError where torch knows no such device, or this machine has none.
    """
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        return torch.device("cuda" if available else "cpu")
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
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
    """Join the siblings, each on a device of its own. device: auto, cpu, cuda or cuda:N. Raises InputError where it is
    not there."""
    wanted = device_of(device)
    if is_alone():
        return Processes(0, 1, wanted, lambda: None, lambda values: values, lambda: None)
    # Before the group is made, as in training/accelerator.py: none of its threads may outlive it.
    import torch.distributed.nn.functional  # noqa: F401
    from accelerate import PartialState
    from accelerate.utils import gather_object

    # One that is done waits for the slowest: no reason to give up.
    state = PartialState(cpu=wanted.type == "cpu", timeout=timedelta(days=7))

    def end() -> None:
        with suppress(Exception):  # the files are complete
            state.destroy_process_group()

    return Processes(
        state.process_index, state.num_processes, state.device, state.wait_for_everyone, gather_object, end
    )


@contextmanager
def worker_pool(
    count: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Fresh interpreters that share some work: a fork of a process in which torch has threads may hang.

    They end with this process, however it ends. Ctrl-C is left to this process: where an exception leaves the block, it
    stops them at once, and none of them prints anything. So do not cancel futures inside the block;
    initializer(*arguments) is called once in each worker.
    """
    before = multiprocessing.active_children()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_work, initargs=(initializer, arguments))
    try:
        with _interrupts_held():
            for _ in range(count):  # each starts one of them, which inherits that Ctrl-C is held back
                pool.submit(_nothing)
        yield pool
    except BaseException:
        for child in multiprocessing.active_children():
            if child not in before:
                child.terminate()
        pool.shutdown()
        raise
    pool.shutdown()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; one that comes meanwhile acts at the end of the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # when it is started later, it lets Ctrl-C through again
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _begin_work(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """Watch the parent from a thread: a pool whose owner was killed would otherwise wait for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def _nothing() -> None:
    """Work that a pool is started with."""
