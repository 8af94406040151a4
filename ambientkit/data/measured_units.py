"""Measurements through an operator: they are no pictures, and have to be in the operator's units, scaled, and neither
moved nor bent."""

from __future__ import annotations

import numpy as np
import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.data.held_out import Observed
from ambientkit.errors import InputError
from ambientkit.inspection import Finding, NoiseVerdict
from ambientkit.interfaces import Corruption, Data
from ambientkit.readers import Stored
from ambientkit.rows import evenly
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange

OFF = 1e-3
"""Offset, in units of [-1, 1], that is none."""
LOOKED_AT = 64
"""Rows by which a range is suggested."""


def shows_pictures(corruption: Corruption | None) -> bool:
    """Whether noise shows in smooth areas of rows that were observed so: what an operator makes of pictures are none,
    unless it says so. None: nobody said how they were observed."""
    return not isinstance(corruption, Linear) or corruption.operator.pictures


def refuse_whole(part: Data, through: Corruption | None) -> None:
    """Raise InputError where measurements in files are whole numbers, and nobody says which of them is 0: the range
    that is taken for pictures would move them."""
    if shows_pictures(through) or not isinstance(part, Stored) or part.value_range is not None:
        return
    source = part.found().source
    if source.dtype.kind not in "ui":
        return
    most = max(float(np.abs(np.asarray(source.row(i), np.float64)).max()) for i in evenly(source.shape[0], LOOKED_AT))
    most = float(f"{most:.3g}")
    raise InputError(
        f"{source}: measurements are {source.dtype}, so that the value of 0 is not known: give the data set "
        f"value_range, from -a to a, such as [{-most:g}, {most:g}], and sigma_n in its units"
    )


def moved(name: str, mapping: ValueRange) -> str:
    """Why measurements whose 0 is moved cannot be used, and the remedy."""
    most = max(abs(mapping.low), abs(mapping.high))
    return (
        f"operator {name}: value_range ({mapping.low:g}, {mapping.high:g}) takes a measurement of 0 to "
        f"{float(mapping.to_unit(0.0)):.3g}, and the operator knows of no such offset: a value_range of measurements "
        f"goes from -a to a, such as [{-most:g}, {most:g}]"
    )


def moved_finding(through: Corruption | None, mapping: object) -> list[Finding]:
    """That the range of measurements moves their 0, as a finding; empty where it does not, or an operator makes
    pictures."""
    if shows_pictures(through) or not isinstance(mapping, ValueRange) or abs(float(mapping.to_unit(0.0))) <= OFF:
        return []
    assert isinstance(through, Linear)
    return [Finding("units", NoiseVerdict.VIOLATED, moved(through.operator.name, mapping), "")]


def refuse_moved(corruption: Corruption, batch: Batch, observations: Observed) -> None:
    """Raise InputError where measurements in files are brought to [-1, 1] by more than a factor.

    To c x_0 an operator answers c A x_0, and to an offset with something of its own: only where it leaves constants as
    they are, as a blur does, is an offset of measurements one of pictures. Simulated measurements are not concerned.
    """
    mapping = observations.rows.mapping
    if not isinstance(corruption, Linear) or mapping is None or observations.simulated:
        return
    name = corruption.operator.name
    if isinstance(mapping, CountRange):
        raise InputError(
            f"operator {name}: the transform of counts is not linear, so that measurements are no longer those of the "
            "operator: leave counts out, and give sigma_n"
        )
    assert isinstance(mapping, ValueRange)
    zero = float(mapping.to_unit(0.0))
    if abs(zero) <= OFF:
        return
    ones = torch.ones_like(corruption.show(batch, corruption.floor(batch), torch.Generator().manual_seed(0)).x)
    brought = corruption.operator.per_row & batch.cond.keys()
    answer = corruption.operator.forward(ones, {one: batch.cond[one] for one in brought})
    if bool((answer - 1).abs().max() <= OFF):
        return
    raise InputError(moved(name, mapping))
