"""The fourth kit: mistakes that the checks let pass when it was written are rejected, right parts are not."""

from __future__ import annotations

import pytest

from ambientkit.interfaces import CONTRACT, Part
from ambientkit.registry import load
from ambientkit.verification import Verdict, make_plan, registered_checks, run_pair
from ambientkit.verification.plan import LEVEL
from tests.verification import fourth_kit

CHECKS = {check.name: check for check in registered_checks(load())}
WRONG = {part.name: part for _, part, _ in fourth_kit.wrong_parts()}
FOUND = {
    "levels": ("tweedie-levels-above-1",),
    "picture-views": ("tweedie-view-quantised",),
    "objective-contract": (
        "tweedie-high-levels-detached",
        "tweedie-low-levels-detached",
        "tweedie-channels-averaged",
        "tweedie-centred-residual",
        "tweedie-softmax-weights",
    ),
    "noise-law": ("gaussian-clipped-noise",),
    "expect": ("gaussian-expect-first-channel",),
    "sampler-contract": ("ancestral-condition-to-float", "heun-ends-early"),
    "grid": ("ancestral-told-at-most-10",),
    "point-kernel": ("ancestral-no-noise-below",),
    "model-contract": (
        "edm-list-of-layers",
        "edm-centres-input",
        "edm-normalises-input",
        "edm-input-detached",
        "edm-condition-abs",
        "edm-condition-first",
        "edm-out-centred",
        "edm-out-positive",
        "edm-out-normed",
        "edm-one-value",
        "edm-last-pixel-dead",
        "edm-skip-detached",
    ),
    "eps-form": ("eps-cancellation",),
}


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, names in FOUND.items() for name in names])
def test_what_the_checks_had_let_pass_is_rejected(check: str, name: str):
    (pair,) = make_plan([WRONG[f"kit4-{name}"]], [CHECKS[check]]).pairs
    result = run_pair(pair, 0, LEVEL, controls=False)
    assert result.verdict is Verdict.FAILED
    assert result.measured is not None, result.error


@pytest.mark.parametrize("part", [part for _, part in fourth_kit.right_parts()], ids=lambda part: part.name)
def test_a_right_part_keeps_its_contract(part: Part):
    contract = [check for check in CHECKS.values() if check.claim == CONTRACT and check.name.endswith("-contract")]
    for pair in make_plan([part], contract).pairs:
        result = run_pair(pair, 0, LEVEL)
        assert result.verdict is Verdict.PASSED, str(result)


def test_the_parts_that_were_found_not_to_be_wrong_say_why():
    assert len(WRONG) == 163
    assert all(len(why) > 10 for why in fourth_kit.NOT_WRONG.values())
