"""What was asked of `ambientkit train`, brought into one configuration."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientkit.config import RunConfig, Source, dump, load_file, merge, resolve
from ambientkit.config.datapath import data_spec
from ambientkit.config.files import KeyPath, at, from_settings
from ambientkit.config.run import DEFAULTS, differences
from ambientkit.errors import InputError
from ambientkit.processes import is_main
from ambientkit.readers import ESTIMATES, Stored
from ambientkit.registry import Registry

MAY_CHANGE = frozenset(
    {"end_step", "save_every", "keep_last", "log_every", "demo_every", "sample_n", "num_workers", "device"}
    | {"evaluate_every", "evaluate_n", "evaluate_data"}
    | {"checkpointing", "compile", "max_bad_steps", "trackers"}
)
"""Fields that a resumed run may change: none of them changes what an earlier step did."""


@dataclass(frozen=True, slots=True)
class Request:
    """The flags of `ambientkit train` as given."""

    flags: dict[KeyPath, tuple[str, Any]]
    data: str | None
    sigma_n: str | None
    config: tuple[Path, ...]
    settings: tuple[str, ...]
    output_dir: Path | None
    resume: str | None
    dry_run: bool
    skip_preflight: bool
    allow: tuple[str, ...] = ()
    """Findings about the noise of the data that do not stop the run."""
    time_limit: str | None = None
    evaluate_data: str | None = None
    on_bad_file: str | None = None


def configure(request: Request, registry: Registry, stored: Path | None) -> RunConfig:
    """The configuration: defaults, then the stored one of a resumed run, files, flags and settings, the later winning.

    Raises InputError where something is wrong, or where a resumed run would change what earlier steps did.
    """
    base = [load_file(stored)] if stored else []
    given = [load_file(path) for path in request.config]
    given += [at(path, value, flag) for path, (flag, value) in request.flags.items()]
    if request.data is not None:
        given.append(at(("data",), data_spec(request.data, registry), "--data"))
    if request.on_bad_file is not None:
        given.append(at(("data", "on_bad_file"), request.on_bad_file, "--on-bad-file"))
    if request.evaluate_data is not None:
        given.append(at(("evaluate_data",), data_spec(request.evaluate_data, registry, "--evaluate-data"), "--evaluate-data"))
    settings = from_settings(request.settings)
    if request.sigma_n is not None:
        given.append(_noise(request.sigma_n, merge([Source(DEFAULTS), *base, *given, *settings]), registry))
    config = _settled(resolve(merge([*base, *given, *settings]), registry))
    if stored:
        old = resolve(base[0], registry)
        changed = [d for d in differences(dump(old), dump(config)) if d.path.split(".")[0] not in MAY_CHANGE]
        if changed:
            lines = [f"  {d.path}: {d.old!r} in the run, {d.new!r} now" for d in changed[:10]]
            raise InputError(
                "\n".join([f"{stored.parent}: a resumed run cannot change", *lines, "start a new run in another --output-dir instead"])
            )
        if config.end_step != old.end_step and is_main() and (shares := _shares(config)):
            print(
                f"note: end_step was {old.end_step} and is {config.end_step} now; {', '.join(shares)} follow the new length, so this will not "
                "be the run that was that long from the start",
                file=sys.stderr,
            )
    return config


def _settled(config: RunConfig) -> RunConfig:
    """With what is measured on the data written as numbers, so that the run means the same wherever and whenever it is read."""
    found = {name: part.settled() for name in ("data", "evaluate_data") if isinstance(part := getattr(config, name), Stored)}
    return config.model_copy(update=found) if any(found[name] is not getattr(config, name) for name in found) else config


def _shares(config: RunConfig) -> list[str]:
    """What of a run is a share of its length."""
    shares = ["the cosine schedule"] if config.optimizer.schedule == "cosine" else []
    for place, entry in enumerate(config.objective):
        shares += [
            f"objective.{place}.{name}"
            for name in ("start", "ramp", "stop")
            if isinstance(getattr(entry, name), float) and getattr(entry, name)
        ]
    return shares


def _noise(text: str, so_far: Source, registry: Registry) -> Source:
    """--sigma-n: declared with data that carry their noise, simulated by the corruption for clean ones."""
    words = text.split(",")
    try:
        value: Any = [float(word) for word in words]
    except ValueError:
        value = text if Path(text).exists() or text in ESTIMATES else None
    if value is None or len(words) > 2:
        raise InputError(f"--sigma-n {text}: should be a number, LOW,HIGH, an existing file of levels by row, or 'estimate'")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    data = so_far.tree["data"]
    fields = data if isinstance(data, dict) else {"name": data}
    declared = "sigma_n" in registry.find("data", str(fields.get("name"))).part.model_fields and not fields.get("clean", False)
    if declared and isinstance(value, list):
        raise InputError(
            f"--sigma-n {text}: a range is for simulated noise; these data are noisy already, so give their level by row as a file"
        )
    if not declared and isinstance(value, str):
        raise InputError(f"--sigma-n {text}: this data set is clean and its noise is simulated; give a number, or LOW,HIGH")
    return at(("data" if declared else "corruption", "sigma_n"), value, "--sigma-n")
