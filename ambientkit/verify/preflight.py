"""The checks before step 1 of a run: the quick ones, on the run's own parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ambientkit.interfaces import Part
from ambientkit.registry import Registry
from ambientkit.verify.plan import make_plan, registered_checks
from ambientkit.verify.runner import Result, run_plan


def preflight(parts: Sequence[Part], registry: Registry, seed: int = 0) -> Iterator[Result | str]:
    """Run every quick check on each of these parts that claims what it tests; for the others, at the end, a line that says so.

    The false-alarm budget is that of a whole `ambientkit verify`. The seed is fixed, so that the same part always gets the same answer.
    """
    planned = make_plan(parts, registered_checks(registry), quick=True)
    yield from run_plan(planned, seed)
    yield from map(str, planned.unchecked)
