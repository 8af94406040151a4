"""What the lines of evaluations.jsonl say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def describe(line: Mapping[str, Any]) -> str:
    """An evaluation in words."""
    if "error" in line:
        return f"could not be measured: {line['error']}"
    scores = [
        f"{_title(score)} {_number(score['value'])} (floor {_number(score['floor'])})" for score in line["scores"]
    ]
    rows = "held-out rows" if line["held_out"] else "rows trained on"
    return ", ".join([f"tweedie {line['tweedie_mean']:.4g}", *scores]) + f"; {line['n']} {rows}"


def numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an evaluation by name: `tweedie`, the geometric mean over its levels, and the distances."""
    found = {_title(score): score["value"] for score in line.get("scores", ())}
    found["tweedie"] = line.get("tweedie_mean")
    return {name: float(value) for name, value in found.items() if value is not None}


def over_steps(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    """name -> (steps, values), and under "NAME, floor" the floors of distances, in the order in which they came."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        floors = {
            f"{_title(score)}, floor": score["floor"] for score in line.get("scores", ()) if score["floor"] is not None
        }
        for name, value in {**numbers(line), **floors}.items():
            steps, values = curves.setdefault(name, ([], []))
            steps.append(float(line["step"]))
            values.append(float(value))
    return curves


def _title(score: Mapping[str, Any]) -> str:
    return f"{score['name']}[{score['extractor']}]" if score["extractor"] else str(score["name"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
