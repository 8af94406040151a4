"""`ambientkit train`: check everything, then take the steps, logging, saving and drawing on the way."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from tqdm import tqdm

from ambientkit.checkpoint import latest, prune, read_folder, save_weights, write_folder
from ambientkit.checkpoint.folder import write_file
from ambientkit.cli.output import progress_wanted
from ambientkit.cli.request import Request, configure
from ambientkit.cli.signals import Stop, stop_on_signals
from ambientkit.cli.versions import versions
from ambientkit.config import RunConfig, dump
from ambientkit.config.run import to_yaml
from ambientkit.data import Observations, Survey, survey
from ambientkit.errors import CheckFailed, InputError
from ambientkit.interfaces import Sampler
from ambientkit.registry import Registry, load
from ambientkit.sample import draw, step_grid
from ambientkit.sample.load import WEIGHTS
from ambientkit.sample.picture import grid, panels, png
from ambientkit.train import Run, build, steps
from ambientkit.train.metrics import Window
from ambientkit.train.run import accelerator_for
from ambientkit.verify import Verdict, preflight
from ambientkit.verify.report import refusal

DEMO_STEPS = 32


def run(request: Request) -> None:
    """The whole command. Nothing is written before everything that can be checked has been."""
    registry = load()
    folder, checkpoint = _resume_from(request)
    config = configure(request, registry, folder / "config.yaml" if folder else None)
    if request.dry_run:
        print(to_yaml(dump(config)), end="")
        return
    for problem in registry.problems:
        print(f"warning: {problem}", file=sys.stderr)
    folder = folder or request.output_dir or Path("runs") / f"{config.data.name}-{_label(config)}"
    if checkpoint is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--output-dir {folder}: already exists and is not empty. Go on with --resume latest, or give another folder")

    accelerator = accelerator_for(config)
    say: Callable[[str], None] = print if accelerator.is_main_process else lambda text: None
    observations = Observations(config.data.rows(), config.corruption, config.seed)
    seen = survey(observations, config.corruption, config.levels.as_levels(), config.sigma_data)
    _describe(config, seen, observations, say)
    training = build(config, seen.signal, observations, accelerator)
    if checkpoint is None and not request.skip_preflight:
        _preflight(config, registry, say)
    window = Window()
    if checkpoint is not None:
        path, files = checkpoint
        training.restore(files, str(path))
        window = Window(json.loads(files["window.json"]))
        say(f"resuming {path} at step {training.step} of {config.end_step}")
    if accelerator.is_main_process:
        _open_folder(folder, config, training.step)
    _take_steps(training, window, folder, registry, say)


def _resume_from(request: Request) -> tuple[Path | None, tuple[Path, dict[str, bytes]] | None]:
    """The run folder to go on in and its checkpoint, or (None, None) for a new run."""
    if request.resume is None:
        return None, None
    if request.resume == "latest":
        if request.output_dir is None:
            raise InputError("--resume latest needs --output-dir, the folder of the run")
        given = request.output_dir
    else:
        given = Path(request.resume)
        if not given.is_dir():
            raise InputError(f"--resume {given}: there is no such folder; give a run folder or one of its checkpoints, or 'latest'")
    skipped: list[str] = []
    if given.parent.name == "checkpoints":
        folder, path, files = given.parent.parent, given, read_folder(given)
    else:
        folder = given
        path, files, skipped = latest(folder / "checkpoints")
    for line in skipped:
        print(f"warning: skipped {line}", file=sys.stderr)
    return folder, (path, files)


def _label(config: RunConfig) -> str:
    return "-".join(entry.objective.name for entry in config.objective)


def _describe(config: RunConfig, seen: Survey, observations: Observations, say: Callable[[str], None]) -> None:
    noise = "simulated once for each row" if observations.simulated else "declared with the data"
    say(f"data: {config.data.name}, {seen.rows:,} rows of shape {seen.signal.shape}; {seen.describe_noise()}, {noise}")
    for entry in config.objective:
        if "needs-clean-data" in entry.objective.claims and seen.sigma_n[1] > 0:
            raise InputError(
                f"objective {entry.objective.name!r} needs clean data, but these have sigma_n up to {seen.sigma_n[1]:.4g}: "
                "use tweedie-consistency, or give --sigma-n 0"
            )
    known = "given" if config.sigma_data is not None else "estimated"
    say(f"std of the clean data: {seen.signal.sigma_data:.4g} ({known})")


def _preflight(config: RunConfig, registry: Registry, say: Callable[[str], None]) -> None:
    """Run the quick checks on the parts of the run. Raises CheckFailed where one is rejected, or cannot be judged."""
    parts = [*(entry.objective for entry in config.objective), config.corruption, config.sampler]
    for result in preflight(parts, registry):
        say(f"preflight: {result}")
        if not isinstance(result, str) and result.verdict is not Verdict.PASSED:
            raise CheckFailed(refusal(result))


def _open_folder(folder: Path, config: RunConfig, step: int) -> None:
    """Make the run folder ready, and take away log lines that a resumed run will write again."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "config.yaml", to_yaml(dump(config)).encode())
    write_file(folder / "versions.json", json.dumps(versions(), indent=1).encode())
    metrics = folder / "metrics.jsonl"
    if metrics.exists():
        whole = [line for line in metrics.read_text().splitlines(keepends=True) if line.endswith("\n")]
        write_file(metrics, "".join(line for line in whole if json.loads(line)["step"] <= step).encode())


def _take_steps(training: Run, window: Window, folder: Path, registry: Registry, say: Callable[[str], None]) -> None:
    config, accelerator = training.config, training.accelerator
    main = accelerator.is_main_process
    began, first = time.monotonic(), training.step
    with (
        stop_on_signals() as stop,
        open(folder / "metrics.jsonl" if main else "/dev/null", "a") as metrics,
        tqdm(total=config.end_step, initial=first, unit="step", disable=not (main and progress_wanted())) as bar,
    ):
        for step in steps(training):
            window.add(step)
            bar.update()
            if step.step % config.log_every == 0 or step.step == config.end_step:
                means = "  ".join(f"{name} {mean:.4g}" for name, mean in window.means().items())
                bar.set_postfix_str(means)
                line = {**window.line(step), "rows_per_s": _speed(training, first, began), "time": time.time()}
                metrics.write(json.dumps(line) + "\n")
                metrics.flush()
                if bar.disable:
                    say(f"step {step.step}/{config.end_step}  {means}  {line['rows_per_s']:.0f} rows/s")
                window = Window()
            ended = step.step == config.end_step
            if ended or step.step % config.save_every == 0 or _anyone(accelerator, stop):
                if main:
                    _save(training, window, folder)
                accelerator.wait_for_everyone()
            if main and config.demo_every and step.step % config.demo_every == 0 and not ended:
                _draw(training, folder / "samples" / f"demo_{step.step:08}.png", registry)
            if _anyone(accelerator, stop) and not ended:
                bar.close()
                say(f"stopped after step {step.step}; go on with: ambientkit train --resume {folder}")
                sys.exit(stop.exit_status)
    if main:
        _finish(training, folder, registry, say)


def _anyone(accelerator: Accelerator, stop: Stop) -> bool:
    """Whether any process was asked to stop: all must leave at the same step."""
    if accelerator.num_processes == 1:
        return bool(stop.signal)
    asked = accelerator.reduce(torch.tensor(float(stop.signal), device=accelerator.device), reduction="sum")
    if asked > 0 and not stop.signal:
        stop.signal = 15
    return bool(asked > 0)


def _speed(training: Run, first: int, began: float) -> float:
    rows = training.config.batch_size * training.config.grad_accum_steps * training.accelerator.num_processes
    return rows * (training.step - first) / max(time.monotonic() - began, 1e-9)


def _save(training: Run, window: Window, folder: Path) -> None:
    files = {**training.state(), "window.json": json.dumps(window.state).encode()}
    write_folder(folder / "checkpoints" / f"checkpoint_{training.step}", files)
    prune(folder / "checkpoints", training.config.keep_last)
    signal = training.signal
    metadata = {
        "config": dump(training.config),
        "signal": {"shape": signal.shape, "sigma_data": signal.sigma_data, "conds": dict(signal.conds)},
        "step": training.step,
    }
    save_weights(folder / WEIGHTS, training.average.module, metadata)


def _draw(training: Run, path: Path, registry: Registry) -> bool:
    """Write noisy rows beside samples of the averaged weights, always from the same seed; False for rows without a picture."""
    config, signal = training.config, training.signal
    shown = min(config.sample_n if len(signal.shape) > 1 else 2000, len(training.observations))
    noisy = grid(training.observations.__getitems__(list(range(shown))).x_n)
    if noisy is None:
        return False
    sampler = registry.build("sampler", "heun")
    assert isinstance(sampler, Sampler)
    levels = step_grid(DEMO_STEPS, config.levels.as_levels())
    batches = draw(training.teacher, sampler, signal.shape, shown, sigmas=levels, seed=0, device=training.accelerator.device)
    samples = grid(torch.cat(list(batches)))
    assert samples is not None  # the shape is that of the noisy rows
    page = panels([("what was given: noisy data", noisy), (f"what was learned: samples, step {training.step}", samples)])
    path.parent.mkdir(exist_ok=True)
    write_file(path, png(page))
    return True


def _finish(training: Run, folder: Path, registry: Registry, say: Callable[[str], None]) -> None:
    picture = folder / "samples" / "before_and_after.png"
    if _draw(training, picture, registry):
        say(f"picture: {picture}")
    say(f"run: {folder}")
    say(f"next: ambientkit sample {folder}")
