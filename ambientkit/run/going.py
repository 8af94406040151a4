"""Is a run going well? An answer from its log, after the first percent of its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

FIRST = 0.01
"""Share of the steps before which nothing is said."""
WRONG = 100.0
"""A Tweedie loss that no right run has, at any step: an untrained network with the right scales is at about 1 to 3."""
FALLEN = 0.97
"""The loss, over that of the first line, from which it is said to have fallen."""
BELOW = -0.05
"""A Tweedie loss below which it is said: that of a right denoiser is below 0 by chance only."""
CLEAR = 0.1
"""Share of the steps after which a loss that has not fallen is a bad sign."""
SKIPPED = 0.05
"""Share of steps without a finite loss, above which a run does not go well."""
UNITS = (
    "values and noise level are not in the same units, or the values fill too little of [-1, 1]. "
    "`ambientkit inspect DATA --write run.yaml` finds both"
)


@dataclass(frozen=True, slots=True)
class Going:
    """Whether a run goes well, and why."""

    answer: Literal["too early", "yes", "not clear", "no"]
    why: str

    def __str__(self) -> str:
        return f"{self.answer}: {self.why}"


def going(
    first: Mapping[str, Any], last: Mapping[str, Any], step: int, end_step: int, warnings: Sequence[str] = ()
) -> Going:
    """By the first and the last line of the log, empty where there is none. A loss that falls is no proof of good
    samples; one that does not, or a warning, is a reason to look."""
    due = max(1, math.ceil(FIRST * end_step))
    if not last or step < due:
        return Going("too early", f"there is an answer from step {due:,} on, with the first line of the log")
    if warnings:
        return Going("no", warnings[0])
    skipped = int(last.get("skipped_steps", 0))
    if skipped > SKIPPED * max(step, 1):
        return Going("no", f"{skipped} of {step} steps had no finite loss; lower the rate (--lr)")
    name, before, now = _term(first, last)
    if now is None or not math.isfinite(now):
        return Going("no", "the loss is not finite; lower the rate (--lr)")
    if suspicious(name, now):
        return Going("no", f"a Tweedie loss of {now:.3g} is what no right run has: {UNITS}")
    if name == "tweedie" and now < BELOW:
        return Going(
            "not clear",
            f"the loss tweedie is {now:.3g}, which for a right denoiser is below 0 by chance only: if it stays there, "
            "the run memorises the noise of its rows. Hold rows out (--hold-out 0.1), which shows when to stop",
        )
    if first.get("step") == last.get("step"):
        return Going("yes", f"the loss {name} is {now:.3g}, as a run with the right units begins")
    if before is not None and now < FALLEN * before:
        return Going("yes", f"the loss {name} fell from {before:.3g} to {now:.3g}")
    if step < CLEAR * end_step:
        return Going(
            "not clear",
            f"the loss {name} has not fallen yet ({before:.3g} to {now:.3g}); look again at {CLEAR:.0%} of the steps",
        )
    return Going("no", f"the loss {name} has not fallen since the first line of the log ({before:.3g} to {now:.3g})")


def suspicious(name: str, value: float) -> bool:
    """Whether a term of the loss has a value that no right run has."""
    return name == "tweedie" and value > WRONG


def _term(first: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[str, float | None, float | None]:
    """The term by which it is judged: Tweedie where it is trained, otherwise the whole loss; before and now."""
    terms = last.get("terms", {})
    if "tweedie" in terms:
        return "tweedie", first.get("terms", {}).get("tweedie"), terms["tweedie"]
    return "loss", first.get("loss"), last.get("loss")
