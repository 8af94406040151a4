"""Rows in which no data can be made out: under their noise, behind an operator of another scale, or of one value."""

from __future__ import annotations

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption

FARTHEST = 1e4
"""Largest factor, or one over the smallest, by which an operator may scale white noise: squares of it are what
gradients and weights of measurements have beside 1, and float32 and the optimiser's epsilon lose others."""
NEAR = 10.0
"""The same, up to which the operator is not what puts data under the noise."""


def refuse_scale(corruption: Corruption, batch: Batch) -> None:
    """Raise InputError for an operator of which nothing could be learned, because its measurements are so small or so
    large."""
    if not isinstance(corruption, Linear):
        return
    gain = corruption.gain(batch)
    if gain and not 1 / FARTHEST <= gain <= FARTHEST:
        raise InputError(
            f"operator {corruption.operator.name}: it makes white noise {gain:.3g} times as large, and training counts "
            f"errors in the scale of measurements: beyond {1 / FARTHEST:g} to {FARTHEST:g} float32 cannot follow. "
            f"Divide the operator, the measurements and their sigma_n by {gain:.3g}"
        )


def refuse_one_value(batch: Batch) -> None:
    """Raise InputError where all that was measured in the rows is one and the same value."""
    seen = next((batch.cond[name] for name in ("mask", "sampled") if name in batch.cond), None)
    known = batch.x_n.flatten() if seen is None else batch.x_n[seen.bool().expand_as(batch.x_n)]
    if len(known) < 2 or bool((known != known[0]).any()):
        return
    which = "values of" if seen is None else "values that were measured, by the masks of"
    why = "which noise does not do" if bool((batch.sigma_n > 0).any()) else "so that nothing can be learned from them"
    hint = (
        "" if seen is None else ". A mask is 1 where a value was measured: store 1 - masks if yours are the other way"
    )
    raise InputError(f"all {which} the rows looked at are exactly {float(known[0]):g}, {why}{hint}")


def refuse_no_data(corruption: Corruption, batch: Batch, sigma_data: float, spread: float) -> None:
    """Raise InputError where the values of rows are nothing but noise, naming what is likely to be wrong.

    sigma_data: std of the clean data, by subtraction. spread: the std with its noise.
    """
    noise = float(batch.sigma_n.max())
    # The variance of n values has a standard error of sqrt(2/n) of itself: below 4 of them nothing but noise is seen.
    if noise == 0 or sigma_data**2 > 4 * (2 / batch.x_n.numel()) ** 0.5 * spread**2:
        return
    said = f"under the noise (sigma_n {noise:.4g}) no data can be made out: all values together have std {spread:.4g}"
    gain = corruption.gain(batch) if isinstance(corruption, Linear) else 1.0
    if isinstance(corruption, Linear) and not 1 / NEAR <= gain <= NEAR:
        raise InputError(
            f"{said} in the scale of clean rows. Operator {corruption.operator.name} makes white noise {gain:.3g} "
            "times as large, and sigma_n is the noise of measurements: give the one that measurements in this scale "
            f"have, or, where it was meant for pictures, divide the operator and the measurements by {gain:.3g}"
        )
    raise InputError(f"{said}. sigma_n is a standard deviation in units of [-1, 1]: is it given in other units?")
