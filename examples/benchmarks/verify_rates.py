"""How often `ambientkit verify` is wrong: false alarms on right parts, and mutants that live, over many seeds.

    python examples/benchmarks/verify_rates.py --seeds 300 --kill-seeds 20 --out rates.json

The p-value of every pair of a part and a check is kept for every seed, and judged at the level that the pair has in a whole run (1e-3 shared by
its checks). The file is written after every seed; a second call with the same file measures only what is missing: seeds, or pairs that are new.
After the code of a check has changed, `--redo CHECK` measures its pairs again. Controls are left out: they cannot cause a false alarm.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

from scipy import stats

from ambientkit.checkpoint.folder import write_file
from ambientkit.interfaces import Mutant
from ambientkit.registry import Registry, load, spec_of
from ambientkit.verify import Plan, make_plan, registered_checks, registered_parts, run_plan
from ambientkit.verify.kills import mutant_plan
from ambientkit.verify.plan import Pair
from ambientkit.verify.runner import process_pool

TAILS = (0.1, 0.01, 0.001)

Values = dict[str, dict[str, float]]
"""seed -> pair -> p-value; -1 where measuring raised, which rejects."""


def key(pair: Pair) -> str:
    """A pair by its names and fields."""
    return json.dumps([pair.kind, spec_of(pair.part), spec_of(pair.check)])


def bounds(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's two-sided interval for a rate of which `count` of `n` were seen."""
    low = stats.beta.ppf((1 - level) / 2, count, n - count + 1) if count else 0.0
    high = stats.beta.ppf((1 + level) / 2, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


def plans(everything: bool) -> tuple[Plan, Plan]:
    """The plan of all built-in parts (of all installed ones), and that of their mutants, each pair at its level in the first."""
    found = load()
    known = Registry([e for e in [*found.entries(), *found.mutants()] if everything or e.package == "ambientkit"])
    checks = registered_checks(known)
    return make_plan(registered_parts(known, checks)[0], checks), mutant_plan(known, checks)[1]


def measure_seed(what: int, seed: int, done: list[str], everything: bool) -> dict[str, float]:
    """The p-values of one seed that are not done yet."""
    plan, known = plans(everything)[what], set(done)
    missing = replace(plan, pairs=tuple(pair for pair in plan.pairs if key(pair) not in known))
    results = run_plan(missing, seed, controls=False)
    return {key(r.pair): r.measured.p_value if r.measured and 0 <= r.measured.p_value <= 1 else -1.0 for r in results}


def measure(asked: argparse.Namespace) -> dict[str, Values]:
    """Fill the file up to the seeds that were asked for."""
    state: dict[str, Values] = json.loads(asked.out.read_text()) if asked.out.exists() else {"right": {}, "kit": {}}
    for values in (one for what in state.values() for one in what.values()):
        for pair in [pair for pair in values if json.loads(pair)[2]["name"] in asked.redo]:
            del values[pair]
    jobs = []
    for what, plan, seeds in zip(("right", "kit"), plans(asked.all), (asked.seeds, asked.kill_seeds), strict=True):
        wanted = {key(pair) for pair in plan.pairs}
        for seed in range(seeds):
            here = state[what].setdefault(str(seed), {})
            if wanted - here.keys():
                jobs.append((what, seed, [pair for pair in here if pair in wanted]))
    with process_pool(asked.processes) as pool:
        futures = {pool.submit(measure_seed, int(what == "kit"), seed, done, asked.all): (what, seed) for what, seed, done in jobs}
        for number, future in enumerate(as_completed(futures), start=1):
            what, seed = futures[future]
            state[what][str(seed)] |= future.result()
            write_file(asked.out, json.dumps(state).encode())
            print(f"{number}/{len(jobs)}: {what}, seed {seed}", flush=True)
    return state


def report(state: dict[str, Values], everything: bool) -> None:
    """Print the rates with their bounds (Clopper and Pearson, 95 %), over the seeds at which all pairs of today's plan were measured."""
    plan, kit = plans(everything)
    report_right(_whole(state["right"], plan), plan)
    if kit.pairs:
        report_kit(_whole(state["kit"], kit), kit)


def report_right(seeds: Values, plan: Plan) -> None:
    """False alarms by run, and the tails of each check's p-values."""
    names = {key(pair): pair.label for pair in plan.pairs}
    wrong = {seed: [names[pair] for pair, p in one.items() if p < plan.level] for seed, one in seeds.items()}
    wrong = {seed: alarms for seed, alarms in wrong.items() if alarms}
    low, high = bounds(len(wrong), len(seeds)) if seeds else (0.0, 1.0)
    print(f"\nfalse alarms: {len(wrong)} of {len(seeds)} runs of {len(names)} checks (rate between {low:.2g} and {high:.2g})")
    for seed, alarms in wrong.items():
        print(f"  seed {seed}: {', '.join(alarms)}")
    values: dict[str, list[float]] = defaultdict(list)
    for one in seeds.values():
        for pair, p in one.items():
            values[json.loads(pair)[2]["name"]].append(p)
            values["all"].append(p)
    head = "".join(f"  p < {tail:<6g} (at most)" for tail in TAILS)
    print(f"\nright parts, by check: share of p-values below, and its upper bound\n{'check':24}{'values':>7}{'least p':>10}{head}")
    for check, found in sorted(values.items()):
        cells = ""
        for tail in TAILS:
            count = sum(p < tail for p in found)
            cells += f"  {count / len(found):8.5f} ({bounds(count, len(found))[1]:7.5f})"
        print(f"{check:24}{len(found):7}{min(found):10.2g}{cells}")


def report_kit(seeds: Values, plan: Plan) -> None:
    """How many seeds each mutant is rejected at, and by which checks."""
    by: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    killed: dict[str, int] = defaultdict(int)
    equivalent = set()
    for pair in plan.pairs:
        name = f"{pair.kind}:{pair.part.name}"
        killed[name] += 0
        if isinstance(pair.part, Mutant) and pair.part.equivalent:
            equivalent.add(name)
    for one in seeds.values():
        rejected: dict[str, list[str]] = defaultdict(list)
        for pair in plan.pairs:
            if one[key(pair)] < plan.level:
                rejected[f"{pair.kind}:{pair.part.name}"].append(pair.check.name)
        for name, checks in rejected.items():
            killed[name] += 1
            for check in checks:
                by[name][check] += 1
    n = len(seeds)
    for title, names in (("mutants", killed.keys() - equivalent), ("mutants that are equivalent by design", killed.keys() & equivalent)):
        total = sum(killed[name] for name in names)
        low, high = bounds(total, len(names) * n) if names and n else (0.0, 1.0)
        print(f"\n{len(names)} {title}: rejected {total} of {len(names) * n} times, over {n} seeds (rate between {low:.4f} and {high:.4f})")
        for name in sorted(names):
            said = ", ".join(f"{check} {count}" for check, count in sorted(by[name].items()))
            print(f"  {name:44}{killed[name]:4}/{n:<4}  {said}")


def _whole(seeds: Values, plan: Plan) -> Values:
    wanted = {key(pair) for pair in plan.pairs}
    return {seed: {pair: p for pair, p in one.items() if pair in wanted} for seed, one in seeds.items() if wanted <= one.keys()}


def main() -> None:
    """Measure what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=300, help="whole runs on right parts")
    parser.add_argument("--kill-seeds", type=int, default=20, help="runs of the kit of mutants")
    parser.add_argument("--out", type=Path, default=Path("verify_rates.json"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="parts of installed plug-ins too, not the built-in ones alone")
    parser.add_argument("--redo", action="append", default=[], metavar="CHECK", help="measure this check again; may be repeated")
    parser.add_argument("--report", action="store_true", help="only print what the file holds")
    asked = parser.parse_args()
    report(json.loads(asked.out.read_text()) if asked.report else measure(asked), asked.all)


if __name__ == "__main__":
    main()
