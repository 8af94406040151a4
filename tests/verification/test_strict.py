"""Every built-in part and every part of the plug-ins claims all that holds for it, and nothing that does not."""

from __future__ import annotations

import pytest

from ambientkit.registry import load
from ambientkit.verification import Verdict, make_plan, registered_checks, registered_parts, run_pair, tables
from ambientkit.verification.plan import LEVEL
from tests.support.shares import beyond_share
from tests.verification.second_kit import third

pytestmark = pytest.mark.slow


REGISTRY = load()
CHECKS = registered_checks(REGISTRY)
OWN = {entry.part for entry in REGISTRY.entries() if entry.package == "ambientkit"}
PARTS, UNMADE = registered_parts(REGISTRY, CHECKS)


@pytest.mark.parametrize(
    "part", [pytest.param(part, id=part.name, marks=beyond_share(part.name, 11)) for part in PARTS]
)
def test_strict_has_nothing_to_object_to_in_an_installed_part(part):
    """What a built-in part claims is measured in test_mutants."""
    plan = make_plan([part], CHECKS)
    claimed = () if type(part) in OWN else plan.pairs
    results = [run_pair(pair, 0, LEVEL) for pair in claimed]
    assert [str(result) for result in results if result.verdict is not Verdict.PASSED] == []
    unclaimed = [run_pair(pair, 0, LEVEL) for pair in plan.unclaimed]
    assert not tables.would_pass(unclaimed), tables.unclaimed_lines(unclaimed)
    if part.name == "naive":
        assert any("naive: not claimed: would fail" in line for line in tables.unclaimed_lines(unclaimed))


def test_no_installed_part_is_left_unchecked():
    assert make_plan(PARTS, CHECKS).unchecked == ()
    assert {one.part for one in UNMADE} <= {"diffusers-unet", "sdxl-lora"}, "what needs a folder of weights"


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("naive", "stationarity"),
        ("sample_dpm_2_ancestral", "reverse-kernel"),
        ("sample_dpmpp_2s_ancestral", "reverse-kernel"),
    ],
)
def test_a_claim_that_would_be_wrong_though_near_is_refuted_by_its_check(name, check):
    registry = load()
    checks = registered_checks(registry)
    parts = [part for part in registered_parts(registry, checks)[0] if part.name == name]
    if not parts:
        pytest.skip(f"the plug-in of {name} is not installed")
    (pair,) = [pair for pair in make_plan(parts, checks).unclaimed if pair.check.name == check]
    assert run_pair(pair, 0, 1e-5).verdict is Verdict.FAILED


THIRD = [
    "Tw_flips",
    "Tw_shifts",
    "Tw_first_channel",
    "Tw_centre",
    "Tw_quits",
    "Gauss_level_by_content",
    "Anc_blurs",
    "Anc_long_grids",
]
"""Of the third list: kinds that checks were made sharper for."""


@pytest.mark.parametrize("name", THIRD)
def test_a_kind_of_mistake_of_the_third_list_is_found_by_a_quick_check(name):
    pairs = make_plan([getattr(third, name)()], registered_checks(load()), quick=True).pairs
    assert any(run_pair(pair, 0, 1e-5, controls=False).verdict is Verdict.FAILED for pair in pairs)
