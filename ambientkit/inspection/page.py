"""The inspection as one page of HTML that needs nothing else: pictures inside, light and dark, no script, no
network."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ambientkit.inspection.document import verdict
from ambientkit.inspection.finding import Finding
from ambientkit.inspection.quick import Array
from ambientkit.units.ranges import to_uint8
from ambientkit.webpage import histogram, picture_uri, render

PICTURES = 12
NAMES = {
    "range": "least and greatest value",
    "sigma_n_declared": "sigma_n declared: least, median, greatest",
    "sigma_n_estimated": "sigma_n estimated per row: least, quartiles, greatest",
}
"""Of facts whose key says too little."""


def page(facts: dict[str, Any], findings: Sequence[Finding], x: Array) -> str:
    """The whole page. x: rows (n, *S) in data units."""
    worst = str(verdict(list(findings)))
    shown = {
        NAMES.get(key, key.replace("_", " ")): _told(value)
        for key, value in facts.items()
        if key != "sigma_n_estimated_by_row" and value is not None
    }
    levels = facts.get("sigma_n_estimated_by_row")
    histograms = [("Values", histogram(x.ravel(), "values in units of [-1, 1]"))]
    if levels:
        histograms.append(
            ("Noise level per row", histogram(np.asarray(list(levels.values())), "estimated noise std of each row"))
        )
    return render(
        Path(__file__).with_name("page.html"),
        name=facts["data"],
        verdict=worst,
        colour=worst.split()[0],
        findings=[(f, str(f.verdict).split()[0]) for f in findings],
        facts=shown,
        pictures=list(map(_picture, range(PICTURES), x)) if x.ndim == 4 else [],
        histograms=histograms,
    )


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        return (
            ", ".join(_told(v) for v in value[:20]) + (f" and {len(value) - 20:,} more" if len(value) > 20 else "")
            or "none"
        )
    return str(value)


def _picture(i: int, row: Array) -> tuple[str, str]:
    """(address, text); the first channel where they are neither grey nor colour."""
    low, high, std = float(row.min()), float(row.max()), float(row.std())
    return picture_uri(_png(row)), f"row {i} of those looked at: values {low:.3g} to {high:.3g}, std {std:.3g}"


def _png(row: Array) -> bytes:
    from PIL import Image

    pixels = to_uint8(row)
    buffer = io.BytesIO()
    Image.fromarray(np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels[0]).save(buffer, "PNG")
    return buffer.getvalue()
