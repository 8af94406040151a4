"""A range of values whose middle is their mean, where a few bright things make all others lie at one end of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ambientkit.units.counts import anscombe

OFF = 4.0
"""Distance of the mean from the middle of the range, in stds of the values, from which the range is moved. To a network
such values are one large number with little around it, which it has to learn first."""
WIDE = 4.0
"""Stds of the values from the middle of the new range to its ends."""


def centred(
    found: list[float], seen: NDArray[np.float64], counts: Mapping[str, float] | None
) -> tuple[list[float], str] | None:
    """The range that takes the place of `found` for file values `seen`, and why; None where the middle is near enough.

    counts: of which the transform counts. Half a range is at most half of the mean there: below its zero there is
    nothing.
    """

    def ahead(v: NDArray[np.float64]) -> NDArray[np.float64]:
        return v if counts is None else anscombe(v, counts["gain"], counts["offset"], counts["read_std"])

    d, (low, high) = ahead(seen), ahead(np.asarray(found))
    mean, std = float(d.mean()), float(d.std())
    if std == 0 or abs(mean - (low + high) / 2) <= OFF * std:
        return None
    half = WIDE * std if counts is None else min(WIDE * std, mean / 2)
    ends = np.asarray([mean - half, mean + half])
    if counts is not None:  # the other way, of the noisy values themselves
        s2 = (counts["read_std"] / counts["gain"]) ** 2
        ends = counts["gain"] * (ends**2 / 4 - 3 / 8 - s2) + counts["offset"]
    share = 100 * float(((seen < ends[0]) | (seen > ends[1])).mean())
    return [float(f"{end:.5g}") for end in ends], (
        "These two file values become -1 and 1: nearly all values are far darker, or brighter, than a few, so that the "
        f"middle is their mean. {share:.2g} % lie outside and are not clipped; results are turned back."
    )
