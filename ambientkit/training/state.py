"""The state of a training: what steps change, and its way into the files of a checkpoint and back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ambientkit.checkpoint import fill, load_state, save_state
from ambientkit.checkpoint.base import Base, kept
from ambientkit.checkpoint.sharded import shard, whole_on_main
from ambientkit.checkpoint.weights import from_bytes, to_bytes
from ambientkit.config import RunConfig
from ambientkit.data import KeyedBatches, Observed
from ambientkit.data.observations import whole
from ambientkit.errors import InputError, RunError
from ambientkit.interfaces import Denoiser, Memory, Signal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.training.average import WarmedUpAverage
from ambientkit.training.sharded import Sharded
from ambientkit.training.split import SplitOptimizer
from ambientkit.training.together import Together

T = TypeVar("T")
MEMORY = "memory.safetensors"
ADVICE = (
    "Lower --lr, raise optimizer.warmup_steps, or use --mixed-precision no; a new run may begin with "
    "--init-from this one"
)


class Whole(NamedTuple):
    """What all processes hold between them, whole in the main one."""

    network: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    """Of the average's network, under "module.", and the number of its updates."""
    optimizer: Mapping[str, Any]
    memory: Mapping[str, Tensor]


@dataclass(slots=True)
class Training:
    """The state of a training in memory (the word "run" means its folder on the disk). `step` counts the optimiser
    steps done."""

    config: RunConfig
    signal: Signal
    observations: Observed
    accelerator: Accelerator
    network: nn.Module
    """Prepared by accelerate."""
    base: Base
    """The frozen parameters of the network: shared with its average, and in no file."""
    null: Mapping[str, Tensor]
    """What a row carries in place of a condition that is dropped; empty where none are."""
    average: WarmedUpAverage
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    denoiser: Denoiser
    teacher: Denoiser
    step: int = 0
    skipped: int = 0
    """Steps left out because their loss or gradient was not finite."""
    skipped_in_a_row: int = 0
    memories: dict[str, Memory] = field(default_factory=dict)
    """What each entry of the objective keeps between steps on this process, by the key of its generator."""
    checked: set[str] = field(default_factory=set)
    """Entries of the objective whose first answer was looked at in full, by the key of their generator."""
    split: SplitOptimizer | None = None
    """Where the optimiser's state alone is split over the processes."""
    sharded: Sharded | None = None
    """Where weights, gradients, the average and the optimiser's state are sharded over the processes."""
    together: Together | None = None
    """By what the processes agree on the calls of sharded weights; there where `sharded` is."""
    about_data: Mapping[str, Any] = field(default_factory=dict)
    """What the file of the averaged weights says of the data (`sample.load.about_data`)."""

    def memory_of_all(self) -> dict[str, Tensor]:
        """The memories of all processes, by rank/entry/name. Every process must call it at the same step."""
        found: dict[str, Tensor] = {}
        for key, memory in sorted(self.memories.items()):
            for name, value in sorted(memory.items()):
                every = self.accelerator.gather(value.unsqueeze(0).to(self.accelerator.device))
                found |= {f"{rank}/{key}/{name}": one for rank, one in enumerate(every)}
        return found

    def optimizer_of_all(self) -> dict[str, Any]:
        """The optimiser's whole state. Every process must call it at the same step."""
        state, ways = self.bare_optimizer.state_dict(), self.split or self.sharded
        return ways.whole_state(state) if ways else state

    def average_of_all(self) -> dict[str, Tensor]:
        """The averaged weights without a frozen base, whole in the main process. Every process must call it at the same
        step."""
        return whole_on_main(kept(self.average.module, self.base), self.accelerator.is_main_process)

    def whole(self) -> Whole:
        """Everything that a checkpoint holds, whole in the main process. Every process must call it at the same
        step."""
        main = self.accelerator.is_main_process
        return Whole(
            whole_on_main(kept(self.bare_network, self.base), main),
            whole_on_main(kept(self.average, self.base.under("module.")), main),
            self.optimizer_of_all(),
            self.memory_of_all(),
        )

    def calls(self) -> AbstractContextManager[None]:
        """Within the block the denoisers may be called. Every process must enter it, and where weights are sharded they
        leave it together."""
        return self.together.work() if self.together else nullcontext()

    def by_main(self, work: Callable[[], T]) -> T | None:
        """Let the main process do something that may call the averaged denoiser; None in the others.

        Every process must call it: where weights are sharded, they take part in the calls.
        """
        main = self.accelerator.is_main_process
        with self.calls():
            found = work() if main else None
        if self.together:
            self.together.end()
        return found

    def agreed(self, number: int) -> int:
        """The highest of the numbers that the processes give. Every process must call it."""
        if self.accelerator.num_processes == 1:
            return number
        return int(self.accelerator.gather(torch.tensor([number], device=self.accelerator.device)).max())

    def average_becomes(self, tensors: Mapping[str, Tensor]) -> None:
        """Give the average the weights that the main process has (`average_of_all`), none where it has none. Every
        process must call it."""
        module, main = self.average.module, self.accelerator.is_main_process
        if not self.sharded:
            if tensors:
                fill(module, tensors, "average", self.base)
            return
        device = self.accelerator.device
        if not self.agreed(len(tensors) if main else 0):
            return
        with torch.no_grad():
            for name, own in kept(module, self.base).items():
                shape, dtype = own.shape, own.dtype
                value = tensors[name].to(device) if main else torch.empty(shape, dtype=dtype, device=device)
                own.copy_(shard(broadcast(value.contiguous()), own))

    def state(self, whole: Whole | None = None) -> dict[str, bytes]:
        """The files of a checkpoint of this moment. whole: of all processes, where there are several.

        Raises RunError where a weight is not finite: such a state is not worth keeping.
        """
        whole = whole or self.whole()
        for name, value in whole.average.items() | whole.network.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise RunError(
                    f"step {self.step}: weight {name!r} is not finite; nothing is saved, the last checkpoint is "
                    f"intact. {ADVICE}"
                )
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {}
        counters = {
            "step": self.step,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "processes": self.accelerator.num_processes,
            "scaler": scaler,
            "rows": len(self.observations),
            "left_out": self._left_out(),
        }
        files = save_state(whole.network, whole.average, whole.optimizer, counters, self.base)
        return {**files, MEMORY: to_bytes(whole.memory)} if whole.memory else files

    def restore(self, files: dict[str, bytes], where: str) -> None:
        """Go back to the moment of a checkpoint. Raises InputError where it does not fit this run."""
        ways = self.split or self.sharded
        own = ways.own_state if ways else dict
        counters = load_state(files, where, self.bare_network, self.average, self.bare_optimizer, own, self.base)
        processes = counters.get("processes", self.accelerator.num_processes)
        if processes != self.accelerator.num_processes:
            raise InputError(
                f"{where}: the run has {processes} processes, but {self.accelerator.num_processes} were started "
                "now, which would change the "
                f"joint batch and the order of the data. Start {processes}, or begin a new run with --init-from"
            )
        rows, now = counters.get("rows", len(self.observations)), len(self.observations)
        if rows != now or counters.get("left_out", self._left_out()) != self._left_out():
            what = (
                f"had {rows} rows when this was saved, and have {now} now"
                if rows != now
                else "leave out other rows now than when this was saved"
            )
            raise InputError(
                f"{where}: the data {what}, which would change the order in which all rows are seen. Give the same "
                "data, or begin a new run with --init-from"
            )
        check_end(self.config, int(counters["step"]), where)
        self.step = int(counters["step"])
        self.skipped, self.skipped_in_a_row = int(counters.get("skipped", 0)), int(counters.get("skipped_in_a_row", 0))
        if counters.get("scaler") and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(counters["scaler"])
        self.memories = self._own(from_bytes(files[MEMORY], f"{where}/{MEMORY}")[0]) if MEMORY in files else {}
        self.schedule.load_state_dict(
            {**self.schedule.state_dict(), "last_epoch": self.step}
        )  # the rate itself is the optimiser's

    def _left_out(self) -> str:
        """A digest of what the data leave out; empty where that is nothing."""
        told = self.observations.left_out
        return hashlib.sha256("\n".join(told).encode()).hexdigest() if told else ""

    def _own(self, memory: Mapping[str, Tensor]) -> dict[str, Memory]:
        """This process's part of the memories in a checkpoint."""
        own: dict[str, Memory] = {}
        for path, value in memory.items():
            rank, key, name = path.split("/", 2)
            if int(rank) == self.accelerator.process_index:
                own.setdefault(key, {})[name] = value.to(self.accelerator.device)
        return own

    def begin_with(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Start from given weights, in the network and in the average. Raises InputError listing every tensor that does
        not fit."""
        fill(self.bare_network, tensors, where, self.base)
        fill(self.average.module, tensors, where, self.base)

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that steps change."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    @property
    def bare_network(self) -> nn.Module:
        """The network without accelerate's wrapping, and so without its prefixes in the names of the weights."""
        return self.accelerator.unwrap_model(self.network, keep_torch_compile=False)

    @property
    def bare_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser without accelerate's wrapping."""
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def loader(self) -> DataLoader:
        """Batches of this process from the present step on, without end."""
        micro_steps = self.step * self.config.grad_accum_steps
        order = KeyedBatches(
            len(self.observations),
            self.config.batch_size,
            self.config.seed,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
            start=micro_steps,
            blocks=self.observations.blocks,
            buckets=self.observations.buckets,
        )
        workers = self.config.num_workers
        return DataLoader(
            self.observations,
            batch_sampler=order,
            num_workers=workers,
            collate_fn=whole,
            persistent_workers=False,
            pin_memory=self.accelerator.device.type == "cuda",
            generator=keyed_generator(self.config.seed, "loader"),  # or torch draws the workers' base seed globally
        )


def check_end(config: RunConfig, step: int, where: object) -> None:
    """Raise InputError where a training would have to end before the step that it has reached."""
    if config.end_step < step:
        raise InputError(
            f"end_step {config.end_step}: {where} has taken {step} steps already, which cannot be undone. Give "
            f"--end-step {step} or more, or resume an "
            "earlier checkpoint"
        )
