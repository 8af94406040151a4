"""How often `ambientkit inspect` is wrong on sets it has not seen: python examples/benchmarks/inspect_rates.py [--seeds
0 1 2]

Innocent sets, of which a verdict "violated" is a false alarm, and violations, which are found, doubted or missed, on
pictures that no
threshold was set on: photographs and scans that ship with scikit-learn and scikit-image, phantoms, star fields, cells,
clouds, gratings.
Photographs as they are may hold noise that breaks the model, and are counted apart. A set has 24 rows of 64 x 64.
Violations are put on
--sources pictures for each seed, drawn anew.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import inspect_sets
import numpy as np
from stopped import stoppable

from ambientkit.inspection import NoiseVerdict, model_findings


def verdict(x: np.ndarray, level: np.ndarray | None) -> tuple[str, list[str]]:
    """(violated, doubt or fine; the tests that said so)."""
    found = model_findings(x, level)
    for worst in (NoiseVerdict.VIOLATED, NoiseVerdict.DOUBT):
        if names := [finding.name for finding in found if finding.verdict is worst]:
            return str(worst), names
    return str(NoiseVerdict.FINE), []


def main() -> None:
    """Judge every set and print the rates by kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=(0, 1, 2))
    parser.add_argument("--sources", type=int, default=4, help="pictures that violations are put on, for each seed")
    parser.add_argument("--json", type=Path, help="write every verdict to this file")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in given.seeds:
        names = list(inspect_sets.SOURCES)
        chosen = np.random.default_rng([seed, 99]).choice(names, given.sources, replace=False)
        for place, source in enumerate(names):
            kinds = [("innocent", inspect_sets.innocent)] + [("violation", inspect_sets.violations)] * (
                source in chosen
            )
            for kind, make in kinds:
                for case, x, level in make(source, np.random.default_rng([seed, place, kind == "violation"])):
                    said, tests = verdict(x, level)
                    rows.append(
                        {"seed": seed, "kind": kind, "source": source, "case": case, "verdict": said, "tests": tests}
                    )
    for row in rows:
        if row["case"].startswith("a photograph as it is"):  # its truth is not known: no false alarm, and none missed
            row["kind"] = "photograph"
    _table("innocent", "case", rows)
    _table("innocent", "source", rows)
    _table("photograph", "source", rows)
    _table("violation", "case", rows)
    _table("violation", "source", rows)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1))


def _table(kind: str, by: str, rows: list[dict[str, Any]]) -> None:
    of_kind = [row for row in rows if row["kind"] == kind]
    print(f"\n| {kind}, by {by} | sets | violated | doubt | fine |\n|---|---|---|---|---|")
    for name in [*dict.fromkeys(str(row[by]) for row in of_kind), "all"]:
        found = Counter(str(row["verdict"]) for row in of_kind if name in (row[by], "all"))
        print(f"| {name} | {found.total()} | {found['violated']} | {found['doubt']} | {found['fine']} |")


if __name__ == "__main__":
    stoppable(main)
