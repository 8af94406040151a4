"""The log of a run as curves: loss by term over steps, and by noise level in three parts of the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientkit.checkpoint.evaluations import over_steps
from ambientkit.checkpoint.lines import read_lines
from ambientkit.checkpoint.names import EVALUATIONS

POINTS = 60
"""Points of a curve over steps; longer logs are averaged in blocks of equal length."""
PARTS = ("first third", "middle third", "last third")
BIN = 10**0.125
"""From the lower edge of a bin of a quarter of a decade to its geometric middle."""


@dataclass(frozen=True, slots=True)
class History:
    """terms: name -> (steps, means). levels: name -> part of the run -> (geometric middles of the levels' bins, means
    over all its values)."""

    terms: dict[str, tuple[list[float], list[float]]]
    levels: dict[str, dict[str, tuple[list[float], list[float]]]]
    lines: int
    block: int
    """Log lines in each point of `terms`."""
    unreadable: int
    """Lines that could not be read: the last one while a run writes it."""
    skipped: int
    """Steps that training skipped, as their loss was not finite."""
    evaluations: dict[str, tuple[list[float], list[float]]]
    """Measure -> (steps, values), and "MEASURE, floor": of the evaluations during training."""


def read_history(metrics: Path) -> History:
    """The history in a metrics.jsonl and the evaluations.jsonl beside it; empty where there is none yet. Lines are read
    as far as they are whole.

    Raises InputError for lines of another format.
    """
    found, unreadable = _lines(metrics)
    block = max(1, math.ceil(len(found) / POINTS))
    terms: dict[str, tuple[list[float], list[float]]] = {}
    for first in range(0, len(found), block):
        part = found[first : first + block]
        for name in dict.fromkeys(name for line in part for name in line["terms"]):
            values = [line["terms"][name] for line in part if isinstance(line["terms"].get(name), int | float)]
            if values:
                steps, means = terms.setdefault(name, ([], []))
                steps.append(float(part[-1]["step"]))
                means.append(math.fsum(values) / len(values))
    skipped = max((line.get("skipped_steps") or 0 for line in found), default=0)
    evaluations = over_steps(read_lines(metrics.with_name(EVALUATIONS))[0])
    return History(terms, _levels(found), len(found), block, unreadable, skipped, evaluations)


def _lines(metrics: Path) -> tuple[list[dict[str, Any]], int]:
    whole, unreadable = read_lines(metrics)
    found = []
    for line in whole:
        try:
            found.append({**line, "step": int(line["step"]), "terms": dict(line["terms"])})
        except (ValueError, KeyError, TypeError):
            unreadable += 1
    return found, unreadable


def _levels(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    cuts = [round(len(found) * k / len(PARTS)) for k in range(len(PARTS) + 1)]
    levels: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for part, first, last in zip(PARTS, cuts, cuts[1:]):
        sums: dict[str, dict[float, tuple[float, int]]] = {}
        for line in found[first:last]:
            for name, bins in dict(line.get("by_level") or {}).items():
                for edge, value in bins.items():
                    total, n = sums.setdefault(name, {}).get(float(edge), (0.0, 0))
                    sums[name][float(edge)] = (total + value["mean"] * value["n"], n + value["n"])
        for name, totals in sums.items():
            ordered = sorted(totals.items())
            levels.setdefault(name, {})[part] = (
                [edge * BIN for edge, _ in ordered],
                [total / n for _, (total, n) in ordered],
            )
    return levels
