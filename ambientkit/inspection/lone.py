"""Pixels, lines and columns that stand out of what is beside them: hot and dead ones of a camera, and cosmic rays."""

from __future__ import annotations

import math
import warnings
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambientkit.inspection.details import Array, details, noise_std, robust_std
from ambientkit.inspection.finding import Finding, NoiseVerdict
from ambientkit.text import percent

LONE, QUIET = 9.0, 7.0
"""Levels by which a lone pixel differs, and within which its neighbours lie."""
LONE_SHARE, FEW_LONE = 2e-4, 8
"""Share and number of lone pixels from which they are reported; noise has none."""
MANY_LONE, SAME_PLACE = 5e-4, 3
"""Share of lone pixels from which they are no points of the picture; and rows in which one place is lone, from which it
is the camera's."""
FEW_STUCK, UNLIKE = 8, 0.5
"""Rows in which a pixel has one value, at least, to be stuck; and how often pixels beside it may keep theirs from row
to row."""
OFTEN = 0.1
"""Share of the rows in which a place is lone, from which its pixel is taken for dead."""
STANDS_OUT, THROUGHOUT = 2.0, 0.95
"""Noise levels by which a hot column differs from both beside it, in the median over the pictures, and the share of its
pixels that do."""
MOST_LINES = 0.03
"""Share of the columns, or of the lines, that may be hot; more are a pattern of the pictures. One always may."""
FALSE_ALARM = 1e-3
"""Dead pixels in a set whose lone pixels, as cosmic rays, fall anywhere."""
CAMERAS = (
    "Hot or dead pixels of the camera hold nothing: name them, and train on the others (dead: [[line, column], ...] "
    "and missing: mask in the data set, and --corruption mask; `ambientkit inspect DATA --write run.yaml` does)."
)


class Lone(NamedTuple):
    """Lone pixels of some pictures."""

    places: NDArray[np.int64]
    """(C, H, W): in how many of the pictures the pixel is lone there."""
    alone: int
    total: int
    """Pixels looked at."""


def lone_pixels(x: Array, edges: bool = False) -> Lone:
    """Of pictures x (n, C, H, W) in units of the noise level: pixels LONE levels from the median of their eight
    neighbours, which lie within QUIET of each other. NaN is no pixel, and neighbours of none are not looked at.

    edges: look at the outermost lines and columns too, beside which the picture is mirrored. There the tip of a thing
    that is cut off is lone as well.
    """
    if edges:
        found = lone_pixels(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect"))
        return found._replace(places=found.places[..., 1:-1, 1:-1])
    h, w = x.shape[-2] - 2, x.shape[-1] - 2
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    count = total = 0
    places = np.zeros(x.shape[1:], np.int64)
    for picture in x if min(h, w) > 0 else ():
        around = [picture[..., i : i + h, j : j + w] for i, j in shifts]
        least, most = np.minimum.reduce(around), np.maximum.reduce(around)
        centre = picture[..., 1:-1, 1:-1]
        bends = np.diff(picture, 2, axis=-1)
        own = max(1.0, robust_std(bends[np.isfinite(bends)]) / math.sqrt(6))  # of a noisier row than others
        outside = (centre < least) | (centre > most)  # as every lone pixel is: medians of the others are not needed
        at = outside & (most - least < QUIET * own)
        middle = np.median([one[at] for one in around], axis=0)
        at[at] = np.abs(centre[at] - middle) > LONE * own
        places[..., 1:-1, 1:-1] += at
        count += int(at.sum())
        total += centre.size
    return Lone(places, count, total)


def dead_pixels(pictures: Array) -> list[tuple[int, int]]:
    """(line, column) of pixels that are lone at the same place in many of the pictures (n, C, H, W), file units: the
    camera's own, hot or dead. Empty for fewer than SAME_PLACE pictures."""
    if pictures.ndim != 4 or min(pictures.shape[-2:]) < 8:
        return []
    if not (level := _level(pictures)) > 0:
        return []
    from scipy.stats import binom

    found = lone_pixels(pictures / level, edges=True)
    by_chance = binom.sf(found.places - 1, len(pictures), found.alone / max(found.total, 1)) * found.places.size
    often = (found.places >= max(SAME_PLACE, OFTEN * len(pictures))) & (by_chance < FALSE_ALARM)
    return [(line, column) for line, column in np.argwhere(often.any(0)).tolist()]


def _level(pictures: Array) -> float:
    """The noise level of pictures that may lack pixels; 0 where there is none."""
    seen = np.isfinite(pictures)
    if not seen.any():
        return 0.0
    level, _ = noise_std(details(np.where(seen, pictures, np.nanmedian(pictures)), None))
    if level > 0:
        return level
    bends = np.diff(pictures, 2, axis=-1)  # whole areas are missing, which the median makes flat
    bends = bends[np.isfinite(bends)]
    return robust_std(bends) / math.sqrt(6) if bends.size else 0.0


def stuck_pixels(pictures: Array) -> list[tuple[int, int]]:
    """(line, column) of pixels that hold one and the same value in all of the pictures (n, C, H, W), file units, beside
    others whose values change: dead columns of a camera, gaps between the modules of a detector. Empty for fewer than
    FEW_STUCK pictures.

    Where light is so faint that neighbours do not change either, an equal value is an honest one.
    """
    if pictures.ndim != 4 or len(pictures) < FEW_STUCK:
        return []
    from scipy.ndimage import binary_dilation, label

    steady = ((pictures == pictures[:1]).all(0)).any(0)
    if not steady.any():
        return []
    same = (pictures[1:] == pictures[:-1]).mean(0).max(0)  # how often two pictures that follow one another agree
    parts, count = label(steady, np.ones((3, 3)))
    kept = np.zeros_like(steady)
    for number in range(1, count + 1):
        part = parts == number
        beside = binary_dilation(part, np.ones((3, 3))) & ~steady
        if beside.any() and same[beside].mean() < UNLIKE:
            kept |= part
    return [(line, column) for line, column in np.argwhere(kept).tolist()]


def hot_lines(pictures: Array) -> list[tuple[int | Literal["*"], int | Literal["*"]]]:
    """("*", column) and (line, "*") that stand out of the columns, or lines, on both sides in the median over the
    pictures (n, C, H, W), file units, from end to end: those of a camera whose values are off, hot or dead. Empty for
    fewer than FEW_STUCK pictures.

    An edge of the pictures stands out on one side alone, and a thing in them seldom from end to end.
    """
    if pictures.ndim != 4 or len(pictures) < FEW_STUCK or min(pictures.shape[-2:]) < 8:
        return []
    if not (level := _level(pictures)) > 0:
        return []
    columns = _standing_out(pictures, level)
    lines = _standing_out(pictures.swapaxes(-1, -2), level)
    return [*(("*", column) for column in columns), *((line, "*") for line in lines)]


def _standing_out(pictures: Array, level: float) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # pixels that no picture has
        steps = np.nanmedian(np.diff(pictures, axis=-1), axis=0) / level  # (C, H, W - 1)
    left, right = steps[..., :-1], -steps[..., 1:]
    seen = np.isfinite(left) & np.isfinite(right)
    enough = seen.sum(-2) > seen.shape[-2] / 2
    found = np.zeros(steps.shape[-1] - 1, bool)
    for sign in (1, -1):
        out = (sign * left > STANDS_OUT) & (sign * right > STANDS_OUT)
        found |= (enough & (out.sum(-2) >= THROUGHOUT * np.maximum(seen.sum(-2), 1))).any(0)
    columns = (np.flatnonzero(found) + 1).tolist()
    return columns if len(columns) <= max(1, MOST_LINES * pictures.shape[-1]) else []


def lone(x: Array) -> Finding | None:
    """A finding where single pixels stand out of quiet surroundings, as hot pixels and cosmic rays do.

    x: pictures (n, C, H, W) in units of the noise level. The median of flat blocks does not see these, since a block is
    flat by what lies around and in it. Few lone pixels, at places that change, may be small things of the
    picture: a doubt.
    """
    if lines := hot_lines(x):
        told = ", ".join(f"column {column}" if line == "*" else f"line {line}" for line, column in lines)
        reason = f"{told} (from 0) stand out of those beside them in all rows, from end to end."
        return Finding("tails", NoiseVerdict.VIOLATED, reason, CAMERAS, len(lines) / x.shape[-1])
    found = lone_pixels(x)
    places, count = found.places, found.alone
    share = count / max(found.total, 1)
    if count < FEW_LONE or share < LONE_SHARE:
        return None
    reason = (
        f"{count} single pixels ({percent(share)} %) stand more than {LONE:g} noise levels out of quiet surroundings"
    )
    same = places >= SAME_PLACE
    if places[same].sum() > count / 2:
        first = ", ".join(f"({line}, {column})" for line, column in np.argwhere(same.any(0))[:8].tolist())
        reason += f", most of them at the same {int(same.sum())} places in many rows: (line, column) from 0 {first}" + (
            ", ..." if same.sum() > 8 else ""
        )
        return Finding("tails", NoiseVerdict.VIOLATED, f"{reason}.", CAMERAS, share)
    remedy = (
        "Cosmic rays, or hot pixels: replace them by the instrument's own correction, or set them to NaN and train on "
        "the others (missing: mask in the data set, and --corruption mask)."
    )
    if share >= MANY_LONE:
        return Finding("tails", NoiseVerdict.VIOLATED, f"{reason}.", remedy, share)
    return Finding("tails", NoiseVerdict.DOUBT, f"{reason}, or the pictures have things as small.", remedy, share)
