"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from ambientkit.config.run import OptimizerConfig
from ambientkit.errors import InputError

PACKAGES = {
    "adamw-8bit": ("bitsandbytes.optim", "AdamW8bit"),
    "prodigy": ("prodigyopt", "Prodigy"),
    "adamw-schedule-free": ("schedulefree", "AdamWScheduleFree"),
}
"""Name -> (package, class), of the extra `optimizers`."""


def optimizer_for(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum: torch's own; or one of another package (`PACKAGES`). Raises InputError where that is
    not installed."""
    if config.name in PACKAGES:
        package, name = PACKAGES[config.name]
        try:
            kind = getattr(importlib.import_module(package), name)
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"optimizer.name: {config.name} is {name} of the package {package.partition('.')[0]}, which cannot "
                f"be imported ({error}): "
                "pip install 'ambientkit[optimizers]'"
            ) from None
        found = kind(parameters, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay)
        if config.name == "adamw-schedule-free":  # the weights are then the points that gradients are taken at
            found.train()
        return found
    if config.name == "sgd":
        return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.AdamW(
        parameters, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay
    )


def lr_factor(config: OptimizerConfig, step: int, end_step: int) -> float:
    """The rate of optimiser step `step` (from 0) as a share of `config.lr`.

    A linear warm-up, (step + 1) / (warmup_steps + 1), times one of: constant, 1; cosine, (1 + cos(pi t)) / 2, where t
    rises from 0 after the warm-up to 1 at end_step; inverse-sqrt, (max(step, s) / s)^-1/2 with s = decay_start, or
    warmup_steps where it is not given. Source: inverse-sqrt, arXiv 2312.02696, eq. 67.
    """
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.schedule == "cosine":
        t = (step - config.warmup_steps) / max(end_step - config.warmup_steps, 1)
        return warmup * (1 + math.cos(math.pi * min(max(t, 0.0), 1.0))) / 2
    if config.schedule == "inverse-sqrt":
        start = config.decay_start or max(config.warmup_steps, 1)
        return warmup * (max(step, start) / start) ** -0.5
    return warmup


def schedule_for(config: OptimizerConfig, optimizer: torch.optim.Optimizer, end_step: int) -> LambdaLR:
    """The rate as a function of the number of optimiser steps, independent of the number of processes and
    micro-steps."""
    return LambdaLR(optimizer, lambda step: lr_factor(config, step, end_step))


def advance(schedule: LambdaLR) -> None:
    """One optimiser step on. Silences torch's warnings of a schedule that is ahead of its optimiser, as a skipped step
    counts too, and of accelerate's change of the optimiser's step under fp16."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        warnings.filterwarnings("ignore", r"Seems like `optimizer.step\(\)` has been overridden")
        schedule.step()
