"""What comes before the first step of a run: its rows are looked at, its parts built and checked, its weights read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator

from ambientkit.checkpoint import initial_weights
from ambientkit.checkpoint.initial import stated
from ambientkit.config import RunConfig
from ambientkit.config.request import Request
from ambientkit.data import Observations, Observed, Survey, observed, of_one_shape, survey
from ambientkit.data.held_out import split
from ambientkit.data.identity import fingerprint, refuse_other
from ambientkit.data.measured_units import shows_pictures
from ambientkit.errors import InputError
from ambientkit.inspection import look, refuse
from ambientkit.messages import note, say
from ambientkit.operators import answers, refuse_another
from ambientkit.processes import memory
from ambientkit.readers import ESTIMATES
from ambientkit.registry import Registry
from ambientkit.rows import as_rows
from ambientkit.run.configured import Configured
from ambientkit.run.folder import COLLAPSE, Checkpoint, read_identity
from ambientkit.run.keep import HOLD_OUT, Keeper
from ambientkit.run.preflight import SKIPPED, run_preflight
from ambientkit.sample.load import Noise, about_data
from ambientkit.training import Training, build
from ambientkit.training.begin import refuse_unseen
from ambientkit.training.collapse import Detector
from ambientkit.training.launched import split_asked
from ambientkit.training.metrics import Window


class Prepared(NamedTuple):
    """A run that can begin, or go on."""

    training: Training
    window: Window
    detector: Detector
    keeper: Keeper | None
    """Of the rows held out; None where there are none."""
    preflight: dict[str, Any] | None
    """The record of the checks before step 1; None for a run that is past it."""


def prepare(
    asked: Configured,
    checkpoint: Checkpoint | None,
    registry: Registry,
    accelerator: Accelerator,
    request: Request,
    folder: Path | None = None,
) -> Prepared:
    """A run at its first step, or at the step of a checkpoint, after every check. folder: of a run that was begun
    before."""
    config = asked.config
    rows = config.data.rows() if asked.rows is None else asked.rows
    known = {} if folder is None else read_identity(folder)
    refuse_other(config.data, rows, known.get("fingerprint"), str(folder))
    observations = observed(rows, config.corruption, config.seed, config.augment)
    # An estimate is made once only: the network's scales rest on it.
    known_std = config.sigma_data or known.get("sigma_data")
    estimated = getattr(config.data, "sigma_n", None) in ESTIMATES
    seen = survey(of_one_shape(observations), config.corruption, config.levels.as_levels(), known_std, estimated)
    refuse_another(config.corruption, seen.signal.shape, known.get("operator"), str(folder))
    refuse_unseen(seen)
    _refuse_too_large(config, seen)
    _describe(config, seen, observations)
    if asked.chosen:
        say(asked.chosen)
    if checkpoint is None and not observations.simulated and seen.sigma_n[1] > 0:
        stored = Observations(rows, config.corruption, config.seed)  # as stored: its noise is judged by place
        pictures = shows_pictures(config.corruption)
        found = look(stored, of=as_rows(rows), lowest=config.levels.sigma_min, pictures=pictures)
        refuse(found.findings, request.allow)
    of_old = checkpoint is not None and HOLD_OUT not in checkpoint[1]  # a run of a version that held none out
    trained_on, held_out = (observations, []) if of_old else split(observations, config.hold_out, config.seed)
    training = build(config, seen.signal, trained_on, accelerator)
    keeper = Keeper(training, observations, held_out) if held_out else None
    if keeper:
        say(
            f"held out: {len(held_out):,} rows, which are not trained on; by their Tweedie loss the best averaged "
            "weights are kept (--hold-out 0: none)"
        )
    elif config.hold_out is None and not of_old:
        say(
            f"held out: none, as {len(observations):,} rows are too few; whether their noise is memorised is not "
            "measured (--hold-out 0.2: a fifth of them)"
        )
    if training.sharded:
        say(
            f"FSDP 2: weights, gradients, the average and the optimiser's state are sharded over "
            f"{accelerator.num_processes} processes"
        )
    if training.split:
        say(
            f"{split_asked()}: the optimiser's state is split over {accelerator.num_processes} processes; weights, "
            "gradients and the average stay whole in each"
        )
    identity = known.get("fingerprint") or fingerprint(config.data, rows, config.fingerprint)
    training.about_data = {
        **about_data(rows, seen.sigma_n, _noise_known(config, observations.simulated), _maps(config, observations)),
        "fingerprint": identity,
        "operator": known.get("operator") or answers(config.corruption, seen.signal.shape),
    }
    if checkpoint is not None:
        path, files = checkpoint
        training.restore(files, str(path))
        if asked.changed:
            note(asked.changed)
        say(f"resuming {path} at step {training.step} of {config.end_step}")
        detector = Detector(json.loads(files[COLLAPSE]) if COLLAPSE in files else None)
        if keeper:
            keeper.restore(files, str(path))
        return Prepared(training, Window(json.loads(files["window.json"])), detector, keeper, None)
    if config.init_from is not None:
        tensors, file = initial_weights(Path(config.init_from), training.base)
        tensors = dict(config.model.translated(tensors, stated(file), training.bare_network, file))
        training.begin_with(tensors, file)
        say(f"weights to begin with: {file}, {len(tensors)} tensors")
    checked = SKIPPED if request.skip_preflight else run_preflight(config, registry, observations.__getitems__([0]))
    return Prepared(training, Window(), Detector(), keeper, checked)


def _noise_known(config: RunConfig, simulated: bool) -> Noise:
    """How the noise level of the rows is known."""
    if simulated:
        return "simulated"
    return "estimated" if getattr(config.data, "sigma_n", None) in ESTIMATES else "declared"


def _maps(config: RunConfig, observations: Observed) -> list[str]:
    """The names of what rows bring for the operator of the corruption."""
    operator = getattr(config.corruption, "operator", None)
    own: frozenset[str] = getattr(operator, "per_row", frozenset())
    return sorted(own & of_one_shape(observations).__getitems__([0]).cond.keys()) if own else []


def label(config: RunConfig) -> str:
    """The objectives of a run, as the name of its folder has them."""
    return "-".join(entry.objective.name for entry in config.objective)


def _refuse_too_large(config: RunConfig, seen: Survey) -> None:
    """Raise InputError for a micro-step whose rows alone, in float32, are more than the memory of this machine: it
    would fill that before a step is made, and stop the machine with it."""
    needed = 4 * config.batch_size * math.prod(seen.signal.shape)
    there = memory()
    if there is not None and needed > there:
        raise InputError(
            f"batch_size {config.batch_size:,}: so many rows of shape {seen.signal.shape} take "
            f"{needed / 2**30:,.0f} GiB alone, and this machine has {there / 2**30:,.0f} GiB of memory. Give a smaller "
            "batch_size, and grad_accum_steps for as many rows in a step"
        )


def _describe(config: RunConfig, seen: Survey, observations: Observed) -> None:
    noise = {
        "simulated": "simulated once for each row",
        "estimated": "estimated from the rows",
    }.get(_noise_known(config, observations.simulated), "declared with the data")
    say(f"data: {config.data.name}, {seen.rows:,} rows of shape {seen.signal.shape}; {seen.describe_noise()}, {noise}")
    for entry in config.objective:
        if "needs-clean-data" in entry.objective.claims and seen.sigma_n[1] > 0:
            raise InputError(
                f"objective {entry.objective.name!r} needs clean data, but these have sigma_n up to "
                f"{seen.sigma_n[1]:.4g}: "
                "use tweedie-consistency, or give --sigma-n 0"
            )
    known = "given" if config.sigma_data is not None else "estimated"
    if known == "estimated" and "sampled" in config.corruption.carries:
        known = "estimated, as far as measurements show it"
    say(f"std of the clean data: {seen.signal.sigma_data:.4g} ({known})")
