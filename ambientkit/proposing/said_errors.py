"""What the errors that files state for each pixel say of their noise: one level, counts, or levels of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.interfaces import Data
from ambientkit.proposing.noise import NoiseModel
from ambientkit.readers import Stored
from ambientkit.readers.layout import to_row
from ambientkit.readers.own_values import OwnValues
from ambientkit.registry import Registry
from ambientkit.rows import evenly

Array = NDArray[np.float64]

EVEN = 1.1
"""Ratio of the errors that are larger than 95 % and 5 % of all, up to which they are one level."""
GROUPS, APART = 8, 1.3
"""Groups of equal errors in which values must lie around the line of counts, with a spread of so many errors at most;
the spread is that of the quartiles."""
FAR = 3.0
"""Largest over usual error of a row from which topping up costs much, and is said."""


def said_noise(part: Stored, said: Mapping[str, Any], values: OwnValues, registry: Registry) -> NoiseModel:
    """Of files that all have an extension of errors, `said` by these fields.

    A network takes one level per picture, so that a restored row is topped up to its largest error first. Where errors
    are even they are one number; where they follow the values as those of counts do, error^2 = gain (value - zero),
    the transform of counts makes them even, and nothing is lost: a bright star no longer costs the sky around it.
    """
    name = said["sigma_n"]
    errors = _errors(part, said, values, registry)
    good = np.isfinite(errors) & np.isfinite(values.rows) & (errors > 0)
    why = f"The extension {name} that every file has: the errors of its pixels, in its units."
    kept = NoiseModel(said, {("sigma_n",): why})
    if good.mean() < 0.5:
        return kept
    low, middle, high = (float(q) for q in np.quantile(errors[good], [0.05, 0.5, 0.95]))
    if high <= EVEN * low and float(errors[good].max()) <= FAR * middle:
        level = float(f"{middle:.5g}")
        why = (
            f"The extension {name} of every file is nearly one number, {low:.4g} to {high:.4g} for 90 % of the pixels."
        )
        return NoiseModel({"sigma_n": level, "sigma_units": "file"}, {("sigma_n",): why})
    if (line := _line(values.rows[good], errors[good])) is not None:
        gain, zero = line
        offset = float(f"{max(zero, float(np.quantile(values.rows[good], 0.001))):.5g}")
        read = float(f"{max(gain * (offset - zero), 0.0) ** 0.5:.5g}")
        counts = {"gain": float(f"{gain:.5g}"), "offset": offset, "read_std": read}
        why = (
            f"The extension {name} that every file has follows the values: error^2 = {gain:.4g} (value - {zero:.4g}), "
            "as that of counts does. The Anscombe transform makes the noise even, and is undone for results; "
            f"`sigma_n: {name}` would top up every picture to its largest error."
        )
        return NoiseModel({"counts": counts}, {("counts",): why})
    spread = np.nanmax(np.where(good, errors, np.nan), axis=tuple(range(1, errors.ndim))) / middle
    if (times := float(np.nanmedian(spread))) > FAR:
        note = (
            f"how much is lost: a picture is restored at its largest error, {times:.2g} times the usual one. Flag the "
            "pixels of large errors, or crop them away"
        )
        return NoiseModel(said, kept.reasons, notes=[note])
    return kept


def _errors(part: Stored, said: Mapping[str, Any], values: OwnValues, registry: Registry) -> Array:
    """As the rows of `values`, NaN where there is none."""
    fields = {name: getattr(part, name) for name in part.model_fields_set}
    found = registry.build(Data, {"name": part.name, **fields, **said})
    assert isinstance(found, Stored)
    there = found.found()
    assert there.named is not None
    rows = evenly(values.total, len(values.rows))
    errors = np.stack([np.asarray(to_row(there.named.row(index), there.layout), np.float64) for index in rows])
    return errors


def _line(values: Array, errors: Array) -> tuple[float, float] | None:
    """(gain, zero) of error^2 = gain (value - zero); None where the values do not lie about such a line.

    Values are regressed on the squared errors, which hold no noise, or the same as the values: values = zero +
    error^2 / gain, weighted by 1 / error^2.
    """
    x, weight = errors**2, 1 / errors**2
    inside = np.ones(len(x), bool)
    slope = zero = 0.0
    for _ in range(3):
        if inside.mean() < 0.5:
            return None
        w = np.where(inside, weight, 0.0)
        at, level = float(np.average(x, weights=w)), float(np.average(values, weights=w))
        slope = float((w * (x - at) * (values - level)).sum() / (w * (x - at) ** 2).sum())
        if not slope > 0:
            return None
        zero = level - slope * at
        inside = np.abs(values - zero - slope * x) < 6 * errors  # flags are not complete
    far = (values - zero - slope * x) / errors
    for group in np.array_split(np.argsort(x, kind="stable"), GROUPS):
        low, middle, high = np.quantile(far[group], [0.25, 0.5, 0.75])
        if high - low > APART * 1.349 or abs(middle) > 0.5:
            return None
    return 1 / slope, zero
