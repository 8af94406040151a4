"""Conformance checks as pytest cases: whoever writes a part runs on it, in his own tests, what `ambientkit verify`
runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ambientkit.interfaces import Check, Part
from ambientkit.registry import load
from ambientkit.verification import Verdict, make_plan, registered_checks, run_pair
from ambientkit.verification.plan import Pair, expand
from ambientkit.verification.tables import explain_failure


class BiasFound(AssertionError):
    """A check rejected a part."""


class NoVerdict(AssertionError):
    """A check did not reject its control, which is wrong on purpose, so that it says nothing about the part."""


@dataclass(frozen=True, slots=True)
class Conformance:
    """One check at the level it has in this run; call it with the part it was made for."""

    pair: Pair
    level: float
    seed: int

    def __call__(self, part: Part) -> None:
        """Measure the part. Raises BiasFound where it is rejected, NoVerdict where the control is not."""
        result = run_pair(Pair(self.pair.kind, part, self.pair.check), self.seed, self.level)
        if result.verdict is Verdict.FAILED:
            raise BiasFound(explain_failure(result, self.seed, load()))
        if result.verdict is not Verdict.PASSED:
            raise NoVerdict(explain_failure(result, self.seed, load()))


def parametrize_with_checks(
    parts: Sequence[Part | type[Part]],
    *,
    expected_failures: Mapping[tuple[str, str], str] | None = None,
    checks: Sequence[Check] | None = None,
    quick: bool = False,
    seed: int = 0,
) -> Any:
    """A decorator for a test of `part` and `check`, which runs it once for each part and each check of what the part
    claims.

        @parametrize_with_checks([MyObjective(), MySampler()])
        def test_my_parts_keep_what_they_claim(part, check):
            check(part)

    parts: instances, or classes that need no field; a recipe stands for its objectives. A part that claims nothing
    gives one skipped case, with the reason. expected_failures: (part name, check name) -> why it fails; such a case is
    a strict xfail, so it is reported as soon as it passes. A control that is not rejected is a failure all the same.
    checks: left out, all that are registered. The level of a false alarm, 1e-3, is shared by all cases of the
    decorator. The test runs are reproducible: seed. Raises ValueError for an expected failure of a case that is not
    run, or without a reason; ImportError where pytest is missing.
    """
    try:
        import pytest
    except ImportError:
        raise ImportError("parametrize_with_checks needs pytest, which is not installed: pip install pytest") from None

    registry = load()
    expected = dict(expected_failures or {})
    made = [part() if isinstance(part, type) else part for part in parts]
    single = [one for part in made for one in expand(part, registry)]
    planned = make_plan(single, checks if checks is not None else registered_checks(registry), quick=quick)
    known = {(pair.part.name, pair.check.name) for pair in planned.pairs}
    if unknown := [key for key in expected if key not in known]:
        raise ValueError(f"expected_failures names {unknown[0]}, which is not run; those that are: {sorted(known)}")
    if silent := [key for key, reason in expected.items() if not reason.strip()]:
        raise ValueError(f"expected_failures[{silent[0]}] should be the reason, but is empty")

    cases = []
    for pair in planned.pairs:
        reason = expected.get((pair.part.name, pair.check.name))
        # Only a rejection was expected: anything else that goes wrong stays an error.
        marks = [pytest.mark.xfail(strict=True, reason=reason, raises=BiasFound)] if reason else []
        cases.append(
            pytest.param(
                pair.part,
                Conformance(pair, planned.level, seed),
                id=f"{_label(pair.part)}-{pair.check.name}",
                marks=marks,
            )
        )
    for item in planned.unchecked:
        part = next(one for one in single if one.name == item.part)
        cases.append(pytest.param(part, None, id=f"{_label(part)}-unchecked", marks=pytest.mark.skip(reason=str(item))))
    return pytest.mark.parametrize(("part", "check"), cases)


def _label(part: Part) -> str:
    """The part's name, with the fields that were given."""
    given = part.model_dump(mode="json", exclude_defaults=True)
    return part.name + (f"({', '.join(f'{name}={value}' for name, value in given.items())})" if given else "")
