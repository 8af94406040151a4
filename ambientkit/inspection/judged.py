"""The tests of the noise model on a sample of rows: `inspect` shows what they find, `train` heeds it before step 1."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambientkit.batch import Batch, Clean
from ambientkit.errors import InputError
from ambientkit.inspection import noise, values
from ambientkit.inspection.details import details, noise_std, padding, without
from ambientkit.inspection.finding import Finding, NoiseVerdict
from ambientkit.inspection.lone import lone
from ambientkit.inspection.measurements import scale_of_measurements
from ambientkit.inspection.partial import Mask, measured, part_findings
from ambientkit.inspection.photon import photon_transfer
from ambientkit.interfaces import Levels
from ambientkit.rows import Rows, as_rows, evenly, largest_bucket, observation
from ambientkit.text import percent
from ambientkit.units.counts import CountRange
from ambientkit.units.scale import judge_scale

Array = NDArray[np.float64]
ROWS = 512
"""Rows looked at, evenly spaced: as many before a training as in `inspect`, so that the two see the same ones."""
VALUES = 2**22
"""Most values looked at."""
REACH = 0.5
"""Values may leave [-1, 1] by so much, besides 6 times the noise."""
UNKNOWN = 2.0
"""The same where the noise is not known."""
OUTSIDE = (0.02, 0.3)
"""Share of values beyond from which a range is doubted, and refused."""
SMALL = (0.01, 0.03)
"""Std of all values, in units of [-1, 1], below which a range is refused, and doubted."""
LOWEST = Levels().sigma_min
"""The lowest level that is trained by default."""


class Looked(NamedTuple):
    """Some rows of a data set, and what the tests say of them."""

    x: Array
    """(n, *S), data units."""
    sigma_n: Array | None
    """(n, ...), broadcastable to x; None where it is not known."""
    places: list[int]
    """Where the rows stand in the data set."""
    part: tuple[Mask, bool] | None
    """Which values were measured, (n, *S), and whether they are values of a picture; None where all were."""
    findings: list[Finding]


def look(
    rows: Any,
    *,
    of: Rows | None = None,
    sigma_n: float | Array | None = None,
    most: int = ROWS,
    lowest: float = LOWEST,
    pictures: bool = True,
) -> Looked:
    """Look at up to `most` evenly spaced rows of a map-style data set of clean rows or observations: the one judgement
    that `inspect` shows and `train` heeds.

    of: the data set that `rows` are observations of, where they do not know themselves in which units it is. sigma_n:
    the level that the rows are said to have, a number or one per row (N,), where they do not bring it. lowest: the
    lowest level that will be trained. pictures: the rows may be pictures; otherwise they are what an operator makes of
    some, in which noise does not show by smooth areas, so that no level is estimated. What the data set itself knows of
    its noise takes the place of all tests of the values. Raises InputError where there are more or fewer levels than
    rows.
    """
    own = as_rows(rows) if of is None else of
    x, levels, index = sampled_rows(rows, most)
    if sigma_n is not None:
        level = np.asarray(sigma_n, np.float64)
        if level.ndim == 1 and len(level) != len(own):
            raise InputError(f"sigma_n has {len(level)} levels for {len(own)} rows")
        levels = (level[index] if level.ndim else np.full(len(x), level)).reshape(-1, *[1] * (x.ndim - 1))
    part = None if levels is None else measured(rows, index)
    if not pictures:
        part = (np.ones(x.shape, bool) if part is None else part[0], False)
    known = own.noise_findings()
    if known is not None:
        return Looked(x, levels, index, part, list(known))
    if part is not None:
        found = part_findings(x, levels, *part, own.mapping)
    else:
        found = model_findings(x, levels, _zero(own.mapping), own.mapping)
    if part is not None and not part[1]:
        scale = scale_of_measurements(x, part[0], 0.0 if levels is None else float(levels.max()), lowest)
    else:
        scale = scale_findings(x, levels, own, lowest)
    return Looked(x, levels, index, part, [*scale, *(map(_unsure, found) if scale else found)])


def _zero(mapping: object) -> float | None:
    """The file's value 0 in data units; None for values of no file."""
    return None if mapping is None else float(mapping.to_unit(np.asarray(0.0)))  # type: ignore[attr-defined]


def _unsure(finding: Finding) -> Finding:
    """That no noise was found says nothing in units that are in doubt."""
    if finding.name != "noise" or finding.verdict is not NoiseVerdict.FINE or "look clean" not in finding.reason:
        return finding
    told = "no noise shows in these units: look again once the range of the values is right."
    return Finding("noise", NoiseVerdict.UNTRIED, told)


def sampled_rows(rows: Any, most: int = ROWS) -> tuple[Array, Array | None, list[int]]:
    """(x, sigma_n, row numbers) of up to `most` evenly spaced rows, of several shapes those of the commonest: x
    (n, *S); sigma_n (n, ...) broadcastable, 0 for clean rows among noisy ones, None where all are clean."""
    first = rows[0]
    size = (first.x_0 if isinstance(first, Clean) else first.x_n).numel()
    most = max(1, min(most, VALUES // max(size, 1)))
    buckets = getattr(rows, "buckets", None)
    alike = range(len(rows)) if buckets is None else largest_bucket(buckets)
    index = [alike[place] for place in evenly(len(alike), most)]
    items = [rows[i] for i in index]
    items = [observation(item, i) if isinstance(item, Batch) else item for i, item in zip(index, items, strict=True)]
    if all(isinstance(item, Clean) for item in items):
        return np.stack([item.x_0.numpy() for item in items]).astype(np.float64), None, index
    seen = [(item.x_0, 0.0) if isinstance(item, Clean) else (item.x_n, item.sigma_n) for item in items]
    x = np.stack([value.numpy() for value, _ in seen]).astype(np.float64)
    levels = [np.asarray(level, np.float64) for _, level in seen]
    return (
        x,
        np.stack(
            [
                np.broadcast_to(level, x.shape[1:]) if level.ndim else level.reshape([1] * (x.ndim - 1))
                for level in levels
            ]
        ),
        index,
    )


def scale_findings(x: Array, sigma_n: Array | None, rows: Rows, lowest: float = LOWEST) -> list[Finding]:
    """A finding "units" where the values x (n, *S) speak against the range that was assumed for them; none where
    nothing does.

    rows: what else is known of them. Rows without a mapping are in units of [-1, 1] by their own account.
    lowest: the lowest level that will be trained.
    """
    level = 0.0 if sigma_n is None else float(sigma_n.max())
    found = judge_scale(
        float(x.min()), float(x.max()), level, assumed=rows.assumed or rows.mapping is None, stored=rows.stored
    )
    if found is None or not found.refused:
        told = _in_range(x, level, lowest, known=sigma_n is not None)
        if told is not None:
            return [told]
    if found is None:
        return []
    return [
        Finding(
            "units",
            NoiseVerdict.VIOLATED if found.refused else NoiseVerdict.DOUBT,
            found.reason,
            found.remedy,
            float(np.abs(x).max()),
        )
    ]


def _in_range(x: Array, level: float, lowest: float, known: bool) -> Finding | None:
    """Whether the values fill the range that they are mapped to, and lie in it, whoever gave the range. known: whether
    the level is."""
    remedy = (
        "Give value_range, the two file values that stand for -1 and 1, or have it measured once: value_range: data "
        "(`ambientkit inspect DATA --write run.yaml` does)."
    )
    outside = float((np.abs(x) > 1 + 6 * level + (REACH if known else UNKNOWN)).mean())
    if outside > OUTSIDE[0]:
        reason = (
            f"{percent(outside)} % of the values lie outside the range that stands for [-1, 1], far beyond "
            "what noise does."
        )
        return Finding(
            "units", NoiseVerdict.VIOLATED if outside > OUTSIDE[1] else NoiseVerdict.DOUBT, reason, remedy, outside
        )
    std = float(x.std())
    if 0 < std < SMALL[1]:
        reason = (
            f"all values together have a std of {std:.2g} in units of [-1, 1]: for the network they are "
            "nearly one grey."
        )
        return Finding("units", NoiseVerdict.VIOLATED if std < SMALL[0] else NoiseVerdict.DOUBT, reason, remedy, std)
    if 0 < level <= lowest:
        reason = (
            f"sigma_n, {level:.3g}, is not above {lowest:g}, the lowest level that is trained: "
            "it would be learned as part of the picture."
        )
        return Finding("units", NoiseVerdict.VIOLATED, reason, f"{remedy} Or lower levels.sigma_min.", level)
    return None


def model_findings(x: Array, sigma_n: Array | None, zero: float | None = None, mapping: object = None) -> list[Finding]:
    """Every test of the noise model on rows x (n, *S) with levels sigma_n (n, ...), or None where they are unknown.

    zero: the file's value 0 in data units, by which magnitude images are recognised. mapping: by which the file's
    values came to data units; of counts, it says how their noise is bent. A set in which no noise is found
    has the one finding "noise", or "correlation" where its lines are noisy. Their scale is judged by `scale_findings`.
    Copies of rows are named, and left out of the other tests.
    """
    twins, once = values.copies(x, None if sigma_n is None else np.broadcast_to(sigma_n > 0, x.shape))
    return [*twins, *_judged(x[once], None if sigma_n is None else sigma_n[once], zero, mapping)]


def _judged(x: Array, sigma_n: Array | None, zero: float | None, mapping: object) -> list[Finding]:
    """`model_findings` on rows of which each is there once."""
    declared = sigma_n is not None
    pictures = _pictures(x)
    level = sigma_n
    blank = values.blank(x) if level is None else None
    if level is None:
        if blank is not None and blank.verdict is NoiseVerdict.VIOLATED:
            return [blank]
        if pictures is None:
            return [
                Finding(
                    "noise",
                    NoiseVerdict.UNTRIED,
                    "rows that are no pictures show no noise level: give it with --sigma-n.",
                )
            ]
        estimated, seen = _levels(pictures)
        if events := values.events(x):
            return [events]
        step, reach = values.gap(x.ravel()), float(np.ptp(x))
        typical = float(np.median(estimated))
        least = max((1.5 if step < 0.01 * reach else 0.3) * step, 2e-3 * reach)
        if typical <= least:
            if striped := noise.stripes(pictures, least):
                return [striped]
            return _without_noise(x, pictures, typical, least)
        level = estimated.reshape(-1, *[1] * (x.ndim - 1))
        if not seen:
            noise_alone = details(pictures, estimated.reshape(-1, 1, 1, 1))
            line = photon_transfer(pictures)
            return [
                f for f in noise.judge(noise_alone, declared, False, line) if f.verdict is not NoiseVerdict.UNTRIED
            ] or [
                Finding(
                    "noise",
                    NoiseVerdict.UNTRIED,
                    "there are too few flat areas to distinguish noise from texture: give the level with --sigma-n.",
                )
            ]
        if len(pictures) != len(x):
            level = np.full((len(x), *[1] * (x.ndim - 1)), float(np.median(estimated)))
    noisy = np.broadcast_to(level > 0, x.shape)
    counts = mapping if isinstance(mapping, CountRange) else None
    if not noisy.any():
        return [Finding("noise", NoiseVerdict.FINE, "the rows are declared clean.")]
    typical = float(np.median(np.broadcast_to(level, x.shape)[noisy]))
    rows = values.of_values(x, noisy, level)
    if rows and not np.ptp(x.reshape(len(x), -1), axis=1).any():
        return rows  # what values that never change show of noise says nothing more
    found = [
        *rows,
        values.saturation(x, noisy, declared, counts),
        values.quantisation(x, noisy, typical),
    ]
    if blank is not None and all(finding.name != blank.name for finding in found):
        found.insert(0, blank)
    if pictures is None:
        return [*found, Finding("correlation", NoiseVerdict.UNTRIED, "the rows are no pictures.")]
    by_picture = (
        np.broadcast_to(level, x.shape).reshape(pictures.shape)
        if level.size > len(x)
        else level.reshape(len(x), 1, 1, 1)
    )
    if by_picture.shape[0] != len(pictures):
        by_picture = np.repeat(by_picture, len(pictures) // len(x), axis=0)
    magnitude = zero is not None and float(x.min()) >= zero - 1e-6
    from_zero = counts is not None and float(counts.from_unit(x.min())) - counts.zero <= counts.gain
    line = photon_transfer(
        pictures / typical, level=np.broadcast_to(by_picture / typical, pictures.shape), counted=from_zero
    )
    judged = list(noise.judge(details(pictures, by_picture), declared, magnitude, line, counts))
    if (single := lone(pictures / np.where(by_picture > 0, by_picture, np.inf))) is not None:
        judged = [finding for finding in judged if finding.name != "tails"] + [single]
    return [*found, *judged]


def _without_noise(x: Array, pictures: Array, typical: float, least: float) -> list[Finding]:
    """The findings on rows in which no noise was found: whether areas of one and the same value hide it comes first."""
    saturated = values.saturation(x, np.ones(x.shape, bool), False)
    padded, share = padding(pictures)
    if padded.any():
        level, flat = noise_std(without(details(pictures, None), padded))
        if level > least and flat >= noise.ENOUGH:
            reason = (
                f"{percent(share)} % of the area hold one and the same value, at an end of the range, and the "
                "rest has noise "
                f"of std {level:.3g}: padding, or clipping."
            )
            remedy = "Padding holds no noise: crop the rows to the part that was measured, or leave them out."
            return [Finding("saturation", NoiseVerdict.VIOLATED, reason, remedy, share)]
    ends = (
        ""
        if saturated.verdict is NoiseVerdict.FINE
        else f" {percent(saturated.statistic or 0)} % of the values are at an end of their range."
    )
    return [
        Finding(
            "noise",
            NoiseVerdict.FINE,
            f"no noise to speak of was found (about {typical:.2g}): these rows look clean.{ends}",
        )
    ]


def refuse(findings: Iterable[Finding], allow: Collection[str] = ()) -> None:
    """Raise InputError where the model is violated in a way that is not allowed by name."""
    bad = [finding for finding in findings if finding.verdict is NoiseVerdict.VIOLATED and finding.name not in allow]
    if bad:
        lines = [f"  {finding}" for finding in bad]
        names = " ".join(f"--allow {finding.name}" for finding in {one.name: one for one in bad}.values())
        raise InputError(
            "\n".join(["the noise of the data is not what it is declared to be:", *lines])
            + f"\n`ambientkit inspect` shows more. To go on knowingly: {names}"
        )


def _pictures(x: Array) -> Array | None:
    """Rows as (n, C, H, W) where they are pictures of at least 6 x 6; the slices of volumes count one by one."""
    if x.ndim < 4 or min(x.shape[-2:]) < 6:
        return None
    return x if x.ndim == 4 else x.reshape(-1, 1, *x.shape[-2:])


def _levels(pictures: Array) -> tuple[Array, bool]:
    """(n,): the level of each picture where it has enough flat blocks, otherwise that of all together; and whether all
    have enough."""
    everything = details(pictures, None)
    together, count = noise_std(everything)
    seen = count >= max(noise.ENOUGH, noise.FLAT_SHARE * everything.usable.sum())
    one = []
    for picture in pictures:
        level, n = noise_std(details(picture[None], None))
        one.append(level if n >= 64 else together)
    return np.asarray(one) if seen else np.full(len(pictures), together), seen


def violated(findings: Sequence[Finding]) -> bool:
    """Whether any test found the model violated."""
    return any(finding.verdict is NoiseVerdict.VIOLATED for finding in findings)
