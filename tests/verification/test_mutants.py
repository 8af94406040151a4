"""Every mutant is rejected by a check, at the level of a whole run, and no right part is; which check rejects which is printed."""

from __future__ import annotations

from functools import cache

import pytest

from ambientkit.interfaces import Case, Check, Mutant, Part
from ambientkit.registry import Entry, load
from ambientkit.verification import case_for, make_plan, registered_checks, run_check
from ambientkit.verification.runner import Verdict, reproducible

REGISTRY = load()
MUTANTS = [entry for entry in REGISTRY.mutants() if entry.package == "ambientkit"]
CHECKS = registered_checks(REGISTRY)
RIGHT = [entry.part() for entry in REGISTRY.entries() if entry.package == "ambientkit" and entry.kind in {c.kind for c in CHECKS}]
PLAN = make_plan(RIGHT, CHECKS)
SLOW = ["stationarity", "half-backward", "stationarity-by-pixel", "order-1", "order-2", "final-law"]
"""Checks that take longest, in the order in which they are tried after the others."""


@cache
def case_of(kind: str, clean: bool) -> Case:
    return case_for(next(part for part in RIGHT if ("needs-clean-data" in part.claims) == clean))


def fitting(part: Part, kind: str) -> list[Check]:
    checks = [check for check in CHECKS if check.kind == kind and check.claim in part.claims]
    return sorted(checks, key=lambda check: (SLOW.index(check.name) if check.name in SLOW else -1, check.name))


def rejects(check: Check, part: Part, kind: str) -> bool:
    """Whether a check's p-value for a part is below the level of a run over the built-in parts; a part that raises is rejected too."""
    case = case_of(kind, "needs-clean-data" in part.claims)
    try:
        with reproducible(0):
            p = check.measure(part, case).p_value
    except Exception:
        return True
    return not p >= PLAN.level


def first_that_rejects(part: Part, kind: str) -> str | None:
    return next((check.name for check in fitting(part, kind) if rejects(check, part, kind)), None)


@pytest.mark.parametrize("entry", [e for e in MUTANTS if not e.part.equivalent], ids=lambda e: e.part.name)
def test_a_mutant_is_rejected_by_a_check(entry: Entry, record_property) -> None:
    check = first_that_rejects(entry.part(), entry.kind)
    record_property("rejected_by", check)
    print(f"{entry.part.name}: {check}")
    assert check is not None, entry.part.wrong


@pytest.mark.parametrize("entry", [e for e in MUTANTS if e.part.equivalent], ids=lambda e: e.part.name)
def test_a_mutant_that_is_equivalent_by_design_says_why_and_is_not_rejected(entry: Entry) -> None:
    assert len(entry.part.equivalent) > 20
    assert first_that_rejects(entry.part(), entry.kind) is None


@pytest.mark.parametrize("pair", PLAN.pairs, ids=lambda pair: pair.label)
def test_a_right_part_passes_and_the_control_of_each_check_is_rejected(pair) -> None:
    result = run_check(pair.check, pair.part, case_of(pair.kind, "needs-clean-data" in pair.part.claims), PLAN.level)
    assert result.verdict is Verdict.PASSED, str(result)


def test_there_are_mutants_of_every_built_in_part_that_claims_anything() -> None:
    right = {part.name for part in RIGHT if part.claims}
    assert {entry.part.mutant_of for entry in MUTANTS} == right
    assert len([entry for entry in MUTANTS if not entry.part.equivalent]) >= 35
    assert all(entry.part.wrong and issubclass(entry.part, Mutant) for entry in MUTANTS)


def test_mutants_can_be_named_nowhere() -> None:
    assert {entry.part.name for entry in MUTANTS}.isdisjoint(entry.part.name for entry in REGISTRY.entries())
