"""Building a run: every object that training needs, made from a checked configuration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from ambientkit.checkpoint import load_state, save_state
from ambientkit.config import RunConfig
from ambientkit.data import KeyedBatches, Observations
from ambientkit.data.observations import whole
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Signal
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.train.average import WarmedUpAverage


@dataclass(slots=True)
class Run:
    """A run in memory. `step` counts the optimiser steps done."""

    config: RunConfig
    signal: Signal
    observations: Observations
    accelerator: Accelerator
    network: nn.Module
    """Prepared by accelerate."""
    average: WarmedUpAverage
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    denoiser: Denoiser
    teacher: Denoiser
    step: int = 0

    def state(self) -> dict[str, bytes]:
        """The files of a checkpoint of this moment."""
        return save_state(self.bare_network, self.average, self.bare_optimizer, {"step": self.step})

    def restore(self, files: dict[str, bytes], where: str) -> None:
        """Go back to the moment of a checkpoint. Raises InputError where it does not fit this run."""
        counters = load_state(files, where, self.bare_network, self.average, self.bare_optimizer)
        self.step = int(counters["step"])
        self.schedule.load_state_dict({**self.schedule.state_dict(), "last_epoch": self.step})  # the rate itself is the optimiser's

    @property
    def bare_network(self) -> nn.Module:
        """The network without accelerate's wrapping."""
        return self.accelerator.unwrap_model(self.network)

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


def accelerator_for(config: RunConfig) -> Accelerator:
    """The accelerator a configuration asks for. Raises InputError where the device is not there."""
    try:
        cpu = torch.device("cuda" if config.device == "auto" else config.device).type == "cpu"
    except RuntimeError:
        raise InputError(f"device: should be auto, cpu, cuda or a torch device such as cuda:1, but is {config.device!r}") from None
    if config.device not in ("auto", "cpu") and not torch.cuda.is_available():
        raise InputError(f"device: {config.device!r} was asked for, but this machine has no usable GPU; use --device cpu or auto")
    return Accelerator(cpu=cpu, mixed_precision=config.mixed_precision)


def build(config: RunConfig, signal: Signal, observations: Observations, accelerator: Accelerator) -> Run:
    """A run at step 0, with weights that depend on the seed alone."""
    with isolated_global_generator(config.seed, "init"):
        network = config.model.network(signal).to(accelerator.device)
    o = config.optimizer
    average = WarmedUpAverage(network, config.ema.power, config.ema.inv_gamma, config.ema.max_decay)
    optimizer = torch.optim.AdamW(network.parameters(), lr=o.lr, betas=o.betas, eps=o.eps, weight_decay=o.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (o.warmup_steps + 1)))
    prepared, prepared_optimizer = accelerator.prepare(network, optimizer)
    return Run(
        config=config,
        signal=signal,
        observations=observations,
        accelerator=accelerator,
        network=prepared,
        average=average,
        optimizer=prepared_optimizer,
        schedule=schedule,
        denoiser=config.model.denoiser(prepared, signal),
        teacher=config.model.denoiser(average.module, signal),
    )
