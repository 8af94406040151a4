"""The noise model that rows in file values speak for, with how sure that is; or what has to be measured first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.inspection.estimate import SMALLEST, Estimate, estimate
from ambientkit.inspection.photon import photon_transfer, repeated
from ambientkit.inspection.smooth import count_step
from ambientkit.inspection.transfer import Dark, PhotonTransfer

Array = NDArray[np.float64]

HOW = (
    "How to measure the noise: repeat one exposure 10 times or more without moving anything (`--repeats FOLDER`), "
    "or take "
    "frames of an even light (`--flat FOLDER`, one folder for each brightness) and with the light off (`--dark "
    "FOLDER`), all "
    "with the camera settings of the rows."
)
DIFFERS = 1.15
"""Gains of two channels, and levels of two ways to measure, that differ by more are not one and the same."""
SPREAD = 0.2
"""Spread of the levels of single rows, in units of the level, from which each row has its own."""


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Fields of a data set that declare its noise, with reasons; or what is missing."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    notes: Sequence[str] = ()
    photon: PhotonTransfer | None = None

    @property
    def counts(self) -> bool:
        """Whether the values are taken for counts."""
        return "counts" in self.fields


def noise_model(
    rows: Array, dark: Dark | None = None, scenes: Sequence[Array] = (), measured_by: str = ""
) -> NoiseModel:
    """Of rows (n, *S), file units, missing values NaN. dark: by frames without light. scenes: frames (k, C, H, W)
    each of one scene, measured in the place of the rows; measured_by: what to call them."""
    if scenes:
        return _of_frames(scenes, dark, measured_by)
    if rows.ndim < 4 or min(rows.shape[-2:]) < SMALLEST:
        return NoiseModel(
            missing=[
                f"the noise level: rows of shape {rows.shape[1:]} are no pictures of {SMALLEST} x {SMALLEST} or "
                "more, and "
                f"show none. Give it with --sigma-n. {HOW}"
            ]
        )
    pictures = rows if rows.ndim == 4 else rows.reshape(-1, 1, *rows.shape[-2:])
    if dark is not None and dark.read_std == dark.offset == 0 and count_step(pictures) is not None:
        dark = None  # those of a counter, which say nothing that its zeros do not
    if dark is not None and dark.read_std == 0:
        return NoiseModel(missing=[f"the read noise: the dark frames hold none, all their values are equal. {HOW}"])
    fit = photon_transfer(pictures, dark)
    if fit is None or not fit.trusted:
        why = (
            "too few smooth areas"
            if fit is None
            else f"fine details are not white (ratio of variances {fit.white:.2f})"
        )
        return NoiseModel(
            missing=[
                f"the noise level: {why}, so noise cannot be distinguished from texture, or its neighbours correlate "
                f"(resampled, filtered, compressed data: use them before that step). {HOW}"
            ],
            photon=fit,
        )
    found = f"from {fit.blocks:,} smooth blocks of 2 x 2 pixels in {len(rows)} rows"
    if fit.significant:
        if not fit.straight and fit.counter is None:
            return NoiseModel(missing=[_bent(fit)], photon=fit)
        if (apart := _channels(pictures, fit)) is not None:
            return NoiseModel(missing=[apart], photon=fit)
        return _counts(fit, found)
    if dark is not None:
        free = photon_transfer(pictures)
        if free is not None and free.variance(free.at) > dark.read_std**2 * DIFFERS**2:
            return NoiseModel(
                missing=[
                    f"noise that fits the dark frames: they hold {dark.read_std:.4g}, the rows "
                    f"{math.sqrt(free.variance(free.at)):.4g} "
                    "in smooth areas, and yet it does not grow with brightness. Were both taken with the same "
                    "settings?"
                ],
                photon=free,
            )
    return _gaussian(pictures, fit, found)


def _counts(fit: PhotonTransfer, found: str) -> NoiseModel:
    gain, dark = fit.gain, fit.dark
    if fit.counter is not None and dark is None:
        return _counter(fit, fit.counter, found)
    law = (
        f"The noise grows with brightness as that of counts does: variance = {gain:.4g} (value - {fit.zero:.4g}), "
        f"so its std is {fit.ratio:.2g} times larger in the brightest areas than in the darkest ({found})."
    )
    reasons: dict[tuple[str, ...], str] = {
        ("counts",): law + " The Anscombe transform makes it even, and is undone for results.",
        ("counts", "gain"): f"File units per count: {gain:.4g} +- {fit.gain_error:.2g} (standard error; 90 %: "
        f"{gain - 1.645 * fit.gain_error:.4g} to {gain + 1.645 * fit.gain_error:.4g}).",
    }
    notes = []
    if dark is None:
        reasons["counts", "offset"] = (
            f"Rows without dark frames fix offset - read_std^2 / gain = {fit.zero:.4g} +- {fit.zero_error:.2g} "
            "alone, which is all "
            "that the transform needs. Written here is the largest offset they allow, the darkest brightness, "
            "with the noise there."
        )
        reasons["counts", "read_std"] = "Goes with this offset; the camera's own is smaller, or the same."
        notes.append(
            "offset and read noise one by one: frames with the light off (`--dark FOLDER`). Not needed for training; "
            "restored values are the same."
        )
    else:
        reasons["counts", "offset"] = f"Mean of {dark.frames} dark frames, +- {dark.offset_error:.2g}."
        reasons["counts", "read_std"] = f"Std of {dark.frames} dark frames, +- {dark.read_error:.2g}."
    fields = {"counts": {"gain": _digits(gain), "offset": _digits(fit.offset), "read_std": _digits(fit.read_std)}}
    return NoiseModel(fields, reasons, notes=notes, photon=fit)


def _counter(fit: PhotonTransfer, step: float, found: str) -> NoiseModel:
    reasons: dict[tuple[str, ...], str] = {
        (
            "counts",
        ): f"The values are whole numbers of counts, 0 among them, and the variance of their noise is that of a "
        f"counter: {fit.gain:.4g} +- {fit.gain_error:.2g} times the value, 0 at {fit.zero:.2g} +- {fit.zero_error:.2g} "
        f"({found}). The Anscombe transform makes it even, and is undone for results.",
        ("counts", "gain"): "File units per count: the step between two values.",
        ("counts", "offset"): "A counter shows 0 without light,",
        ("counts", "read_std"): "and adds no noise of its own.",
    }
    fields = {"counts": {"gain": _digits(step), "offset": 0.0, "read_std": 0.0}}
    return NoiseModel(fields, reasons, photon=fit)


def _gaussian(pictures: Array, fit: PhotonTransfer, found: str) -> NoiseModel:
    level = math.sqrt(max(fit.variance(fit.at), 0.0))
    error = fit.variance_error / (2 * level) if level > 0 else math.inf
    flat = (
        f"it does not depend on brightness (ratio of std {fit.ratio:.3g} over {fit.darkest:.4g} to "
        f"{fit.brightest:.4g}, "
        f"gain {fit.gain:.2g} +- {fit.gain_error:.2g})"
    )
    reason = f"Std of the noise: {level:.4g} +- {error:.2g} file units, {found}; {flat}."
    rows = _rows(pictures)
    if rows is not None and rows.spread > SPREAD * rows.sigma and len(pictures) >= 8:
        return NoiseModel(
            {"sigma_n": "estimate-by-row"},
            {
                (
                    "sigma_n",
                ): f"Rows are unequally noisy: {rows.sigma:.4g} file units with a spread of {rows.spread:.2g}; {flat}. "
                f"Each level is estimated when the run starts. Better: the levels from the instrument, as a .csv table."
            },
            photon=fit,
        )
    reasons: dict[tuple[str, ...], str] = {
        ("sigma_n",): reason,
        ("sigma_units",): "sigma_n is in the units of the file.",
    }
    return NoiseModel({"sigma_n": _digits(level), "sigma_units": "file"}, reasons, photon=fit)


def _rows(pictures: Array) -> Estimate | None:
    whole = pictures[np.isfinite(pictures).reshape(len(pictures), -1).all(1)]
    try:
        return estimate(whole[:256]) if len(whole) > len(pictures) / 2 else None
    except InputError:
        return None


def _of_frames(scenes: Sequence[Array], dark: Dark | None, called: str) -> NoiseModel:
    """By repeated frames: of several scenes the pixels of all together."""
    fits = []
    for frames in scenes:
        if len(frames) < 2:
            return NoiseModel(missing=[f"a second frame of the same scene: {called} has one only. {HOW}"])
        fit = repeated(frames, dark)
        if fit is None:
            return NoiseModel(missing=[f"pixels that are not saturated: {called} has too few of them. {HOW}"])
        fits.append(fit)
    fit = fits[0] if len(fits) == 1 else _joined(fits, dark)
    frames_in_all = sum(len(frames) for frames in scenes)
    found = f"from {frames_in_all} repeated frames in {called}, {fit.blocks:,} pixels"
    if fit.significant:
        straight = fit.straight or fit.counter is not None
        return _counts(fit, found) if straight else NoiseModel(missing=[_bent(fit)], photon=fit)
    level = math.sqrt(fit.variance(fit.at))
    error = fit.variance_error / (2 * level) if level > 0 else math.inf
    reason = (
        f"Std of the noise: {level:.4g} +- {error:.2g} file units, {found}; it does not depend on brightness "
        f"(ratio {fit.ratio:.3g})."
    )
    fields = {"sigma_n": _digits(level), "sigma_units": "file"}
    return NoiseModel(
        fields, {("sigma_n",): reason, ("sigma_units",): "sigma_n is in the units of the file."}, photon=fit
    )


def _joined(fits: Sequence[PhotonTransfer], dark: Dark | None) -> PhotonTransfer:
    """The line through the points (brightness, variance) of several scenes, such as flat fields of several
    brightnesses."""
    from dataclasses import replace

    x = np.asarray([fit.at for fit in fits] + ([dark.offset] if dark else []))
    y = np.asarray([fit.variance_at for fit in fits] + ([dark.read_std**2] if dark else []))
    error = np.asarray(
        [fit.variance_error for fit in fits] + ([2 * dark.read_std * dark.read_error] if dark else [])
    ).clip(1e-12)
    weight = 1 / error**2
    at = float(np.average(x, weights=weight))
    spread = float((weight * (x - at) ** 2).sum())
    level = float(np.average(y, weights=weight))
    gain = float((weight * (x - at) * (y - level)).sum() / spread) if spread > 0 else 0.0
    scatter = max(1.0, float((weight * (y - level - gain * (x - at)) ** 2).sum()) / max(len(x) - 2, 1)) ** 0.5
    return replace(
        fits[0],
        gain=gain,
        gain_error=scatter / math.sqrt(spread) if spread > 0 else math.inf,
        at=at,
        variance_at=level,
        variance_error=scatter / math.sqrt(weight.sum()),
        darkest=float(x.min()),
        brightest=float(x.max()),
        bend=1.0,
        bend_z=0.0,
        points=tuple((float(a), float(b), float(c), fit.blocks) for a, b, c, fit in zip(x, y, error, fits)),
        blocks=sum(fit.blocks for fit in fits),
    )


def _channels(pictures: Array, fit: PhotonTransfer) -> str | None:
    """Why the channels cannot share one gain; None where they can. A channel without light shows none: its noise must
    be that of the line."""
    if pictures.shape[1] < 2:
        return None
    gains = []
    for c in range(pictures.shape[1]):
        one = photon_transfer(pictures[:, c : c + 1])
        if one is None:
            continue
        own, line = one.variance(one.at), fit.variance(one.at)
        if one.significant or not DIFFERS**-2 < own / max(line, 1e-300) < DIFFERS**2:
            gains.append(one.gain)
    if len(gains) < 2 or max(gains) <= DIFFERS * max(min(gains), 1e-300):
        return None
    told = ", ".join(f"{gain:.3g}" for gain in gains)
    return (
        f"one gain for all channels: theirs are {told} file units per count, and `counts` takes one. Divide each "
        "channel by "
        f"its own gain before (and keep floating point), or train on one channel"
    )


def _bent(fit: PhotonTransfer) -> str:
    return (
        f"a noise model: the noise grows with brightness ({fit.ratio:.2g} times in all), but not along the line of "
        "counts (at one "
        f"end its std is {fit.bend:.2g} times what the line says). Values after gamma, compression or averaging "
        "look so: use the "
        "raw ones. Noise that is proportional to brightness (speckle of ultrasound, radar, coherent light) "
        "becomes even by the "
        f"logarithm: save log(values). {HOW}"
    )


def _digits(value: float) -> float:
    return float(f"{value:.5g}")
