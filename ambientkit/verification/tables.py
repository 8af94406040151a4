"""A run's results as a reader sees them: rows of a table, paragraphs on failures, and one JSON document."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from ambientkit.interfaces import Measured
from ambientkit.registry import Registry, spec_of
from ambientkit.tables import number
from ambientkit.verification.kills import Fate, Kill
from ambientkit.verification.plan import Pair, Plan
from ambientkit.verification.runner import Result, Verdict
from ambientkit.verification.snippet import snippet

FORMAT = 1
"""Version of the JSON document, documented in docs/verify.md."""

RESULT_HEADINGS = ("kind", "part", "property", "check", "statistic", "p", "n", "control p", "verdict")
KILL_HEADINGS = ("kind", "mutant", "of", "what is wrong", "fate", "by")
PLAN_HEADINGS = ("kind", "part", "property", "check", "null law", "smallest detectable difference")


def result_row(result: Result) -> tuple[str, ...]:
    """The cells under `RESULT_HEADINGS`."""
    pair, found, control = result.pair, result.measured, result.control
    return (
        pair.kind,
        pair.part.name,
        pair.check.claim,
        pair.check.name,
        number(found.statistic) if found else "raised",
        number(found.p_value) if found else "-",
        str(found.n) if found else "-",
        number(control.p_value) if control else "-",
        str(result.verdict),
    )


def plan_row(pair: Pair) -> tuple[str, ...]:
    """The cells under `PLAN_HEADINGS`."""
    return pair.kind, pair.part.name, pair.check.claim, pair.check.name, pair.check.null_law, pair.check.detects


def unchecked_lines(plan: Plan) -> list[str]:
    """A line for each reason why parts are unchecked."""
    by_reason: dict[str, list[str]] = {}
    for item in plan.unchecked:
        by_reason.setdefault(item.why, []).append(f"{item.part} ({item.kind})")
    return [f"unchecked, {why}: {', '.join(names)}" for why, names in by_reason.items()]


def unclaimed_lines(results: Sequence[Result]) -> list[str]:
    """A line for each part that does not claim all that the checks of its kind test: which it would pass, and which
    fail."""
    lines = []
    for (_, name, _), found in _by_claim(results).items():
        said = []
        for verdict, words in (
            (Verdict.PASSED, "would pass"),
            (Verdict.FAILED, "would fail"),
            (Verdict.INCONCLUSIVE, "no verdict on"),
        ):
            claims = [claim for claim, what in found.items() if what is verdict]
            said += [f"{words} {', '.join(claims)}"] if claims else []
        lines.append(f"{name}: not claimed: {'; '.join(said)}")
    return lines


def would_pass(results: Sequence[Result]) -> bool:
    """Whether a part could claim something that it does not: all checks of the claim pass."""
    return any(Verdict.PASSED in found.values() for found in _by_claim(results).values())


def _by_claim(results: Sequence[Result]) -> dict[tuple[str, str, str], dict[str, Verdict]]:
    """(kind, name, spec) of a part -> claim -> verdict: failed where any check of the claim fails, passed where all
    pass."""
    parts: dict[tuple[str, str, str], dict[str, Verdict]] = {}
    for result in results:
        found = parts.setdefault((result.pair.kind, result.part, str(spec_of(result.pair.part))), {})
        claim = result.pair.check.claim
        found[claim] = max(found.get(claim, result.verdict), result.verdict, key=_WORSE.index)
    return parts


_WORSE = (Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED)
"""From good to bad."""


def summary(plan: Plan, results: Sequence[Result]) -> str:
    """One line: how many passed, failed, were inconclusive or unchecked."""
    count = Counter(result.verdict for result in results)
    line = f"{count[Verdict.PASSED]} passed, {count[Verdict.FAILED]} failed, {count[Verdict.INCONCLUSIVE]} inconclusive"
    n = len(plan.unchecked)
    return line + f"; {n} part{'s' * (n != 1)} unchecked" if n else line


def exit_status(results: Sequence[Result]) -> int:
    """0 where everything measured has passed, otherwise 1."""
    return int(any(result.verdict is not Verdict.PASSED for result in results))


def explain_failure(result: Result, seed: int, registry: Registry) -> str:
    """What a result that is not "passed" means to a user, and a script that repeats the number."""
    check = result.pair.check
    lines = [f"{result}", f"  {check.meaning}"]
    if result.verdict is Verdict.INCONCLUSIVE:
        lines[1] = (
            "  The check could not distinguish a part that is wrong on purpose from this one, so it says nothing about "
            "the part."
        )
    lines += [
        "  To repeat it:",
        *(f"    {line}".rstrip() for line in snippet(result.pair, seed, registry).splitlines()),
    ]
    return "\n".join(lines)


def passed_line(results: Sequence[Result]) -> str:
    """The checks that one part has passed, in one line."""
    least = min(result.measured.p_value for result in results if result.measured)
    return (
        f"{results[0].part}: {', '.join(result.check for result in results)} passed (least p {least:.2g}, "
        f"level {results[0].alpha:.2g})"
    )


def refusal(result: Result) -> str:
    """Why a run is not begun with this part, and what can be done."""
    pair, found = result.pair, result.measured
    what = f"{pair.kind} {pair.part.name!r} " + (
        "failed" if result.verdict is Verdict.FAILED else "could not be judged by"
    )
    figures = (
        result.error
        if found is None
        else f"statistic {found.statistic:.3g}, p = {found.p_value:.2g}, level {result.alpha:.2g}"
    )
    figures += f": {found.why}" if found is not None and found.why else ""
    return (
        f"{what} the check {pair.check.name!r} of its claim {pair.check.claim!r} ({figures}). {pair.check.meaning} "
        f"See `ambientkit verify {pair.kind}:{pair.part.name} --quick`; mend the {pair.kind}, or go on knowingly "
        "with --skip-preflight"
    )


def document(plan: Plan, results: Sequence[Result], registry: Registry, *, seed: int, quick: bool) -> dict[str, Any]:
    """Everything that is known of a run, as JSON values. A number that is not finite is the text "inf", "-inf" or
    "nan"."""
    return {
        "format": FORMAT,
        "versions": {
            "ambientkit": metadata.version("ambientkit"),
            "torch": metadata.version("torch"),
            "python": platform.python_version(),
        },
        "seed": seed,
        "quick": quick,
        "level": {"run": plan.run_level, "method": "by check", "pairs": len(plan.pairs), "pair": plan.level},
        "summary": {
            str(verdict): sum(r.verdict is verdict for r in results)
            for verdict in Verdict
            if verdict is not Verdict.UNCHECKED
        }
        | {"unchecked": len(plan.unchecked)},
        "exit_status": exit_status(results),
        "results": [entry(result, seed, registry) for result in results],
        "unchecked": [{"kind": item.kind, "part": item.part, "why": item.why} for item in plan.unchecked],
        "problems": [str(problem) for problem in registry.problems],
    }


def entry(result: Result, seed: int, registry: Registry) -> dict[str, Any]:
    """One measurement as JSON values."""
    pair = result.pair
    return {
        "kind": pair.kind,
        "part": spec_of(pair.part),
        "check": spec_of(pair.check),
        "property": pair.check.claim,
        "null_law": pair.check.null_law,
        "detects": pair.check.detects,
        "measured": measured_document(result.measured),
        "control": measured_document(result.control),
        "verdict": str(result.verdict),
        "error": result.error or None,
        "meaning": pair.check.meaning,
        "seconds": round(result.seconds, 3),
        "snippet": snippet(pair, seed, registry),
    }


def kill_row(kill: Kill) -> tuple[str, ...]:
    """The cells under `KILL_HEADINGS`."""
    reason = f"declared right: {kill.mutant.equivalent}" if kill.mutant.equivalent else ""
    if kill.fate is Fate.SURVIVED:
        reason = "no check applies to it" if not kill.results else ""
    return (
        kill.kind,
        kill.mutant.name,
        kill.mutant.mutant_of,
        kill.mutant.wrong,
        str(kill.fate),
        ", ".join(kill.by) or reason or "-",
    )


def kill_summary(kills: Sequence[Kill]) -> str:
    """One line: how many were killed, survived, or are equivalent."""
    count = Counter(kill.fate for kill in kills)
    line = (
        f"{len(kills)} mutants: {count[Fate.KILLED]} killed, {count[Fate.SURVIVED]} survived, "
        f"{count[Fate.EQUIVALENT]} equivalent by design"
    )
    return line + (
        f", {count[Fate.CONTRADICTED]} declared equivalent, but rejected" if count[Fate.CONTRADICTED] else ""
    )


def kill_document(kills: Sequence[Kill], plan: Plan, *, seed: int, quick: bool) -> dict[str, Any]:
    """Everything that is known of a run of the mutants, as JSON values."""
    return {
        "format": FORMAT,
        "seed": seed,
        "quick": quick,
        "level": {"pair": plan.level, "pairs": len(plan.pairs)},
        "summary": {str(fate): sum(kill.fate is fate for kill in kills) for fate in Fate},
        "mutants": [
            {
                "kind": kill.kind,
                "mutant": kill.mutant.name,
                "mutant_of": kill.mutant.mutant_of,
                "wrong": kill.mutant.wrong,
                "equivalent": kill.mutant.equivalent or None,
                "fate": str(kill.fate),
                "by": list(kill.by),
                "results": [
                    {
                        "check": r.check,
                        "measured": measured_document(r.measured),
                        "error": r.error or None,
                        "rejected": r.verdict is Verdict.FAILED,
                    }
                    for r in kill.results
                ],
            }
            for kill in kills
        ],
    }


def measured_document(measured: Measured | None) -> dict[str, Any] | None:
    """A measurement as JSON values."""
    if measured is None:
        return None
    return {"statistic": finite(measured.statistic), "p_value": finite(measured.p_value), "n": measured.n} | (
        {"why": measured.why} if measured.why else {}
    )


def finite(value: float) -> float | str:
    """A number as JSON can hold it: JSON has no infinity and no nan."""
    return value if math.isfinite(value) else str(float(value))
