"""The settings of a training that was proposed: network, batch, rate, steps, and the time it takes here."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ambientkit.config.files import KeyPath, Source
from ambientkit.config.run import resolve
from ambientkit.data import observed
from ambientkit.data.held_out import held_out_count
from ambientkit.errors import AmbientError, InputError
from ambientkit.interfaces import Levels
from ambientkit.processes import device_of
from ambientkit.registry import Registry
from ambientkit.run.configured import proposed
from ambientkit.run.levels import suiting_levels
from ambientkit.text import clock
from ambientkit.training import build, steps

logger = logging.getLogger("ambientkit")

TRIAL, CYCLES = 4.0, 3
"""Seconds that the trial takes at most once it is warm, and how often it goes through a cycle of steps."""
CYCLE = 4
"""Steps after which the mixture of objectives repeats (consistency is trained in every fourth)."""
TIME = {"cpu": 5 * 60.0, "cuda": 30 * 60.0}
"""Seconds of training for which steps are proposed, by kind of device."""
FEWEST, MOST = 300, 100_000
"""Steps proposed at least and at most."""
USUAL = {"batch_size": 64, "optimizer": {"lr": 5e-4, "schedule": "cosine"}}
"""The training of a model that proposes none."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Keys of a configuration besides its data, with reasons, and what is to be said of the whole."""

    tree: Mapping[str, Any]
    reasons: Mapping[KeyPath, str]
    head: tuple[str, ...]
    refused: str = ""
    """Why `train` would not begin."""


def settings(
    data: Mapping[str, Any],
    shape: tuple[int, ...],
    rows: int,
    registry: Registry,
    augment: Sequence[str] = (),
    corruption: str | Mapping[str, Any] = "gaussian",
    objective: str | None = None,
) -> Settings:
    """For rows (rows, *shape) of a data set, as `augment` leaves them, the model and its training as `train` chooses
    them; the steps fit a time.

    The speed is measured by a trial of a few seconds; without one (the network cannot be built here) the steps are a
    default. What `train` would refuse is said in `refused`. objective: one other than the default.
    """
    name, model = proposed(registry, shape, {}, rows)
    tree: dict[str, Any] = {"model": {"name": name, **model.fields}, **USUAL, **model.training}
    tree["batch_size"] = max(1, min(tree["batch_size"], rows))
    if augment:
        tree["augment"] = list(augment)
    reasons: dict[KeyPath, str] = {("model",): f"As `ambientkit train` chooses: {model.why}."}
    reasons["batch_size",] = "Rows in a step."
    reasons["optimizer", "lr"] = "Suits the model."
    reasons["optimizer", "schedule"] = "The rate falls to 0 at end_step, so that the last steps average."
    if objective is not None:  # the model may propose another one
        tree["objective"] = objective
    asked = {"data": dict(data), "corruption": corruption}
    if model.levels_by_rows and (levels := _levels({**asked, **tree}, registry)) is not None:
        tree["levels"] = levels._asdict()
        reasons["levels", "sigma_min"] = "A fifteenth of the lowest noise of the rows, between 0.002 and 0.02."
        reasons["levels", "sigma_max"] = (
            "The largest distance of two of up to 512 rows, freed of their noise, or ten times the noise: samples "
            "begin there."
        )
    device = device_of("auto")
    try:
        second = _trial({**asked, **tree}, registry)
    except InputError as error:
        return Settings(tree, reasons, (), str(error))
    target = TIME.get(device.type, TIME["cuda"])
    if isinstance(second, str):
        tree["end_step"] = 2000
        reasons["end_step",] = f"No trial was possible here, so the time is not known: {second}"
        head: tuple[str, ...] = ()
    else:
        count = max(FEWEST, min(MOST, _round(target / second)))
        tree["end_step"] = count
        reasons["end_step",] = (
            f"About {clock(count * second)} on this {device.type} where nothing else runs ({second:.2g} s per step "
            "in a trial). "
            f"More steps give better samples."
        )
        head = (f"Time: about {clock(count * second)} on this {device.type}, by a trial of a few steps.",)
    held = held_out_count(rows, None)
    tree["hold_out"] = round(held / rows, 4) if held else 0
    reasons["hold_out",] = (
        f"{held} of {rows:,} rows are not trained on: by their loss the best weights are kept."
        if held
        else f"{rows} rows are too few to hold some out."
    )
    tree["save_every"] = max(50, tree["end_step"] // 10)
    tree["log_every"] = max(10, tree["end_step"] // 100)
    reasons["save_every",] = "Ten checkpoints, of which the last three are kept."
    reasons["log_every",] = "A hundred log lines."
    return Settings(tree, reasons, head)


def _levels(tree: Mapping[str, Any], registry: Registry) -> Levels | None:
    """The range of levels that `train` takes for such rows; None where they cannot be read, which the trial says."""
    try:
        config = resolve(Source({**tree, "end_step": 1}), registry)
        return suiting_levels(
            observed(config.data.rows(), config.corruption, config.seed, config.augment), config.corruption
        )
    except AmbientError:
        return None


def _trial(tree: Mapping[str, Any], registry: Registry) -> float | str:
    """Seconds per step, objectives below the noise included; why the training cannot be built, where it cannot.
    Raises InputError for what `train` would refuse.

    On a CPU the time that the steps compute, so that what else the machine does at the moment does not count.
    """
    try:
        config = resolve(Source({**tree, "end_step": 2 * CYCLE * (CYCLES + 1)}), registry)
        training = build(config)
    except InputError:
        raise
    except AmbientError as error:
        return str(error)
    on_cpu, threads = training.accelerator.device.type == "cpu", torch.get_num_threads()
    took, began, first = [], 0.0, True
    for step in steps(training):
        if step.step % CYCLE:
            continue
        now = time.process_time() / threads if on_cpu else time.perf_counter()
        if not first:
            took.append((now - began) / CYCLE)
        first, began = False, now
        if len(took) >= CYCLES or sum(took) * CYCLE > TRIAL:
            break
    return min(took) if took else "it ended before it could be timed"


def _round(value: float) -> int:
    """Two digits."""
    digits = max(0, int(math.log10(max(value, 1))) - 1)
    return int(round(value / 10**digits) * 10**digits)
