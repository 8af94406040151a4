"""Photon transfer: how the variance of the noise grows with brightness, fitted on ordinary rows, or on repeated frames.

A camera's value v = gain p + n with p ~ Poisson(lambda) and n ~ N(offset, read_std^2) has mean m = gain lambda + offset
and variance

    var(v) = read_std^2 + gain (m - offset) = a + gain m,    a = read_std^2 - gain offset,

a straight line. Rows without repeats fix the line, that is gain and a, and nothing else: offset and read_std alone need
a value without light (dark frames). The generalised Anscombe transform needs only the line.

Sources: Foi, Trimeche, Katkovnik and Egiazarian, "Practical Poissonian-Gaussian noise modeling and fitting for
single-image raw-data", IEEE TIP 17(10), 2008 (single pictures: the noise in smooth areas as a function of brightness);
EMVA 1288 (repeated frames: the temporal variance against the mean).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ambientkit.inspection.details import FLAT, Array, details, noise_std
from ambientkit.inspection.smooth import GROUPS, Blocks, count_step, groups_of, piles, smoothness
from ambientkit.inspection.transfer import Dark, PhotonTransfer

BINS = 24
"""Classes of brightness in which flat areas are first sought."""
FEWEST = 100
"""Blocks in a class without which it is not used."""
ENOUGH = 400
"""Blocks without which no line is fitted."""
POINTS = 12
"""Classes of brightness that are kept for a chart."""
COUNTER = 0.15
"""Most by which the gain of a counter, and the place where its line meets 0, may be off, in counts."""
STRICT = 0.6
"""Share of the flat blocks with the least texture, by which the effect of texture is measured."""
FAR = 5.0
"""Details beyond so many std are structure or hot pixels."""
NOISE_OF_MEAN, SHARED = 5 / 36, 1 / 9
"""For pixels of variance v and third cumulant k: the variance of a block's brightness by CENTRE is 5/36 v, and it
correlates with the squared answers of FILTER, covariance 1/9 k, since both see the same pixels."""


def photon_transfer(
    pictures: Array, dark: Dark | None = None, level: Array | None = None, counted: bool | None = None
) -> PhotonTransfer | None:
    """The line, fitted on pictures (n, C, H, W) in file units; None where few areas are smooth, or most without noise.

    level: what the noise is divided by, broadcastable to the pictures, where it is declared; the line is then that of
    (noise / level)^2, 1 everywhere if the level is right.

    The answer of FILTER, squared, has the mean var(m) in smooth areas under any law of the noise; it is averaged
    over blocks of 2 x 2 pixels. Smooth are blocks around which the means of 3 x 3 blocks leave a parabola (in both
    directions) by at most FLAT var(m), with var(m) from the line itself, in turns: slopes and gentle bends, which the
    filter does not see, count as smooth. The line by weighted least squares (weights 1 / var^2); standard errors from
    groups of blocks (pictures, or parts of few pictures), between which nothing is shared. dark: the line goes through
    that point. Blocks with a value at which the values pile up (saturation, clipped black) do not count.

    counted: whether the least value is that of no count, where values pile up by themselves and count. None: it is
    found by the values, see `_counter`.
    """
    if counted is None and level is None and (step := count_step(pictures)) is not None:
        fit = _fitted(pictures, dark, level, True)
        if fit is not None and _counter(fit, step):
            return replace(fit, counter=step)
    return _fitted(pictures, dark, level, bool(counted))


def _counter(fit: PhotonTransfer, step: float) -> bool:
    """Whether the line is that of a counter: one step of the values a count, and no variance at 0.

    Without the zeros the smooth blocks of few counts are those that happen to hold none: at 1.5 to 12 counts the gain
    is then 1.115, and the line meets 0 at 0.62. A camera that clips black has another gain, or another line.
    """
    return (
        abs(fit.gain / step - 1) <= COUNTER + 4 * fit.gain_error / step
        and abs(fit.zero) <= COUNTER * step + 2 * fit.zero_error
    )


def _fitted(pictures: Array, dark: Dark | None, level: Array | None, counted: bool) -> PhotonTransfer | None:
    """`photon_transfer`, where it is known whether the values that pile up low count."""
    found = smoothness(pictures, level, counted)
    line = _by_class(found)
    if line is None:
        return None
    for _ in range(6):
        rough = found.rough / np.maximum(line[0] + line[1] * found.mean, 1e-9 * float(np.median(found.square)) + 1e-300)
        chosen = found.usable & (rough <= FLAT)
        if chosen.sum() < ENOUGH:
            return None
        m, square = found.mean[chosen], found.square[chosen]
        if not np.median(square) > 0:  # rounded away, in more than half of the smooth blocks
            return None
        line = _line(m, square, line, dark)
    groups = groups_of(chosen)
    fitted = _Fit.of(m, square, line, dark, groups)
    strict = rough[chosen] <= np.quantile(rough[chosen], STRICT)
    moved = _line(m[strict], square[strict], line, dark)
    darkest, brightest = map(float, np.quantile(m, [0.001, 0.999]))
    at = fitted.at
    v = np.maximum(line[0] + line[1] * m, 1e-9 * float(np.median(square)) + 1e-300)
    bend, bend_z = _bend(m, square, line, groups, (darkest, brightest))
    return PhotonTransfer(
        gain=fitted.gain,
        gain_error=math.hypot(fitted.gain_error, (moved[1] - line[1]) / 2),
        at=at,
        variance_at=fitted.variance,
        variance_error=math.hypot(fitted.variance_error, (moved[0] + moved[1] * at - line[0] - line[1] * at) / 2),
        darkest=darkest,
        brightest=brightest,
        bend=bend,
        bend_z=bend_z,
        points=_points(m, square, line),
        blocks=len(m),
        dark=dark,
        strict_gain=moved[1],
        white=float((found.diagonal[chosen] / v).mean() / (square / v).mean()),
        share=float(chosen.sum() / max(found.usable.sum(), 1)),
    )


def repeated(frames: Array, dark: Dark | None = None) -> PhotonTransfer | None:
    """The line by frames (k, C, H, W) of one and the same scene, k >= 2, file units: the variance of each pixel over
    the frames against its mean, for any scene and texture. None where fewer than ENOUGH pixels are left.

    What a frame has more light in all than the others (a lamp that drifts) is taken out, as a factor. Pixels at which
    values pile up do not count, but for the zeros of a counter. Source: as of the module, EMVA 1288, with k frames in
    the place of two.
    """
    if (step := count_step(frames)) is not None:
        fit = _repeated(frames, dark, True)
        if fit is not None and _counter(fit, step):
            return replace(fit, counter=step)
    return _repeated(frames, dark, False)


def _repeated(frames: Array, dark: Dark | None, counted: bool) -> PhotonTransfer | None:
    """`repeated`, where it is known whether the values that pile up low count."""
    k = len(frames)
    if k < 2:
        raise ValueError("the noise of a scene takes 2 frames or more")
    level = frames.reshape(k, -1).mean(1)
    floor = 0.0 if dark is None else dark.offset
    light = np.where(level > floor, (level.mean() - floor) / np.maximum(level - floor, 1e-12), 1.0)
    even = (frames - floor) * light.reshape(-1, *[1] * (frames.ndim - 1)) + floor
    fine = ~np.isin(frames, piles(frames, counted)).any(0)
    if fine.sum() < ENOUGH:
        return None
    m, square = even.mean(0)[fine], even.var(0, ddof=1)[fine]
    order = np.argsort(m, kind="stable")
    keep = order[: int(0.999 * len(order))] if len(order) > 10 * ENOUGH else order  # hot pixels
    m, square = m[keep], square[keep]
    if not np.median(square) > 0:
        return None
    line = _line(m, square, (float(square.mean()), 0.0), dark, cut=False)
    groups = np.arange(len(m)) % max(GROUPS, 200)
    fitted = _Fit.of(m, square, line, dark, groups, cut=False)
    darkest, brightest = map(float, np.quantile(m, [0.001, 0.999]))
    bend, bend_z = _bend(m, square, line, groups, (darkest, brightest))
    return PhotonTransfer(
        gain=fitted.gain,
        gain_error=fitted.gain_error,
        at=fitted.at,
        variance_at=fitted.variance,
        variance_error=fitted.variance_error,
        darkest=darkest,
        brightest=brightest,
        bend=bend,
        bend_z=bend_z,
        points=_points(m, square, line),
        blocks=len(m),
        dark=dark,
    )


def dark_frames(frames: Array) -> Dark:
    """Frames (k, C, H, W) without light, file units. Offset: their median. Read noise: by the differences between
    frames, so that a fixed pattern does not count; of one frame by its diagonal details.
    """
    k, pixels = len(frames), frames[0].size
    offset = float(np.median(frames)) if np.ptp(frames) > 50 * frames.std() else float(frames.mean())
    if k > 1:
        variance = float(np.mean(frames.var(0, ddof=1)))
        read, freedom = math.sqrt(variance), (k - 1) * pixels
    else:
        read, blocks = noise_std(details(frames, None))
        freedom = max(blocks, 1)
    return Dark(offset, float(frames.std()) / math.sqrt(frames.size), read, read / math.sqrt(2 * freedom), k)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A fitted line at the mean brightness `at`, with standard errors."""

    at: float
    variance: float
    gain: float
    variance_error: float
    gain_error: float

    @classmethod
    def of(
        cls,
        m: Array,
        square: Array,
        line: tuple[float, float],
        dark: Dark | None,
        groups: NDArray[np.int64],
        cut: bool = True,
    ) -> _Fit:
        """The errors by the sums of the score over groups of blocks (a sandwich)."""
        weight = _weights(m, square, line, cut)
        at = float(np.average(m, weights=weight))
        a, gain = line
        residual = square - a - gain * m
        if dark is None:
            basis = np.stack([np.ones_like(m), m - at])
        else:  # through the point of the dark frames: the level follows from the gain
            basis = (m - dark.offset)[None]
        normal = (basis * weight) @ basis.T
        score = np.stack([np.bincount(groups, weight * residual * row) for row in basis])
        count = (np.bincount(groups) > 0).sum()
        inverse = np.linalg.inv(normal)
        covariance = inverse @ (score @ score.T) @ inverse * count / max(count - 1, 1)
        if dark is None:
            return cls(at, a + gain * at, gain, math.sqrt(covariance[0, 0]), math.sqrt(covariance[1, 1]))
        own = 2 * dark.read_std * dark.read_error
        reach = float((weight * (m - dark.offset)).sum() / normal[0, 0])
        gain_error = math.sqrt(covariance[0, 0] + (reach * own) ** 2)
        return cls(at, a + gain * at, gain, math.hypot(own, gain_error * (at - dark.offset)), gain_error)


def _weights(m: Array, square: Array, line: tuple[float, float], cut: bool) -> Array:
    """1 / var^2, the inverse variance of d^2 up to a factor; 0 for details beyond FAR std."""
    a, gain = line
    least = max(float(np.median(square)) * 0.05, 1e-300)
    variance = np.maximum(a + gain * m, least)
    weight = 1 / variance**2
    return np.where(square <= FAR**2 * variance, weight, 0.0) if cut else weight


def _line(
    m: Array, square: Array, line: tuple[float, float], dark: Dark | None, cut: bool = True
) -> tuple[float, float]:
    """(a, gain) of square = a + gain m by reweighted least squares, from a first guess.

    cut: the blocks are those of `smoothness`, far squares do not count, and the noise that m itself holds is taken out
    of its spread. That needs the third cumulant, gain (v - read_std^2), of which read_std is not known: half of the
    noise in the dark is taken for it.
    """
    for _ in range(8):
        weight = _weights(m, square, line, cut)
        total = weight.sum()
        own = 0.0
        if cut:
            v = line[0] + line[1] * m
            light = np.maximum(v - 0.5 * max(line[0] + line[1] * float(np.quantile(m, 0.001)), 0.0), 0)
            own = float((weight * (NOISE_OF_MEAN * v - (SHARED * light if line[1] > 0 else 0.0))).sum())
        if dark is None:
            centre = float((weight * m).sum() / total)
            spread = float((weight * (m - centre) ** 2).sum())
            level = float((weight * square).sum() / total)
            spread = max(spread - own, 0.2 * spread)
            gain = float((weight * (m - centre) * (square - level)).sum() / spread) if spread > 0 else 0.0
            new = level - gain * centre, gain
        else:
            away, rest = m - dark.offset, square - dark.read_std**2
            gain = float((weight * away * rest).sum() / max((weight * away**2).sum(), 1e-300))
            new = dark.read_std**2 - gain * dark.offset, gain
        if abs(new[1] - line[1]) <= 1e-6 * abs(new[1]) and abs(new[0] - line[0]) <= 1e-6 * abs(new[0]):
            return new
        line = new
    return line


def _by_class(found: Blocks) -> tuple[float, float] | None:
    """A first line, from the noise in classes of brightness, each with smooth blocks of its own; None where there are
    none. Some classes hold equally many blocks, others are equally wide, so that small bright areas are seen too."""
    mean, usable = found.mean, found.usable
    if usable.sum() < ENOUGH:
        return None
    low, high = np.quantile(mean[usable], [0.0005, 0.9995])
    edges = np.unique(
        np.concatenate([np.quantile(mean[usable], np.linspace(0, 1, BINS // 2 + 1)), np.linspace(low, high, BINS)])
    )
    levels, means, counts = [], [], []
    for lower, upper in zip(edges[:-1], edges[1:]):
        among = usable & (mean >= lower) & (mean <= upper)
        if among.sum() < FEWEST:
            continue
        flat, level = among, float(found.square[among].mean())
        for _ in range(12):
            flat = among & (found.rough <= FLAT * level)
            if flat.sum() < FEWEST // 4:
                break
            new = float(found.square[flat].mean())
            if abs(new - level) < 1e-3 * level:
                break
            level = new
        if flat.sum() < FEWEST // 4 or level <= 0:
            continue
        levels.append(level)
        means.append(float(mean[flat].mean()))
        counts.append(float(flat.sum()))
    if not levels:
        return None
    if len(levels) == 1:
        return levels[0], 0.0
    variance, at, n = np.asarray(levels), np.asarray(means), np.asarray(counts)
    weight = n / variance**2
    centre, level = (float(np.average(values, weights=weight)) for values in (at, variance))
    spread = float((weight * (at - centre) ** 2).sum())
    gain = float((weight * (at - centre) * (variance - level)).sum() / spread) if spread > 0 else 0.0
    return level - gain * centre, gain


def _bend(
    m: Array, square: Array, line: tuple[float, float], groups: NDArray[np.int64], ends: tuple[float, float]
) -> tuple[float, float]:
    """(ratio of the std by a parabola to that by a line at the end where they differ more, z of the parabola)."""
    weight = _weights(m, square, line, True)
    centre = float(np.average(m, weights=weight))
    scale = max(float(np.sqrt(np.average((m - centre) ** 2, weights=weight))), 1e-300)
    u = (m - centre) / scale
    basis = np.stack([np.ones_like(u), u, u**2])
    normal = (basis * weight) @ basis.T
    if np.linalg.cond(normal) > 1e12:
        return 1.0, 0.0
    inverse = np.linalg.inv(normal)
    c = inverse @ (basis @ (weight * square))
    score = np.stack([np.bincount(groups, weight * (square - c @ basis) * row) for row in basis])
    error = math.sqrt(float((inverse @ (score @ score.T) @ inverse)[2, 2]))
    ratios = []
    for end in ends:
        e = (end - centre) / scale
        straight, bent = line[0] + line[1] * end, float(c @ [1, e, e * e])
        if straight > 0 and bent > 0:
            ratios.append(math.sqrt(bent / straight))
    worst = max(ratios, key=lambda ratio: abs(math.log(ratio)), default=1.0)
    return worst, float(c[2]) / error if error > 0 else 0.0


def _points(m: Array, square: Array, line: tuple[float, float]) -> tuple[tuple[float, float, float, int], ...]:
    """Means of m and of the squares in classes of brightness, of equal width, for the eye."""
    keep = _weights(m, square, line, True) > 0
    m, square = m[keep], square[keep]
    low, high = np.quantile(m, [0.0005, 0.9995])
    found = []
    for lower, upper in zip((edges := np.linspace(low, high, POINTS + 1))[:-1], edges[1:]):
        among = (m >= lower) & (m <= upper)
        if (n := int(among.sum())) >= 30:
            values = square[among]
            found.append((float(m[among].mean()), float(values.mean()), float(values.std() / math.sqrt(n)), n))
    return tuple(found)
