"""Pixels that hold nothing: what the files flag, what the camera has lost, and what a run does about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ambientkit.config.files import KeyPath
from ambientkit.inspection.gaps import SKIPPED
from ambientkit.inspection.lone import dead_pixels, hot_lines, stuck_pixels
from ambientkit.interfaces import Data
from ambientkit.readers import ESTIMATES, Stored
from ambientkit.readers.dead import Place, pixels_of
from ambientkit.readers.over import bare
from ambientkit.readers.own_values import OwnValues, own_values
from ambientkit.registry import Registry
from ambientkit.text import percent

MOST = 0.1
"""Share of the values that may be missing where the noise is found on what was measured."""
UNKNOWN = (
    "the noise of what was measured, which cannot be estimated between so many gaps: give --sigma-n, its std in units "
    "of [-1, 1] (0 for none); of counts, whose noise grows with brightness, `counts: {gain, offset, read_std}` and "
    "`value_range` in the data set; or frames that show it (--flat, --repeats)"
)
"""The quantity without which no run is proposed."""
DEAD = 0.01
"""Share of the pixels that may be dead."""
NEVER = 0.5
"""Share of the pixels that may be missing in every row, as the corners outside of a round field are."""
LEAST = 0.005
"""Share of the measured pixels that a step hides, at least."""


class Unmeasured(NamedTuple):
    """A data set with what was said of its missing pixels, its values, and the corruption that goes with it."""

    part: Stored
    values: OwnValues
    fields: Mapping[str, Any] = {}
    """Of the data set, besides those it had."""
    corruption: Mapping[str, Any] | None = None
    """None where rows are whole, or those with missing pixels are left out."""
    reasons: Mapping[KeyPath, str] = {}
    missing: tuple[str, ...] = ()
    """Why nothing can be proposed."""


def unmeasured(
    part: Stored, spec: Mapping[str, Any], values: OwnValues, rows: int, registry: Registry, known: bool = False
) -> Unmeasured:
    """What becomes of pixels that hold nothing: those that the data set names, those that the files mark or flag, and
    those of the camera that stand out in many rows. rows: looked at. known: whether the noise is declared, or measured
    on other frames, so that any share of the values may be missing."""
    known = known or part.sigma_n is not None or part.counts is not None
    if not part.masked and (part.on_bad_file == "skip" or part.clean or str(part.sigma_n) in ESTIMATES):
        return Unmeasured(part, values)
    asked, missing = part.masked, part.missing if part.masked else "mask"
    named = [list(one) for one in part.dead]
    said: dict[str, Any] = {} if "flags" in spec else getattr(bare(values.found.source), "said_flags", dict)()
    fields: dict[str, Any] = dict(said)

    def looked_at() -> tuple[Stored, OwnValues]:
        masked = registry.build(Data, {**spec, **fields, "missing": missing})
        assert isinstance(masked, Stored)
        return masked, own_values(masked, rows)

    flags = dict(fields)
    if flags:
        part, values = looked_at()
    size = values.rows.shape[-2:]
    stuck = _in_lines(stuck_pixels(values.rows), *size)
    single = sum("*" not in one for one in stuck)
    if single > DEAD * np.prod(size) or len(pixels_of(stuck, *size)) > MOST * np.prod(size):
        stuck = []
    if stuck:
        fields["dead"] = [*named, *map(list, stuck)]
        part, values = looked_at()
    hot = hot_lines(values.rows)
    if hot:
        fields["dead"] = [*fields.get("dead", named), *map(list, hot)]
        part, values = looked_at()
    dead = dead_pixels(values.rows)
    if 0 < len(dead) <= DEAD * np.prod(size):
        fields["dead"] = [*fields.get("dead", named), *map(list, dead)]
        part, values = looked_at()
    share, of_rows = float(np.isnan(values.rows).mean()), float(values.missing.mean())
    if share == 0 and not asked:
        return Unmeasured(part, values)
    told = (
        f"{int(values.missing.sum())} of {len(values.rows)} rows looked at have missing pixels ({share:.2g} of all "
        "values)"
    )
    reasons: dict[KeyPath, str] = {}
    if flags:
        name = next(iter(flags.values()))
        reasons["data", "flags"] = f"Every file flags pixels in {name}: those are missing."
    if "dead" not in fields and of_rows <= SKIPPED and not asked:
        reasons["data", "on_bad_file"] = f"{told}: they are left out."
        return Unmeasured(part, values, {**flags, "on_bad_file": "skip"}, None, reasons)
    if "dead" in fields:
        lines = (
            f"{len(hot)} columns or lines stand out of those on both sides in every row, from end to end: hot, or dead."
        )
        lone = f"{len(dead)} pixels stand far out of quiet surroundings at the same places in many rows: hot, or dead."
        still = f"{len(pixels_of(stuck, *size))} pixels hold the same value in every row, and those beside them do not."
        reasons["data", "dead"] = " ".join([still] * bool(stuck) + [lines] * bool(hot) + [lone] * bool(dead))
    given = "Given with the data" if asked else told
    reasons["data", "missing"] = f"{given}: rows are taken with a mask of what was measured."
    return _masked(part, values, {**fields, "missing": missing}, reasons, known)


def _masked(
    part: Stored, values: OwnValues, fields: Mapping[str, Any], reasons: dict[KeyPath, str], known: bool
) -> Unmeasured:
    """The corruption for rows that are taken with a mask, or why they cannot be."""
    never = np.isnan(values.rows).all(0)
    shared = float(np.isnan(values.rows[:, ~never]).mean()) if not never.all() else 1.0
    told = f"{percent(shared)} % of the pixels that some row measures are missing"
    if never.mean() > NEVER:
        why = (
            f"pixels that some row measures: {percent(float(never.mean()))} % are missing in every row looked at. "
            "Crop the rows to the part that is there, or repair them where they were made"
        )
        return Unmeasured(part, values, missing=(why,))
    if shared > MOST and not known:
        return Unmeasured(part, values, missing=(f"{UNKNOWN} ({told})",))
    reasons["corruption",] = "Measured values are trained on; a step hides more of them, and asks for all."
    reasons["corruption", "missing"] = "The share that is missing of the pixels that some row measures, or a little."
    corruption: dict[str, Any] = {"name": "mask", "missing": float(f"{max(shared, LEAST):.3g}")}
    if never.any():
        corruption["allow_unseen"] = True
        reasons["corruption", "allow_unseen"] = (
            "No row measures the pixels that are always missing: what is restored there is what the network makes of "
            "their neighbours."
        )
    return Unmeasured(part, values, fields, corruption, reasons)


def _in_lines(pixels: list[tuple[int, int]], height: int, width: int) -> list[Place]:
    """The same pixels, with whole columns and lines as one place each."""
    hole = np.zeros((height, width), bool)
    for line, column in pixels:
        hole[line, column] = True
    columns, lines = np.flatnonzero(hole.all(0)).tolist(), np.flatnonzero(hole.all(1)).tolist()
    hole[:, columns] = hole[lines] = False
    whole: list[Place] = [*(("*", column) for column in columns), *((line, "*") for line in lines)]
    return [*whole, *((line, column) for line, column in np.argwhere(hole).tolist())]
