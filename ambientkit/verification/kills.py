"""The kit of mutants: parts that are wrong on purpose, and which checks reject them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from ambientkit.interfaces import Check, Mutant
from ambientkit.registry import Registry
from ambientkit.verification.plan import Plan, make_plan
from ambientkit.verification.runner import Result, Verdict


class Fate(enum.StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"
    """No check rejects it, and none should: it is declared to be right, with the reason."""
    CONTRADICTED = "contradicted"
    """It is declared to be right, but a check rejects it."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A mutant and what the checks said of it."""

    kind: str
    mutant: Mutant
    results: tuple[Result, ...]

    @property
    def by(self) -> tuple[str, ...]:
        """Names of the checks that rejected it."""
        return tuple(result.check for result in self.results if result.verdict is Verdict.FAILED)

    @property
    def fate(self) -> Fate:
        """Whether it was rejected, and whether that is as it should be."""
        if self.mutant.equivalent:
            return Fate.CONTRADICTED if self.by else Fate.EQUIVALENT
        return Fate.KILLED if self.by else Fate.SURVIVED

    @property
    def as_it_should_be(self) -> bool:
        """False for a mutant that survived, and for one that is declared right and was rejected."""
        return self.fate in (Fate.KILLED, Fate.EQUIVALENT)


def mutant_plan(
    registry: Registry, checks: Sequence[Check], *, quick: bool = False
) -> tuple[list[tuple[str, Mutant]], Plan]:
    """The registered mutants with their kinds, and the plan of their checks: each is tried as if it were the part it is
    a mutant of."""
    mutants = [(entry.kind, entry.part()) for entry in registry.mutants()]
    planned = make_plan([mutant for _, mutant in mutants], checks, quick=quick)
    return [(kind, m) for kind, m in mutants if isinstance(m, Mutant)], planned


def kills(mutants: Sequence[tuple[str, Mutant]], results: Sequence[Result]) -> list[Kill]:
    """The results sorted by mutant. One that no check applies to has survived."""
    return [
        Kill(kind, mutant, tuple(r for r in results if r.pair.kind == kind and r.pair.part == mutant))
        for kind, mutant in mutants
    ]
