"""The beginning of a training: every object that it needs, made from a checked configuration."""

from __future__ import annotations

from accelerate import Accelerator
from accelerate.utils import broadcast

from ambientkit.config import RunConfig
from ambientkit.data import Observed, observed, survey
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.train.accelerator import accelerator_for
from ambientkit.train.average import WarmedUpAverage
from ambientkit.train.launched import split_asked
from ambientkit.train.memory import checkpoint_blocks
from ambientkit.train.optim import optimizer_for, schedule_for
from ambientkit.train.split import SplitOptimizer
from ambientkit.train.state import Training


def build(
    config: RunConfig, signal: Signal | None = None, observations: Observed | None = None, accelerator: Accelerator | None = None
) -> Training:
    """A training at step 0, with weights that depend on the seed alone: `for step in steps(build(config))` trains.

    What is not given follows from the configuration: observations, the rows of its data, corrupted where they are clean; signal, a survey of them;
    accelerator, its device and precision. Raises InputError for data or a device that cannot be used.
    """
    if observations is None:
        observations = observed(config.data.rows(), config.corruption, config.seed, config.augment)
    if signal is None:
        signal = survey(observations, config.corruption, config.levels.as_levels(), config.sigma_data).signal
    if accelerator is None:
        accelerator = accelerator_for(config)
    with isolated_global_generator(config.seed, "init"):
        network = config.model.network(signal).to(accelerator.device)
    if accelerator.num_processes > 1:  # machines of different kinds may initialise differently
        for value in network.state_dict().values():
            value.copy_(broadcast(value))
    average = WarmedUpAverage(network, config.ema.power, config.ema.inv_gamma, config.ema.max_decay)
    if config.checkpointing:
        checkpoint_blocks(network)
    if config.compile:
        network.compile()
    # Autocast, but no DistributedDataParallel: it takes one forward call a step and no unused parameters (see train/gradients.py).
    prepared = accelerator.prepare_model(network, evaluation_mode=True)
    split = SplitOptimizer(network.parameters(), accelerator) if split_asked() and accelerator.num_processes > 1 else None
    optimizer = optimizer_for(config.optimizer, split.shares if split else network.parameters())
    if split:
        split.attach(optimizer)
    prepared_optimizer = accelerator.prepare_optimizer(optimizer)
    return Training(
        config=config,
        signal=signal,
        observations=observations,
        accelerator=accelerator,
        network=prepared,
        average=average,
        optimizer=prepared_optimizer,
        split=split,
        schedule=schedule_for(config.optimizer, optimizer, config.end_step),
        denoiser=config.model.denoiser(prepared, signal),
        teacher=config.model.denoiser(average.module, signal),
    )
