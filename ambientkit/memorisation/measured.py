"""Every measure of a set of samples, with its interval and the figure of held-out rows in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.maths import copying as m
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation.neighbours import Neighbours
from ambientkit.memorisation.sides import Alike
from ambientkit.memorisation_parts import MemoryMeasure, Neighbourhood
from ambientkit.registry import Registry

FIRST = ("ratio", "distance", "third", "c-t", "authenticity", "train-gap", "mifid")
"""Measures in the order of tables; those of plug-ins follow by name."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of the samples beside that of held-out rows in their place."""

    name: str
    value: float
    interval: tuple[float, float] | None
    """95 %; None where there are too few rows for one."""
    n: int
    """Samples behind the value."""
    heldout: float
    """The same figure for held-out rows in the place of samples: what a model that memorises nothing has, but for
    chance."""
    heldout_interval: tuple[float, float] | None
    heldout_n: int
    means: str
    """How to read it."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "name": self.name,
            "value": _finite(self.value),
            "interval": [_finite(end) for end in self.interval] if self.interval else None,
            "n": self.n,
            "heldout": _finite(self.heldout),
            "heldout_interval": [_finite(end) for end in self.heldout_interval] if self.heldout_interval else None,
            "heldout_n": self.heldout_n,
            "means": self.means,
        }


def _finite(value: float) -> float | None:
    """JSON knows no nan."""
    return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Training:
    """The training rows beside which samples are measured."""

    alike: Alike
    view: Tensor
    own_distance: Tensor
    firsts: Tensor

    def nearest(self, queries: Tensor, rows: Tensor) -> Tensor:
        """The least distances, by the similarity."""
        return self.neighbour(queries, rows)[0]

    def neighbour(self, queries: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and of which rows."""
        found = self.alike.nearest(queries, rows, 1)
        return found.distance[:, 0], found.row[:, 0]


def registered(registry: Registry, level: float) -> list[MemoryMeasure]:
    """All measures of this environment, with `level` where they have a field of this name."""
    names = registry.names("memory-measure")
    order = [name for name in FIRST if name in names] + [name for name in names if name not in FIRST]
    found = []
    for name in order:
        fields = {"level": level} if "level" in registry.find("memory-measure", name).part.model_fields else {}
        found.append(registry.build(MemoryMeasure, {"name": name, **fields}))
    return found


def all_measures(
    measures: Sequence[MemoryMeasure],
    alike: Alike,
    known: Tensor,
    judged: tuple[Tensor, Neighbours],
    unseen: tuple[Tensor, Neighbours],
    groups: Tensor,
    seed: int,
    resamples: int = m.RESAMPLES,
) -> tuple[Measure, ...]:
    """All measures. known: the training rows as they are compared; judged, unseen: samples and held-out rows alike, and
    the two nearest training rows of each. Where held-out rows stand in for samples, a random half of them does, and the
    other half is their null. resamples: of the intervals; 0 for none."""
    samples, null = (Neighbourhood(view, near.distance, near.row) for view, near in (judged, unseen))
    order = torch.randperm(len(null.view), generator=keyed_generator(seed, "memorisation.halves"))
    one, other = null.take(order[: len(order) // 2]), null.take(order[len(order) // 2 :])
    firsts = (groups == torch.arange(len(groups))).nonzero().squeeze(1)
    train = Training(alike, known, alike.nearest(known, known, 2, groups=groups).distance[:, 1], firsts)
    found = []
    for part in measures:
        fields = part.model_dump()
        value, interval = _figure(part, samples, null, train, seed, resamples)
        reference, width = _figure(part, one, other, train, seed, resamples)
        if math.isnan(value) and math.isnan(reference):
            continue
        found.append(
            Measure(
                part.title.format(**fields),
                value,
                interval,
                len(samples.view),
                reference,
                width,
                len(one.view),
                part.means.format(**fields),
            )
        )
    return tuple(found)


def _figure(
    part: MemoryMeasure, judged: Neighbourhood, null: Neighbourhood, train: Training, seed: int, resamples: int
) -> tuple[float, tuple[float, float] | None]:
    """(value, 95 % interval). Raises InputError for a measure that does not return a row of numbers for each row."""
    a, b = part.by_row(judged, null, train, seed)
    if len(a) != len(judged.view) or (len(b) and len(b) != len(null.view)):
        raise InputError(
            f"measure {part.name!r}: {len(a)} and {len(b)} values for {len(judged.view)} rows judged and "
            f"{len(null.view)} held out"
        )

    def value(x: Tensor, y: Tensor | None = None) -> float:
        return float(part.value(x, b if y is None else y, train))

    if resamples and (width := part.interval(a, train)) is not None:
        return value(a), width
    if part.resampling == "jackknife":
        return value(a), m.jackknife(value, a, seed=seed) if resamples else None
    sets = (a, b) if len(b) else (a,)
    return value(a), m.bootstrap(value, *sets, seed=seed, resamples=resamples)
