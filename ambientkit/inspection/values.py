"""Tests of single values: do they pile up at an end, or stand on steps?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ambientkit.inspection.finding import Finding, NoiseVerdict
from ambientkit.text import percent
from ambientkit.text import share as share_of
from ambientkit.units.clipping import CLIPPED, KEEP, KEPT
from ambientkit.units.counts import CountRange

Array = NDArray[np.float64]
ENDED = 0.01
"""Largest share at the lower end of the transform of counts, where few photons and read noise take values below it."""
STEP = 0.5
"""Largest step of the values in units of the level: rounding to it adds 2 % to the variance of the noise."""
SAMPLE = 200_000
FEWEST = 16
"""Values from which a constant row is no accident."""


def gap(values: Array) -> float:
    """The typical distance from a value to the next larger one that occurs: 0 in the limit of many continuous
    values."""
    kept = values if values.size <= SAMPLE else values[:: values.size // SAMPLE + 1]
    ordered, counts = np.unique(kept, return_counts=True)
    if len(ordered) < 2:
        return float("inf")
    steps = np.diff(ordered)
    order = np.argsort(steps)
    weights = np.minimum(counts[:-1], counts[1:])[
        order
    ]  # a step between two frequent values counts for more than one in the tail
    return float(steps[order][np.searchsorted(weights.cumsum(), weights.sum() / 2)])


def saturation(x: Array, noisy: NDArray[np.bool_], declared: bool, counts: CountRange | None = None) -> Finding:
    """Whether noise was cut at an end. x: (n, *S); noisy: which values are said to hold noise; declared: their level is
    known; counts: the transform that gave the values."""
    values = x[noisy]
    low, high = float(values.min()), float(values.max())
    shares = {end: float((values == end).mean()) for end in (low, high)}
    if counts is not None and low <= float(counts.to_unit(counts.zero + counts.gain)) + 1e-6:
        if shares[low] > ENDED:
            return Finding(
                "saturation",
                NoiseVerdict.VIOLATED,
                f"{percent(shares[low])} % of the values lie at the end of the transform of counts: the dark areas "
                "hold too few photons for their read noise.",
                "Expose longer, or bin pixels; where read noise is nearly all there is, give --sigma-n without counts.",
                shares[low],
            )
        shares[low] = 0.0
    most = max(shares, key=lambda end: shares[end])
    share = sum(shares.values()) if low < high else 1.0
    count = share * values.size
    if count <= max(3, CLIPPED * values.size) + 2:
        return Finding(
            "saturation",
            NoiseVerdict.FINE,
            f"{share_of(share)} of the values are the smallest or the largest one.",
            "",
            share,
        )
    alone = _alone(x, most)
    reason = (
        f"{percent(share)} % of the values are exactly {low:.4g} or {high:.4g}, the ends of their range: "
        "the noise was clipped."
    )
    remedy = (
        "Clipped noise has neither mean 0 nor its declared std, and nothing undoes it: go back to the data before "
        "8-bit saving or "
        "clipping, and keep them in floating point."
    )
    if declared or alone > 0.6:
        if share <= KEPT:
            remedy = f"Use a longer range or a shorter exposure. {KEEP}."
            return Finding("saturation", NoiseVerdict.DOUBT, reason, remedy, share)
        return Finding("saturation", NoiseVerdict.VIOLATED, reason, remedy, share)
    return Finding(
        "saturation", NoiseVerdict.DOUBT, f"{reason[:-1]}, or these are flat areas of clean pictures.", remedy, share
    )


def _alone(x: Array, end: float) -> float:
    """The share of the values at an end that have a neighbour which is not: large for scattered ones, small for
    areas."""
    at = x == end
    if x.ndim < 3 or min(x.shape[-2:]) < 3:
        return 1.0
    inner = at[..., 1:-1, 1:-1]
    whole = inner & at[..., :-2, 1:-1] & at[..., 2:, 1:-1] & at[..., 1:-1, :-2] & at[..., 1:-1, 2:]
    return 1 - float(whole.sum() / max(inner.sum(), 1))


def quantisation(x: Array, noisy: NDArray[np.bool_], level: float) -> Finding:
    """Whether the steps on which the values stand are fine beside the noise. level: its std."""
    step = gap(x[noisy])
    ratio = step / level if level > 0 else float("inf")
    if ratio <= STEP:
        return Finding("quantisation", NoiseVerdict.FINE, f"the values are {ratio:.2g} sigma apart.", "", ratio)
    return Finding(
        "quantisation",
        NoiseVerdict.VIOLATED,
        f"the values stand on steps of {step:.3g}, {ratio:.2g} times the noise level {level:.3g}: rounded noise is "
        "not Gaussian.",
        "Use the values before rounding; if these are counts of events, say so with counts: {gain, offset, read_std}.",
        ratio,
    )


def events(x: Array) -> Finding | None:
    """A finding where most values are one and the same and the others are scattered singly, as counts of rare events
    are."""
    found, counts = np.unique(x if x.size <= SAMPLE else x.ravel()[:SAMPLE], return_counts=True)
    most = found[counts.argmax()]
    other = x != most
    if x.ndim < 3 or min(x.shape[-2:]) < 3 or len(found) > 64 or not 1e-4 < other.mean() < 0.3:
        return None
    inner = other[..., 1:-1, 1:-1]
    near = other[..., :-2, 1:-1] | other[..., 2:, 1:-1] | other[..., 1:-1, :-2] | other[..., 1:-1, 2:]
    share = 1 - float((inner & near).sum() / max(inner.sum(), 1))
    if inner.sum() < 50 or share < 0.6 * (1 - other.mean()) ** 4:
        return None
    reason = (
        f"{100 * float((~other).mean()):.3g} % of the values are {most:.4g} and the others are scattered "
        "singly: counts of rare events."
    )
    remedy = (
        "So few counts a pixel are far from Gaussian under any transform: sum pixels or frames until they "
        "hold at least 4."
    )
    return Finding("counts", NoiseVerdict.VIOLATED, reason, remedy, share)


def blank(x: Array) -> Finding | None:
    """A finding on rows x (n, *S) of unknown level that hold one and the same value each: a doubt for some of them, and
    a violation where there are no others. None where there is none; rows of few values may be constant by accident."""
    flat = x.reshape(len(x), -1)
    count = int((np.ptp(flat, axis=1) == 0).sum()) if flat.shape[1] >= FEWEST else 0
    if not count:
        return None
    verdict = NoiseVerdict.VIOLATED if count == len(x) else NoiseVerdict.DOUBT
    reason = f"{count} of {len(x)} rows hold one and the same value everywhere: neither noise nor a picture."
    remedy = "Was the right array read, and the shutter open? Remove such rows."
    return Finding("constant-rows", verdict, reason, remedy, count)


def copies(x: Array, noisy: NDArray[np.bool_] | None) -> tuple[list[Finding], NDArray[np.intp]]:
    """A finding on rows x (n, *S) that are copies of earlier ones, and the rows that are left where each counts once.

    Copies repeat their noise, of which every other test takes each value to be a draw of its own. noisy: which values
    hold noise, None where that is not known; rows with few such values, and constant ones, are not compared.
    """
    flat = x.reshape(len(x), -1)
    compared = np.ptp(flat, axis=1) > 0
    compared &= (flat.shape[1] if noisy is None else noisy.reshape(len(x), -1).sum(1)) >= FEWEST
    first: dict[bytes, int] = {}
    kept = [i for i, row in enumerate(flat) if not compared[i] or first.setdefault(row.tobytes(), i) == i]
    if not (twins := len(x) - len(kept)):
        return [], np.arange(len(x))
    said = (
        f"all {len(x)} rows looked at are one and the same, value by value"
        if len(kept) == 1
        else f"{twins} of {len(x)} rows looked at are copies of others, value by value"
    )
    reason = f"{said}: a copy is memorised. The other tests count each row once."
    return [Finding("duplicates", NoiseVerdict.DOUBT, reason, "Remove the copies.", twins)], np.asarray(kept)


def of_values(x: Array, noisy: NDArray[np.bool_], level: Array) -> list[Finding]:
    """What no noisy data set can be: constant rows, less spread than the noise, far more than it."""
    flat = x.reshape(len(x), -1)
    some = noisy.reshape(len(x), -1).sum(1) >= FEWEST
    constant = int((np.ptp(flat, axis=1) == 0)[some].sum())
    found = []
    if constant:
        reason = f"{constant} of {len(x)} rows are constant, so they cannot hold the noise."
        found.append(
            Finding(
                "constant-rows",
                NoiseVerdict.VIOLATED,
                reason,
                "Remove them, or give them sigma_n = 0 if they are clean.",
                constant,
            )
        )
    rms = float(np.sqrt(np.mean(np.square(np.broadcast_to(level, x.shape)[noisy]))))
    std = float(x[noisy].std())
    if rms > std * (1 + max(0.03, 6 * (2 / noisy.sum()) ** 0.5)):
        reason = f"sigma_n, {rms:.4g}, is more than the std of the data themselves, {std:.4g}, in units of [-1, 1]."
        found.append(
            Finding(
                "units",
                NoiseVerdict.VIOLATED,
                reason,
                "Is it a mistake of units? Check sigma_n and value_range.",
                rms / max(std, 1e-12),
            )
        )
    low, high = np.quantile(x[noisy], [0.001, 0.999])  # a star may be as bright as it likes
    if rms < float(high - low) / 1000:
        reason = f"sigma_n, {rms:.3g}, is below 1/1000 of the range of nearly all values, {high - low:.3g}."
        found.append(
            Finding(
                "units",
                NoiseVerdict.VIOLATED,
                reason,
                "Is it a mistake of units? If the rows are practically clean, say so.",
                rms,
            )
        )
    return found
