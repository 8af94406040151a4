"""Error rates of `ambientkit inspect` on instruments that are simulated (`field_sets.py`), by half.

python examples/benchmarks/inspect_fields.py --half set --seeds 1
python examples/benchmarks/inspect_fields.py --half kept --seeds 11 12
"""

from __future__ import annotations

import argparse
import collections
import logging

from field_sets import SETS, half_of, make
from stopped import stoppable

import ambientkit as ak
from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.errors import InputError


def verdict(name: str, seed: int) -> tuple[str, str]:
    """(verdict, the tests that gave it); files that cannot be read at all are refused, which counts as violated."""
    found = make(name, seed)
    try:
        seen = ak.inspect(InMemory.of(found.rows, layout="NCHW", **found.fields))
    except InputError as error:
        return "violated", f"refused: {str(error).splitlines()[0][:80]}"
    return str(seen.verdict), ", ".join(
        f.name for f in seen.findings if f.verdict == seen.verdict and seen.verdict != "fine"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("set", "kept", "both"), default="both")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    logging.getLogger("ambientkit").setLevel(logging.ERROR)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for name in SETS:
        if asked.half not in ("both", half_of(name)) or asked.only not in name:
            continue
        for seed in asked.seeds:
            said, by = verdict(name, seed)
            counts[name.split("/")[0]][said] += 1
            wrong = (said == "violated") == name.startswith("innocent") or (
                said == "doubt" and name.startswith("innocent")
            )
            print(f"{'!' if wrong else ' '} {said:9} {name} (seed {seed}) {by}", flush=True)
    for kind, found in counts.items():
        total = sum(found.values())
        print(
            f"{kind}, half {asked.half}: {total} sets; "
            + ", ".join(f"{said} {n} ({n / total:.0%})" for said, n in sorted(found.items()))
        )


if __name__ == "__main__":
    stoppable(main)
