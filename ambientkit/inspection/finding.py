"""What one test of the noise model says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NoiseVerdict(StrEnum):
    """FINE: nothing against the model; DOUBT: look at it; VIOLATED: the mathematics would be false; UNTRIED: these rows
    cannot show it."""

    FINE = "fine"
    DOUBT = "doubt"
    VIOLATED = "violated"
    UNTRIED = "not tested"


NAMES = (
    "channels",
    "constant-rows",
    "correlation",
    "counts",
    "duplicates",
    "level",
    "missing",
    "noise",
    "quantisation",
    "saturation",
    "signal-dependence",
    "symmetry",
    "tails",
    "units",
)
"""The names of all tests."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one test: its name (what `--allow` takes), the verdict, a number, the reason and the remedy."""

    name: str
    verdict: NoiseVerdict
    reason: str
    remedy: str = ""
    statistic: float | None = None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"{self.name!r} is not among the names that can be allowed")

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}. {self.reason}" + (f" {self.remedy}" if self.remedy else "")
