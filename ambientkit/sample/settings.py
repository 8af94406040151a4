"""How samples are drawn and written: the settings, checked before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ambientkit.config.inline import split_fields
from ambientkit.config.run import Absent
from ambientkit.data.conditions import null_values
from ambientkit.errors import InputError, nearest
from ambientkit.interfaces import Levels, Sampler
from ambientkit.maths.levels import LEAST
from ambientkit.messages import note
from ambientkit.registry import Registry, spec_of
from ambientkit.sample.draw import step_grid
from ambientkit.sample.formats import FORMATS, LIKE, OWN, check_format
from ambientkit.sample.guidance import guided
from ambientkit.sample.load import Trained
from ambientkit.sample.own_units import OwnUnits
from ambientkit.sample.restore import need_kernel
from ambientkit.sample.schedule import SCHEDULES
from ambientkit.sample.stop_level import AUTO, StopLevel
from ambientkit.text import number

SamplerLike = str | Mapping[str, Any] | Sampler
"""A sampler by name, 'NAME{field: value}', {"name": ..., **fields}, or the part itself."""
LevelLike = float | str | None
"""A level to stop at: a number, "sigma-n", "auto" (`stop_level`), or None for the lowest one of the run."""


@dataclass(frozen=True, slots=True)
class Course:
    """The way from noise to a sample: who steps, where, and how low."""

    sampler: Sampler
    schedule: str
    steps: int
    sigma_max: float
    sigma_min: float
    """The last level asked; infinity where a restored row stops at its own noise."""
    sigma_min_text: str = ""
    """As it was asked for."""
    guidance: float = 1.0
    """Weight of the conditions (`guidance.Guided`); 1 is none."""
    against: Mapping[str, Tensor] = field(default_factory=dict)
    """What stands for no condition there, where it is not what the model says: a negative prompt."""
    stop: StopLevel | None = None
    """How the last level was chosen, where nobody gave it."""

    @property
    def is_open(self) -> bool:
        """Whether the last level is still to be chosen (`stop_level`)."""
        return self.sigma_min_text == AUTO and self.stop is None

    def at(self, level: float) -> Course:
        """The same way down to this level."""
        return replace(self, sigma_min=level)

    def stopped(self, trained: Trained, stop: StopLevel) -> Course:
        """The same way down to the level chosen; says which."""
        note(stop.said())
        _note_unlearned(trained, stop.level)
        return replace(self, sigma_min=stop.level, stop=stop)

    def null(self, trained: Trained, cond: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """What stands for no condition under guidance; None without. Raises InputError where nothing does, or there is
        no condition."""
        if self.guidance == 1:
            return None
        stay = trained.config.corruption.carries | trained.config.model.always
        named = {name: value for name, value in cond.items() if name not in stay}
        found = null_values(trained.config.model, named)
        found |= {name: value.to(cond[name]) for name, value in self.against.items() if name in named}
        guided(trained.denoiser, self.guidance, named, found)
        return found

    def grid(self) -> Tensor:
        """(steps + 1,), from sigma_max to sigma_min, then 0."""
        return step_grid(self.steps, Levels(self.sigma_min, self.sigma_max), self.schedule)

    def plain(self) -> dict[str, Any]:
        """As a manifest holds it."""
        return {
            "sampler": spec_of(self.sampler),
            "schedule": self.schedule,
            "steps": self.steps,
            "sigma_max": self.sigma_max,
            "sigma_min": self.sigma_min if math.isfinite(self.sigma_min) else "sigma-n",
            **({} if self.guidance == 1 else {"guidance": self.guidance}),
            **({} if self.stop is None else {"stop_level": self.stop.to_dict()}),
        }


def course_of(
    trained: Trained,
    registry: Registry,
    *,
    sampler: SamplerLike,
    schedule: str,
    steps: int,
    sigma_min: LevelLike,
    guidance: float = 1.0,
    restoring: bool = False,
    draws: int = 1,
) -> Course:
    """The settings as a `Course`; says what the run was never trained for. restoring: from noisy rows, `draws` times
    each.

    Raises InputError for an unknown sampler or schedule, steps below 1, a level outside the run's range, and draws of a
    sampler that is not one of the reverse kernel.
    """
    known_word("--schedule", schedule, list(SCHEDULES))
    if steps < 1:
        raise InputError(f"--steps {steps}: should be 1 or more")
    if draws < 0:
        raise InputError(f"--draws {draws}: should be 0 or more")
    part = _sampler(sampler, registry)
    if restoring:
        need_kernel(part, draws)
    low = _lowest(sigma_min, trained, restoring)
    if draws and sigma_min != AUTO:
        _note_unlearned(trained, low)
    return Course(
        part,
        schedule,
        steps,
        trained.config.levels.sigma_max,
        low,
        f"{low:g}" if sigma_min is None else str(sigma_min),
        guidance,
    )


def known_word(flag: str, word: str, known: list[str]) -> None:
    """Raise InputError where a word is none of those known."""
    if word not in known:
        raise InputError(f"{flag} {word}: should be one of {', '.join(known)}{nearest(word, known)}")


def _sampler(sampler: SamplerLike, registry: Registry) -> Sampler:
    if not isinstance(sampler, str):
        return registry.build(Sampler, sampler)
    if not sampler.strip():  # of a shell variable that is not set
        raise InputError("--sampler: is empty; give a value, or leave the flag out")
    name, fields = split_fields(sampler)
    return registry.build(Sampler, {"name": name, **fields})


def _lowest(sigma_min: LevelLike, trained: Trained, restoring: bool) -> float:
    levels = trained.config.levels.as_levels()
    if sigma_min is None or sigma_min == AUTO:
        return levels.sigma_min
    if sigma_min == "sigma-n":
        if restoring:
            return math.inf
        if trained.sigma_n is None or trained.sigma_n[1] == 0:
            known = (
                "its data are clean"
                if trained.sigma_n
                else "it was written by an early version, which did not keep the noise level"
            )
            raise InputError(f"--sigma-min sigma-n: {trained.config.data.name}: {known}; give a number")
        low, high = trained.sigma_n
        if low < high:
            note(f"the data have sigma_n {low:.4g} to {high:.4g}; sampling stops at the highest, {high:.4g}")
        return high
    try:
        level = number(sigma_min)
    except ValueError:
        level = math.nan
    if not LEAST <= level < levels.sigma_max:
        raise InputError(
            f"--sigma-min {sigma_min}: should be sigma-n, auto, or a level from {LEAST:g}, below which float32 holds "
            f"no noise, and below the run's sigma_max = {levels.sigma_max:g}"
            + nearest(str(sigma_min), ["sigma-n", AUTO])
        )
    if level < levels.sigma_min:
        note(f"--sigma-min {level:g} is below {levels.sigma_min:g}, the lowest level that the run was trained at")
    return level


def _note_unlearned(trained: Trained, low: float) -> None:
    """Below the noise of the data only some objectives train a network, and what others leave there is not learned at
    all."""
    entries = trained.config.objective
    unknown = any(isinstance(entry.objective, Absent) for entry in entries)
    if trained.sigma_n is None or low >= trained.sigma_n[0] or unknown or any(entry.trains_below for entry in entries):
        return
    names = dict.fromkeys(entry.objective.name for entry in entries if entry.weight > 0)
    note(
        f"no objective of the run ({', '.join(names) or 'all have weight 0'}) trains levels below the noise of its "
        "data: from sigma_n = "
        f"{trained.sigma_n[0]:.4g} down to {low:.4g} the network answers without having been trained. --sigma-min "
        "sigma-n stops there"
    )


def written_as(format: str, units: str, data: str, own: OwnUnits, shape: tuple[int, ...]) -> tuple[str, OwnUnits]:
    """The format and the units that files of rows are written in. data: name of the data set whose format "data" stands
    for.

    Raises InputError for unknown words, and for rows that the format cannot hold.
    """
    known_word("--format", format, [*(name for name in FORMATS if name != LIKE), "data"])
    known_word("--units", units, ["data", "unit"])
    written = OWN.get(data, "npy") if format == "data" else format
    check_format(written, shape)
    if FORMATS[written].clipped:
        note(
            "8-bit PNG files are clipped to [-1, 1] and rounded: they are for the eye. For all else take another "
            "--format"
        )
    return written, own if units == "data" and not FORMATS[written].clipped else OwnUnits()
