"""`ambientkit train`: check everything, then take the steps, logging, saving and drawing on the way."""

from __future__ import annotations

import math
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

from ambientkit.checkpoint.evaluations import EVALUATIONS, describe, numbers
from ambientkit.checkpoint.lines import append_line
from ambientkit.checkpoint.lock import run_lock
from ambientkit.checkpoint.status import RunStatus, State
from ambientkit.cli.output import progress_wanted
from ambientkit.config import dump
from ambientkit.config.datapath import refuse_inside
from ambientkit.config.files import redacted
from ambientkit.config.request import Request, configure
from ambientkit.config.run import to_yaml
from ambientkit.errors import InputError, RunError, nearest
from ambientkit.export.card import write_card
from ambientkit.inspection import NAMES
from ambientkit.processes import is_main
from ambientkit.registry import Registry, load
from ambientkit.run import trackers
from ambientkit.run.demo import draw_demo
from ambientkit.run.folder import (
    CONFIG,
    METRICS,
    checkpoint_of,
    make,
    open_folder,
    refuse_used,
    resume_command,
    resumed,
    save,
    save_average,
)
from ambientkit.run.log import Log
from ambientkit.run.preflight import write_preflight
from ambientkit.run.prepare import Say, label, prepare
from ambientkit.run.stop import TIME_UP, Stop, seconds, stop_on_signals
from ambientkit.run.watch import Evaluation
from ambientkit.sample import load_run
from ambientkit.text import clock
from ambientkit.train import Training, steps
from ambientkit.train.accelerator import accelerator_for
from ambientkit.train.collapse import CAUSES, Detector, given_rows, look
from ambientkit.train.metrics import Window


def run(request: Request) -> None:
    """The whole command. Nothing is written before everything that can be checked has been."""
    deadline = time.monotonic() + (seconds(request.time_limit) if request.time_limit is not None else math.inf)
    for name in request.allow:
        if name not in NAMES:
            raise InputError(f"--allow {name}: no test of the noise has this name{nearest(name, NAMES)}\nKnown: {', '.join(NAMES)}")
    registry = load()
    with ExitStack() as held:
        found = resumed(request)
        if found and is_main() and not request.dry_run:  # from here on nobody else may change what is read
            held.enter_context(run_lock(found[0]))
        checkpoint = checkpoint_of(*found) if found else None
        config = configure(request, registry, found[0] / CONFIG if found else None)
        if request.dry_run:
            print(to_yaml(dump(config)), end="")
            return
        if is_main():
            for problem in registry.problems:
                print(f"warning: {problem}", file=sys.stderr)
        folder = found[0] if found else request.output_dir or Path("runs") / f"{config.data.name}-{label(config)}"
        if not found:
            refuse_used(folder)
            refuse_inside("--output-dir", folder, config.data)  # a resume would read the pictures of the run as rows
        accelerator = accelerator_for(config, **trackers.options(config, folder))
        say: Say = partial(print, flush=True) if accelerator.is_main_process else lambda text: None
        training, window, detector, checked = prepare(config, checkpoint, registry, accelerator, request, say)
        evaluation = Evaluation(training, registry) if config.evaluate_every else None
        if found and checkpoint is None:
            say(f"{folder}: the run ended before its first checkpoint; it begins again at step 0")
        accelerator.wait_for_everyone()  # every process has read what it resumes from
        if accelerator.is_main_process:
            if not found:
                make(folder)
                held.enter_context(run_lock(folder))
                refuse_used(folder)
            open_folder(folder, config, training.step, say)
            if checked is not None:
                write_preflight(folder, checked)
        status = _train(training, window, detector, evaluation, folder, registry, say, deadline)
        accelerator.end_training()
    if status:
        sys.exit(status)


def _train(
    training: Training,
    window: Window,
    detector: Detector,
    evaluation: Evaluation | None,
    folder: Path,
    registry: Registry,
    say: Say,
    deadline: float,
) -> int:
    """Take the steps and record in the run's status how that went; returns the exit status."""
    main, processes = training.accelerator.is_main_process, training.accelerator.num_processes

    def record(state: State, message: str = "") -> None:
        if main:
            status = RunStatus(state, training.step, training.config.end_step, processes, message, warnings=tuple(detector.said))
            status.write(folder)

    def warn(causes: Sequence[str]) -> None:
        if main and causes:
            for cause in causes:
                print(f"warning: step {training.step}: {CAUSES[cause]}", file=sys.stderr, flush=True)
            record("running")

    record("running")
    try:
        trackers.start(training.accelerator, training.config, folder, training.step)
        asked = _take_steps(training, window, detector, evaluation, folder, registry, say, deadline, warn)
        if main and not asked:
            _finish(training, folder, registry, say)
    except BaseException as error:
        with suppress(RunError):  # of a full disk, which is perhaps why
            record("failed", redacted(" ".join(str(error).split()))[:500] or type(error).__name__)
        if training.config.compile and isinstance(error, torch._dynamo.exc.TorchDynamoException):
            reason = " ".join(str(error).split())[:300]
            raise RunError(f"--compile: torch.compile cannot compile this network here ({reason}); leave it out") from error
        raise
    if not asked:
        record("finished")
        return 0
    why = "the time limit is reached" if asked == TIME_UP else f"{signal.Signals(asked).name} was received"
    record("unfinished" if asked == TIME_UP else "stopped", why)
    say(f"stopped after step {training.step}: {why}; go on with: {resume_command(folder, processes)}")
    return 0 if asked == TIME_UP else 128 + asked


def _take_steps(
    training: Training,
    window: Window,
    detector: Detector,
    evaluation: Evaluation | None,
    folder: Path,
    registry: Registry,
    say: Say,
    deadline: float,
    warn: Callable[[Sequence[str]], None],
) -> int:
    """Train to the end, or until asked to stop; returns 0, TIME_UP or the number of a signal."""
    config, accelerator = training.config, training.accelerator
    main = accelerator.is_main_process
    with (
        stop_on_signals(deadline) as stop,
        Log(folder / METRICS, training) as log,
        tqdm(total=config.end_step, initial=training.step, unit="step", disable=not (main and progress_wanted())) as bar,
    ):
        for step in steps(training):
            window.add(step)
            bar.update()
            ended = step.step == config.end_step
            due = ended or step.step % config.save_every == 0  # not where a run is stopped: its log is that of an unbroken one
            causes = _look(training, detector) if main and due and detector.due(step.step) else []
            if step.step % config.log_every == 0 or ended:
                causes += detector.line(window.line(step)) if main else []
                line = log.write(window, step, detector.note())
                bar.set_postfix_str("  ".join(f"{name} {mean:.4g}" for name, mean in window.means().items()))
                if bar.disable:
                    say(_describe_line(line, config.end_step))
                window = Window()
            warn(causes)
            if evaluation and main and (ended or step.step % config.evaluate_every == 0):
                _evaluate(evaluation, folder, log, say if bar.disable else None)  # before the save: a run resumed from it has this line
            asked = _agreed(accelerator, stop)
            if due or asked:
                memory, optimizer = training.memory_of_all(), training.optimizer_of_all()
                if main:
                    log.sync()
                    save(training, window, detector, folder, memory, optimizer)
                accelerator.wait_for_everyone()
            if main and config.demo_every and step.step % config.demo_every == 0 and not ended:
                draw_demo(training, folder / "samples" / f"demo_{step.step:08}.png", registry)
            if asked and not ended:
                return asked
    return 0


def _evaluate(evaluation: Evaluation, folder: Path, log: Log, say: Say | None) -> None:
    line = evaluation.line()
    append_line(folder / EVALUATIONS, line)
    log.track({f"evaluation/{name}": value for name, value in numbers(line).items()}, line["step"])
    if "error" in line:
        print(f"warning: step {line['step']}: the evaluation failed: {line['error']}", file=sys.stderr, flush=True)
    elif say:
        say(f"evaluation at step {line['step']}: {describe(line)}")


def _look(training: Training, detector: Detector) -> list[str]:
    """Look at the averaged denoiser on the first rows; the causes for worry that were not said before."""
    config, signal, observations = training.config, training.signal, training.observations
    if "reverse-kernel" not in config.sampler.claims:
        return []
    given = observations.__getitems__(given_rows(observations))
    given = given.to(training.accelerator.device)
    found = look(training.teacher, given, config.corruption, config.sampler, config.levels.as_levels(), signal.sigma_data, config.seed)
    return detector.seen(found, training.step) if found else []


def _describe_line(line: Mapping[str, Any], end_step: int) -> str:
    words = [f"step {line['step']}/{end_step}", *(f"{name} {mean:.4g}" for name, mean in line["terms"].items())]
    words += [f"{line['examples_per_s']:.0f} examples/s", f"{clock(line['eta_s'])} left"]
    return "  ".join(words + ([f"{line['skipped']} steps skipped (not finite)"] if line["skipped"] else []))


def _agreed(accelerator: Accelerator, stop: Stop) -> int:
    """What any process was asked: all must leave at the same step. The highest number counts."""
    if accelerator.num_processes == 1:
        return stop.asked()
    return int(accelerator.gather(torch.tensor([stop.asked()], device=accelerator.device)).max())


def _finish(training: Training, folder: Path, registry: Registry, say: Say) -> None:
    save_average(training, folder)  # a run that was killed between its last checkpoint and this file lacks it
    picture = folder / "samples" / "before_and_after.png"
    if draw_demo(training, picture, registry):
        say(f"picture: {picture}")
    if kept := write_card(folder, load_run(folder, registry), registry):
        say(f"note: {kept}")
    say(f"run: {folder}")
    say(f"next: ambientkit sample {shlex.quote(str(folder))}")
