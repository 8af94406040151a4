"""How often `ambientkit verify` is wrong: right parts that are rejected, and wrong parts that live, over many seeds.

    python examples/benchmarks/verify_rates.py --seeds 40 --exact-seeds 3 --wrong-seeds 3 --out rates.jsonl

`KITS` are the built-in parts with their mutants, the installed plug-ins, and the kits of tests/verification, whose
authors had not read a check when they wrote them. Right parts are measured with every check of what they claim: at
`--seeds` seeds with the statistical ones, at `--exact-seeds` with the exact ones. A wrong part is measured until a
check rejects it by a number: first by the check that did so at the seed before, or that the tables of
tests/verification name, then by those that have rejected most parts in the least time.
Controls are left out: they cannot cause a false alarm.

The file gets a line for each measurement, and a second call with the same file makes only those that are missing, by
kit, seed, part and check. After the code of a check has changed, `--redo CHECK` measures its pairs again.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scipy import stats
from stopped import stoppable

from ambientkit.checkpoint.folder import write_file
from ambientkit.interfaces import Check, Mutant, Part
from ambientkit.processes import worker_pool
from ambientkit.registry import Registry, load, spec_of
from ambientkit.verification import make_plan, registered_checks, registered_parts, run_pair
from ambientkit.verification.plan import LEVEL, Pair, kind_of

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.verification.kits import KITS as UNSEEN

TABLES = Path(__file__).parents[2] / "tests" / "verification"
NAMED: dict[str, dict[str, str | None]] = json.loads((TABLES / "kits.json").read_text())
"""kit -> kind and name of a wrong part -> a check that rejects it."""
OF_MUTANTS: dict[str, str] = json.loads((TABLES / "rejections.json").read_text())
"""Name of a mutant -> a check that rejects it."""
TAILS = (0.1, 0.01, 0.001)
FEWEST = 20

Parts = tuple[list[Part], list[Part]]
Values = dict[tuple[str, int, str], float]
"""(kit, seed, pair) -> p-value; -1 where measuring raised, which rejects too."""


def installed(*, ours: bool) -> Parts:
    """The registered mutants and right parts of ambientkit, or of all plug-ins. A mutant that is right by design is a
    right part."""
    found = load()
    entries = [e for e in (*found.entries(), *found.mutants()) if (e.package == "ambientkit") == ours]
    known = Registry(entries)
    mutants = [part for part in (entry.part() for entry in known.mutants()) if isinstance(part, Mutant)]
    right = registered_parts(known, registered_checks(found))[0]
    return [m for m in mutants if not m.equivalent], [*right, *(m for m in mutants if m.equivalent)]


KITS: dict[str, Callable[[], Parts]] = {
    "built-in": lambda: installed(ours=True),
    "plug-ins": lambda: installed(ours=False),
    **{name: lambda kit=kit: (kit.wrong_parts(), kit.right_parts()) for name, kit in UNSEEN.items()},
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A part of a kit, and its pairs by what they are called in the file."""

    name: str
    """Kind and name."""
    right: bool
    pairs: dict[str, Pair]


def key(pair: Pair) -> str:
    """A pair by its names and fields."""
    return json.dumps([pair.kind, spec_of(pair.part), spec_of(pair.check)])


def is_exact(check: Check) -> bool:
    """Whether the null law of a check is a tolerance, so that its p-value is 0 or 1."""
    return check.null_law.startswith("exact") and "normal scores" not in check.null_law


def exact(pair: Pair) -> bool:
    """`is_exact` of a pair's check."""
    return is_exact(pair.check)


@cache
def subjects(kit: str) -> list[Subject]:
    """The parts of a kit, each with its plan: quick and exact checks first."""
    checks = sorted(registered_checks(load()), key=lambda c: (not is_exact(c), not c.quick, c.name))
    found = []
    for right, parts in zip((False, True), KITS[kit](), strict=True):
        for part in parts:
            pairs = {key(pair): pair for pair in make_plan([part], checks).pairs}
            found.append(Subject(f"{kind_of(part)} {part.name}", right, pairs))
    return found


@dataclass(frozen=True, slots=True)
class Job:
    """One part at one seed."""

    kit: str
    index: int
    """Of the part in `subjects`."""
    seed: int
    pairs: tuple[str, ...]
    """The measurements that are missing."""
    first: str = ""
    """The one of them that rejected the part at the seed before, or is known to reject it."""


TRIED: dict[str, list[float]] = defaultdict(lambda: [0.1, 0.1])
"""check -> how many wrong parts it has rejected in this process, and in how many seconds of processor time."""


def rejects_a_second(pair: Pair) -> float:
    """How many wrong parts the check of a pair has rejected in a second."""
    rejected, cpu = TRIED[pair.check.name]
    return rejected / cpu


def measure(job: Job) -> list[dict[str, object]]:
    """The lines of a job: all its pairs for a right part, up to the first that rejects by a number for a wrong one."""
    subject, lines, left = subjects(job.kit)[job.index], [], list(job.pairs)
    while left:
        if not subject.right and left[0] != job.first:
            left.sort(key=lambda name: -rejects_a_second(subject.pairs[name]))
        pair = subject.pairs[name := left.pop(0)]
        began = time.process_time()
        found = run_pair(pair, job.seed, LEVEL, controls=False).measured
        p = found.p_value if found and 0 <= found.p_value <= 1 else -1.0
        cpu = round(time.process_time() - began, 3)
        lines.append({"kit": job.kit, "seed": job.seed, "pair": json.loads(name), "p": p, "cpu": cpu})
        if not subject.right:
            rejected = 0 <= p < LEVEL
            TRIED[pair.check.name][0] += rejected
            TRIED[pair.check.name][1] += cpu
            if rejected:
                break
    return lines


def read(path: Path, redo: Iterable[str] = ()) -> Values:
    """The measurements of a file, without those of the checks `redo`, which are taken out of it. A line that was not
    written whole counts for nothing."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    kept = [(line, one) for line in lines if line.endswith("\n") for one in [json.loads(line)]]
    kept = [(line, one) for line, one in kept if one["pair"][2]["name"] not in {*redo}]
    if len(kept) < len(lines):
        write_file(path, "".join(line for line, _ in kept).encode())
    return {(one["kit"], one["seed"], json.dumps(one["pair"])): one["p"] for _, one in kept}


def missing(values: Values, asked: argparse.Namespace, seed: int) -> Iterator[Job]:
    """The jobs of one seed."""
    for kit in asked.kits:
        for index, subject in enumerate(subjects(kit)):
            before: list[str] = []
            done = {name: values[kit, seed, name] for name in subject.pairs if (kit, seed, name) in values}
            if subject.right:
                wanted = [
                    n for n, p in subject.pairs.items() if seed < (asked.exact_seeds if exact(p) else asked.seeds)
                ]
            elif seed < asked.wrong_seeds and not any(0 <= p < LEVEL for p in done.values()):
                named = NAMED[kit].get(subject.name) if kit in NAMED else OF_MUTANTS.get(subject.name.split(" ", 1)[1])
                before = [n for n in subject.pairs if 0 <= values.get((kit, seed - 1, n), 1) < LEVEL]
                before = before or [n for n, pair in subject.pairs.items() if pair.check.name == named]
                wanted = list(dict.fromkeys([*before, *subject.pairs]))
            else:
                continue
            left = tuple(name for name in wanted if name not in done)
            if left:
                yield Job(kit, index, seed, left, first=left[0] if before and left[0] in before else "")


def measure_all(asked: argparse.Namespace) -> Values:
    """Fill the file up to the seeds that were asked for, seed by seed, so that what is there when it is stopped is
    whole."""
    values = read(asked.out, asked.redo)
    with asked.out.open("a") as file, worker_pool(asked.processes) as pool:
        for seed in range(max(asked.seeds, asked.exact_seeds, asked.wrong_seeds)):
            jobs = list(missing(values, asked, seed))
            futures = [pool.submit(measure, job) for job in jobs]
            for number, future in enumerate(as_completed(futures), start=1):
                for one in future.result():
                    file.write(json.dumps(one) + "\n")
                    values[one["kit"], one["seed"], json.dumps(one["pair"])] = one["p"]
                file.flush()
                print(f"\rseed {seed}: {number} of {len(jobs)} parts", end="", file=sys.stderr, flush=True)
    return values


def bounds(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's two-sided interval for a rate of which `count` of `n` were seen."""
    low = stats.beta.ppf((1 - level) / 2, count, n - count + 1) if count else 0.0
    high = stats.beta.ppf((1 + level) / 2, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Found:
    """A measurement of today's plan."""

    kit: str
    part: str
    right: bool
    check: str
    exact: bool
    seed: int
    p: float


def found_of(values: Values, kits: list[str]) -> list[Found]:
    """The measurements of the file that belong to today's plan."""
    known = {(kit, name): (one, pair) for kit in kits for one in subjects(kit) for name, pair in one.pairs.items()}
    return [
        Found(kit, one.name, one.right, pair.check.name, exact(pair), seed, p)
        for (kit, seed, name), p in values.items()
        for one, pair in [known.get((kit, name), (None, None))]
        if one is not None and pair is not None
    ]


def wrapped(said: str) -> list[str]:
    """Lines of a page."""
    return textwrap.wrap(said, 120, break_on_hyphens=False)


def section(values: Values, kits: list[str]) -> str:
    """The rates that were measured, as Markdown."""
    found = found_of(values, kits)
    return "\n".join(["", *right_table(found, kits), *tails_table(found), *wrong_table(found, kits), ""])


def right_table(found: list[Found], kits: list[str]) -> list[str]:
    """How often right parts are rejected, by kit, and each rejection."""
    lines = [
        "| right parts | parts | pairs | measurements | whole seeds | rejected | rate at most |",
        "|---|---|---|---|---|---|---|",
    ]
    for kit in kits:
        parts = [one for one in subjects(kit) if one.right]
        for title, tolerance in (("exact", True), ("statistical", False)):
            pairs = sum(exact(pair) == tolerance for one in parts for pair in one.pairs.values())
            own = [one.p for one in found if one.kit == kit and one.right and one.exact == tolerance]
            per_seed = Counter(one.seed for one in found if one.kit == kit and one.right and one.exact == tolerance)
            whole = sum(count == pairs for count in per_seed.values())
            count = sum(p < LEVEL for p in own)
            if own:
                cells = [f"{kit}, {title} checks", len(parts), pairs, len(own), whole, count]
                lines.append(f"| {' | '.join(map(str, cells))} | {bounds(count, len(own))[1]:.2g} |")
    alarms = [f"`{one.part}` by `{one.check}` at seed {one.seed}" for one in found if one.right and one.p < LEVEL]
    said = f"Rejected: {'; '.join(sorted(alarms))}." if alarms else "No right part was rejected."
    said = said if any(one.right for one in found) else "No right part was measured."
    return [*lines, "", *wrapped(said), ""]


def tails_table(found: list[Found]) -> list[str]:
    """The tails of the p-values of right parts: of all checks, and of those with at least `FEWEST` values."""
    by: dict[str, list[float]] = defaultdict(list)
    for one in found:
        if one.right and not one.exact:
            by[one.check].append(one.p)
    inside = sorted(check for check, p in by.items() if min(p) == 1)
    rest = [p for check, own in by.items() if check not in inside for p in own]
    sampled = {f"`{check}`": p for check, p in sorted(by.items()) if check not in inside and len(p) >= FEWEST}
    sampled["*all*"] = rest
    lines = [f"| check | p-values | least | {' | '.join(f'p < {t:g}' for t in TAILS)} |", "|---|---|---|---|---|---|"]
    for name, own in sampled.items():
        counts = [sum(p < tail for p in own) for tail in TAILS]
        cells = [f"{count / len(own):.4f} ({bounds(count, len(own))[1]:.4f})" for count in counts if own]
        lines.append(f"| {name} | {len(own)} | {min(own, default=1):.2g} | {' | '.join(cells)} |")
    said = f"All p-values were 1 of {', '.join(f'`{check}`' for check in inside)}." if inside else ""
    return [*lines, "", *wrapped(said), ""]


def wrong_table(found: list[Found], kits: list[str]) -> list[str]:
    """How many wrong parts are rejected at each seed, by kit, and those that are not. A part is measured at a seed
    where a check rejected it by a number, or all were tried."""
    lines = ["| wrong parts | parts | measured at seeds | rejected | rate at least |", "|---|---|---|---|---|"]
    lived, raised = [], []
    for kit in kits:
        tried: dict[tuple[str, int], list[float]] = defaultdict(list)
        for one in found:
            if one.kit == kit and not one.right:
                tried[one.part, one.seed].append(one.p)
        size = {one.name: len(one.pairs) for one in subjects(kit) if not one.right}
        whole = {at: p for at, p in tried.items() if len(p) == size[at[0]] or any(0 <= value < LEVEL for value in p)}
        count = sum(min(p) < LEVEL for p in whole.values())
        seeds = Counter(seed for _, seed in whole)
        if whole:
            at = ", ".join(f"{seed}" if n == len(size) else f"{seed} ({n})" for seed, n in sorted(seeds.items()))
            least = bounds(count, len(whole))[0]
            lines.append(f"| {kit} | {len(size)} | {at} | {count} of {len(whole)} | {least:.4f} |")
        lived += [f"`{part}` at seed {seed}" for (part, seed), p in whole.items() if min(p) >= LEVEL]
        raised += [part for (part, _), p in whole.items() if min(p) < 0 and not any(0 <= value < LEVEL for value in p)]
    said = f"Not rejected: {'; '.join(sorted(lived))}." if lived else "No wrong part lived."
    said = said if any(not one.right for one in found) else "No wrong part was measured."
    if raised:
        names = ", ".join(f"`{part}`" for part in sorted({*raised}))
        said += f" Rejected by an error that they raise, and by no number: {names}."
    return [*lines, "", *wrapped(said)]


def write_section(page: Path, text: str) -> None:
    """Put the section between the two marks of the page."""
    before, mark, rest = page.read_text().partition("<!-- rates -->\n")
    _, end, after = rest.partition("<!-- end of rates -->")
    page.write_text(before + mark + text + end + after)


def main() -> None:
    """Measure what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40, help="of statistical checks on right parts")
    parser.add_argument("--exact-seeds", type=int, default=3, help="of exact checks on right parts")
    parser.add_argument("--wrong-seeds", type=int, default=3, help="of wrong parts")
    parser.add_argument("--kits", nargs="+", choices=KITS, default=list(KITS), metavar="KIT", help=", ".join(KITS))
    parser.add_argument("--out", type=Path, default=Path("verify_rates.jsonl"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--redo", action="append", default=[], metavar="CHECK", help="measure this check again")
    parser.add_argument("--report", action="store_true", help="only print what the file holds")
    parser.add_argument(
        "--page", type=Path, help="write the rates between the marks of this page (docs/verify-tables.md)"
    )
    asked = parser.parse_args()
    values = read(asked.out) if asked.report else measure_all(asked)
    text = section(values, asked.kits)
    print(text)
    if asked.page is not None:
        write_section(asked.page, text)


if __name__ == "__main__":
    stoppable(main, goes_on=True)
