"""The beginning of a training: every object that it needs, made from a checked configuration."""

from __future__ import annotations

from functools import partial

from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ambientkit.batch import View
from ambientkit.checkpoint.base import base_of, network_of
from ambientkit.config import RunConfig
from ambientkit.config.pairs import refuse_pairs
from ambientkit.data import Observed, Survey, null_values, observed, of_one_shape, survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.training.accelerator import accelerator_for
from ambientkit.training.average import WarmedUpAverage
from ambientkit.training.blame import blaming
from ambientkit.training.launched import sharding_asked, split_asked
from ambientkit.training.memory import checkpoint_blocks
from ambientkit.training.optim import PACKAGES, optimizer_for, schedule_for
from ambientkit.training.sharded import Sharded
from ambientkit.training.split import SplitOptimizer
from ambientkit.training.state import Training
from ambientkit.training.together import Together


def build(
    config: RunConfig,
    signal: Signal | None = None,
    observations: Observed | None = None,
    accelerator: Accelerator | None = None,
) -> Training:
    """A training at step 0, with weights that depend on the seed alone: `for step in steps(build(config))` trains.

    Arguments that are not given follow from the configuration: observations, the rows of its data, corrupted where they
    are clean; signal, a survey of them; accelerator, its device and precision. Raises InputError for data or a device
    that cannot be used, RunError naming a part of another package that fails."""
    with blaming(config, "before step 1"):
        if observations is None:
            observations = observed(config.data.rows(), config.corruption, config.seed, config.augment)
        if signal is None:
            seen = survey(of_one_shape(observations), config.corruption, config.levels.as_levels(), config.sigma_data)
            refuse_unseen(seen)
            signal = seen.signal
        return _build(config, signal, observations, accelerator or accelerator_for(config))


def _build(config: RunConfig, signal: Signal, observations: Observed, accelerator: Accelerator) -> Training:
    refuse_pairs((entry.objective for entry in config.objective), config.corruption)
    null = _null(config, signal, observations)
    _check_levels(config)
    several = accelerator.num_processes > 1
    sharding = sharding_asked() if several else None
    sharded = Sharded(accelerator, sharding) if sharding else None
    network = network_of(config, signal)
    if not sharded:
        network = network.to(accelerator.device)
    if several:  # machines of different kinds may initialise differently
        for value in network.state_dict().values():
            value.copy_(broadcast(value.to(accelerator.device)))
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError(
            f"model {config.model.name!r}: its network has no trainable parameter: all are frozen, or there are none"
        )
    base = base_of(network)
    average = WarmedUpAverage(network, config.ema.power, config.ema.inv_gamma, config.ema.max_decay, base)
    if config.checkpointing:
        checkpoint_blocks(network)
    if config.compile:
        network.compile()
    if sharded:  # before they are on the device, where the whole may not fit
        sharded.shard(network)
        sharded.shard(average.module)
        average.follow(network)
    # Autocast, but no DistributedDataParallel: it takes one forward call a step and no unused parameters (see
    # training/gradients.py).
    prepared = accelerator.prepare_model(network, None if sharded is None else False, evaluation_mode=True)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    split = SplitOptimizer(trained, accelerator) if split_asked() and several else None
    if (split or sharded) and config.optimizer.name in PACKAGES:
        raise InputError(
            f"optimizer.name: the state of {config.optimizer.name} cannot be split over processes "
            f"({split_asked() or 'FSDP 2'}); take adamw, or leave the split out"
        )
    optimizer = optimizer_for(config.optimizer, split.shares if split else trained)
    if split:
        split.attach(optimizer)
    prepared_optimizer = accelerator.prepare_optimizer(optimizer)
    denoiser, teacher = config.model.denoiser(prepared, signal), config.model.denoiser(average.module, signal)
    together = None
    if sharded:
        together = Together(accelerator.device, sharded.settle, partial(_example, config, observations, accelerator))
        denoiser, teacher = together.lend(denoiser, prepared), together.lend(teacher, average.module)
    return Training(
        config=config,
        signal=signal,
        observations=observations,
        accelerator=accelerator,
        network=prepared,
        base=base,
        null=null,
        average=average,
        optimizer=prepared_optimizer,
        split=split,
        sharded=sharded,
        together=together,
        schedule=schedule_for(config.optimizer, optimizer, config.end_step),
        denoiser=denoiser,
        teacher=teacher,
    )


def _example(config: RunConfig, observations: Observed, accelerator: Accelerator) -> View:
    """The first row, as a denoiser may be given it."""
    batch = of_one_shape(observations).__getitems__([0])
    sigma = config.corruption.floor(batch).clamp(min=config.levels.sigma_min)
    view = config.corruption.show(batch, sigma, keyed_generator(config.seed, "empty call"))
    return View(*(tree_map_only(Tensor, lambda value: value.to(accelerator.device), tuple(view))))


def refuse_unseen(seen: Survey) -> None:
    """Raise InputError where no row measures a part of the clean data."""
    if seen.unseen:
        raise InputError(seen.unseen)


def _check_levels(config: RunConfig) -> None:
    """Raise InputError where the run asks for levels that the model's networks cannot distinguish."""
    known, asked = config.model.level_range(), config.levels
    if known is None or (asked.sigma_min >= known.sigma_min * 0.99 and asked.sigma_max <= known.sigma_max * 1.01):
        return
    low, high = max(asked.sigma_min, known.sigma_min), min(asked.sigma_max, known.sigma_max)
    raise InputError(
        f"levels {asked.sigma_min:g} to {asked.sigma_max:g}: the network of model {config.model.name!r} knows "
        f"those from {known.sigma_min:.4g} to "
        f"{known.sigma_max:.4g}, and takes any other for the nearest of them. Give levels: {{sigma_min: {low:.4g}, "
        f"sigma_max: {high:.4g}}}"
    )


def _null(config: RunConfig, signal: Signal, observations: Observed) -> dict[str, Tensor]:
    """What stands for no condition, where conditions are to be dropped. Raises InputError where there are none, or the
    model has nothing for it."""
    if config.cond_dropout == 0:
        return {}
    carries = config.corruption.carries  # masks and operators say what was measured: nothing stands for none
    if not set(signal.conds) - carries:
        raise InputError(
            f"cond_dropout: {config.cond_dropout:g} was asked for, but the data carry no conditions; leave it at 0"
        )
    cond = observations.__getitems__([0]).cond
    return null_values(config.model, {name: value for name, value in cond.items() if name not in carries})
