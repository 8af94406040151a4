"""The sixth kit: mistakes that the checks let pass when it was written are rejected, right parts are not."""

from __future__ import annotations

import pytest

from ambientkit.interfaces import CONTRACT, Part
from ambientkit.registry import load
from ambientkit.verification import Verdict, make_plan, registered_checks, run_pair
from ambientkit.verification.plan import LEVEL
from tests.verification import sixth_kit

CHECKS = {check.name: check for check in registered_checks(load())}
WRONG = {part.name: part for part, _ in sixth_kit.wrong_parts()}
EXACT = [check for check in CHECKS.values() if check.claim == CONTRACT and check.name.endswith("-contract")]


@pytest.mark.parametrize(
    ("check", "name"), [(check, name) for check, names in sixth_kit.LET_PASS.items() for name in names]
)
def test_what_the_checks_had_let_pass_is_rejected(check: str, name: str):
    (pair,) = make_plan([WRONG[name]], [CHECKS[check]]).pairs
    result = run_pair(pair, 0, LEVEL, controls=False)
    assert result.verdict is Verdict.FAILED
    assert result.measured is not None, result.error


@pytest.mark.slow
@pytest.mark.parametrize("part", [part for part, _ in sixth_kit.right_parts()], ids=lambda part: part.name)
def test_a_right_part_keeps_its_contract(part: Part):
    for pair in make_plan([part], EXACT).pairs:
        result = run_pair(pair, 0, LEVEL, controls=False)
        assert result.measured is not None, result.error
        assert result.measured.p_value == 1, str(result)


def test_the_parts_that_were_found_not_to_be_wrong_say_why():
    assert len(sixth_kit.wrong_parts()) + len(sixth_kit.NOT_WRONG) == 263
    assert len(sixth_kit.right_parts()) == 41
    assert all(len(why) > 10 for why in sixth_kit.NOT_WRONG.values())
