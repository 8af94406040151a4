"""How often `ambientkit inspect` is wrong on sets it has not seen: python examples/benchmarks/inspect_rates.py [--seeds
0 1 2]

Innocent sets, of which a verdict "violated" is a false alarm, and violations, which are found, doubted or missed, on
pictures that no
threshold was set on: photographs and scans that ship with scikit-learn and scikit-image, phantoms, star fields, cells,
clouds, gratings.
Photographs as they are may hold noise that breaks the model, and are counted apart. A set has 24 rows of 64 x 64.
Violations are put on
--sources pictures for each seed, drawn anew. --outside measures something else in their place: how often one value of
each of --seeds sets is offered as missing, because it lies far outside of all others, where it is none.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import inspect_sets
import numpy as np
from scipy.ndimage import gaussian_filter
from stopped import stoppable

from ambientkit.inspection import NoiseVerdict, model_findings
from ambientkit.inspection.gaps import find_gap

SHAPE = (24, 1, 64, 64)


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
    parser.add_argument("--outside", action="store_true", help="measure what is offered as missing instead")
    given = parser.parse_args()
    if given.outside:
        _offered(given.seeds)
        return
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


def lone_values(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, float | None]]:
    """Sets of file values, and the value of each that stands for nothing; None where none does."""

    def grown(points: float, wide: float) -> np.ndarray:
        return gaussian_filter((rng.random(SHAPE) < points).astype(float), (0, 0, wide, wide)) * 2 * np.pi * wide**2

    soft = np.stack([gaussian_filter(rng.standard_normal((64, 64)), 6) * 12 for _ in range(24)])[:, None]
    noise, camera = rng.standard_normal(SHAPE), np.rint(1000 + 200 * soft + 10 * rng.standard_normal(SHAPE))
    brightness = np.exp(rng.normal(9, 2, SHAPE)) * (rng.random(SHAPE) < 0.003)
    stars = 1000 + gaussian_filter(brightness, (0, 0, 1.2, 1.2)) * 9 + 10 * noise
    alike = rng.uniform(1.5e5, 2e5, SHAPE) * (rng.random(SHAPE) < 2e-4)
    light = 1000 + gaussian_filter(alike, (0, 0, 0.5, 0.5)) + 10 * noise
    hot = np.broadcast_to(rng.random((1, *SHAPE[1:])) < 1e-3, SHAPE)
    rays = np.where(rng.random(SHAPE) < 1e-3, np.exp(rng.normal(7, 1, SHAPE)), 0)
    beads = (grown(1e-3, 1.5) > 0.4) * (150 + 8 * noise + 10 * soft)
    letters = (gaussian_filter(noise, (0, 0, 1, 1)) > 0.35).astype(float)
    dead = np.broadcast_to(rng.random((1, *SHAPE[1:])) < 1e-3, SHAPE)
    scattered = rng.random(SHAPE) < 0.01
    return {
        "smooth pictures and noise": (0.4 * soft + 0.1 * noise, None),
        "stars, saturated at 65535": (np.rint(stars).clip(0, 65535), None),
        "few stars, sharp and alike, saturated at 65535": (np.rint(light).clip(0, 65535), None),
        "the same in [0, 1]": (np.rint(light).clip(0, 65535) / 65535, None),
        "the same, full well 52000": (np.rint(light).clip(0, 52000), None),
        "photons, mean 0.2 to 50": (rng.poisson(np.exp(1.2 + 1.4 * soft)).astype(float), None),
        "clipped 8 bits": (np.rint(128 + 60 * soft + 20 * noise).clip(0, 255), None),
        "beads on black, soft edges": (np.rint(grown(1e-3, 1.5) * 100).clip(0, 255), None),
        "beads on black, cut out": (np.rint(beads).clip(0, None), None),
        "cosmic rays": (camera + np.rint(rays), None),
        "cosmic rays, saturated at 65535": (np.where(rays > 1500, 65535, camera), None),
        "hot pixels at 65535": (np.where(hot, 65535, camera), None),
        "hot pixels at 4095 of 12 bits": (np.where(hot, 4095, np.rint(camera / 4)), None),
        "hot pixels at 52000": (np.where(hot, 52000, camera), None),
        "letters": (letters, None),
        "letters, noisy": (letters + 0.02 * noise, None),
        "letters on paper, soft": (np.rint(255 * gaussian_filter(letters, (0, 0, 0.7, 0.7))), None),
        "-999, scattered": (np.where(scattered, -999, 0.4 * soft + 0.1 * noise), -999),
        "-999, dead pixels": (np.where(dead, -999, 0.4 * soft + 0.1 * noise), -999),
        "9999, scattered": (np.where(scattered, 9999, camera), 9999),
        "0, dead pixels of a camera": (np.where(dead, 0, camera), 0),
    }


def _offered(seeds: Sequence[int]) -> None:
    """Print how often a value is offered as missing, rightly and wrongly."""
    said: dict[str, Counter[str]] = {}
    for seed in seeds:
        for name, (x, truth) in lone_values(np.random.default_rng([seed, 7])).items():
            gap = find_gap(x)
            found = "nothing" if gap is None else "right" if gap.value == truth else "far" if gap.far else "frequent"
            said.setdefault(f"{name}{'' if truth is None else ' (missing)'}", Counter())[found] += 1
    kinds = ("nothing", "right", "far", "frequent")
    print("| set | sets | nothing is offered | the right value | wrongly, as far outside | wrongly, as frequent |")
    print("|---|---|---|---|---|---|")
    for name, found in said.items():
        print(f"| {name} | {found.total()} | {' | '.join(str(found[kind]) for kind in kinds)} |")


def _table(kind: str, by: str, rows: list[dict[str, Any]]) -> None:
    of_kind = [row for row in rows if row["kind"] == kind]
    print(f"\n| {kind}, by {by} | sets | violated | doubt | fine |\n|---|---|---|---|---|")
    for name in [*dict.fromkeys(str(row[by]) for row in of_kind), "all"]:
        found = Counter(str(row["verdict"]) for row in of_kind if name in (row[by], "all"))
        print(f"| {name} | {found.total()} | {found['violated']} | {found['doubt']} | {found['fine']} |")


if __name__ == "__main__":
    stoppable(main)
