"""The checks before step 1 of a run: the quick ones, on the run's own parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ambientkit.interfaces import Part
from ambientkit.registry import Registry
from ambientkit.verification.claims import refuse_misspelt
from ambientkit.verification.plan import Plan, make_plan, registered_checks
from ambientkit.verification.runner import Result, run_plan

SEED = 0
"""Fixed, so that the same part always gets the same answer."""


def preflight(
    parts: Sequence[Part], registry: Registry, without: Collection[str] = ()
) -> tuple[Plan, Iterator[Result]]:
    """Every quick check on each of these parts that claims what it tests: the plan, with the parts that no check
    measures, and its results.

    without: claims that say nothing of this run, and are not measured. A result is measured when it is asked for. The
    level is that of `ambientkit verify`. Raises InputError for a claim that nothing tests.
    """
    checks = registered_checks(registry)
    refuse_misspelt(parts, checks)
    plan = make_plan(parts, [check for check in checks if check.claim not in without], quick=True)
    return plan, run_plan(plan, SEED)
