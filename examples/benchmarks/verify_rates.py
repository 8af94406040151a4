"""How often `ambientkit verify` is wrong: false alarms on right parts, and mutants that live, over many seeds.

    python examples/benchmarks/verify_rates.py --seeds 300 --kill-seeds 20 --second-seeds 5 --right-seeds 40 --out
    rates.json

Three kits are measured: the mutants that were written together with the checks, and the second and the fourth kit
(tests/verification/second_kit, fourth_kit), wrong and right parts written before their author had read a check. The
p-value of
every pair of a part and a check is kept for every seed, and judged at the level of every check. The file is written
after every seed; a second call with the same file measures only what is missing: seeds, or pairs that are new. After
the code of a check has changed, `--redo CHECK` measures its pairs again. Controls are left out: they cannot cause a
false alarm.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

from scipy import stats

from ambientkit.checkpoint.folder import write_file
from ambientkit.interfaces import Mutant
from ambientkit.processes import worker_pool
from ambientkit.registry import Registry, load, spec_of
from ambientkit.verification import Plan, make_plan, registered_checks, registered_parts, run_plan
from ambientkit.verification.kills import mutant_plan
from ambientkit.verification.plan import Pair

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.verification import fourth_kit, second_kit

TAILS = (0.1, 0.01, 0.001)
WHAT = ("right", "kit", "second", "second right", "fourth", "fourth right")
"""Built-in parts; their mutants; the wrong parts and the right ones of two kits."""

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


def plans(everything: bool) -> tuple[Plan, ...]:
    """The plans of `WHAT`; everything: of all installed parts, not the built-in ones alone."""
    found = load()
    known = Registry([e for e in [*found.entries(), *found.mutants()] if everything or e.package == "ambientkit"])
    checks = registered_checks(known)
    kits = []
    for parts in (second_kit, fourth_kit):
        kits.append(make_plan([part for _, part, _ in parts.wrong_parts()], checks))
        kits.append(make_plan([part for _, part in parts.right_parts()], checks))
    return make_plan(registered_parts(known, checks)[0], checks), mutant_plan(known, checks)[1], *kits


def measure_seed(what: int, seed: int, done: list[str], everything: bool) -> dict[str, float]:
    """The p-values of one seed that are not done yet."""
    plan, known = plans(everything)[what], set(done)
    missing = replace(plan, pairs=tuple(pair for pair in plan.pairs if key(pair) not in known))
    results = run_plan(missing, seed, controls=False)
    return {key(r.pair): r.measured.p_value if r.measured and 0 <= r.measured.p_value <= 1 else -1.0 for r in results}


def measure(asked: argparse.Namespace) -> dict[str, Values]:
    """Fill the file up to the seeds that were asked for."""
    state: dict[str, Values] = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    state = {what: state.get(what, {}) for what in WHAT}
    for values in (one for what in state.values() for one in what.values()):
        for pair in [pair for pair in values if json.loads(pair)[2]["name"] in asked.redo]:
            del values[pair]
    jobs = []
    for what, plan, seeds in zip(
        WHAT,
        plans(asked.all),
        (
            asked.seeds,
            asked.kill_seeds,
            asked.second_seeds,
            asked.right_seeds,
            asked.second_seeds,
            asked.right_seeds,
        ),
        strict=True,
    ):
        wanted = {key(pair) for pair in plan.pairs}
        for seed in range(seeds):
            here = state[what].setdefault(str(seed), {})
            if wanted - here.keys():
                jobs.append((what, seed, [pair for pair in here if pair in wanted]))
    jobs.sort(key=lambda job: job[1])  # seed by seed, so that what is measured when it is stopped is whole
    with worker_pool(asked.processes) as pool:
        futures = {
            pool.submit(measure_seed, WHAT.index(what), seed, done, asked.all): (what, seed)
            for what, seed, done in jobs
        }
        for number, future in enumerate(as_completed(futures), start=1):
            what, seed = futures[future]
            state[what][str(seed)] |= future.result()
            write_file(asked.out, json.dumps(state).encode())
            print(f"{number}/{len(jobs)}: {what}, seed {seed}", flush=True)
    return state


def report(state: dict[str, Values], everything: bool) -> None:
    """Print the rates with their bounds (Clopper and Pearson, 95 %), over the seeds at which all pairs of today's plan
    were measured."""
    plan, kit, second, second_right, fourth, fourth_right = plans(everything)
    for title, what, one in (
        ("built-in parts", "right", plan),
        ("right parts of the second kit", "second right", second_right),
        ("right parts of the fourth kit", "fourth right", fourth_right),
    ):
        print(f"\n== {title}")
        report_right(_whole(state[what], one), one)
    for title, what, one in (
        ("mutants", "kit", kit),
        ("the second kit", "second", second),
        ("the fourth kit", "fourth", fourth),
    ):
        if one.pairs:
            print(f"\n== {title}")
            report_kit(_whole(state[what], one), one)


def report_right(seeds: Values, plan: Plan) -> None:
    """False alarms by run, and the tails of each check's p-values."""
    names = {key(pair): pair.label for pair in plan.pairs}
    wrong = {seed: [names[pair] for pair, p in one.items() if p < plan.level] for seed, one in seeds.items()}
    wrong = {seed: alarms for seed, alarms in wrong.items() if alarms}
    low, high = bounds(len(wrong), len(seeds)) if seeds else (0.0, 1.0)
    print(
        f"\nfalse alarms: {len(wrong)} of {len(seeds)} runs of {len(names)} checks (rate between {low:.2g} and "
        f"{high:.2g})"
    )
    for seed, alarms in wrong.items():
        print(f"  seed {seed}: {', '.join(alarms)}")
    values: dict[str, list[float]] = defaultdict(list)
    for one in seeds.values():
        for pair, p in one.items():
            values[json.loads(pair)[2]["name"]].append(p)
            values["all"].append(p)
    head = "".join(f"  p < {tail:<6g} (at most)" for tail in TAILS)
    print(
        "\nright parts, by check: share of p-values below, and its upper "
        f"bound\n{'check':24}{'values':>7}{'least p':>10}{head}"
    )
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
    for title, names in (
        ("mutants", killed.keys() - equivalent),
        ("mutants that are equivalent by design", killed.keys() & equivalent),
    ):
        total = sum(killed[name] for name in names)
        low, high = bounds(total, len(names) * n) if names and n else (0.0, 1.0)
        print(
            f"\n{len(names)} {title}: rejected {total} of {len(names) * n} times, over {n} seeds (rate between "
            f"{low:.4f} and {high:.4f})"
        )
        for name in sorted(names):
            said = ", ".join(f"{check} {count}" for check, count in sorted(by[name].items()))
            print(f"  {name:44}{killed[name]:4}/{n:<4}  {said}")


def section(state: dict[str, Values], everything: bool) -> str:
    """The measured rates as a section of docs/verify.md."""
    plan, kit, *_ = plans(everything)
    right, mutants = _whole(state["right"], plan), _whole(state["kit"], kit)
    wrong = sum(any(p < plan.level for p in one.values()) for one in right.values())
    lines = [
        f"*False alarms.* {wrong} of {len(right)} whole runs of the {len(plan.pairs)} checks of all built-in "
        "parts, each with its own seed, "
        f'contained a "failed" (with 95 % confidence the rate is at most {bounds(wrong, len(right), 0.9)[1]:.2g}; '
        "Clopper and Pearson). "
        "So few runs cannot show a rate of 1e-3 by themselves. The p-values show more: they should fall below t at "
        "most with "
        "frequency t. By check, the frequency, and in brackets its upper 95 % confidence bound:",
        "",
        "| check | p-values | least | p < 0.1 | p < 0.01 | p < 0.001 |",
        "|---|---|---|---|---|---|",
    ]
    values: dict[str, list[float]] = defaultdict(list)
    for one in right.values():
        for pair, p in one.items():
            values[json.loads(pair)[2]["name"]].append(p)
    laws = {pair.check.name: pair.check.null_law for pair in plan.pairs}
    exact = sorted(check for check in values if laws[check].startswith("exact"))
    inside = sorted(check for check, found in values.items() if check not in exact and min(found) == 1)
    sampled = {check: found for check, found in sorted(values.items()) if check not in (*exact, *inside)}
    sampled["*all of these*"] = [p for found in sampled.values() for p in found]
    for check, found in sampled.items():
        counts = [sum(p < tail for p in found) for tail in TAILS]
        cells = [f"{count / len(found):.4f} ({bounds(count, len(found), 0.9)[1]:.4f})" for count in counts]
        name = check if "*" in check else f"`{check}`"
        lines.append(f"| {name} | {len(found)} | {min(found):.2g} | {' | '.join(cells)} |")
    misses, n = sum(p < 1 for check in exact for p in values[check]), sum(len(values[check]) for check in exact)
    lines += ["", f"Exact checks ({_names(exact)}): {misses} of {n} measurements beyond the tolerance."]
    if inside:
        lines.append(
            f"Tests with a margin, whose p-values were all 1, as these parts lie well inside: {_names(inside)}."
        )
    lines.append("")
    names = {f"{pair.kind}:{pair.part.name}": pair.part for pair in kit.pairs}
    by: dict[str, dict[str, int]] = {name: defaultdict(int) for name in names}
    killed = dict.fromkeys(names, 0)
    for one in mutants.values():
        for name, part in names.items():
            found = [pair.check.name for pair in kit.pairs if pair.part == part and one[key(pair)] < plan.level]
            killed[name] += bool(found)
            for check in found:
                by[name][check] += 1
    equivalent = [name for name, part in names.items() if isinstance(part, Mutant) and part.equivalent]
    wrong_ones = [name for name in names if name not in equivalent]
    total, tries = sum(killed[name] for name in wrong_ones), len(wrong_ones) * len(mutants)
    lines.append(
        f"*Kills.* Over {len(mutants)} seeds the {len(wrong_ones)} wrong mutants were rejected {total} of {tries} "
        "times "
        f"(with 95 % confidence the rate is at least {bounds(total, tries, 0.9)[0]:.4f}, for these mutants and new "
        "seeds), "
        f"the {len(equivalent)} that are right by design "
        f"{sum(killed[name] for name in equivalent)} times. "
        + (
            "Every wrong mutant was rejected at every seed. "
            if total == tries
            else f"Not at every seed: {_list(killed, wrong_ones, len(mutants))}. "
        )
        + "By check, how many mutants it rejects at every seed, and how many no other check rejects:"
    )
    lines += ["", "| check | mutants rejected | by it alone |", "|---|---|---|"]
    for check in sorted({check for found in by.values() for check in found}):
        always = [name for name in wrong_ones if by[name][check] == len(mutants)]
        alone = [name for name in always if sum(count > 0 for count in by[name].values()) == 1]
        lines.append(f"| `{check}` | {len(always)} | {len(alone)} |")
    return "\n" + "\n".join(lines) + "\n\n"


def _names(checks: list[str]) -> str:
    return ", ".join(f"`{check}`" for check in checks)


def _list(killed: dict[str, int], names: list[str], n: int) -> str:
    return ", ".join(f"`{name}` {killed[name]} of {n}" for name in names if killed[name] < n)


def write_section(page: Path, text: str) -> None:
    """Put the section between the two marks of the page."""
    before, mark, rest = page.read_text().partition("<!-- rates -->\n")
    _, end, after = rest.partition("<!-- end of rates -->")
    page.write_text(before + mark + text + end + after)


def _whole(seeds: Values, plan: Plan) -> Values:
    wanted = {key(pair) for pair in plan.pairs}
    return {
        seed: {pair: p for pair, p in one.items() if pair in wanted}
        for seed, one in seeds.items()
        if wanted <= one.keys()
    }


def main() -> None:
    """Measure what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=300, help="whole runs on right parts")
    parser.add_argument("--kill-seeds", type=int, default=20, help="runs of the kit of mutants")
    parser.add_argument(
        "--second-seeds", type=int, default=0, help="runs of the wrong parts of the second and the fourth kit"
    )
    parser.add_argument(
        "--right-seeds", type=int, default=0, help="runs of the right parts of the second and the fourth kit"
    )
    parser.add_argument("--out", type=Path, default=Path("verify_rates.json"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--all", action="store_true", help="parts of installed plug-ins too, not the built-in ones alone"
    )
    parser.add_argument(
        "--redo", action="append", default=[], metavar="CHECK", help="measure this check again; may be repeated"
    )
    parser.add_argument("--report", action="store_true", help="only print what the file holds")
    parser.add_argument(
        "--page", type=Path, help="write the rates into this page too, between its two marks (docs/verify.md)"
    )
    asked = parser.parse_args()
    state = {what: {} for what in WHAT} | json.loads(asked.out.read_text()) if asked.report else measure(asked)
    report(state, asked.all)
    if asked.page is not None:
        write_section(asked.page, section(state, asked.all))


if __name__ == "__main__":
    main()
