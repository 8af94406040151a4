"""Training with a run folder: everything is checked, then the steps are taken, with logs, checkpoints and pictures on
the way."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

from ambientkit.checkpoint.evaluations import describe, numbers
from ambientkit.checkpoint.lines import append_line
from ambientkit.checkpoint.lock import run_lock
from ambientkit.checkpoint.names import BEST, EVALUATIONS
from ambientkit.checkpoint.status import RunStatus, State
from ambientkit.checkpoint.target import check_place
from ambientkit.config import RunConfig
from ambientkit.config.datapath import refuse_inside
from ambientkit.config.files import redacted
from ambientkit.config.request import Request
from ambientkit.data import of_one_shape
from ambientkit.errors import InputError, RunError, nearest
from ambientkit.inspection import NAMES
from ambientkit.messages import say, warn, without_progress
from ambientkit.processes import is_alone, is_main
from ambientkit.registry import Registry
from ambientkit.run import trackers
from ambientkit.run.configured import configured
from ambientkit.run.demo import draw_demo
from ambientkit.run.folder import (
    CONFIG,
    METRICS,
    checkpoint_of,
    left_unbegun,
    make,
    open_folder,
    refuse_unmakeable,
    refuse_used,
    resume_command,
    resumed,
    save,
    save_average,
)
from ambientkit.run.going import UNITS, suspicious
from ambientkit.run.keep import Keeper
from ambientkit.run.log import Log, describe_line
from ambientkit.run.preflight import write_preflight
from ambientkit.run.prepare import Prepared, label, prepare
from ambientkit.run.stop import SIGNALLED, TIME_UP, WORSE, Asked, Stop, describe_signal, seconds
from ambientkit.run.watch import Evaluation
from ambientkit.sample.suited import why_no_samples
from ambientkit.seeds import check_seed
from ambientkit.training import Step, Training, steps
from ambientkit.training.accelerator import accelerator_for
from ambientkit.training.blame import blaming
from ambientkit.training.collapse import CAUSES, Detector, given_rows, look
from ambientkit.training.holdout import BY_HEART
from ambientkit.training.metrics import Window


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training ended."""

    folder: Path
    state: State
    """"finished"; "unfinished", where the time limit was reached; or "stopped", by a signal. Each may be resumed."""
    step: int
    signal: int = 0
    """Number of the signal that stopped it."""
    restores: bool | None = None
    """Whether it restores measured rows alone, and draws no samples; None where that was not looked at."""


def train(request: Request, registry: Registry, *, stop: Stop | None = None, progress: bool = False) -> Ended:
    """Train in a run folder, from step 0 or from where it was stopped. Nothing is written before everything that can be
    checked has been.

    stop: asked after every step; where it says so, the run is saved and left. progress: show a bar; otherwise every log
    line is reported. The folder is locked from the first read to the end. Raises InputError for what was given,
    CheckFailed where a quick check rejects a part, and RunError where the run cannot go on; its last checkpoint is then
    intact.
    """
    stop = stop or Stop()
    if request.time_limit is not None:
        stop.deadline = min(stop.deadline, time.monotonic() + seconds(request.time_limit))
    with ExitStack() as held:
        try:
            with stop.at_once() if is_alone() else nullcontext():
                ready = _ready(request, registry, held)
        except Asked:  # nothing is there that could be lost
            if stop.signal == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + stop.signal) from KeyboardInterrupt()
        folder, training = ready.folder, ready.prepared.training
        if ready.begun and not ready.from_checkpoint:
            say(f"{folder}: the run ended before its first checkpoint; it begins again at step 0")
        accelerator = training.accelerator
        accelerator.wait_for_everyone()  # every process has read what it resumes from
        if accelerator.is_main_process:
            if not ready.begun:
                make(folder)
                if not ready.anew:
                    held.enter_context(run_lock(folder))
                refuse_used(folder)
            open_folder(folder, training.config, training)
            if ready.prepared.preflight is not None:
                write_preflight(folder, ready.prepared.preflight)
        ended = _Work(ready.prepared, ready.evaluation, folder, registry, stop, progress).carry_out()
        accelerator.end_training()
    return ended


def check(request: Request, registry: Registry) -> RunConfig:
    """The configuration of the run that `train` would begin or go on with, after all that it checks before step 1 but
    the quick checks of its parts. Nothing is left behind, locked or reported but warnings. Raises InputError as
    `train`."""
    if request.time_limit is not None:
        seconds(request.time_limit)
    with without_progress():
        ready = _ready(replace(request, skip_preflight=True), registry, None)
        check_place(ready.folder / CONFIG if ready.folder.is_dir() else ready.folder, "--output-dir")
        refuse_unmakeable(ready.folder)
        training = ready.prepared.training
        trackers.refuse_unready(training.accelerator, training.config)
    return training.config


class _Ready(NamedTuple):
    """A run that was checked, and has written nothing yet."""

    prepared: Prepared
    folder: Path
    begun: bool
    """Whether the folder holds this run already."""
    anew: bool
    """Whether it holds what a run left that ended before its first step."""
    from_checkpoint: bool
    evaluation: Evaluation | None


def _ready(request: Request, registry: Registry, held: ExitStack | None) -> _Ready:
    """Everything that is checked before a run writes. held: keeps the lock of the run folder; without it none is
    taken."""
    for name in request.allow:
        if name not in NAMES:
            raise InputError(
                f"--allow {name}: no test of the noise has this name{nearest(name, NAMES)}\nKnown: {', '.join(NAMES)}"
            )
    found = resumed(request)
    if found and held and is_main():  # from here on nobody else may change what is read
        held.enter_context(run_lock(found[0]))
    checkpoint = checkpoint_of(*found) if found else None
    asked = configured(request, registry, found[0] / CONFIG if found else None)
    config = asked.config
    folder = found[0] if found else request.output_dir or Path("runs") / f"{config.data.name}-{label(config)}"
    anew = not found and left_unbegun(folder)
    if not found:
        check_seed(config.seed)  # a run of an earlier version may have another, and goes on with it
        refuse_used(folder)
        refuse_inside("--output-dir", folder, config.data)  # a resume would read the pictures of the run as rows
    if anew and held and is_main():
        held.enter_context(run_lock(folder))  # by which one is refused that is still before its first step
    accelerator = accelerator_for(config, **trackers.options(config, folder))
    with blaming(config, "before step 1"):
        prepared = prepare(asked, checkpoint, registry, accelerator, request, found[0] if found else None)
    evaluation = Evaluation(prepared.training, registry) if config.evaluate_every else None
    return _Ready(prepared, folder, bool(found), anew, checkpoint is not None, evaluation)


class _Work:
    """The steps of a run, and what is done between them."""

    def __init__(
        self,
        prepared: Prepared,
        evaluation: Evaluation | None,
        folder: Path,
        registry: Registry,
        stop: Stop,
        progress: bool,
    ) -> None:
        self.training, self.window, self.detector = prepared.training, prepared.window, prepared.detector
        self.keeper = prepared.keeper
        self.worse = ""
        """Why the run is stopped early; empty where it is not."""
        self.evaluation, self.folder, self.registry, self.stop = evaluation, folder, registry, stop
        self.main = self.training.accelerator.is_main_process
        self.bar = tqdm(
            total=self.training.config.end_step,
            initial=self.training.step,
            unit="step",
            disable=not (self.main and progress),
        )

    def carry_out(self) -> Ended:
        """Take the steps, and record in the run's status how that went."""
        training, processes = self.training, self.training.accelerator.num_processes
        self._record("running")
        try:
            trackers.start(training.accelerator, training.config, self.folder, training.step)
            asked = self._take_steps()
            if asked in (0, WORSE):
                self._finish()
        except BaseException as error:
            with suppress(RunError):  # of a full disk, which is perhaps why
                self._record("failed", redacted(" ".join(str(error).split()))[:500] or type(error).__name__)
            if training.config.compile and isinstance(error, torch._dynamo.exc.TorchDynamoException):
                reason = " ".join(str(error).split())[:300]
                raise RunError(
                    f"--compile: torch.compile cannot compile this network here ({reason}); leave it out"
                ) from error
            raise
        finally:
            self.bar.close()
        if asked in (0, WORSE):
            self._record("finished", f"stopped early: {self.worse}" if self.worse else "")
            maps = training.about_data.get("maps", ())
            restores = bool(why_no_samples(training.config.corruption, training.signal, maps))
            return Ended(self.folder, "finished", training.step, restores=restores)
        number = 0 if asked == TIME_UP else asked - SIGNALLED
        why = f"{describe_signal(number)} was received" if number else "the time limit is reached"
        state: State = "unfinished" if asked == TIME_UP else "stopped"
        self._record(state, why)
        say(f"stopped after step {training.step}: {why}; go on with: {resume_command(self.folder, processes)}")
        return Ended(self.folder, state, training.step, number)

    def _record(self, state: State, message: str = "") -> None:
        if self.main:
            training = self.training
            processes, warnings = (
                training.accelerator.num_processes,
                (*self.detector.said, *(self.keeper.watch.said if self.keeper else ())),
            )
            RunStatus(state, training.step, training.config.end_step, processes, message, warnings=warnings).write(
                self.folder
            )

    def _warn(self, causes: Sequence[str]) -> None:
        if self.main and causes:
            for cause in causes:
                warn(f"step {self.training.step}: {CAUSES[cause]}")
            self._record("running")

    def _take_steps(self) -> int:
        """Train to the end, or until asked to stop; returns 0 or what `Stop.asked` did."""
        training, config, main = self.training, self.training.config, self.main
        alone = training.accelerator.num_processes == 1  # several leave at one step
        with Log(self.folder / METRICS, training) as log, self._leaving(log):
            for step in steps(training, self.stop.at_once if alone else nullcontext):
                self.window.add(step)
                if step.step == 1 and main:
                    _first_loss(step)
                self.bar.update()
                ended = step.step == config.end_step
                due = (
                    ended or step.step % config.save_every == 0
                )  # not where a run is stopped: its log is that of an unbroken one
                causes = (training.by_main(self._look) if due else None) or []
                if self.keeper and self.keeper.due(step.step):
                    self._measure(self.keeper)
                if step.step % config.log_every == 0 or ended:
                    causes += self.detector.line(self.window.line(step)) if main else []
                    line = log.write(
                        self.window, step, {**self.detector.note(), **(self.keeper.watch.note() if self.keeper else {})}
                    )
                    self.bar.set_postfix_str(
                        "  ".join(f"{name} {mean:.4g}" for name, mean in self.window.means().items())
                    )
                    if self.bar.disable:
                        say(describe_line(line, config.end_step))
                    self.window = Window()
                self._warn(causes)
                # Before the save: a run resumed from it has this line.
                if self.evaluation and (ended or step.step % config.evaluate_every == 0):
                    training.by_main(partial(self._evaluate, log))
                asked = training.agreed(self.stop.asked() or (WORSE if self.worse else 0))  # all leave at one step
                if due or asked:
                    self._save(log)
                if config.demo_every and step.step % config.demo_every == 0 and not ended:
                    picture = self.folder / "samples" / f"demo_{step.step:08}.png"
                    if training.by_main(partial(draw_demo, training, picture, self.registry)):
                        trackers.show(training.accelerator, picture, step.step)
                if asked and not ended:
                    return asked
        return self.stop.asked() if training.step < config.end_step else 0

    @contextmanager
    def _leaving(self, log: Log) -> Iterator[None]:
        """Save what the steps so far have made where the run is asked to stop while rows are read."""
        try:
            yield
        except Asked:
            if self.training.step:
                self._save(log)

    def _save(self, log: Log) -> None:
        whole = self.training.whole()
        if self.main:
            log.sync()
            more = self.keeper.files() if self.keeper else {}
            save(self.training, self.window, self.detector, self.folder, whole, more)
            if self.keeper:
                self.keeper.save(self.folder)
        self.training.accelerator.wait_for_everyone()

    def _look(self) -> list[str]:
        return _look(self.training, self.detector) if self.detector.due(self.training.step) else []

    def _measure(self, keeper: Keeper) -> None:
        """Measure the rows held out; warn where the run memorises its rows, and stop where it has got worse for
        good."""
        seen, config = keeper.measure(), self.training.config
        if seen is None:  # another process measures
            return
        if seen.by_heart:
            warn(f"step {self.training.step}: {BY_HEART}: {seen.by_heart}")
            self._record("running")
        if seen.stop and config.stop_early and self.training.step < config.end_step:
            self.worse = seen.stop

    def _evaluate(self, log: Log) -> None:
        assert self.evaluation is not None
        line = self.evaluation.line()
        append_line(self.folder / EVALUATIONS, line)
        log.track({f"evaluation/{name}": value for name, value in numbers(line).items()}, line["step"])
        if "error" in line:
            warn(f"step {line['step']}: the evaluation failed: {line['error']}")
        elif self.bar.disable:
            say(f"evaluation at step {line['step']}: {describe(line)}")

    def _finish(self) -> None:
        average = self.training.average_of_all()
        if self.main:  # a run that was killed between its last checkpoint and this file lacks it
            save_average(self.training, self.folder, average)
        if self.worse:
            say(
                f"stopped early, after step {self.training.step} of {self.training.config.end_step}: {self.worse} "
                "(--no-stop-early goes on)"
            )
        if self.keeper and self.main:
            self.keeper.save(self.folder)
            say(f"weights kept: those of step {self.keeper.watch.kept}, in {self.folder / BEST}")
        picture = self.folder / "samples" / "before_and_after.png"
        with self.keeper.shown() if self.keeper else nullcontext():
            step = self.keeper.watch.kept if self.keeper else self.training.step
            drawn = self.training.by_main(partial(draw_demo, self.training, picture, self.registry, step))
        if drawn:
            say(f"picture: {picture}")
            trackers.show(self.training.accelerator, picture, self.training.step)


def _first_loss(step: Step) -> None:
    """Warn of a loss that no right run has, which shows at once that units are wrong."""
    for name, mean in step.terms.items():
        if suspicious(name, float(mean)):
            warn(f"step 1: a Tweedie loss of {float(mean):.3g} is what no right run has: {UNITS}")


def _look(training: Training, detector: Detector) -> list[str]:
    """Look at the averaged denoiser on the first rows; the causes for worry that were not reported before."""
    config, signal, observations = training.config, training.signal, of_one_shape(training.observations)
    if "reverse-kernel" not in config.sampler.claims or config.corruption.carries:  # it looks at whole rows
        return []
    given = observations.__getitems__(given_rows(observations)).to(training.accelerator.device)
    found = look(
        training.teacher,
        given,
        config.corruption,
        config.sampler,
        config.levels.as_levels(),
        signal.sigma_data,
        config.seed,
    )
    return detector.seen(found, training.step) if found else []
