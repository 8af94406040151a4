"""Experiment trackers, through accelerate."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration

from ambientkit.checkpoint.names import LOGS
from ambientkit.config import RunConfig, dump
from ambientkit.errors import InputError
from ambientkit.messages import warn

FOLDER = "ambientkit.folder"
"""The tag by which a run is found again in mlflow."""


def options(config: RunConfig, folder: Path) -> dict[str, Any]:
    """The settings of trackers for the accelerator of a run. Raises InputError naming a package that is not
    installed."""
    for name in config.trackers:
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"--tracker {name}: the package {name!r} is not installed: pip install 'ambientkit[{name}]'"
            )
    if not config.trackers:
        return {}
    project = ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder / LOGS))
    return {"log_with": list(config.trackers), "project_config": project}


def start(accelerator: Accelerator, config: RunConfig, folder: Path, step: int) -> None:
    """Start the trackers for the steps after `step`. Raises InputError with what a tracker says against it."""
    if not config.trackers:
        return
    _refuse_unknown(accelerator, config)
    # The same folder is the same run of the tracker, also after it was resumed.
    identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    own: dict[str, dict[str, Any]] = {
        "tensorboard": {"purge_step": step + 1},
        "wandb": {"name": folder.name, "dir": str(folder), "id": identity, "resume": "allow"},
        "trackio": {"name": f"{folder.name}-{identity[:8]}", "resume": "allow"},  # it knows runs by their names only
        "mlflow": {"run_name": folder.name, "tags": {FOLDER: identity}},
    }
    try:
        values = flat(dump(config))
        if "mlflow" in config.trackers and accelerator.is_main_process:
            own["mlflow"]["run_id"], known = _mlflow_run(identity)
            values = {name: value for name, value in values.items() if known.get(name, str(value)) == str(value)}
        accelerator.init_trackers("ambientkit", values, {name: own[name] for name in config.trackers})
    except Exception as error:
        raise InputError(_not_started(config.trackers, error)) from error


def refuse_unready(accelerator: Accelerator, config: RunConfig) -> None:
    """Raise InputError where a tracker is known not to start: its package is not whole, or wandb has no key that its
    server takes. None is started. At a terminal wandb asks for a key, which is a warning here."""
    _refuse_unknown(accelerator, config)
    if "wandb" not in config.trackers or not accelerator.is_main_process:
        return
    try:
        import wandb

        if wandb.setup().settings.mode in ("offline", "dryrun", "disabled"):
            return
        never: dict[str, Any] = {"prompt": False} if "prompt" in inspect.signature(wandb.login).parameters else {}
        known = wandb.login(**never)
    except Exception as error:
        raise InputError(_not_started(["wandb"], error)) from error
    if known:
        return
    told = "--tracker wandb: no API key is configured: `wandb login` or WANDB_API_KEY gives one; WANDB_MODE=offline"
    if not sys.stdin.isatty():
        raise InputError(f"{told} needs none")
    warn(f"{told} needs none; the run will ask for it")


def _refuse_unknown(accelerator: Accelerator, config: RunConfig) -> None:
    """Raise InputError for trackers that accelerate has left out without an error."""
    if missing := set(config.trackers) - {getattr(found, "value", found) for found in accelerator.log_with}:
        raise InputError(
            f"--tracker {', '.join(sorted(missing))}: cannot be started: accelerate does not find it; is its "
            "installation whole?"
        )


def _not_started(names: Sequence[str], error: Exception) -> str:
    """What a tracker says against being started, in one line."""
    reason = " ".join(str(error).split())[:300]
    return f"--tracker {', '.join(names)}: cannot be started: {type(error).__name__}: {reason}"


def _mlflow_run(identity: str) -> tuple[str | None, dict[str, str]]:
    """The run that this folder has in mlflow, and its parameters, none of which may change there; None and no
    parameters for a new one."""
    import mlflow

    found = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.`{FOLDER}` = '{identity}'",
        output_format="list",
        max_results=1,
    )
    return (found[0].info.run_id, dict(found[0].data.params)) if found else (None, {})


def show(accelerator: Accelerator, picture: Path, step: int) -> None:
    """Pass a picture to every tracker that takes pictures. One that fails is no reason to end a run."""
    for tracker in accelerator.trackers:
        try:
            import numpy as np
            from PIL import Image

            pixels = np.asarray(Image.open(picture).convert("RGB"))
            if tracker.name == "tensorboard":
                tracker.log_images({"samples": pixels[None]}, step, dataformats="NHWC")
            elif tracker.name == "mlflow":
                import mlflow

                mlflow.log_image(pixels, key="samples", step=step)
            elif hasattr(tracker, "log_images"):
                tracker.log_images({"samples": [Image.fromarray(pixels)]}, step)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            warn(f"the tracker {tracker.name} takes no picture at step {step}: {type(error).__name__}: {reason}")


def flat(tree: Any, at: str = "") -> dict[str, bool | int | float | str]:
    """A nested value as one level: keys joined by "/", and only values that every tracker takes."""
    if isinstance(tree, Mapping):
        return {
            key: value
            for name, below in tree.items()
            for key, value in flat(below, f"{at}/{name}" if at else str(name)).items()
        }
    if isinstance(tree, list | tuple):
        return {key: value for index, below in enumerate(tree) for key, value in flat(below, f"{at}/{index}").items()}
    return {} if tree is None else {at: tree if isinstance(tree, bool | int | float | str) else str(tree)}


def trackable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same under names that every tracker takes: letters, digits and "_-. :/"."""
    return {re.sub(r"[^\w\-. :/]+", "_", name).strip("_"): value for name, value in values.items()}
