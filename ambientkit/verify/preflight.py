"""The check before step 1 of a run: is the chosen objective's estimator unbiased?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ambientkit.builtin.gaussian import Gaussian
from ambientkit.interfaces import Check, Objective
from ambientkit.registry import Registry
from ambientkit.verify.case import make_case
from ambientkit.verify.runner import Result, run_check

ALPHA = 1e-3
"""False-alarm rate of a whole preflight, shared equally by its checks (Bonferroni)."""


def preflight(objectives: Sequence[Objective], registry: Registry, seed: int = 0) -> Iterator[Result | str]:
    """Run every objective check on every objective that claims what it tests; for the others, a line that says so.

    The case is drawn by the built-in Gaussian corruption with a level for each row. The seed is fixed, so that the same
    objective always gets the same answer.
    """
    checks = [registry.build("check", name) for name in registry.names("check")]
    planned = [(c, o) for o in objectives for c in checks if isinstance(c, Check) and c.kind == "objective" and c.claim in o.claims]
    for objective in objectives:
        if not any(o is objective for _, o in planned):
            yield f"{objective.name}: unchecked, it claims no property that a check tests"
    for check, objective in planned:
        case = make_case(Gaussian(sigma_n=(0.1, 0.4)), seed, clean="needs-clean-data" in objective.claims)
        yield run_check(check, objective, case, ALPHA / len(planned))
