"""The training loop: a generator that yields one `Step` for every optimiser step. Who iterates decides when to log,
sample and save."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ambientkit.batch import Batch, Term
from ambientkit.checkpoint.base import train_mode
from ambientkit.checkpoint.sharded import whole
from ambientkit.data import drop_conditions
from ambientkit.errors import RunError
from ambientkit.interfaces import Tools
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.training.blame import blaming, checked_loss
from ambientkit.training.gradients import average_gradients
from ambientkit.training.optim import advance
from ambientkit.training.state import ADVICE, Training


class Step(NamedTuple):
    """What one optimiser step did. Tensors stay on the device until somebody reads them."""

    step: int
    """Optimiser steps done, this one included."""
    loss: Tensor
    """(), the weighted sum of the means of all terms, over all processes and micro-steps."""
    terms: dict[str, Tensor]
    """name -> (), the unweighted mean of each term."""
    values: dict[str, Term]
    """name -> this process's detached values and their levels, all micro-steps together."""
    grad_norm: Tensor
    lr: float
    skipped: bool = False
    """Whether the step was left out, because its loss or gradient was not finite: weights, optimiser and average are as
    before."""


def steps(training: Training, reading: Callable[[], AbstractContextManager[None]] = nullcontext) -> Iterator[Step]:
    """Train from `training.step` to `config.end_step`, yielding after every optimiser step. reading: surrounds the
    reading of the rows of a step; what is raised there leaves the training as it was after the step before.

    Everything random is keyed by (seed, purpose, rank, step): work between two steps changes nothing in training. A
    step whose loss or gradient is not finite is skipped and counted. Raises RunError after `config.max_bad_steps` of
    them in a row, at the end where all were skipped, and where a part of another package breaks its contract or raises
    (`training.blame`).
    """
    config, accelerator = training.config, training.accelerator
    batches = iter(training.loader())
    train_mode(training.network)
    # accelerate's own way to the optimiser looks for libraries on the disk in every step, which a small network feels.
    parameters = training.trained
    optimizer = training.bare_optimizer if accelerator.scaler is None else training.optimizer
    while training.step < config.end_step:
        with blaming(config, f"step {training.step + 1}"):
            with reading():
                micro_batches = [next(batches).to(accelerator.device) for _ in range(config.grad_accum_steps)]
            with isolated_global_generator(config.seed, "network", rank=accelerator.process_index, step=training.step):
                loss, means, values = _accumulate(training, micro_batches)
        if not training.sharded:  # there it was done in the backward passes
            average_gradients(accelerator, parameters)
        accelerator.unscale_gradients()
        grad_norm = whole(nn.utils.clip_grad_norm_(parameters, config.optimizer.max_grad_norm))
        lr = training.bare_optimizer.param_groups[0]["lr"]
        finite = bool(loss.isfinite() and grad_norm.isfinite())
        if finite:
            optimizer.step()
            training.average.update()
            training.skipped_in_a_row = 0
        else:
            if accelerator.scaler is not None:
                accelerator.scaler.update()  # the scale of fp16 was too large: half of it next time
            training.skipped += 1
            training.skipped_in_a_row += 1
        for parameter in parameters:  # not `optimizer.zero_grad`: the optimiser may hold shares of the weights only
            parameter.grad = None
        advance(training.schedule)
        training.step += 1
        yield Step(training.step, loss, means, values, grad_norm, lr, not finite)
        if training.skipped_in_a_row >= config.max_bad_steps:
            raise RunError(
                f"steps {training.step - training.skipped_in_a_row + 1} to {training.step}: the loss "
                f"({float(loss):.4g}) or its gradient "
                f"({float(grad_norm):.4g}) was not finite, {training.skipped_in_a_row} steps in a row (max_bad_steps). "
                f"The weights are those of step {training.step - training.skipped_in_a_row}. {ADVICE}"
            )
    if training.skipped >= training.step > 0:
        raise RunError(
            f"all {training.step} steps were skipped, because their loss or gradient was not finite: the weights "
            f"are those of the beginning. {ADVICE}"
        )


def _accumulate(training: Training, micro_batches: list[Batch]) -> tuple[Tensor, dict[str, Tensor], dict[str, Term]]:
    """Backward through every micro-batch; each weighs by its share of the rows."""
    rows = sum(len(batch.x_n) for batch in micro_batches)
    total = torch.zeros((), device=training.accelerator.device)
    means: dict[str, Tensor] = {}
    values: dict[str, list[Term]] = {}
    for index, batch in enumerate(micro_batches):
        share = len(batch.x_n) / rows
        micro_step = training.step * len(micro_batches) + index
        if training.null:
            null = {name: value.to(training.accelerator.device) for name, value in training.null.items()}
            batch = drop_conditions(batch, null, training.config.cond_dropout, training.config.seed, micro_step)
        loss, terms = _backward(training, batch, micro_step, share)
        total = total + share * _mean_over_processes(training, loss)
        for name, (term, mean) in terms.items():
            means[name] = means.get(name, torch.zeros_like(total)) + share * _mean_over_processes(training, mean)
            values.setdefault(name, []).append(term)
    joined = {
        name: Term(torch.cat([t.value for t in terms]), torch.cat([t.sigma for t in terms]))
        for name, terms in values.items()
    }
    return total, means, joined


def _backward(
    training: Training, batch: Batch, micro_step: int, share: float
) -> tuple[Tensor, dict[str, tuple[Term, Tensor]]]:
    """Backward through every objective of one micro-batch in turn, so that the activations of one only are held at a
    time.

    Returns the weighted sum of the terms' means and the terms, detached, scaled so that the average over processes is
    the joint mean.
    """
    config, rank = training.config, training.accelerator.process_index
    loss = torch.zeros((), device=training.accelerator.device)
    terms: dict[str, tuple[Term, Tensor]] = {}
    for place, entry in enumerate(config.objective):
        weight = entry.weight_at(training.step, config.end_step)
        if weight == 0:
            continue
        key = f"objective.{place}.{entry.objective.name}"
        tools = Tools(
            corruption=config.corruption,
            sampler=config.sampler,
            teacher=training.teacher,
            signal=training.signal,
            generator=keyed_generator(config.seed, key, rank=rank, step=micro_step, device=training.accelerator.device),
            levels=config.levels.as_levels(),
            memory=training.memories.setdefault(key, {}),
        )
        own = torch.zeros_like(loss)
        with training.calls():
            found = checked_loss(entry.objective, training.denoiser, batch, tools, first=key not in training.checked)
        training.checked.add(key)
        for name, term in found.items():
            mean = _joint_mean(training, term)
            own = own + weight * mean
            kept = Term(term.value.detach(), term.sigma.detach())
            terms[name if name not in terms else f"{name}.{place}"] = (kept, mean.detach())
        if training.together:
            training.together.backward(own * share)
        elif own.requires_grad:  # not where no row of the batch suits the objective
            training.accelerator.backward(own * share)
        loss = loss + own.detach()
    return loss, terms


def _joint_mean(training: Training, term: Term) -> Tensor:
    """A value whose average over processes is the mean of the term over the rows of all of them, also where their
    numbers differ."""
    processes = training.accelerator.num_processes
    count = torch.tensor(float(len(term.value)), device=training.accelerator.device)
    if processes > 1:
        count = training.accelerator.reduce(count, reduction="sum") / processes
    return term.value.sum() / count.clamp(min=1 / processes)


def _mean_over_processes(training: Training, value: Tensor) -> Tensor:
    return training.accelerator.reduce(value, reduction="mean") if training.accelerator.num_processes > 1 else value
