"""Tests of the noise in flat areas: its level, whiteness, symmetry, tails, and whether it depends on brightness."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ambientkit.inspection.bent import bent
from ambientkit.inspection.details import Array, Details, noise_std, robust_std
from ambientkit.inspection.finding import Finding, NoiseVerdict
from ambientkit.inspection.transfer import PhotonTransfer
from ambientkit.units.counts import CountRange

ENOUGH = 200
"""Flat blocks without which nothing is said."""
LOW, HIGH = 0.85, 1.25
"""The level measured in flat areas, in units of the declared one, may lie between these."""
COLOURED = (0.65, 1.6)
"""Variance of details along one axis over that of diagonal ones; 1 for white noise, (1 + r) / (1 - r) where neighbours
correlate by r."""
SHARPENED = 0.85
"""Least variance of the means of 2 x 2 pixels over that of diagonal details, in flat areas; 1 for white noise."""
TEXTURED = (1.1, 1.2)
"""Variance, of diagonal details over the declared one and of means around flat blocks over that of the details, above
which these blocks hold texture."""
SHARED = 0.3
"""Correlation of the noise of two channels."""
SKEWED, HEAVY, LIGHT = 0.25, 0.8, -0.35
"""Skewness and excess kurtosis of the pixels in flat areas; 0 and 0 for normal ones."""
BENT = 0.6
"""Skewness up to which the noise of counts passes where it is what the transform leaves."""
VARIES = 1.3
"""Largest over smallest level among areas of different brightness."""
SMOOTH = 0.42
"""Share of the blocks that are smooth, below which texture may be taken for noise that depends on brightness."""
SURE = 5.0
"""Standard errors by which noise must grow with brightness before it is said to."""
LINE_VARIES, STEADY = 1.4, 0.8
"""`VARIES` where the line alone says so, to which texture adds; and the share of its slope that the smoothest blocks,
which hold least texture, must confirm."""
STRIPED = -0.45
"""Correlation of the bends of consecutive lines, below which lines have independent offsets; -2/3 for these, near 1 for
smooth pictures."""
COVERED = 0.25
"""Least share of the range of brightness that flat areas must cover before noise is said not to depend on it."""
FLAT_SHARE = 0.02
"""Least share of flat blocks: below it, what is high may be texture."""


def judge(
    found: Details,
    declared: bool,
    magnitude: bool,
    line: PhotonTransfer | None = None,
    counts: CountRange | None = None,
) -> Iterator[Finding]:
    """All tests of noise that was divided by its level (declared, or estimated). magnitude: no file value is negative.

    line: how the noise, in units of its level, grows with brightness, where that could be fitted. counts: the mapping
    by which counts came to these units, where they did: its noise is bent at low counts, by a known amount.
    """
    usable = found.usable
    level, n = noise_std(found)
    share = n / max(int(usable.sum()), 1)
    few = n < ENOUGH or share < FLAT_SHARE
    chosen = smoothest(found, 0.2) if few else usable & found.flat(level**2)
    if declared:
        yield _level(found, level, few)
    if chosen.sum() < ENOUGH:
        if (grows := by_line(line, magnitude)) is not None:
            yield grows
        for name in ("correlation", "symmetry", "tails", *(("signal-dependence",) if grows is None else ())):
            yield Finding(name, NoiseVerdict.UNTRIED, "there are too few flat areas to look at the noise alone.")
        return
    yield _colour(found, chosen, few, declared)
    if found.diagonal.shape[1] > 1:
        yield _channels(found, chosen & np.isfinite(found.roughness).all(1, keepdims=True), few)
    yield _by_brightness(found, magnitude, line)
    if few:
        for name in ("symmetry", "tails"):
            yield Finding(name, NoiseVerdict.UNTRIED, "there are too few flat areas to look at the noise alone.")
        return
    flattest = usable & (found.roughness <= 1.2 * level**2)  # textures weigh most where squares and cubes are taken
    last = flattest if flattest.sum() >= ENOUGH else chosen
    expected = (0.0, 0.0) if counts is None else bent(counts, found.around[last])
    yield from _law(found.residuals(last), magnitude, *expected)


def smoothest(found: Details, share: float, among: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """The share of the usable blocks with the smallest roughness."""
    usable = found.usable if among is None else among
    if not usable.any():
        return usable
    return usable & (found.roughness <= np.quantile(found.roughness[usable], share))


def _level(found: Details, level: float, few: bool) -> Finding:
    usable = found.usable
    inside = found.scale > 0
    rms = math.sqrt(float(np.square(found.diagonal[inside]).mean())) if inside.any() else 1.0
    slack = 5 / math.sqrt(2 * max(int(inside.sum()), 1))
    told = (
        "sigma_n is a std in units of [-1, 1]: check its units and value_range, or let it be estimated: "
        "--sigma-n estimate."
    )
    if rms < LOW - slack:  # a picture can only add to this: no assumption about it is needed
        return Finding("level", NoiseVerdict.VIOLATED, f"the finest details hold {rms:.3g} times sigma_n.", told, rms)
    if few:
        low = smoothest(found, 0.2)
        if low.sum() >= ENOUGH and robust_std(found.diagonal[low]) < LOW - 5 / math.sqrt(low.sum()):
            least = robust_std(found.diagonal[low])
            return Finding(
                "level",
                NoiseVerdict.VIOLATED,
                f"the smoothest areas hold {least:.3g} times sigma_n.",
                told,
                least,
            )
        if low.sum() >= ENOUGH and usable.any() and robust_std(found.diagonal[low]) > 4:
            least = robust_std(found.diagonal[low])
            reason = f"even the smoothest areas vary by {least:.3g} times sigma_n: it is far more, or all is texture."
            return Finding("level", NoiseVerdict.DOUBT, reason, told, least)
        return Finding("level", NoiseVerdict.UNTRIED, "there are too few flat areas to look at the noise alone.")
    slack = 3.5 * 1.17 / math.sqrt(max(int((usable & found.flat(level**2)).sum()), 1))
    if LOW - slack <= level <= HIGH + slack:
        return Finding("level", NoiseVerdict.FINE, f"flat areas hold {level:.3g} times sigma_n.", "", level)
    return Finding("level", NoiseVerdict.VIOLATED, f"flat areas hold {level:.3g} times sigma_n.", told, level)


def _colour(found: Details, chosen: NDArray[np.bool_], few: bool, declared: bool) -> Finding:
    diagonal = robust_std(found.diagonal[chosen]) ** 2
    along = [robust_std(part[chosen]) ** 2 / max(diagonal, 1e-30) for part in (found.horizontal, found.vertical)]
    slack = 2 / math.sqrt(int(chosen.sum()))
    means = float(found.roughness[chosen].mean()) / max(diagonal, 1e-30)  # near 1: more than 2 was not chosen
    worst = max(along, key=lambda ratio: abs(math.log(max(ratio, 1e-9))))
    # More than was declared, in all details and between blocks: noise as strong as the picture hides texture in them.
    few = few or (declared and worst > 1 and diagonal > TEXTURED[0] and means > TEXTURED[1])
    told = (
        "Neighbouring pixels share their noise (resampling, smoothing, demosaicing, lossy compression, stripes) or "
        "were sharpened: use "
        "the data before that step. Correlated noise cannot be declared to ambientkit."
    )
    if means < SHARPENED - slack and not few:
        worst = means
    elif COLOURED[0] - slack <= min(along) and max(along) <= COLOURED[1] + slack:
        return Finding(
            "correlation",
            NoiseVerdict.FINE,
            f"details along one axis have {worst:.3g} times the variance of diagonal ones.",
            "",
            worst,
        )
    what = "means of 2 x 2 pixels" if worst == means else "details along one axis"
    reason = f"in flat areas {what} have {worst:.3g} times the variance of diagonal details: the noise is not white."
    if few:
        h = found.horizontal[chosen]
        normal = abs(float(np.mean((h - h.mean()) ** 4) / np.var(h) ** 2) - 3) < 1.0
        small = (
            declared and robust_std(found.diagonal[chosen]) >= LOW
        )  # the declared white noise is there: the rest is texture
        if worst < 1 or small or not normal:
            known = worst < 1 or small
            reason = f"too few flat areas to distinguish noise whose neighbours correlate from texture ({worst:.3g})."
            return Finding(
                "correlation",
                NoiseVerdict.UNTRIED if known else NoiseVerdict.DOUBT,
                reason,
                "" if known else told,
                worst,
            )
    if (
        not declared and worst > 1 and (few or min(along) > COLOURED[1])
    ):  # a smooth clean picture may be so, and set its own "level"
        return Finding(
            "correlation", NoiseVerdict.DOUBT, f"{reason[:-1]}, or it is the texture of clean pictures.", told, worst
        )
    return Finding("correlation", NoiseVerdict.VIOLATED, reason, told, worst)


def stripes(pictures: Array, least: float) -> Finding | None:
    """A finding where each line of pixels, or each column, has an offset of its own; None where there is none.

    pictures: (n, C, H, W). Offsets show in the bends m_i, the median along line i of x_(i+1) - 2 x_i + x_(i-1), in
    which smooth pictures have little. White offsets of std s give bends of std sqrt(6) s that correlate by -4/6 from
    line to line; those of smooth pictures correlate positively. Diagonal details, from which levels are estimated, hold
    nothing of it. least: std below which it is nothing.
    """
    worst: tuple[float, str] | None = None
    for name, axis in (("line", -2), ("column", -1)):
        bend = np.median(np.diff(pictures, 2, axis=axis), axis=-1 if axis == -2 else -2).reshape(
            -1, pictures.shape[axis] - 2
        )
        if bend.shape[1] < 4 or bend.size < ENOUGH:
            continue
        offset = robust_std(bend) / math.sqrt(6)
        power = float(np.square(bend).mean())
        shared = float((bend[:, 1:] * bend[:, :-1]).mean()) / power if power > 0 else 0.0
        if offset > least and shared < STRIPED and (worst is None or offset > worst[0]):
            worst = offset, name
    if worst is None:
        return None
    reason = (
        f"each {worst[1]} of pixels has an offset of its own (std {worst[0]:.3g}), or the pictures are ruled "
        "so finely: no pixel noise was found."
    )
    told = (
        "Pixels of one line that share their noise cannot be declared to ambientkit: subtract the offsets (row "
        "noise of the sensor) first."
    )
    return Finding("correlation", NoiseVerdict.DOUBT, reason, told, worst[0])


def _channels(found: Details, chosen: NDArray[np.bool_], few: bool) -> Finding:
    """Whether channels share their noise, by the details where all channels are flat."""
    both = chosen.all(1)
    if both.sum() < ENOUGH or few:
        return Finding("channels", NoiseVerdict.UNTRIED, "there are too few flat areas to look at the noise alone.")
    with np.errstate(invalid="ignore"):  # a channel without any detail shares none
        table = np.nan_to_num(np.corrcoef([found.diagonal[:, c][both] for c in range(found.diagonal.shape[1])]))
    np.fill_diagonal(table, 0)
    worst = float(np.abs(table).max())
    if worst <= SHARED + 5 / math.sqrt(both.sum()):
        return Finding(
            "channels", NoiseVerdict.FINE, f"the noise of two channels correlates by {worst:.2g}.", "", worst
        )
    return Finding(
        "channels",
        NoiseVerdict.VIOLATED,
        f"the noise of two channels correlates by {worst:.2g}: they share it.",
        "Keep one channel if all are copies of one grey picture; otherwise use the data before channels were mixed.",
        worst,
    )


def _by_brightness(found: Details, magnitude: bool, line: PhotonTransfer | None) -> Finding:
    """By classes of brightness, and where these find nothing by the line, which sees small bright areas among dark
    ones."""
    first = _brightness(found, magnitude)
    return first if first.verdict is NoiseVerdict.VIOLATED else by_line(line, magnitude) or first


def by_line(line: PhotonTransfer | None, magnitude: bool) -> Finding | None:
    """A finding where the line, or a parabola in its place, grows or falls with brightness beyond doubt."""
    if line is None or not line.trusted or line.share < SMOOTH:
        return None
    rising = line.gain > 0
    sure = abs(line.gain) > SURE * line.gain_error and line.gain * (line.strict_gain or 0.0) > STEADY * line.gain**2
    low, high = line.variance(line.darkest), line.variance(line.brightest)
    ratio = math.sqrt(max(high, low) / max(min(high, low), 1e-3 * max(high, low)))
    if sure and ratio > LINE_VARIES:
        return _depends(ratio, rising, magnitude)
    if abs(line.bend_z) > SURE and abs(math.log(line.bend)) > math.log(LINE_VARIES):
        return _depends(max(line.bend, 1 / line.bend), line.bend_z > 0, magnitude)
    return None


def _brightness(found: Details, magnitude: bool) -> Finding:
    usable = found.usable
    around = found.around[usable]
    least, most = np.quantile(around, [0.005, 0.995])
    edges = np.quantile(around, np.linspace(0, 1, 7))
    levels, means, counts = [], [], []
    for low, high in zip(edges[:-1], edges[1:]):
        among = usable & (found.around >= low) & ((found.around < high) | (high == edges[-1]))
        flat = smoothest(found, 0.3, among)
        if flat.sum() < ENOUGH / 2:
            continue
        level = robust_std(found.diagonal[flat])
        rough = float(np.median(found.roughness[flat]))
        if level > 0 and 0.2 * level**2 < rough < 1.3 * level**2:  # otherwise it is texture, not noise
            levels.append(level)
            counts.append(int(flat.sum()))
            means.append(float(found.around[flat].mean()))
    if len(levels) < 2:
        return Finding("signal-dependence", NoiseVerdict.UNTRIED, "there are no flat areas of different brightness.")
    ratio = max(levels) / min(levels)
    if ratio <= VARIES + 4 * 1.17 / math.sqrt(min(counts)):
        if max(means) - min(means) < COVERED * (most - least):
            reason = (
                "the flat areas are of nearly one brightness "
                f"({100 * (max(means) - min(means)) / (most - least):.2g} % of what there is)."
            )
            return Finding("signal-dependence", NoiseVerdict.UNTRIED, reason, "", ratio)
        return Finding(
            "signal-dependence",
            NoiseVerdict.FINE,
            f"levels at different brightness differ by a factor of {ratio:.3g}.",
            "",
            ratio,
        )
    return _depends(ratio, means[levels.index(max(levels))] > means[levels.index(min(levels))], magnitude)


def _depends(ratio: float, rising: bool, magnitude: bool) -> Finding:
    """The finding of noise that is `ratio` times stronger in some areas."""
    remedy = "The model needs noise that does not depend on the picture."
    if rising:
        remedy += (
            " For counts (photons, electrons) give counts: {gain, offset, read_std}, which makes their noise even; "
            "`ambientkit inspect DATA --write run.yaml` finds these numbers."
        )
    if magnitude and rising:
        remedy += " For magnitude images of magnetic resonance (Rician noise) use the complex ones, as two channels."
    reason = f"the noise is {ratio:.3g} times stronger in {'bright' if rising else 'dark'} areas than in others."
    return Finding("signal-dependence", NoiseVerdict.VIOLATED, reason, remedy, ratio)


def _law(pixels: NDArray[np.float64], magnitude: bool, skewed: float = 0.0, heavy: float = 0.0) -> Iterator[Finding]:
    """Skewness and kurtosis of single pixels in flat areas; skewed, heavy: what they may be as well as 0."""
    z = pixels.ravel()
    if z.std() == 0:
        for name in ("symmetry", "tails"):
            yield Finding(name, NoiseVerdict.UNTRIED, "flat areas hold one and the same value.")
        return
    z = (z - z.mean()) / z.std()
    skew, kurtosis = float((z**3).mean()), float((z**4).mean() - 3)
    noise = math.sqrt(6 / pixels.shape[1])
    as_told = min(skewed, 0) - SKEWED - 4 * noise <= skew <= max(skewed, 0) + SKEWED + 4 * noise
    told = f", where counts as few as these have {skewed:.2g}" if abs(skewed) > SKEWED / 4 else ""
    if as_told and abs(skew) <= max(BENT, SKEWED + 4 * noise):
        yield Finding("symmetry", NoiseVerdict.FINE, f"skewness {skew:.2g} in flat areas{told}.", "", skew)
    elif as_told:
        reason = f"skewness {skew:.2g} in flat areas{told}: the transform of counts cannot make noise of so few even."
        yield Finding("symmetry", NoiseVerdict.DOUBT, reason, "Longer exposures, or sums of pixels, hold more.", skew)
    else:
        remedy = "Half of the noise is missing or bent: clipped, cast to whole numbers without sign, or counts."
        if magnitude:
            remedy += (
                " Magnitude images of magnetic resonance (Rician noise) look so: use the complex ones, as two channels."
            )
        yield Finding(
            "symmetry",
            NoiseVerdict.VIOLATED,
            f"skewness {skew:.2g} in flat areas: the noise is not symmetric.",
            remedy,
            skew,
        )
    if LIGHT - 8 * noise + min(heavy, 0) <= kurtosis <= HEAVY + 8 * noise + max(heavy, 0):
        yield Finding("tails", NoiseVerdict.FINE, f"excess kurtosis {kurtosis:.2g} in flat areas.", "", kurtosis)
    else:
        kind = "heavier" if kurtosis > 0 else "lighter"
        remedy = (
            "Outliers (hot pixels, salt and pepper, cosmic rays) or a mixture of levels: remove them, or give the "
            "level per row or per pixel."
            if kurtosis > 0
            else "Uniform or clipped noise looks so: the objectives need Gaussian noise."
        )
        yield Finding(
            "tails",
            NoiseVerdict.VIOLATED,
            f"excess kurtosis {kurtosis:.2g} in flat areas: {kind} tails than normal.",
            remedy,
            kurtosis,
        )
