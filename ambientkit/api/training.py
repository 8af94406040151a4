"""Training from Python, and what of it a command needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ambientkit.api.run import Run
from ambientkit.checkpoint.folder import MANIFEST, checkpoints
from ambientkit.checkpoint.names import CHECKPOINTS, WEIGHTS
from ambientkit.checkpoint.status import read_status
from ambientkit.checkpoint.target import as_path
from ambientkit.config import RunConfig, dump, resolve
from ambientkit.config.datapath import DataLike, data_argument
from ambientkit.config.files import KeyPath
from ambientkit.config.places import anchored, stored
from ambientkit.config.request import Request, configure
from ambientkit.config.run import DEFAULTS, to_yaml
from ambientkit.export.card import write_card
from ambientkit.interfaces import Data, Part
from ambientkit.messages import note, say
from ambientkit.processes import is_main
from ambientkit.public import public
from ambientkit.registry import Registry, load
from ambientkit.run.configured import configured
from ambientkit.run.folder import CONFIG, left_unbegun, resumed
from ambientkit.run.prepare import label
from ambientkit.run.stop import Stop, stop_on_interrupt, stop_on_signals
from ambientkit.run.train import Ended, check
from ambientkit.run.train import train as train_folder
from ambientkit.sample import load_run
from ambientkit.sample.suited import by_operator
from ambientkit.training import Training
from ambientkit.training import build as build_training

__all__ = ["Request", "Stop", "build", "configure_run", "dry_run_text", "stop_on_signals", "train", "train_run"]

SHORT = {
    "lr": ("optimizer", "lr"),
    "lr_schedule": ("optimizer", "schedule"),
    "warmup_steps": ("optimizer", "warmup_steps"),
    "weight_decay": ("optimizer", "weight_decay"),
    "tracker": ("trackers",),
}
"""Arguments named like the flags of the command, and the keys of the configuration that they stand for."""


SETTINGS: dict[str, Any] = {
    **{name: field.default for name, field in RunConfig.model_fields.items() if name not in ("data", "evaluate_data")},
    **{name: value for name, value in DEFAULTS.items() if name != "data"},
    **dict.fromkeys(SHORT),
}
"""Arguments that `train` hands to the configuration, and their defaults."""


@public("ambientkit.train", SETTINGS)
def train(
    data: DataLike | RunConfig | None = None,
    *,
    sigma_n: Any = None,
    clean: bool = False,
    output_dir: str | Path | None = None,
    config: RunConfig | Mapping[str, Any] | str | Path | Sequence[str | Path | Mapping[str, Any]] = (),
    resume: str | Path | None = None,
    evaluate_data: DataLike = None,
    on_bad_file: str | None = None,
    allow: Sequence[str] = (),
    skip_preflight: bool = False,
    time_limit: str | float | None = None,
    progress: bool = False,
    **settings: Any,
) -> Run:
    """Train a denoiser, and keep everything in a run folder; a run that was begun there goes on where it was stopped.

    data: a name, a path, a `Data` part, an array or tensor (N, ...), a torch `Dataset`; or a whole configuration
    (`RunConfig`, a mapping, or the path of a YAML or JSON file). sigma_n: known noise std of the rows, units of [-1,
    1]; with `clean` (and for clean data sets) it is simulated. output_dir: the run folder, by default
    runs/DATA-OBJECTIVE. settings: keys of the configuration (`end_step=2000`, `model="mlp"`, `optimizer={"lr": 1e-3}`;
    also `lr`, `warmup_steps`, `lr_schedule`, as the flags of the command); parts may be names, mappings, or objects:
    `objective=TweedieConsistency()`. resume: a run or checkpoint folder to go on from. allow, skip_preflight,
    time_limit, on_bad_file: as the flags of `ambientkit train`.

    Ctrl-C (or the interrupt of a notebook's kernel) saves after the present step and raises KeyboardInterrupt; a second
    one does so at once. Raises InputError for what was given, CheckFailed where a quick check rejects a part, RunError
    where the run cannot go on.
    """
    request, registry = _request(
        data,
        config,
        settings,
        sigma_n=sigma_n,
        clean=clean,
        output_dir=None if output_dir is None else as_path(output_dir, "--output-dir"),
        resume=None if resume is None else str(resume),
        evaluate_data=evaluate_data,
        on_bad_file=on_bad_file,
        allow=tuple([allow] if isinstance(allow, str) else allow),
        skip_preflight=skip_preflight,
        time_limit=time_limit,
    )
    if request.resume is None:
        request = _going_on(request, registry)
        if (done := _finished(request, registry)) is not None:
            return done
    with stop_on_interrupt() as stop:
        run = train_run(request, stop=stop, progress=progress, registry=registry)
    if run.ended.signal:
        note(f"{run.path}: stopped after step {run.ended.step}, and saved; the same call goes on")
        raise KeyboardInterrupt
    return run


def train_run(
    request: Request, *, stop: Stop | None = None, progress: bool = False, registry: Registry | None = None
) -> Run:
    """Train as a request asks, and return the run; `run.ended` is how the training ended. A finished run gets its model
    card."""
    registry = registry or load()
    ended = train_folder(request, registry, stop=stop, progress=progress)
    if (
        is_main()
        and ended.state == "finished"
        and (kept := write_card(ended.folder, load_run(ended.folder, registry), registry))
    ):
        note(kept)
    return Run(ended.folder, registry=registry, ended=ended, data=_held(request, registry))


def _held(request: Request, registry: Registry) -> Data | None:
    """The rows of a request that are held in memory; None for those that a run folder names."""
    if request.data is None or isinstance(request.data, str | Path | Mapping):
        return None
    if isinstance(request.data, Data):
        return request.data
    level = None if request.clean else request.sigma_n
    found = data_argument(request.data, registry, sigma_n=level, clean=request.clean)
    return found if isinstance(found, Data) else None


@public("ambientkit.configure", SETTINGS)
def configure_run(
    data: DataLike | RunConfig | None = None,
    *,
    sigma_n: Any = None,
    clean: bool = False,
    config: RunConfig | Mapping[str, Any] | str | Path | Sequence[str | Path | Mapping[str, Any]] = (),
    **settings: Any,
) -> RunConfig:
    """The checked configuration that `train` would use; arguments as there. Raises InputError with the key that is
    wrong."""
    request, registry = _request(data, config, settings, sigma_n=sigma_n, clean=clean)
    return configured(request, registry, None).config


@public("ambientkit.build", SETTINGS)
def build(config: RunConfig | Mapping[str, Any] | str | Path | None = None, **settings: Any) -> Training:
    """A training in memory at step 0, for those who own the loop: `for step in steps(build(config))`. Nothing is
    written.

    config, settings: as for `configure`. Raises InputError for data or a device that cannot be used.
    """
    return build_training(
        config if isinstance(config, RunConfig) and not settings else configure_run(config, **settings)
    )


def dry_run_text(request: Request) -> str:
    """The configuration that a request resolves to, as YAML, after all checks that its run makes before step 1."""
    return to_yaml(dump(check(request, load())))


def _request(
    data: Any,
    config: RunConfig | Mapping[str, Any] | str | Path | Sequence[Any],
    settings: Mapping[str, Any],
    **asked: Any,
) -> tuple[Request, Registry]:
    """The request, and the registry with the classes of parts that were given as objects."""
    configs: list[Any] = [config] if isinstance(config, RunConfig | Mapping | str | Path) else list(config)
    if _is_config(data):
        configs, data = [data, *configs], None
    trees: list[Path | Mapping[str, Any]] = []
    parts: list[Part] = [data] if isinstance(data, Part) else []
    for one in configs:
        if isinstance(one, RunConfig):
            trees.append({name: getattr(one, name) for name in RunConfig.model_fields} | _plain_sections(one))
            parts += [
                value for value in (getattr(one, name) for name in RunConfig.model_fields) if isinstance(value, Part)
            ]
            parts += [entry.objective for entry in one.objective]
        else:
            trees.append(dict(one) if isinstance(one, Mapping) else Path(one))
    flags: dict[KeyPath, tuple[str, Any]] = {}
    for name, value in settings.items():
        path: KeyPath = SHORT.get(name, (name,))
        if name == "optimizer" and isinstance(value, str):
            path = ("optimizer", "name")
        flags[path] = (name, value)
        parts += _parts_in(value)
    registry = load().including([type(part) for part in parts])
    return Request(flags=flags, data=data, config=tuple(trees), **asked), registry


def _is_config(data: Any) -> bool:
    """Whether the first argument is a configuration and not data: a `RunConfig`, a mapping without a name, a YAML or
    JSON file."""
    if isinstance(data, Mapping):
        return "name" not in data
    return isinstance(data, RunConfig) or (
        isinstance(data, str | Path) and str(data).endswith((".yaml", ".yml", ".json"))
    )


def _plain_sections(config: RunConfig) -> dict[str, Any]:
    plain = dump(config)
    sections = {name: plain[name] for name in RunConfig.model_fields if not isinstance(getattr(config, name), Part)}
    sections["objective"] = [
        {**entry.model_dump(exclude={"objective"}), "objective": entry.objective} for entry in config.objective
    ]
    return sections


def _parts_in(value: Any) -> list[Part]:
    if isinstance(value, Part):
        return [value]
    if isinstance(value, Mapping):
        return [part for item in value.values() for part in _parts_in(item)]
    return [part for item in value for part in _parts_in(item)] if isinstance(value, list | tuple) else []


def _going_on(request: Request, registry: Registry) -> Request:
    """The same request as a resumption, where its run folder holds a run already."""
    from dataclasses import replace

    folder = request.output_dir
    if folder is None:
        config = configure(request, registry, None)
        folder = Path("runs") / f"{config.data.name}-{label(config)}"
    return (
        replace(request, output_dir=folder, resume="latest")
        if (folder / CONFIG).is_file() and not left_unbegun(folder)
        else replace(request, output_dir=folder)
    )


def _finished(request: Request, registry: Registry) -> Run | None:
    """The run that a request would go on with, where that has reached its end; None where there is something to do."""
    found = resumed(request)
    if found is None or found[1] is not None:
        return None
    status = read_status(found[0])
    newest = next((step for step, path in checkpoints(found[0] / CHECKPOINTS) if (path / MANIFEST).is_file()), None)
    if status is None or status.state != "finished" or newest != status.step or not (found[0] / WEIGHTS).is_file():
        return None
    config = configure(request, registry, found[0] / CONFIG)  # the arguments must still fit
    if config.end_step != status.end_step or dump(config) != dump(
        anchored(resolve(stored(found[0] / CONFIG), registry, absent=True))
    ):
        return None
    say(f"{found[0]}: the run is finished, at step {status.step} of {status.end_step}; nothing is left to do")
    ended = Ended(found[0], "finished", status.step, restores=None if by_operator(config.corruption) else False)
    return Run(found[0], registry=registry, ended=ended, data=_held(request, registry))
