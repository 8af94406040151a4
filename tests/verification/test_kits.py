"""The kits of unseen parts: a wrong part is rejected by a check, by a number and not by a crash; a right part is not.

`make test` tries one wrong part in 24, one in four of those that checks had let pass, and one right part in twelve,
`make thorough` all. `kits.json` holds for each wrong part of a kit a check that rejects it, or null where none does;
`python -m tests.verification.test_kits` writes it anew. examples/benchmarks/verify_rates.py measures more seeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ambientkit.interfaces import CONTRACT, Check, Part
from ambientkit.registry import load
from ambientkit.verification import Verdict, case_for, make_plan, registered_checks, run_pair
from ambientkit.verification.plan import LEVEL, kind_of
from tests.support.shares import beyond_share
from tests.verification.kits import KITS

CHECKS = {check.name: check for check in registered_checks(load())}
WRONG = {kit: {f"{kind_of(p)} {p.name}": p for p in module.wrong_parts()} for kit, module in KITS.items()}
"""kit -> kind and name -> part."""
TABLE = Path(__file__).with_name("kits.json")
EXPECTED: dict[str, dict[str, str | None]] = json.loads(TABLE.read_text()) if TABLE.exists() else {}
LET_PASS = [
    (kit, f"{CHECKS[check].kind} {name}", check)
    for kit, module in KITS.items()
    for check, names in module.LET_PASS.items()
    for name in names
]
FOUND = [(kit, name, check) for kit, found in EXPECTED.items() for name, check in found.items() if check is not None]

CONTRACTS = [check for check in CHECKS.values() if check.claim == CONTRACT and check.name.endswith("-contract")]
QUICK = [check for check in CHECKS.values() if check.quick]
FOR_RIGHT_PARTS = {
    "second": QUICK,
    "third": CONTRACTS,
    "fourth": CONTRACTS,
    "fifth": [*CONTRACTS, CHECKS["levels"]],
    "sixth": CONTRACTS,
    "seventh": CONTRACTS,
    "eighth": [*CONTRACTS, CHECKS["levels"]],
    "ninth": [*CONTRACTS, CHECKS["levels"], CHECKS["picture-law"]],
    "tenth": [*CONTRACTS, CHECKS["levels"], CHECKS["scale"]],
    "eleventh": [
        *CONTRACTS,
        *(CHECKS[name] for name in ("levels", "scale", "point-kernel", "degrade-law", "sees-copies")),
    ],
    "twelfth": [*CONTRACTS, *(CHECKS[name] for name in ("levels", "stationarity-under-masks", "null-attack"))],
    "thirteenth": [
        *CONTRACTS,
        *(CHECKS[name] for name in ("picture-views", "scale", "scale-under-masks", "keyed", "order-2", "null-attack")),
    ],
    "fourteenth": [
        *CONTRACTS,
        *(
            CHECKS[name]
            for name in (
                "picture-views",
                "levels",
                "scale",
                "degrade-law",
                "further-mask",
                "point-kernel",
                "model-scaling",
            )
        ),
        *(CHECKS[name] for name in ("detached-anchor", "noise-law", "flow-form", "null-attack")),
    ],
    "fifteenth": [*CONTRACTS, *(CHECKS[name] for name in ("levels", "noise-law", "degrade-law"))],
    "sixteenth": [*CONTRACTS, *(CHECKS[name] for name in ("levels", "scale", "further-mask"))],
    "seventeenth": [
        *CONTRACTS,
        *(CHECKS[name] for name in ("picture-views", "detached-anchor", "preconditioning", "further-mask")),
    ],
    "eighteenth": [*CONTRACTS, *(CHECKS[name] for name in ("picture-views", "stationarity-under-masks"))],
    "nineteenth": [*CONTRACTS, CHECKS["null-attack"]],
    "twentieth": [*CONTRACTS, CHECKS["levels"]],
}


RAISE = {
    "kit2-tweedie-odd",
    "kit2-tweedie-transposed",
    "kit2-ancestral-two-levels",
    "kit2-ancestral-flat-only",
    "kit2-edm-shape-of-plane",
    "kit2-edm-refuses-by-assert",
    "kit2-edm-flat",
    "kit2-edm-checks-shape",
    "kit2-edm-one-level-only",
    "kit4-tweedie-broadcast-view",
    "kit4-tweedie-condition-changed-in-place",
    "kit4-edm-rows-of-width",
    "kit4-edm-view-4",
    "kit4-edm-grad-off-in-training",
    "odd-batch-fails",
    "two-values-only",
    "seven-squeezed",
    "nine-net-running-max",
    "nine-net-lazy",
    "nine-net-keeps-hidden",
    "nine-net-no-room-for-null",
    "ten-floor-is-the-mean",
    "ten-first-of-none",
    "kit12-even-rows",
    "kit12-floor-of-first",
    "kit15-odd-batch",
    "kit15-no-row-for-none",
    "kit17-floor-is-the-lowest-pixel",
}
"""Wrong parts that no number rejects: they raise an error for batches, shapes or grids that they have to take."""


def rejected(part: Part, check: Check) -> bool:
    """Whether a check rejects a part: by a number, unless the fault of the part is an error. A third of its samples is
    tried first, as for what a part does not claim."""
    (pair,) = make_plan([part], [check]).pairs
    result = run_pair(replace(pair, claimed=False), 0, LEVEL, controls=False)
    return result.verdict is Verdict.FAILED and (result.measured is not None or part.name in RAISE)


@pytest.mark.parametrize(
    ("kit", "name", "check"), [pytest.param(*entry, marks=beyond_share(entry[1], 4)) for entry in LET_PASS]
)
def test_a_wrong_part_that_the_checks_had_let_pass_is_rejected(kit: str, name: str, check: str) -> None:
    assert rejected(WRONG[kit][name], CHECKS[check])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kit", "name", "check"),
    [pytest.param(*entry, marks=beyond_share(entry[1], 32)) for entry in sorted({*FOUND} - {*LET_PASS})],
)
def test_a_wrong_part_is_rejected_by_the_check_of_its_fault(kit: str, name: str, check: str) -> None:
    assert rejected(WRONG[kit][name], CHECKS[check])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kit", "part"),
    [
        pytest.param(kit, part, id=part.name, marks=beyond_share(part.name, 16))
        for kit, module in KITS.items()
        for part in module.right_parts()
    ],
)
def test_a_right_part_is_not_rejected_and_the_control_of_the_check_is(kit: str, part: Part) -> None:
    for pair in make_plan([part], FOR_RIGHT_PARTS[kit]).pairs:
        result = run_pair(pair, 0, LEVEL)
        assert result.verdict is Verdict.PASSED, str(result)


@pytest.mark.parametrize(
    ("kit", "written", "not_wrong", "right"),
    [
        ("second", 286, 6, 20),
        ("third", 47, 2, 8),
        ("fourth", 172, 9, 20),
        ("fifth", 115, 4, 18),
        ("sixth", 263, 3, 41),
        ("seventh", 206, 2, 39),
        ("eighth", 172, 2, 31),
        ("ninth", 161, 4, 26),
        ("tenth", 160, 0, 25),
        ("eleventh", 174, 11, 41),
        ("twelfth", 192, 2, 25),
        ("thirteenth", 210, 2, 46),
        ("fourteenth", 148, 5, 28),
        ("fifteenth", 165, 1, 34),
        ("sixteenth", 219, 4, 25),
        ("seventeenth", 246, 0, 53),
        ("eighteenth", 0, 0, 97),
        ("nineteenth", 196, 2, 37),
        ("twentieth", 158, 2, 54),
    ],
)
def test_a_kit_keeps_its_size_and_the_parts_that_proved_not_to_be_wrong_say_why(
    kit: str, written: int, not_wrong: int, right: int
) -> None:
    assert len(KITS[kit].NOT_WRONG) == not_wrong
    assert len(WRONG[kit]) == written - not_wrong
    assert len(KITS[kit].right_parts()) == right
    assert all(len(why) > 10 for why in KITS[kit].NOT_WRONG.values())


def test_a_check_is_named_for_each_wrong_part() -> None:
    assert {kit: set(found) for kit, found in EXPECTED.items()} == {kit: set(parts) for kit, parts in WRONG.items()}
    assert {name for found in EXPECTED.values() for name, check in found.items() if check is None} == MISSED


MISSED: set[str] = set()
"""Wrong parts that no check rejects: docs/verify.md says of which kinds they are."""


def in_order(part: Part) -> Iterator[Check]:
    """The checks of what a part claims, those first that take least time."""
    pairs = make_plan([part], list(CHECKS.values())).pairs
    checks = [pair.check for pair in pairs]
    yield from sorted(checks, key=lambda c: (not c.null_law.startswith("exact"), not c.quick, c.name))


if __name__ == "__main__":
    found = {
        kit: {name: next((c.name for c in in_order(part) if rejected(part, c)), None) for name, part in parts.items()}
        for kit, parts in WRONG.items()
    }
    TABLE.write_text(json.dumps(found, indent=1) + "\n")


def test_an_objective_that_leaves_out_rows_by_chance_is_not_called_silent() -> None:
    """Case: all rows of the last call were left out, at this seed."""
    (part,) = [part for part in KITS["sixth"].right_parts() if part.name == "six-rejected"]
    check = CHECKS["objective-contract"]
    assert check.measure(part, case_for(part, seed=2)).p_value == 1


def test_a_mask_that_hides_more_of_rows_with_little_measured_is_not_called_unfair() -> None:
    """Case: at this seed brighter rows had more measured, and whole columns are hidden."""
    (part,) = [part for part in KITS["eighteenth"].right_parts() if part.name == "kit18-mask-fixed-number"]
    columns = type(part)(**{"kind": "columns", "allow_unseen": True})
    assert CHECKS["further-mask"].measure(columns, case_for(part, seed=1)).p_value > LEVEL


def test_a_bounded_answer_that_is_saturated_at_a_pixel_can_be_learned() -> None:
    """Case: tanh of the network is -0.9998 at a pixel, at this seed."""
    (part,) = [part for part in KITS["eighteenth"].right_parts() if part.name == "kit18-x-0-of-kept-frequencies"]
    assert CHECKS["model-contract"].measure(part, case_for(part, seed=1)).p_value == 1
