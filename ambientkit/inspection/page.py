"""The inspection as one page of HTML that needs nothing else: pictures inside, light and dark, no script, no
network."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ambientkit.inspection.document import level_of, verdict
from ambientkit.inspection.finding import Finding
from ambientkit.inspection.judged import Array
from ambientkit.inspection.photon import photon_transfer
from ambientkit.inspection.transfer import PhotonTransfer
from ambientkit.text import share
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange, to_uint8
from ambientkit.webpage import Series, curves, histogram, picture_uri, render

PICTURES = 12
NAMES = {
    "range": "least and greatest value",
    "sigma_n_declared": "sigma_n declared: least, median, greatest",
    "sigma_n_measured": "sigma_n measured: least, median, greatest",
    "mapping": "values of the file",
    "sigma_n_estimated": "sigma_n estimated per row: least, quartiles, greatest",
    "share_at_the_ends": "values that are the least or the greatest one",
    "missing": "missing values",
}
"""Of facts whose key says too little."""
SHARES = {"share_at_the_ends", "missing"}
"""Facts that are shares of 1."""
SEEN = 0.1
"""Least share of the grey scale that rows have to use to be shown on it."""


class Proposed(NamedTuple):
    """What the page says of a run that was asked for."""

    lines: Sequence[tuple[str, str, str]]
    """(key, value, reason); none where nothing is proposed."""
    missing: Sequence[str]
    """Why nothing is."""
    written: str
    """The file."""


def page(
    facts: dict[str, Any],
    findings: Sequence[Finding],
    x: Array,
    mapping: Any = None,
    photon: PhotonTransfer | None = None,
    proposed: Proposed | None = None,
) -> str:
    """The whole page. x: rows (n, *S) in data units, missing values NaN; mapping: from file values to these; photon:
    how the noise grows with brightness in file units, where that was fitted for a proposal, which is `proposed`."""
    worst = str(verdict(list(findings)))
    own = isinstance(mapping, ValueRange)
    unit = "file units" if own else "units of [-1, 1]"
    shown = {
        _called(key, value): _name(value) if key == "data" else share(value) if key in SHARES else _told(value)
        for key, value in facts.items()
        if key not in ("sigma_n_estimated_by_row", "names") and value is not None
    }
    levels = facts.get("sigma_n_estimated_by_row")
    values = x[np.isfinite(x)]
    values = mapping.from_unit(values) if own else values
    ends = [(mapping.low, "stands for -1"), (mapping.high, "for 1")] if own else [(-1.0, "-1"), (1.0, "1")]
    histograms = []
    if (noise := _noise(facts, x, mapping if own else None, photon, isinstance(mapping, CountRange))) is not None:
        histograms.append(("Noise against brightness", noise))
    histograms.append(("Values", histogram(values, f"values in {unit}", marks=ends, x_label=f"value, {unit}")))
    if levels:
        known = level_of(facts)
        marks = [(mapping.sigma_from_unit(known[1][1]) if own else known[1][1], known[0])] if known is not None else []
        by_row = np.asarray(list(levels.values()))
        by_row = mapping.sigma_from_unit(by_row) if own else by_row
        told = f"estimated noise std of each row, {unit}"
        histograms.append(("Noise level per row", histogram(by_row, told, marks=marks, x_label=f"noise std, {unit}")))
    labels = [*facts.get("names", ()), *map(str, range(PICTURES))]
    stretch = _stretched(x) if x.ndim == 4 else None
    told_scale = "Fixed scale: -1 is black, 1 is white; values beyond are cut for display only."
    if stretch is not None:
        black, white = (mapping.from_unit(end).item() if mapping is not None else end for end in stretch)
        told_scale = (
            "On the scale of the run, where -1 is black and 1 is white, nothing could be seen: here black is "
            f"{black:.4g} and white {white:.4g} {'file units' if mapping is not None else unit}; values beyond are cut "
            "for display."
        )
    if x.ndim == 4 and x.shape[1] not in (1, 3):
        told_scale = f"{told_scale} Of {x.shape[1]} channels the first is shown."
    return render(
        Path(__file__).with_name("page.html"),
        name=_name(facts["data"]),
        verdict=worst,
        colour=worst.split()[0],
        findings=[(f, str(f.verdict).split()[0]) for f in findings],
        facts=shown,
        pictures=[_picture(name, row, stretch) for name, row in zip(labels[:PICTURES], x)] if x.ndim == 4 else [],
        scale=told_scale,
        proposed=proposed,
        law="white and Gaussian"
        if (found := level_of(facts)) is None
        else f"white, Gaussian and of the {found[0]} level",
        histograms=histograms,
    )


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        value = value[:1] if _one(value) else value
        return (
            ", ".join(_told(v) for v in value[:20]) + (f" and {len(value) - 20:,} more" if len(value) > 20 else "")
            or "none"
        )
    return str(value)


def _called(key: str, value: Any) -> str:
    """A fact by name; of levels that are all one, without the word for each of them."""
    name = NAMES.get(key, key.replace("_", " "))
    return name.partition(":")[0] if isinstance(value, list) and _one(value) else name


def _one(value: list[Any]) -> bool:
    return len(value) > 2 and isinstance(value[0], float) and len(set(value)) == 1


def _name(data: str) -> str:
    """Of the data, without the settings that were given with it."""
    found = re.search(r"path: *([^,}]+)", data)
    return (found[1] if found else data).strip("\"' ")


def _noise(
    facts: dict[str, Any], x: Array, mapping: ValueRange | None, photon: PhotonTransfer | None, counted: bool
) -> Any:
    """Noise against brightness, by what smooth areas show; None where there are too few. counted: the values are
    transformed counts, whose level is no level of the file."""
    unit = "file units" if photon is not None or mapping is not None else "units of [-1, 1]"
    if photon is None:
        if x.ndim != 4 or min(x.shape[-2:]) < 8:
            return None
        photon = photon_transfer(mapping.from_unit(x) if mapping is not None else x)
    if photon is None or not photon.points:
        return None
    means = [mean for mean, *_ in photon.points]
    stds = [math.sqrt(max(variance, 0)) for _, variance, *_ in photon.points]
    errors = [error / max(2 * std, 1e-12) for std, (_, _, error, _) in zip(stds, photon.points)]
    series = [
        Series("smooth areas", means, stds, errors),
        Series("line fitted to the variance", means, [math.sqrt(photon.variance(m)) for m in means], style=1, dash=1),
    ]
    known = level_of(facts)
    if known is not None and not counted:
        word, (_, middle, _) = known
        level = mapping.sigma_from_unit(middle) if mapping is not None else middle
        series.append(Series(f"{word} level", [means[0], means[-1]], [level, level], style=2, dash=2))
    return curves("Noise against brightness", series, f"brightness, {unit}", f"std of the noise, {unit}")


def _stretched(x: Array) -> tuple[float, float] | None:
    """(black, white) for rows that use so little of [-1, 1], or lie so far outside, that they would show as one grey;
    None where the fixed scale shows them."""
    low, high = (float(end) for end in np.nanquantile(x[:PICTURES], (0.001, 0.999)))
    seen = min(high, 1.0) - max(low, -1.0)
    return (low, high) if low < high and seen < SEEN * max(2.0, high - low) else None


def _picture(name: str, row: Array, stretch: tuple[float, float] | None = None) -> tuple[str, str]:
    """(address, text); the first channel where they are neither grey nor colour. stretch: values that become black and
    white."""
    low, high, std = float(np.nanmin(row)), float(np.nanmax(row)), float(np.nanstd(row))
    if stretch is not None:
        row = 2 * (row - stretch[0]) / (stretch[1] - stretch[0]) - 1
    return picture_uri(_png(row)), f"{name}: values {low:.3g} to {high:.3g}, std {std:.3g}"


def _png(row: Array) -> bytes:
    from PIL import Image

    pixels = to_uint8(np.nan_to_num(row))  # a missing value is grey
    buffer = io.BytesIO()
    Image.fromarray(np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels[0]).save(buffer, "PNG")
    return buffer.getvalue()
