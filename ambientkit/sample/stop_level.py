"""The level at which sampling stops, chosen by the detail in noisy rows: low enough for sharp samples, high
enough
that what the network errs at low levels is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ambientkit.batch import Batch, take
from ambientkit.data import Observed
from ambientkit.errors import InputError
from ambientkit.maths.bands import Band, Misfit, relative_misfit
from ambientkit.tables import Record, Table, number

AUTO = "auto"
"""What asks for it."""
REFERENCE, VALUES, JUDGED = 4096, 2**24, 256
"""Noisy rows that know the energies, at most, and values of them; samples (or restored rows) that are judged at each
level."""
RATIO, OCTAVES = 2**0.5, 4
"""Levels tried: sigma_n, and down by RATIO over so many octaves, then the lowest level of the run. Further down one
denoising takes nothing away that a picture shows."""


class Tried(NamedTuple):
    """One level."""

    level: float
    misfit: float
    """Of the energies of what is drawn with this stop: the mean of (found / wanted - 1)^2 over bands, freed of
    what chance adds; it may be below 0."""
    error: float
    """Standard error of its difference from the least."""
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class StopLevel(Record):
    """The level chosen, and the energies of detail at all that were tried."""

    level: float
    tried: tuple[Tried, ...]
    """Highest level first."""
    n: tuple[int, int]
    """Noisy rows, rows judged at each level."""

    @property
    def chosen(self) -> Tried:
        """The energies at the level chosen."""
        return next(one for one in self.tried if one.level == self.level)

    def said(self) -> str:
        """In a sentence."""
        top, low = self.tried[0], self.tried[-1]
        others = ", ".join(f"{_root(one.misfit)} at {one.level:.4g}" for one in (top, low) if one.level != self.level)
        return (
            f"--sigma-min auto: stops at {self.level:.4g}, {self.level / top.level:.2g} sigma_n, the lowest level "
            f"where the energy of detail fits "
            f"{self.n[0]} noisy rows: off by {_root(self.chosen.misfit)} of it, rms ({others})"
        )

    def blocks(self) -> Sequence[str | Table]:
        """A sentence, and the ratio of energies found to wanted by band, for each level."""
        head = ("level", "rms misfit", *(f"band {band.number}" for band in self.tried[0].bands))
        rows = [
            (
                f"{one.level:.4g}{' *' if one.level == self.level else ''}",
                _root(one.misfit),
                *(number(b.found / b.wanted) if b.wanted > 2 * b.wanted_error else "-" for b in one.bands),
            )
            for one in self.tried
        ]
        return [self.said(), Table("", head, rows)]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        tried = [{**one._asdict(), "bands": [band._asdict() for band in one.bands]} for one in self.tried]
        return {"level": self.level, "n": list(self.n), "tried": tried}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> StopLevel:
        """What `to_dict` gave. Raises InputError where it can be none."""
        try:
            tried = tuple(
                Tried(
                    float(one["level"]),
                    float(one["misfit"]),
                    float(one["error"]),
                    tuple(Band(**band) for band in one["bands"]),
                )
                for one in stored["tried"]
            )
            noisy, judged = stored["n"]
            found = cls(float(stored["level"]), tried, (int(noisy), int(judged)))
            found.said()
        except (KeyError, TypeError, ValueError, StopIteration, AttributeError, IndexError):
            raise InputError(
                "stop_level: what the manifest of the folder holds is damaged; give another --out, or remove it"
            ) from None
        return found


def levels_tried(sigma_n: float, lowest: float) -> list[float]:
    """sigma_n, sigma_n / RATIO, ..., and last the lowest level of the run."""
    between = [sigma_n * RATIO**-step for step in range(round(OCTAVES * 2) + 1)]
    return [*(level for level in between if level > lowest * RATIO**0.5), lowest]


def reference_rows(observations: Observed, lowest: float) -> tuple[Batch, list[int]]:
    """Up to `REFERENCE` noisy rows, in even distances, and their places. Rows without noise above the lowest level of
    the run are left out.

    Raises InputError where none is left, and for rows or noise without energies of detail.
    """
    count = len(observations)
    most = max(JUDGED, min(REFERENCE, VALUES // observations[0].x_n.numel()))
    places = sorted({round(at) for at in torch.linspace(0, count - 1, min(count, most)).tolist()})
    batch = observations.__getitems__(places)
    if batch.x_n.ndim != 4 or batch.sigma_n.ndim != 1:
        what = "noise per pixel" if batch.x_n.ndim == 4 else f"rows of shape {tuple(batch.x_n.shape[1:])}"
        raise InputError(
            f"--sigma-min auto: needs pictures (C, H, W) with one noise level per row, whose detail is known from "
            f"noisy rows; these have {what}. "
            "Give a level, or leave the flag out"
        )
    noisy = (batch.sigma_n > lowest).nonzero().squeeze(1)
    if len(noisy) == 0:
        raise InputError(
            "--sigma-min auto: the rows carry no noise, so there is no level to choose; leave the flag out"
        )
    return take(batch, noisy), [places[index] for index in noisy.tolist()]


def choose(batch: Batch, lowest: float, judged: Callable[[float], Tensor], seed: int) -> StopLevel:
    """The lowest level whose misfit, between the energy of detail of judged(level) and what the noisy rows of a batch
    know of clean ones, is not above the least by more than a standard error of the difference: to stop early needs a
    reason. From the highest sigma_n of the rows down to `lowest`, that of the run.

    judged(level) (m, C, H, W): samples that stop there, with a last denoising; the same seeds at each level, so that
    chance hardly differs between them. The misfit is `maths.bands.relative_misfit`. Raises InputError for rows that it
    does not take. Sources: the identity in docs/method.md, "What noisy rows know of detail"; the rule of one standard
    error: Breiman et al., "Classification and Regression Trees" (1984), section 3.4.3.
    """
    found: dict[float, Misfit] = {}
    n = (0, 0)
    for level in levels_tried(float(batch.sigma_n.max()), lowest):
        rows = judged(level)
        n = (len(batch.x_n), len(rows))
        try:
            found[level] = relative_misfit(batch.x_n, batch.sigma_n, rows, seed)
        except InputError as error:
            raise InputError(f"--sigma-min auto: {error}. Give a level, or leave the flag out") from None
    best = min(found.values(), key=lambda one: one.value)
    tried = tuple(Tried(level, one.value, one.error_beside(best), one.bands) for level, one in found.items())
    chosen = [one for one in tried if one.misfit <= best.value + one.error][-1]
    return StopLevel(chosen.level, tried, n)


def _root(misfit: float) -> str:
    return number(max(misfit, 0.0) ** 0.5)
