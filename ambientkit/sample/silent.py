"""Restored pixels of which no row says anything, and rows of which few values are missing."""

from __future__ import annotations

from collections.abc import Sequence

from ambientkit.maths.harmonic import filled
from ambientkit.readers.dead import pixels_of
from ambientkit.rows import evenly
from ambientkit.sample.noisy import Noisy
from ambientkit.sample.restore import Restored

FEW_MISSING, LOOKED_AT = 0.1, 8
"""Share of the values, in so many rows, up to which missing ones are drawn by one particle where nobody says by how
many: their neighbours say nearly all of them."""


def without_silent(found: Restored, silent: Sequence[tuple[int, int]]) -> Restored:
    """With pixels that hold nothing as the mean of their restored neighbours, in the mean and in every draw."""
    drawn = filled(found.draws, silent)
    spread = None if found.std is None else drawn.double().std(dim=1).to(drawn.dtype)
    return found._replace(mean=filled(found.mean, silent), draws=drawn, std=spread)


def silent_pixels(rows: Noisy) -> list[tuple[int, int]]:
    """Pixels that hold nothing in any row: those said to be dead, and of rows of which few other values are missing
    those that none of LOOKED_AT has, as where the files flag pixels of a detector (by chance: 1e-8 for each)."""
    dead = getattr(rows.data, "dead", ())
    shape = rows.seen.signal.shape
    found = set(pixels_of(dead, *shape[-2:]) if dead else ())
    if rows.corruption.carries == {"mask"} and len(shape) == 3 and rows.seen.rows >= LOOKED_AT:
        mask = rows.observations.__getitems__(evenly(rows.seen.rows, LOOKED_AT)).cond.get("mask")
        if mask is None:  # whole rows, restored by a run that was trained with masks
            return sorted(found)
        seen = mask.bool()
        gone = ~seen.any(dim=0).any(dim=0)
        others = seen[..., ~gone]
        if float(gone.float().mean()) <= FEW_MISSING and 1 - float(others.float().mean()) <= FEW_MISSING:
            found |= {(line, column) for line, column in gone.nonzero().tolist()}
    return sorted(found)


def few_missing(rows: Noisy) -> bool:
    """Whether few values are missing under a mask. All rows are asked, so that the first ones are restored as they are
    with the others."""
    if rows.corruption.carries != {"mask"}:
        return False
    seen = rows.observations.__getitems__(evenly(rows.seen.rows, LOOKED_AT)).cond.get("mask")
    return seen is not None and 1 - float(seen.float().mean()) <= FEW_MISSING
