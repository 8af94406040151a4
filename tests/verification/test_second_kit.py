"""The second kit: parts of kinds of mistakes that a formula does not show, each rejected by a check, and right ones
that are not."""

from __future__ import annotations

import pytest

from ambientkit.interfaces import Part
from ambientkit.registry import load
from ambientkit.verification import Verdict, make_plan, registered_checks, run_pair
from ambientkit.verification.plan import LEVEL
from tests.verification import second_kit

pytestmark = pytest.mark.slow

CHECKS = registered_checks(load())
STATISTICAL = 12
"""Of the wrong parts that no exact check rejects every so many-th is tried here, with all checks;
examples/benchmarks/verify_rates.py tries all."""


def exact_first(part: Part):
    pairs = make_plan([part], CHECKS).pairs
    return [pair for pair in pairs if pair.check.null_law.startswith("exact")], [
        p for p in pairs if not p.check.null_law.startswith("exact")
    ]


@pytest.mark.parametrize("kind", second_kit.KINDS)
def test_most_wrong_parts_are_rejected_by_an_exact_check_and_a_sample_of_the_others_by_another(kind):
    missed = []
    wrong = [part for of, part, _ in second_kit.wrong_parts() if of == kind]
    for part in wrong:
        exact, _ = exact_first(part)
        if not any(run_pair(pair, 0, LEVEL, False).verdict is Verdict.FAILED for pair in exact):
            missed.append(part)
    assert len(missed) < 0.6 * len(wrong)
    for part in missed[::STATISTICAL]:
        _, others = exact_first(part)
        assert any(run_pair(pair, 0, LEVEL, False).verdict is Verdict.FAILED for pair in others), part.name


@pytest.mark.parametrize("part", [part for _, part in second_kit.right_parts()], ids=lambda part: part.name)
def test_a_right_part_is_not_rejected_by_a_quick_check(part: Part):
    for pair in make_plan([part], CHECKS, quick=True).pairs:
        result = run_pair(pair, 0, LEVEL)
        assert result.verdict is Verdict.PASSED, str(result)


def test_the_parts_that_were_found_not_to_be_wrong_say_why_and_are_not_rejected_by_their_contract():
    assert len(second_kit.wrong_parts()) >= 250
    assert all(len(why) > 10 for why in second_kit.NOT_WRONG.values())
