"""Every mutant is rejected by the check that is written beside its name, by a number and not by a crash, and no right
part is rejected.

`rejections.json` holds for each mutant a check that rejects it; `python -m tests.verification.test_mutants` writes it
anew.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from ambientkit.interfaces import Case, Check, Mutant, Part
from ambientkit.registry import Entry, load
from ambientkit.verification import case_for, make_plan, registered_checks, run_check
from ambientkit.verification.plan import LEVEL, claimed
from ambientkit.verification.runner import Verdict
from tests.support.shares import beyond_share, first_and_share

pytestmark = pytest.mark.slow

REGISTRY = load()
MUTANTS = [entry for entry in REGISTRY.mutants() if entry.package == "ambientkit"]
CHECKS = {check.name: check for check in registered_checks(REGISTRY)}
RIGHT = [
    entry.part()
    for entry in REGISTRY.entries()
    if entry.package == "ambientkit" and entry.kind in {c.kind for c in CHECKS.values()}
]
PLAN = make_plan(RIGHT, list(CHECKS.values()))
TABLE = Path(__file__).with_name("rejections.json")
SLOW = [
    "stationarity",
    "half-backward",
    "detail-stationarity",
    "detail-power",
    "stationarity-by-pixel",
    "order-1",
    "order-2",
    "final-law",
    "objective-fields",
    "model-fields",
]
"""Checks that take longest, in the order in which they are tried after the others."""


@cache
def case_of(clean: bool) -> Case:
    return case_for(next(part for part in RIGHT if ("needs-clean-data" in part.claims) == clean))


def fitting(part: Part, kind: str) -> list[Check]:
    """The checks of a part, those that look at laws first, contracts and slow ones last."""
    checks = [check for check in CHECKS.values() if check.kind == kind and claimed(check, part)]
    return sorted(
        checks,
        key=lambda check: (SLOW.index(check.name) if check.name in SLOW else -1, "contract" in check.name, check.name),
    )


def judged(check: Check, part: Part, kind: str):
    """The result of a check on a part, without its control."""
    return run_check(check, part, case_of("needs-clean-data" in part.claims), LEVEL, kind=kind, controls=False)


def first_that_rejects(part: Part, kind: str) -> str | None:
    """The first check that rejects a part by a number: a crash counts for nothing."""
    found = ((check.name, judged(check, part, kind)) for check in fitting(part, kind))
    return next(
        (name for name, result in found if result.verdict is Verdict.FAILED and result.measured is not None), None
    )


EXPECTED: dict[str, str] = json.loads(TABLE.read_text()) if TABLE.exists() else {}


@pytest.mark.parametrize(
    "entry",
    first_and_share(
        (e for e in MUTANTS if not e.part.equivalent),
        name=lambda e: e.part.name,
        group=lambda e: EXPECTED.get(e.part.name),
        of=6,
    ),
)
def test_a_mutant_is_rejected_by_the_check_of_its_fault(entry: Entry) -> None:
    result = judged(CHECKS[EXPECTED[entry.part.name]], entry.part(), entry.kind)
    assert result.error == "" or result.measured is not None, f"{entry.part.wrong}: {result.error}"
    assert result.verdict is Verdict.FAILED, f"{entry.part.wrong}: {result}"


@pytest.mark.parametrize(
    "entry",
    [pytest.param(e, id=e.part.name, marks=beyond_share(e.part.name, 6)) for e in MUTANTS if e.part.equivalent],
)
def test_a_mutant_that_is_equivalent_by_design_says_why_and_is_not_rejected(entry: Entry) -> None:
    assert len(entry.part.equivalent) > 20
    results = [judged(check, entry.part(), entry.kind) for check in fitting(entry.part(), entry.kind)]
    assert [str(result) for result in results if result.verdict is Verdict.FAILED] == []


@pytest.mark.parametrize(
    "pair", first_and_share(PLAN.pairs, name=lambda pair: pair.label, group=lambda pair: pair.check.name, of=6)
)
def test_a_right_part_passes_and_the_control_of_each_check_is_rejected(pair) -> None:
    result = run_check(
        pair.check, pair.part, case_of("needs-clean-data" in pair.part.claims), PLAN.level, kind=pair.kind
    )
    assert result.verdict is Verdict.PASSED, str(result)


def test_there_are_mutants_of_every_built_in_part_that_claims_anything_and_of_every_check() -> None:
    right = {part.name for part in RIGHT if part.claims}
    assert {entry.part.mutant_of for entry in MUTANTS} == right
    assert set(EXPECTED) == {entry.part.name for entry in MUTANTS if not entry.part.equivalent}
    assert all(entry.part.wrong and issubclass(entry.part, Mutant) for entry in MUTANTS)


def test_mutants_can_be_named_nowhere() -> None:
    assert {entry.part.name for entry in MUTANTS}.isdisjoint(entry.part.name for entry in REGISTRY.entries())


if __name__ == "__main__":
    found = {
        entry.part.name: first_that_rejects(entry.part(), entry.kind) for entry in MUTANTS if not entry.part.equivalent
    }
    TABLE.write_text(json.dumps(found, indent=1) + "\n")
