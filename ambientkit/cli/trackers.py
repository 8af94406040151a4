"""Experiment trackers, through accelerate."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration

from ambientkit.config import RunConfig, dump
from ambientkit.errors import InputError


def options(config: RunConfig, folder: Path) -> dict[str, Any]:
    """What the accelerator of a run is told of its trackers. Raises InputError naming a package that is not installed."""
    for name in config.trackers:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"--tracker {name}: the package {name!r} is not installed: pip install {name}")
    if not config.trackers:
        return {}
    project = ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder / "logs"))
    return {"log_with": list(config.trackers), "project_config": project}


def start(accelerator: Accelerator, config: RunConfig, folder: Path, step: int) -> None:
    """Start the trackers for the steps after `step`. Raises InputError with what a tracker says against it."""
    if not config.trackers:
        return
    if missing := set(config.trackers) - {getattr(found, "value", found) for found in accelerator.log_with}:
        raise InputError(
            f"--tracker {', '.join(sorted(missing))}: cannot be started: accelerate does not find it; is its installation whole?"
        )
    # The same folder is the same run of the tracker, also after it was resumed.
    identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    own: dict[str, dict[str, Any]] = {
        "tensorboard": {"purge_step": step + 1},
        "wandb": {"name": folder.name, "dir": str(folder), "id": identity, "resume": "allow"},
        "trackio": {"name": folder.name, "resume": "allow"},
        "mlflow": {},
    }
    try:
        accelerator.init_trackers("ambientkit", flat(dump(config)), {name: own[name] for name in config.trackers})
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"--tracker {', '.join(config.trackers)}: cannot be started: {type(error).__name__}: {reason}") from error


def flat(tree: Any, at: str = "") -> dict[str, bool | int | float | str]:
    """A nested value as one level: keys joined by "/", and only values that every tracker takes."""
    if isinstance(tree, Mapping):
        return {key: value for name, below in tree.items() for key, value in flat(below, f"{at}/{name}" if at else str(name)).items()}
    if isinstance(tree, list | tuple):
        return {key: value for index, below in enumerate(tree) for key, value in flat(below, f"{at}/{index}").items()}
    return {} if tree is None else {at: tree if isinstance(tree, bool | int | float | str) else str(tree)}
