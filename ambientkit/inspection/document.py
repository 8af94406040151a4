"""Everything that is known of a data set, as one plain document; and the full inspection that makes it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from ambientkit.errors import InputError
from ambientkit.inspection.estimate import of_row
from ambientkit.inspection.finding import Finding, NoiseVerdict
from ambientkit.inspection.judged import LOWEST, ROWS, Array, look
from ambientkit.rows import Rows, as_rows

NAMED = 12
"""Rows that are named, for those who see their pictures."""


def inspect_rows(
    rows: Any,
    name: str,
    sigma_n: float | Array | None = None,
    most: int = ROWS,
    lowest: float = LOWEST,
    pictures: bool = True,
) -> tuple[dict[str, Any], list[Finding], Array]:
    """(facts, findings, the rows looked at, missing values NaN). rows: a map-style data set of clean rows or
    observations.

    sigma_n: the level that the rows are said to have, a number or one per row (N,), where they do not bring it.
    lowest: the lowest level that will be trained. pictures: as of `look`.
    """
    rows = as_rows(rows)
    x, levels, places, part, findings = look(rows, sigma_n=sigma_n, most=most, lowest=lowest, pictures=pictures)
    index = [rows.number(i) for i in places]  # as the files number their rows
    mapping = rows.mapping
    flat = x.reshape(len(x), -1)
    there = x if part is None or not part[0].any() else x[part[0]]
    low, high = float(there.min()), float(there.max())
    repeated = sum(count - 1 for count in Counter(row.tobytes() for row in flat).values())
    estimated = None if part is not None else _estimates(x)  # an estimate needs whole rows
    facts = {
        "data": name,
        "rows": len(rows),
        "rows_looked_at": len(x),
        "left_out": list(rows.left_out),
        "shape": list(x.shape[1:]),
        "file_type": rows.stored or None,
        "mapping": str(mapping) if mapping is not None else None,
        "range": [low, high],
        "mean": float(there.mean()),
        "std": float(there.std()),
        "share_at_the_ends": float(((there == low) | (there == high)).mean()),
        "missing": 0.0 if part is None else float(1 - part[0].mean()),
        "names": [_called(rows, i) for i in index[:NAMED]],
        "constant_rows": [index[i] for i in np.flatnonzero(np.ptp(flat, axis=1) == 0)],
        "repeated_rows": repeated,
        "sigma_n_declared": None
        if levels is None
        else [float(levels.min()), float(np.median(levels)), float(levels.max())],
        "sigma_n_measured": None,
        "sigma_n_estimated": None if estimated is None else _five(estimated),
        "sigma_n_estimated_by_row": None
        if estimated is None
        else dict(zip(map(str, index), estimated.round(6).tolist())),
    }
    return facts, findings, x if part is None or not part[1] else np.where(part[0], x, np.nan)


def measured(facts: dict[str, Any]) -> None:
    """Have the facts say that the noise level, which the rows came with, was measured on them: nobody declared it."""
    if facts["sigma_n_declared"] is not None:
        facts["sigma_n_measured"], facts["sigma_n_declared"] = facts["sigma_n_declared"], None


def level_of(facts: dict[str, Any]) -> tuple[str, list[float]] | None:
    """("declared" or "measured", [least, median, greatest]) of the level that the rows are judged by; None for none."""
    for word in ("declared", "measured"):
        if level := facts.get(f"sigma_n_{word}"):
            return word, level
    return None


def _estimates(x: Array) -> Array | None:
    try:
        return np.asarray([of_row(row) for row in x])
    except InputError:
        return None


def _called(rows: Rows, number: int) -> str:
    """The row of that number as its file is called, where it has a file of its own."""
    source = getattr(rows, "source", None) or getattr(getattr(rows, "_rows", None), "source", None)
    try:
        return (
            str(source.name(number)).rpartition("/")[2]
            if source is not None and hasattr(source, "name")
            else f"row {number}"
        )
    except (IndexError, InputError):
        return f"row {number}"


def _five(values: Array) -> list[float]:
    """Least, quartiles and largest."""
    return [float(v) for v in np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]


def verdict(findings: list[Finding]) -> NoiseVerdict:
    """The worst of all, untried tests aside; untried where every test is."""
    for worst in (NoiseVerdict.VIOLATED, NoiseVerdict.DOUBT):
        if any(finding.verdict is worst for finding in findings):
            return worst
    tried = any(finding.verdict is NoiseVerdict.FINE for finding in findings)
    return NoiseVerdict.FINE if tried else NoiseVerdict.UNTRIED


def document(facts: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """The content of the JSON file."""
    tests = [{**asdict(f), "verdict": str(f.verdict), "statistic": _finite(f.statistic)} for f in findings]
    return {"format": 1, "verdict": str(verdict(findings)), "facts": facts, "tests": tests}


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None
