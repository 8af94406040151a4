"""One check on one part: the measurement, its control, and the verdict."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ambientkit.interfaces import Case, Check, Measured, Part


class Verdict(enum.StrEnum):
    """What a check says of a part. A check that cannot tell a wrong part from a right one is inconclusive, never passed."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Result:
    """A check's measurement of a part, the same of its control, and the verdict at level `alpha`."""

    part: str
    check: str
    measured: Measured
    control: Measured
    verdict: Verdict
    alpha: float

    def __str__(self) -> str:
        return (
            f"{self.part}: {self.check} {self.verdict} (F {self.measured.statistic:.2f}, p {self.measured.p_value:.2g}, "
            f"n {self.measured.n}, level {self.alpha:g}; control p {self.control.p_value:.2g})"
        )


def run_check(check: Check, part: Part, case: Case, alpha: float) -> Result:
    """Measure a part and its control. alpha: the false-alarm rate of this one check."""
    measured, control = check.measure(part, case), check.measure(check.control(part), case)
    if measured.p_value < alpha:
        verdict = Verdict.FAILED
    elif control.p_value >= alpha:
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASSED
    return Result(part.name, check.name, measured, control, verdict, alpha)
