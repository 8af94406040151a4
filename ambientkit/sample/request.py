"""The request to `ambientkit sample`: the flags, checked, and what the files depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientkit.config.inline import split_fields
from ambientkit.errors import InputError, nearest
from ambientkit.interfaces import Sampler
from ambientkit.registry import Registry, spec_of
from ambientkit.sample import SCHEDULES, Trained
from ambientkit.sample.formats import FORMATS, OWN, check_format
from ambientkit.sample.job import note
from ambientkit.sample.own_units import OwnUnits


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """The flags as given; None stands for a default that depends on others."""

    run: Path
    n: int | None = None
    steps: int | None = None
    seed: int = 0
    out: Path | None = None
    sampler: str | None = None
    schedule: str | None = None
    sigma_min: str | None = None
    noisy: str | None = None
    sigma_n: str | None = None
    draws: int | None = None
    classes: str | None = None
    conds: tuple[str, ...] = ()
    format: str = "npy"
    units: str = "data"
    batch_size: int = 64
    device: str = "auto"


def check_words(request: SampleRequest) -> None:
    """Raise InputError for a word that no flag knows, and for flags that do not go together."""
    for flag, text in (("--from", request.noisy), ("--sampler", request.sampler), ("--class", request.classes)):
        if text == "":  # of a shell variable that is not set
            raise InputError(f"{flag}: is empty; give a value, or leave the flag out")
    if request.noisy is None:
        for flag, value in (("--sigma-n", request.sigma_n), ("--draws", request.draws)):
            if value is not None:
                raise InputError(f"{flag} belongs to --from NOISY: without it samples are drawn from noise")
    for flag, word, known in (
        ("--schedule", "karras" if request.schedule is None else request.schedule, list(SCHEDULES)),
        ("--format", request.format, [*FORMATS, "data"]),
        ("--units", request.units, ["data", "unit"]),
    ):
        if word not in known:
            raise InputError(f"{flag} {word}: should be one of {', '.join(known)}{nearest(word, known)}")


def sampler_of(text: str, registry: Registry) -> Sampler:
    """The sampler that --sampler names."""
    name, fields = split_fields(text)
    part = registry.build(Sampler, {"name": name, **fields})
    return part


def lowest(request: SampleRequest, trained: Trained) -> float:
    """--sigma-min as a number; infinity where a restored row is to stop at its own noise."""
    levels = trained.config.levels.as_levels()
    if request.sigma_min is None:
        return levels.sigma_min
    if request.sigma_min == "sigma-n":
        if request.noisy is not None:
            return math.inf
        if trained.sigma_n is None or trained.sigma_n[1] == 0:
            known = "its data are clean" if trained.sigma_n else "it was written by an early version, which did not keep the noise level"
            raise InputError(f"--sigma-min sigma-n: {trained.config.data.name}: {known}; give a number")
        low, high = trained.sigma_n
        if low < high:
            note(f"the data have sigma_n {low:.4g} to {high:.4g}; sampling stops at the highest, {high:.4g}")
        return high
    try:
        low = float(request.sigma_min)
    except ValueError:
        low = math.nan
    if not 0 < low < levels.sigma_max:
        raise InputError(
            f"--sigma-min {request.sigma_min}: should be sigma-n, or a level above 0 and below the run's sigma_max = {levels.sigma_max:g}"
            + nearest(request.sigma_min, ["sigma-n"])
        )
    if low < levels.sigma_min:
        note(f"--sigma-min {low:g} is below {levels.sigma_min:g}, the lowest level that the run was trained at")
    return low


def asked_of(
    request: SampleRequest, trained: Trained, sampler: Sampler, schedule: str, steps: int, low: float, units: OwnUnits, data: str
) -> dict[str, Any]:
    """What the files depend on, for the manifest."""
    written = OWN.get(data, "npy") if request.format == "data" else request.format
    check_format(written, trained.signal.shape)
    if FORMATS[written].clipped:
        note("8-bit PNG files are clipped to [-1, 1] and rounded: they are for the eye. For all else take another --format")
    return {
        "format": written,
        "units": (units if request.units == "data" and not FORMATS[written].clipped else OwnUnits()).plain(),
        "shape": list(trained.signal.shape),
        "seed": request.seed,
        "step": trained.step,
        "weights_sha256": trained.sha256,
        "sampler": spec_of(sampler),
        "schedule": schedule,
        "steps": steps,
        "sigma_max": trained.config.levels.sigma_max,
        "sigma_min": low if math.isfinite(low) else "sigma-n",
        "class": request.classes,
        "cond": list(request.conds),
    }
