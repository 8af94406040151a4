"""Whether what rows lack is what the corruption says that they lack, and what they have goes together."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.interfaces import Corruption
from ambientkit.maths.masks import APART, Kind, chance_of_hiding, chance_of_seen
from ambientkit.text import share

WITHIN = 2.0
"""A weight of hidden values that is off by this factor or more is reported."""
MANY = 8
"""Rows by which values that no row has are known."""


def off_share(corruption: Corruption, batch: Batch) -> str:
    """What a user should know where `corruption.missing` is far from the share that rows (B, *S) lack; else empty.

    Hidden values weigh 1 / P(A = 1 | A~ = 0), with the chance q of a value to be measured that `missing` gives: the
    factor is the ratio of P at the share that the rows have and at the declared one, in the mean over values. Of
    MANY rows or more, values that none has (dead pixels, corners outside of a round field) do not count: no chance
    hides them, and no loss asks for them.
    """
    masks = [batch.cond[name] for name in ("mask", "sampled") if name in corruption.carries and name in batch.cond]
    if not masks or not hasattr(corruption, "missing") or not hasattr(corruption, "drop"):
        return ""
    kind: Kind = getattr(corruption, "kind", "pixels")
    centre: float = getattr(corruption, "centre", 0.0)
    seen = masks[0].double()
    ever = seen.amax(0) > 0 if len(seen) >= MANY else torch.ones_like(seen[0], dtype=torch.bool)
    if not bool(ever.any()):
        return ""
    hidden = 1 - seen[:, ever].mean()
    said = chance_of_hiding(batch.x_n, kind, corruption.missing, centre).mean()
    dropped = chance_of_hiding(batch.x_n, kind, corruption.drop).mean()
    factor = float(chance_of_seen(1 - hidden, dropped) / chance_of_seen(1 - said, dropped))
    if 1 / WITHIN < factor < WITHIN:
        return ""
    open_part = float(
        chance_of_hiding(batch.x_n, kind, 0.5, centre).mean() / chance_of_hiding(batch.x_n, kind, 0.5).mean()
    )
    wanted = min(float(hidden) / open_part, 0.99) if open_part else 0.0
    whose = "their values" if bool(ever.all()) else "the values that some row has"
    return (
        f"the rows lack {share(float(hidden)) if hidden else 'none'} of {whose}, and by corruption.missing = "
        f"{corruption.missing:g} it would be {share(float(said))}: hidden values weigh {factor:.2g} times what they "
        f"should, and samples are drawn under masks that training has not shown. Give missing: {wanted:.2g}"
    )


def apart(corruption: Corruption, batch: Batch) -> str:
    """The warning where many pairs of measurements are together in no row (B, *M); else empty, and where directions
    that no row measures are allowed by name."""
    if not isinstance(corruption, Linear) or corruption.allow_unseen or (found := corruption.apart(batch)) <= APART:
        return ""
    return (
        f"{found:.0%} of the pairs of measurements that only a part of the rows has are together in none of the "
        f"{len(batch.x_n)} rows looked at, as of lines at a few fixed offsets: of such a pair the one is never asked "
        "for where the other is seen, so that less is learned than from lines that are missing at random"
    )
